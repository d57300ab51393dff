//! Removing old rows in small steps, so that nobody waits long for the writer.

use std::time::Duration;

use carillon_domain::Timestamp;

use super::{Db, execute};
use crate::{config::Dialect, error::StoreError};

/// A table whose rows grow old. Each statement removes at most 5,000 rows older than `$1`.
///
/// SQLite's rows lie in the order in which they came, so the oldest stand first and need no index. PostgreSQL finds
/// them by a BRIN index, which costs next to nothing to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prunable {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! prunable {
    ($table:literal, $column:literal) => {
        $crate::db::Prunable {
            sqlite: concat!(
                "DELETE FROM ",
                $table,
                " WHERE rowid IN (SELECT rowid FROM ",
                $table,
                " ORDER BY rowid LIMIT 5000) AND ",
                $column,
                " < $1"
            ),
            postgres: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
                $table,
                " WHERE ",
                $column,
                " < $1 LIMIT 5000))"
            ),
        }
    };
}
pub(crate) use prunable;

impl Db {
    /// Removes what is older than `age`. Returns how many rows went.
    pub(crate) async fn prune(&self, table: Prunable, age: Duration) -> Result<u64, StoreError> {
        let before: Timestamp = self.now() - age;
        let sql = match self.dialect() {
            Dialect::Sqlite => table.sqlite,
            Dialect::Postgres => table.postgres,
        };
        let mut removed = 0;
        loop {
            let mut session = self.write().await?;
            let count = execute!(session, sql, before)?;
            removed += count;
            if count == 0 {
                return Ok(removed);
            }
        }
    }
}
