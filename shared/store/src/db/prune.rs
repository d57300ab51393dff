//! Removing old rows in small steps, so that no write waits long for the writer.

use std::time::Duration;

use carillon_domain::{Timestamp, clock::earlier};

use super::{Db, fetch, write_one};
use crate::{config::Dialect, error::StoreError};

/// A table whose old rows are removed. Each statement removes at most 5,000 rows.
///
/// PostgreSQL finds old rows by a BRIN index, which is cheap to maintain. SQLite's rows lie in order of insertion:
/// they are visited from the first on until a step contains no old row, and need no index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prunable {
    /// Selects the end of the next step after the row `$1`, and the number of rows in the step that are older than
    /// `$2`.
    pub(crate) sqlite_step: &'static str,
    /// Removes the rows older than `$1` that lie after `$2` and up to `$3`.
    pub(crate) sqlite: &'static str,
    /// Removes rows older than `$1`.
    pub(crate) postgres: &'static str,
}

/// `prunable!(table, column)` or `prunable!(table, column, "condition")`: rows that do not meet the condition are
/// kept at any age.
macro_rules! prunable {
    ($table:literal, $column:literal) => {
        $crate::db::prunable!($table, $column, "true")
    };
    ($table:literal, $column:literal, $condition:literal) => {
        $crate::db::Prunable {
            sqlite_step: concat!(
                "SELECT COALESCE(MAX(place), 0), COALESCE(SUM(is_old), 0) FROM (SELECT rowid AS place, ",
                $column,
                " < $2 AS is_old FROM ",
                $table,
                " WHERE rowid > $1 ORDER BY rowid LIMIT 5000)"
            ),
            sqlite: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ",
                $column,
                " < $1 AND rowid > $2 AND rowid <= $3 AND (",
                $condition,
                ")"
            ),
            postgres: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
                $table,
                " WHERE ",
                $column,
                " < $1 AND (",
                $condition,
                ") LIMIT 5000))"
            ),
        }
    };
}
pub(crate) use prunable;

impl Db {
    /// Removes rows older than `age`. Returns their number.
    pub(crate) async fn prune(&self, table: Prunable, age: Duration) -> Result<u64, StoreError> {
        let before = earlier(self.now(), age);
        match self.dialect() {
            Dialect::Sqlite => self.prune_sqlite(table, before).await,
            Dialect::Postgres => self.prune_postgres(table, before).await,
        }
    }

    async fn prune_sqlite(&self, table: Prunable, before: Timestamp) -> Result<u64, StoreError> {
        let (mut removed, mut behind) = (0, 0_i64);
        loop {
            let (end, old): (i64, i64) =
                fetch!(one, self.read().await? => (i64, i64), table.sqlite_step, behind, before)?;
            if old == 0 {
                return Ok(removed);
            }
            removed += write_one!(self, table.sqlite, before, behind, end)?;
            behind = end;
        }
    }

    async fn prune_postgres(&self, table: Prunable, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let count = write_one!(self, table.postgres, before)?;
            removed += count;
            if count == 0 {
                return Ok(removed);
            }
        }
    }
}
