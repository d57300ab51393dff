//! The same rows written again at the database's own speed: `COPY` on PostgreSQL, prepared inserts of many rows on
//! SQLite. The tables are emptied first and keep their indexes.

use std::time::Instant;

use futures::TryStreamExt as _;
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _, Sqlite, SqliteConnection, TypeInfo as _,
    ValueRef as _, query::Query, sqlite::SqliteArguments,
};

use crate::bed::Bed;

const TABLES: [&str; 3] = ["decided_events", "deliveries", "attempts"];
/// The number of rows in a statement on SQLite.
const ROWS: usize = 256;

/// Reads all rows, empties the tables, writes the rows again and empties the tables; returns the seconds of the
/// writing.
pub(super) async fn write_again(bed: &Bed) -> anyhow::Result<f64> {
    let url = bed.database.expose_secret();
    let mut seconds = 0.0;
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await?;
        for table in TABLES {
            seconds += copy(&mut connection, table).await?;
        }
    } else {
        let mut connection = SqliteConnection::connect(url).await?;
        for pragma in ["PRAGMA busy_timeout = 5000", "PRAGMA synchronous = NORMAL"] {
            sqlx::query(AssertSqlSafe(pragma))
                .execute(&mut connection)
                .await?;
        }
        for table in TABLES {
            seconds += insert(&mut connection, table).await?;
        }
    }
    Ok(seconds)
}

async fn copy(connection: &mut PgConnection, table: &str) -> anyhow::Result<f64> {
    let out = format!("COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)");
    let chunks: Vec<_> = connection.copy_out_raw(&out).await?.try_collect().await?;
    let truncate = format!("TRUNCATE {table}");
    sqlx::query(AssertSqlSafe(truncate.clone()))
        .execute(&mut *connection)
        .await?;
    let started = Instant::now();
    let mut copy = connection
        .copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
        .await?;
    for chunk in chunks {
        copy.send(chunk).await?;
    }
    copy.finish().await?;
    let seconds = started.elapsed().as_secs_f64();
    sqlx::query(AssertSqlSafe(truncate))
        .execute(&mut *connection)
        .await?;
    Ok(seconds)
}

enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

async fn insert(connection: &mut SqliteConnection, table: &str) -> anyhow::Result<f64> {
    let rows = sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}")))
        .fetch_all(&mut *connection)
        .await?;
    let Some(first) = rows.first() else { return Ok(0.0) };
    let columns: Vec<&str> = first.columns().iter().map(sqlx::Column::name).collect();
    let values: Vec<Vec<Value>> = rows.iter().map(read).collect::<anyhow::Result<_>>()?;
    let delete = format!("DELETE FROM {table}");
    sqlx::query(AssertSqlSafe(delete.clone()))
        .execute(&mut *connection)
        .await?;
    let started = Instant::now();
    let mut transaction = connection.begin().await?;
    for chunk in values.chunks(ROWS) {
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES {}",
            columns.join(","),
            vec![row; chunk.len()].join(",")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in chunk.iter().flatten() {
            query = bind(query, value);
        }
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    let seconds = started.elapsed().as_secs_f64();
    sqlx::query(AssertSqlSafe(delete))
        .execute(&mut *connection)
        .await?;
    Ok(seconds)
}

fn read(row: &sqlx::sqlite::SqliteRow) -> anyhow::Result<Vec<Value>> {
    (0..row.len())
        .map(|index| {
            let raw = row.try_get_raw(index)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let kind = raw.type_info().name().to_owned();
            Ok(match kind.as_str() {
                "INTEGER" | "BOOLEAN" => Value::Integer(row.try_get_unchecked(index)?),
                "BLOB" => Value::Blob(row.try_get_unchecked(index)?),
                _ => Value::Text(row.try_get_unchecked(index)?),
            })
        })
        .collect()
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    value: &'q Value,
) -> Query<'q, Sqlite, SqliteArguments> {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Integer(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.as_str()),
        Value::Blob(bytes) => query.bind(bytes.as_slice()),
    }
}
