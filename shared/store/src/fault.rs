//! Passing faults of a database, recognised by SQLSTATE on PostgreSQL and by result code on SQLite.

use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

/// A fault of a database. It passes by itself or after an operator's repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The connection could not be opened, or broke.
    #[error("the database does not answer")]
    Unreachable,
    /// The pool had no free connection in time.
    #[error("the database gave no connection in time: it does not answer, or all connections are in use")]
    NoConnection,
    /// The database shuts down or starts, or has ended the session.
    #[error("the database is restarting")]
    Restarting,
    /// The database has no connections or no memory left.
    #[error("the database is short of connections or memory")]
    Busy,
    /// A statement exceeded its time limit.
    #[error("the database did not finish in time")]
    Slow,
    /// The database takes no writes: it is a standby, or set to read-only.
    #[error("the database is read-only")]
    ReadOnly,
    /// The database's disk is full.
    #[error("the database's disk is full")]
    DiskFull,
    /// The database's disk reports errors.
    #[error("the database cannot read or write its disk")]
    Storage,
    /// The transaction conflicted with a concurrent one and was rolled back.
    #[error("the database rolled the write back in favour of a concurrent one")]
    Conflict,
    /// Another process holds the write lock of SQLite's file.
    #[error("another process holds the database's write lock")]
    Locked,
    /// A statement gave up waiting for a lock that another transaction holds.
    #[error("another transaction holds a lock that the statement needs")]
    LockWait,
    /// The database refuses the user, the password or the database name.
    #[error("the database refuses the login: check user, password and database name in database.url")]
    Login,
    /// The prepared statements of a connection are no longer valid: the schema has changed, or a pooler has moved the
    /// connection to another server session.
    #[error(
        "the database does not know a prepared statement any more: behind a pooler in transaction mode, set \
        database.transaction_pooling"
    )]
    Prepared,
}

impl Fault {
    /// The fault that an error of sqlx reports; `None` if the error concerns the statement or its values.
    pub(crate) fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::PoolTimedOut => Some(Self::NoConnection),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Some(Self::Unreachable),
            sqlx::Error::Database(refusal) => {
                let replanned = refusal
                    .try_downcast_ref::<PgDatabaseError>()
                    .is_some_and(|refusal| refusal.routine() == Some("RevalidateCachedQuery"));
                if replanned {
                    return Some(Self::Prepared);
                }
                refusal.code().and_then(|code| Self::of_code(&code))
            }
            _ => None,
        }
    }

    /// PostgreSQL's codes have five characters; SQLite's are numbers of at most four digits.
    fn of_code(code: &str) -> Option<Self> {
        if code.len() == 5 && code.is_ascii() {
            Self::of_sqlstate(code)
        } else {
            Self::of_sqlite(code.parse().ok()?)
        }
    }

    fn of_sqlstate(code: &str) -> Option<Self> {
        Some(match code {
            "25006" => Self::ReadOnly,
            "53100" => Self::DiskFull,
            "57014" | "25P03" | "25P04" => Self::Slow,
            "55P03" => Self::LockWait,
            "26000" | "42P05" => Self::Prepared,
            "3D000" => Self::Login,
            // It is unknown whether the statement was executed.
            "40003" => Self::Unreachable,
            _ => match &code[..2] {
                "08" => Self::Unreachable,
                "28" => Self::Login,
                "40" => Self::Conflict,
                "53" => Self::Busy,
                "57" => Self::Restarting,
                "58" => Self::Storage,
                _ => return None,
            },
        })
    }

    /// The low byte is the primary result code.
    fn of_sqlite(code: u32) -> Option<Self> {
        Some(match code & 0xff {
            5 | 6 => Self::Locked,
            7 => Self::Busy,
            8 => Self::ReadOnly,
            10 | 14 => Self::Storage,
            13 => Self::DiskFull,
            _ => return None,
        })
    }

    /// Whether work that met this fault has had no effect and may succeed at once, after `tries` tries. A concurrent
    /// transaction has won, or the connection was unusable and is replaced; the second case needs only one more try.
    pub(crate) fn may_pass_at_once(self, tries: u32) -> bool {
        match self {
            Self::Conflict => true,
            Self::ReadOnly | Self::Prepared => tries == 0,
            _ => false,
        }
    }

    /// Whether the fault stops all writes, not only the one that met it.
    pub(crate) fn stops_writes(self) -> bool {
        matches!(
            self,
            Self::ReadOnly | Self::DiskFull | Self::Storage | Self::Locked
        )
    }

    /// The time after which a retry is worthwhile.
    #[must_use]
    pub fn retry_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::Conflict | Self::Locked | Self::LockWait | Self::NoConnection | Self::Busy => 1,
            Self::Unreachable | Self::Restarting | Self::Slow | Self::Prepared => 2,
            Self::ReadOnly => 5,
            Self::DiskFull | Self::Storage | Self::Login => 10,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_names_a_fault_of_the_database_and_a_deadlock_does_not_make_it_unreachable() {
        for (code, fault) in [
            ("08006", Fault::Unreachable),
            ("40P01", Fault::Conflict),
            ("40001", Fault::Conflict),
            ("55P03", Fault::LockWait),
            ("53300", Fault::Busy),
            ("53100", Fault::DiskFull),
            ("53200", Fault::Busy),
            ("57P01", Fault::Restarting),
            ("57P03", Fault::Restarting),
            ("57014", Fault::Slow),
            ("25006", Fault::ReadOnly),
            ("28P01", Fault::Login),
            ("58030", Fault::Storage),
            ("26000", Fault::Prepared),
            ("5", Fault::Locked),
            ("261", Fault::Locked),
            ("517", Fault::Locked),
            ("8", Fault::ReadOnly),
            ("1032", Fault::ReadOnly),
            ("13", Fault::DiskFull),
            ("778", Fault::Storage),
        ] {
            assert_eq!(Fault::of_code(code), Some(fault), "{code}");
        }
        for code in ["23505", "42601", "42P01", "22021", "19", "2067", "1", "äöü"] {
            assert_eq!(Fault::of_code(code), None, "{code}");
        }
    }
}
