//! Queries whose conditions depend on the request.

use std::fmt::Write as _;

use carillon_domain::Timestamp;
use sqlx::{
    Arguments as _, AssertSqlSafe, FromRow, Postgres, Sqlite,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use super::{Conn, note};
use crate::error::StoreError;

/// A query composed of constant text and bound values.
#[derive(Debug)]
pub(crate) struct Dynamic {
    sql: String,
    values: Vec<Value>,
}

#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Time(Timestamp),
    Uuid(Uuid),
    Big(i64),
}

/// Adds values to the arguments of either database.
macro_rules! bind {
    ($arguments:ident, $values:expr) => {
        for value in $values {
            match value {
                Value::Text(text) => $arguments.add(text),
                Value::Time(at) => $arguments.add(at),
                Value::Uuid(id) => $arguments.add(id),
                Value::Big(number) => $arguments.add(number),
            }
            .map_err(sqlx::Error::Encode)?;
        }
    };
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Uuid(id)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Big(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Big(i64::from(number))
    }
}

impl Dynamic {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Appends constant text.
    pub(crate) fn sql(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a placeholder and its value.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let _ = write!(self.sql, "${}", self.values.len());
        self
    }

    /// Appends ` AND column = …` for one value and ` AND column IN (…)` for several. `IN` could not use the order of
    /// an index that begins with the column.
    pub(crate) fn and_in<V: Into<Value>>(
        &mut self,
        column: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let mut values = values.into_iter().peekable();
        let Some(first) = values.next() else { return self };
        self.sql(" AND ").sql(column);
        if values.peek().is_none() {
            return self.sql(" = ").value(first);
        }
        self.sql(" IN (").value(first);
        for value in values {
            self.sql(", ").value(value);
        }
        self.sql(")")
    }

    /// Appends ` AND column NOT IN (…)`, or nothing for no values.
    pub(crate) fn and_not_in<V: Into<Value>>(
        &mut self,
        column: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return self };
        self.sql(" AND ").sql(column).sql(" NOT IN (").value(first);
        for value in values {
            self.sql(", ").value(value);
        }
        self.sql(")")
    }

    pub(crate) async fn fetch<R>(self, conn: Conn<'_>) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(self.sql);
        match conn {
            Conn::Sqlite(connection, writer) => {
                let mut arguments = SqliteArguments::default();
                bind!(arguments, self.values);
                let query = sqlx::query_as_with::<Sqlite, R, _>(sql, arguments);
                note(writer, query.fetch_all(connection).await)
            }
            Conn::Postgres(connection, link) => {
                let mut arguments = PgArguments::default();
                bind!(arguments, self.values);
                let query = sqlx::query_as_with::<Postgres, R, _>(sql, arguments);
                let query = query.persistent(link.keeps_statements());
                link.answer(query.fetch_all(connection)).await
            }
        }
    }

    /// The database's plan of the query, one step a line.
    pub(crate) async fn explain(self, conn: Conn<'_>) -> Result<Vec<String>, StoreError> {
        match conn {
            Conn::Sqlite(connection, writer) => {
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", self.sql));
                let mut arguments = SqliteArguments::default();
                bind!(arguments, self.values);
                let query = sqlx::query_as_with::<Sqlite, (i64, i64, i64, String), _>(sql, arguments);
                let steps = note(writer, query.fetch_all(connection).await)?;
                Ok(steps.into_iter().map(|(.., step)| step).collect())
            }
            Conn::Postgres(connection, link) => {
                let sql = AssertSqlSafe(format!("EXPLAIN {}", self.sql));
                let mut arguments = PgArguments::default();
                bind!(arguments, self.values);
                let query = sqlx::query_as_with::<Postgres, (String,), _>(sql, arguments);
                let query = query.persistent(false);
                let steps = link.answer(query.fetch_all(connection)).await?;
                Ok(steps.into_iter().map(|(step,)| step).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_placeholders_and_empty_lists_nothing() {
        let mut query = Dynamic::new("SELECT 1 WHERE a = ");
        query
            .value("x")
            .and_in("b", ["1", "2"])
            .and_in("c", [""; 0])
            .and_in("d", ["3"])
            .and_not_in("e", [""; 0])
            .and_not_in("f", ["4", "5"])
            .sql(" LIMIT ")
            .value(3_u32);
        assert_eq!(
            query.sql,
            "SELECT 1 WHERE a = $1 AND b IN ($2, $3) AND d = $4 AND f NOT IN ($5, $6) LIMIT $7"
        );
        assert_eq!(query.values.len(), 7);
    }
}
