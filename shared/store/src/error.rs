//! The errors of the stores. Text of the database stays inside `source()`: it is for logs and is never shown to users
//! of the API.

use std::{sync::Arc, time::Duration};

use carillon_runtime::http::{Failure, StoreFailure, Unmet};

use crate::fault::Fault;

/// The reason for which a store did not carry out a call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A condition of the request does not hold for the present row.
    #[error("{0}")]
    PreconditionFailed(Unmet),
    /// The row to be changed does not exist.
    #[error("there is no such {what}")]
    NotFound {
        /// The kind of the row.
        what: &'static str,
    },
    /// There are as many rows of this kind as there may be.
    #[error("expected at most {most} {what}")]
    Full {
        /// The kind of the rows.
        what: &'static str,
        /// The most.
        most: usize,
    },
    /// The database has a fault that may pass; a later try may succeed. The error is the driver's, if there
    /// is one.
    #[error("{0}")]
    Unavailable(Fault, #[source] Option<Arc<sqlx::Error>>),
    /// A stored value is not one that this code writes.
    #[error("stored data cannot be read: {what}")]
    Corrupt {
        /// The value.
        what: &'static str,
    },
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database(#[source] Arc<sqlx::Error>),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migration(#[source] Arc<sqlx::migrate::MigrateError>),
    /// The schema is that of a version which was never released. Its tables cannot be migrated.
    #[error(
        "the database has the schema of a Carillon from before the first release: expected an empty database, or one that \
        a release has made"
    )]
    Unreleased,
    /// The configured address does not name a supported database.
    #[error("{0}")]
    Config(&'static str),
    /// A value may not be stored.
    #[error("{0}")]
    Invalid(&'static str),
    /// The store was closed before the call was carried out.
    #[error("the store was closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later without a repair.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(..) | Self::Closed)
    }

    /// The database's fault, if this error is one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unavailable(fault, _) => Some(*fault),
            _ => None,
        }
    }

    /// The time after which the same call may succeed; `None` if it cannot.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(fault, _) => Some(fault.retry_after()),
            Self::Closed => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// Whether the database refused a value and would refuse it again: the other values of a batch can be stored
    /// without it. (A missing table or permission does not count: it concerns all values until it is repaired.)
    #[must_use]
    pub fn refuses_data(&self) -> bool {
        match self {
            Self::Database(error) => match &**error {
                sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| is_about_data(&code)),
                sqlx::Error::Encode(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}

impl Failure for StoreError {
    fn failure(&self) -> StoreFailure {
        match self {
            Self::PreconditionFailed(unmet) => StoreFailure::Unmet(unmet.clone()),
            Self::NotFound { what } => StoreFailure::NotFound(what),
            error => match error.retry_after() {
                Some(after) => StoreFailure::Passing(after),
                None => StoreFailure::Lasting,
            },
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. } => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a row could not be read"
                );
                Self::Corrupt { what: "a row" }
            }
            _ => match Fault::of(&error) {
                Some(fault) => Self::Unavailable(fault, Some(Arc::new(error))),
                None => Self::Database(Arc::new(error)),
            },
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::ExecuteMigration(error, version) => match Fault::of(&error) {
                Some(fault) => Self::Unavailable(fault, Some(Arc::new(error))),
                None => Self::Migration(Arc::new(sqlx::migrate::MigrateError::ExecuteMigration(
                    error, version,
                ))),
            },
            sqlx::migrate::MigrateError::VersionMismatch(_) => Self::Unreleased,
            other => Self::Migration(Arc::new(other)),
        }
    }
}

/// Whether a code is about a value. PostgreSQL: data exceptions (such as a NUL in a text, or a time out of range),
/// integrity constraints, limits (such as a row too large for an index). SQLite: too big, constraint, mismatch.
fn is_about_data(code: &str) -> bool {
    if code.len() == 5 {
        return ["22", "23", "54"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 18..=20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_value_is_told_apart_from_an_error_of_all_values() {
        for code in [
            "22021", "22008", "22P02", "23502", "54000", "19", "2067", "18", "20",
        ] {
            assert!(is_about_data(code), "{code}");
        }
        for code in [
            "42P01", "42501", "08006", "40P01", "53100", "25006", "1", "5", "13", "8",
        ] {
            assert!(!is_about_data(code), "{code}");
        }
    }
}
