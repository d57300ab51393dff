//! The addresses of the stores in a configuration. They may hold passwords, so that errors repeat their scheme only.

use std::{path::Path, str::FromStr};

use carillon_runtime::Secret;
use redis::IntoConnectionInfo as _;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sqlx::postgres::PgConnectOptions;

use crate::config::{DatabaseAddress, StoreConfig};

/// The longest scheme that an error repeats, in characters.
const LONGEST_SCHEME: usize = 20;

/// `postgres://user:password@host/database` or `sqlite://path`.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(Secret);

/// `redis://…` or `rediss://…`.
#[derive(Debug, Clone)]
pub struct RedisUrl(Secret);

impl DatabaseUrl {
    /// The address of SQLite's file.
    #[must_use]
    pub fn sqlite(path: &Path) -> Self {
        Self(format!("sqlite://{}", path.display()).into())
    }

    /// Whether it is the address of SQLite's file.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        let config = StoreConfig::new(self.0.clone());
        matches!(config.address(), Ok(DatabaseAddress::Sqlite(_)))
    }

    /// The server and port, or SQLite's file: the part of the address that may be shown.
    #[must_use]
    pub fn place(&self) -> String {
        let config = StoreConfig::new(self.0.clone());
        match config.address() {
            Ok(DatabaseAddress::Sqlite(path)) => path.display().to_string(),
            Ok(DatabaseAddress::Postgres(url)) => PgConnectOptions::from_str(url)
                .map(|options| match options.get_socket() {
                    Some(folder) => folder.display().to_string(),
                    None => format!("{}:{}", options.get_host(), options.get_port()),
                })
                .unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The whole address, for a connection.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.0.clone()
    }
}

impl RedisUrl {
    /// The server and port, or the socket: the part of the address that may be shown.
    #[must_use]
    pub fn place(&self) -> String {
        let info = self.0.expose_secret().into_connection_info();
        info.map(|info| info.addr().to_string()).unwrap_or_default()
    }

    /// The whole address, for a connection.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.0.clone()
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let config = StoreConfig::new(text.to_owned());
        let is_valid = match config.address() {
            Ok(DatabaseAddress::Sqlite(_)) => true,
            Ok(DatabaseAddress::Postgres(url)) => names_host(url) && PgConnectOptions::from_str(url).is_ok(),
            Err(_) => false,
        };
        if is_valid {
            return Ok(Self(config.url));
        }
        Err(format!(
            "expected postgres://user:password@host/database or sqlite:// with the path of a file, not {}",
            shown(text)
        ))
    }
}

/// Whether a PostgreSQL URL names its server: as the URL's host, or by the parameter `host`, whose value may be the
/// folder of a socket. Without a server, sqlx would use its own environment variables, or this machine.
fn names_host(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let (place, parameters) = place.split_once('?').unwrap_or((place, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_host = !host.is_empty() && !host.starts_with(':');
    let is_host = |(name, value): (&str, &str)| matches!(name, "host" | "hostaddr") && !value.is_empty();
    has_host
        || parameters
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .any(is_host)
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_redis = ["redis://", "rediss://", "redis+unix://", "unix://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if is_redis && text.into_connection_info().is_ok() {
            return Ok(Self(text.to_owned().into()));
        }
        Err(format!(
            "expected redis://host:port/number or rediss://host:port/number, not {}",
            shown(text)
        ))
    }
}

/// The part of an address without secrets: its scheme.
fn shown(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.split_once("://") {
        Some((scheme, _)) if scheme.len() <= LONGEST_SCHEME && scheme.chars().all(fits) => {
            format!("\"{scheme}://…\"")
        }
        _ => "a text without a scheme".to_owned(),
    }
}

fn read<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<T, D::Error> {
    // A value of another type may be a secret as well.
    let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("expected a URL"))?;
    text.parse().map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_work_is_refused_and_its_password_is_not_repeated() {
        for text in [
            "postgres://carillon:hunter2@db/carillon?sslmode=verify-full",
            "postgresql://db/carillon",
            "postgres://db",
            "postgres://u:hunter2@[::1]:5432/d",
            "postgres:///carillon?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/carillon",
            "sqlite:///var/lib/carillon/store.db",
        ] {
            text.parse::<DatabaseUrl>().unwrap();
        }
        for text in [
            "",
            "mysql://u:hunter2@h/d",
            "hunter2",
            "postgres://",
            "postgres:///carillon",
            "postgres://u:hunter2@/carillon",
            "postgres://u:hunter2@:5432/carillon",
            "postgres:///carillon?host=",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=sometimes",
            "sqlite://",
            "sqlite:///",
            "sqlite:///var/lib/carillon/",
            "sqlite://store.db?mode=rwc",
            "sqlite://:memory:",
        ] {
            let said = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(said.starts_with("expected postgres://"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        for text in [
            "redis://cache:6379/0",
            "rediss://:hunter2@cache",
            "redis://[::1]:1",
        ] {
            text.parse::<RedisUrl>().unwrap();
        }
        for text in [
            "",
            "http://x",
            "redis://",
            "redis:///0",
            "redis://:6379",
            "cache:6379",
            "redis://u:hunter2@h:x",
            "redis://h/x",
        ] {
            let said = text.parse::<RedisUrl>().unwrap_err();
            assert!(said.starts_with("expected redis://"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
