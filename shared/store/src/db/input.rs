//! Batches of rows as the input of one statement.
//!
//! PostgreSQL takes a batch as one array a column (`UNNEST`); SQLite takes it as rows of values, in chunks of a few
//! fixed sizes so that its prepared statements are found again. Either way the statement sees a table `input`:
//!
//! ```sql
//! WITH input (id, name) AS (…) INSERT INTO t (id, name) SELECT id, name FROM input WHERE true ON CONFLICT …
//! ```

use std::{borrow::Cow, fmt::Write as _};

use carillon_domain::Timestamp;
use sqlx::{
    Arguments as _, AssertSqlSafe, Connection as _, FromRow, PgConnection, Postgres, Sqlite,
    SqliteConnection,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use super::{Conn, PostgresLink, Statements, note};
use crate::error::StoreError;

/// The sizes of SQLite statements in rows; a batch is split into the largest that fit.
const CHUNKS: [usize; 12] = [256, 128, 64, 32, 16, 8, 6, 5, 4, 3, 2, 1];

/// Columns of equal length; see the module.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rows: usize,
    columns: Vec<(&'static str, Column<'a>)>,
}

#[derive(Debug)]
enum Column<'a> {
    Text(Vec<Option<Cow<'a, str>>>),
    Json(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<Option<&'a [u8]>>),
    Uuid(Vec<Option<Uuid>>),
    Time(Vec<Option<Timestamp>>),
    Int(Vec<Option<i32>>),
    Big(Vec<i64>),
    Bool(Vec<bool>),
}

/// PostgreSQL's `text` cannot hold NUL, which JSON strings can. NUL is replaced, so that one character does not stop
/// a whole batch for ever.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

impl<'a> Input<'a> {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    fn column(mut self, name: &'static str, column: Column<'a>) -> Self {
        self.columns.push((name, column));
        self
    }

    pub(crate) fn text(self, name: &'static str, values: impl Iterator<Item = &'a str>) -> Self {
        let values = values.map(|text| Some(storable(text))).collect();
        self.column(name, Column::Text(values))
    }

    pub(crate) fn opt_text(self, name: &'static str, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        let values = values.map(|text| text.map(storable)).collect();
        self.column(name, Column::Text(values))
    }

    pub(crate) fn json(self, name: &'static str, values: impl Iterator<Item = Option<Cow<'a, str>>>) -> Self {
        self.column(name, Column::Json(values.collect()))
    }

    pub(crate) fn bytes(self, name: &'static str, values: impl Iterator<Item = Option<&'a [u8]>>) -> Self {
        self.column(name, Column::Bytes(values.collect()))
    }

    pub(crate) fn uuid(self, name: &'static str, values: impl Iterator<Item = Uuid>) -> Self {
        self.column(name, Column::Uuid(values.map(Some).collect()))
    }

    pub(crate) fn opt_uuid(self, name: &'static str, values: impl Iterator<Item = Option<Uuid>>) -> Self {
        self.column(name, Column::Uuid(values.collect()))
    }

    pub(crate) fn time(self, name: &'static str, values: impl Iterator<Item = Timestamp>) -> Self {
        self.column(name, Column::Time(values.map(Some).collect()))
    }

    pub(crate) fn opt_time(
        self,
        name: &'static str,
        values: impl Iterator<Item = Option<Timestamp>>,
    ) -> Self {
        self.column(name, Column::Time(values.collect()))
    }

    pub(crate) fn int(self, name: &'static str, values: impl Iterator<Item = i32>) -> Self {
        self.column(name, Column::Int(values.map(Some).collect()))
    }

    pub(crate) fn opt_int(self, name: &'static str, values: impl Iterator<Item = Option<i32>>) -> Self {
        self.column(name, Column::Int(values.collect()))
    }

    pub(crate) fn big(self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        self.column(name, Column::Big(values.collect()))
    }

    pub(crate) fn bool(self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.column(name, Column::Bool(values.collect()))
    }

    /// Runs a statement that returns rows. On SQLite it runs once for each chunk, so it must treat each row
    /// independently.
    pub(crate) async fn fetch<R>(self, conn: Conn<'_>, statement: &str) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        match conn {
            Conn::Sqlite(connection, writer) => {
                let fetched = self.fetch_sqlite(connection, writer.is_some(), statement).await;
                note(writer, fetched)
            }
            Conn::Postgres(connection, link) => {
                link.answer(self.fetch_postgres(connection, link, statement))
                    .await
            }
        }
    }

    async fn fetch_sqlite<R>(
        self,
        connection: &mut SqliteConnection,
        is_turn: bool,
        statement: &str,
    ) -> Result<Vec<R>, sqlx::Error>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut found = Vec::new();
        // Several chunks that are read outside of a turn are one statement to the caller.
        let mut own;
        let connection = if is_turn || Self::statements(self.rows) == Statements::One {
            connection
        } else {
            own = connection.begin().await?;
            &mut *own
        };
        for (from, count) in chunks(self.rows) {
            let arguments = self.sqlite_arguments(from, count)?;
            let sql = AssertSqlSafe(self.sqlite_sql(count, statement));
            let rows = sqlx::query_as_with::<Sqlite, R, _>(sql, arguments)
                .fetch_all(&mut *connection)
                .await?;
            found.extend(rows);
        }
        Ok(found)
    }

    async fn fetch_postgres<R>(
        self,
        connection: &mut PgConnection,
        link: &PostgresLink,
        statement: &str,
    ) -> Result<Vec<R>, sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(self.postgres_sql(statement));
        let arguments = self.postgres_arguments()?;
        sqlx::query_as_with::<Postgres, R, _>(sql, arguments)
            .persistent(link.keeps_statements())
            .fetch_all(connection)
            .await
    }

    /// Runs a statement and returns the number of rows written.
    pub(crate) async fn execute(self, conn: Conn<'_>, statement: &str) -> Result<u64, StoreError> {
        if self.rows == 0 {
            return Ok(0);
        }
        match conn {
            Conn::Sqlite(connection, writer) => {
                note(writer, self.execute_sqlite(connection, statement).await)
            }
            Conn::Postgres(connection, link) => {
                let sql = AssertSqlSafe(self.postgres_sql(statement));
                let arguments = self.postgres_arguments()?;
                let query =
                    sqlx::query_with::<Postgres, _>(sql, arguments).persistent(link.keeps_statements());
                Ok(link.answer(query.execute(connection)).await?.rows_affected())
            }
        }
    }

    async fn execute_sqlite(
        self,
        connection: &mut SqliteConnection,
        statement: &str,
    ) -> Result<u64, sqlx::Error> {
        let mut written = 0;
        for (from, count) in chunks(self.rows) {
            let arguments = self.sqlite_arguments(from, count)?;
            let sql = AssertSqlSafe(self.sqlite_sql(count, statement));
            let done = sqlx::query_with::<Sqlite, _>(sql, arguments)
                .execute(&mut *connection)
                .await?;
            written += done.rows_affected();
        }
        Ok(written)
    }

    /// The statements of a batch of this number of rows on SQLite.
    pub(crate) fn statements(rows: usize) -> Statements {
        match chunks(rows).nth(1) {
            None => Statements::One,
            Some(_) => Statements::Several,
        }
    }

    /// SQLite's query plan for the statement.
    #[cfg(test)]
    pub(crate) async fn plan(self, conn: Conn<'_>, statement: &str) -> Vec<String> {
        let Conn::Sqlite(connection, _) = conn else {
            panic!("SQLite's plan")
        };
        let sql = format!("EXPLAIN QUERY PLAN {}", self.sqlite_sql(self.rows, statement));
        let arguments = self.sqlite_arguments(0, self.rows).unwrap();
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as_with::<Sqlite, _, _>(AssertSqlSafe(sql), arguments)
                .fetch_all(connection)
                .await
                .unwrap();
        rows.into_iter().map(|(.., step)| step).collect()
    }

    fn names(&self, sql: &mut String) {
        sql.push_str("WITH input (");
        for (index, (name, _)) in self.columns.iter().enumerate() {
            sql.push_str(if index == 0 { "" } else { ", " });
            sql.push_str(name);
        }
        sql.push_str(") AS (");
    }

    fn sqlite_sql(&self, rows: usize, statement: &str) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        let mut sql = String::with_capacity(statement.len() + rows * (row.len() + 1) + 256);
        self.names(&mut sql);
        sql.push_str("VALUES ");
        for index in 0..rows {
            sql.push_str(if index == 0 { "" } else { "," });
            sql.push_str(&row);
        }
        sql.push_str(") ");
        sql.push_str(statement);
        sql
    }

    fn sqlite_arguments(&self, from: usize, count: usize) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for row in from..from + count {
            for (_, column) in &self.columns {
                let added = match column {
                    Column::Text(values) | Column::Json(values) => arguments.add(values[row].as_deref()),
                    Column::Bytes(values) => arguments.add(values[row]),
                    Column::Uuid(values) => arguments.add(values[row]),
                    Column::Time(values) => arguments.add(values[row]),
                    Column::Int(values) => arguments.add(values[row]),
                    Column::Big(values) => arguments.add(values[row]),
                    Column::Bool(values) => arguments.add(values[row]),
                };
                added.map_err(sqlx::Error::Encode)?;
            }
        }
        Ok(arguments)
    }

    fn postgres_sql(&self, statement: &str) -> String {
        let mut sql = String::with_capacity(statement.len() + 512);
        self.names(&mut sql);
        sql.push_str("SELECT ");
        for (index, (_, column)) in self.columns.iter().enumerate() {
            let cast = if matches!(column, Column::Json(_)) {
                "::json"
            } else {
                ""
            };
            let _ = write!(sql, "{}c{index}{cast}", if index == 0 { "" } else { ", " });
        }
        sql.push_str(" FROM UNNEST(");
        for (index, (_, column)) in self.columns.iter().enumerate() {
            let kind = match column {
                Column::Text(_) | Column::Json(_) => "text",
                Column::Bytes(_) => "bytea",
                Column::Uuid(_) => "uuid",
                Column::Time(_) => "timestamptz",
                Column::Int(_) => "int4",
                Column::Big(_) => "int8",
                Column::Bool(_) => "bool",
            };
            let _ = write!(
                sql,
                "{}${}::{kind}[]",
                if index == 0 { "" } else { ", " },
                index + 1
            );
        }
        sql.push_str(") AS u (");
        for index in 0..self.columns.len() {
            let _ = write!(sql, "{}c{index}", if index == 0 { "" } else { ", " });
        }
        sql.push_str(")) ");
        sql.push_str(statement);
        sql
    }

    fn postgres_arguments(self) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for (_, column) in self.columns {
            let added = match column {
                Column::Text(values) | Column::Json(values) => arguments.add(values),
                Column::Bytes(values) => arguments.add(values),
                Column::Uuid(values) => arguments.add(values),
                Column::Time(values) => arguments.add(values),
                Column::Int(values) => arguments.add(values),
                Column::Big(values) => arguments.add(values),
                Column::Bool(values) => arguments.add(values),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

/// Splits `rows` into (first row, number of rows).
fn chunks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|size| *size <= rows - from)?;
        from += size;
        Some((from - size, size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_row_once_in_order() {
        for rows in [1, 3, 4, 255, 256, 257, 1_000] {
            let covered: Vec<usize> = chunks(rows)
                .flat_map(|(from, count)| from..from + count)
                .collect();
            assert_eq!(covered, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn both_databases_see_the_same_table() {
        let input = || {
            Input::new(2)
                .text("name", ["a", "b\0"].into_iter())
                .json("doc", [None, Some(Cow::Borrowed("{}"))].into_iter())
        };
        assert_eq!(
            input().sqlite_sql(2, "SELECT 1"),
            "WITH input (name, doc) AS (VALUES (?,?),(?,?)) SELECT 1"
        );
        assert_eq!(
            input().postgres_sql("SELECT 1"),
            "WITH input (name, doc) AS (SELECT c0, c1::json FROM UNNEST($1::text[], $2::text[]) AS u (c0, c1)) SELECT 1"
        );
    }

    #[test]
    fn characters_that_postgres_text_cannot_hold_are_replaced() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert!(matches!(storable("ab"), Cow::Borrowed("ab")));
    }
}
