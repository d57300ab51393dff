//! The configuration of the stores: where the data lies, and which resources it may use.

use std::{path::PathBuf, time::Duration};

use carillon_domain::contact::AddressKey;
use carillon_runtime::Secret;
use secrecy::ExposeSecret as _;

use crate::error::StoreError;

/// The extension of the read model's file on SQLite.
pub(crate) const READ_MODEL: &str = "read-model.db";

/// The address of the SQL database, and its limits.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `postgres://user:password@host/database` (TLS by `?sslmode=verify-full&sslrootcert=…`) or `sqlite://path`.
    pub url: Secret,
    /// The most connections: all to PostgreSQL, or SQLite's readers (SQLite has one writer besides).
    pub max_connections: u32,
    /// The longest wait of a caller for a connection.
    pub acquire_timeout: Duration,
    /// Whether connections to PostgreSQL go through a pooler in transaction mode, such as PgBouncer. If so,
    /// statements are prepared without names, and no session settings are used. Each statement takes a few
    /// more round trips.
    pub transaction_pooling: bool,
    /// The time after which PostgreSQL ends a statement. If no answer comes for up to 5 s longer, the connection is closed.
    pub statement_timeout: Duration,
    /// Retention of the read model: steps of deliveries' timelines, decided events, deliveries that have ended, and
    /// dead letters that are not open.
    pub history_retention: Duration,
    /// The key with which addresses are hashed, the same for all processes of an installation. The suppression list
    /// and the identities of guests depend on it.
    pub address_key: AddressKey,
}

impl StoreConfig {
    /// The defaults for an address: 8 connections, 5 s to get one, statements of up to 60 s, 90 days of history, and a key that is not secret.
    #[must_use]
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            transaction_pooling: false,
            statement_timeout: Duration::from_mins(1),
            history_retention: Duration::from_hours(90 * 24),
            address_key: AddressKey::new([0; 32]),
        }
    }

    /// The configuration of a SQLite database in a file.
    #[must_use]
    pub fn sqlite(path: &std::path::Path) -> Self {
        Self {
            max_connections: 4,
            ..Self::new(format!("sqlite://{}", path.display()))
        }
    }

    /// The file of the read model, which on SQLite lies beside the file of all other data; `None` on PostgreSQL,
    /// which has one database.
    #[must_use]
    pub fn read_model_file(&self) -> Option<PathBuf> {
        match self.address() {
            Ok(DatabaseAddress::Sqlite(path)) => Some(path.with_extension(READ_MODEL)),
            _ => None,
        }
    }

    /// The database's file on SQLite; `None` on PostgreSQL.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match self.address() {
            Ok(DatabaseAddress::Sqlite(path)) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn address(&self) -> Result<DatabaseAddress<'_>, StoreError> {
        let url = self.url.expose_secret();
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(DatabaseAddress::Postgres(url));
        }
        match url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
        {
            // Parameters after a `?` belong to the URLs of other programs. Here they would become part of the file's
            // name.
            Some(path)
                if !path.is_empty()
                    && !path.ends_with('/')
                    && !path.contains(":memory:")
                    && !path.contains('?') =>
            {
                Ok(DatabaseAddress::Sqlite(PathBuf::from(path)))
            }
            Some(_) => Err(StoreError::Config(
                "expected sqlite:// followed by the path of a file",
            )),
            None => Err(StoreError::Config(
                "expected a database URL that begins with postgres:// or sqlite://",
            )),
        }
    }
}

/// The database that an address names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DatabaseAddress<'a> {
    Sqlite(PathBuf),
    Postgres(&'a str),
}

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, in a file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// `sqlite` or `postgres`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_a_server_or_is_refused() {
        let place = |url: &str| {
            StoreConfig::new(url.to_owned())
                .address()
                .map(|place| format!("{place:?}"))
        };
        assert_eq!(place("sqlite:///var/x.db").unwrap(), r#"Sqlite("/var/x.db")"#);
        assert_eq!(place("postgres://h/d").unwrap(), r#"Postgres("postgres://h/d")"#);
        assert!(place("mysql://h/d").is_err());
        assert!(place("sqlite://:memory:").is_err());
    }

    #[test]
    fn a_printed_configuration_hides_the_address() {
        let config = StoreConfig::new("postgres://u:hunter2@h/d".to_owned());
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
