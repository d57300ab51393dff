//! Schemas of a PostgreSQL database, which separate several Carillons, or tests, in one database.

use std::str::FromStr as _;

use carillon_runtime::Secret;
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, postgres::PgConnectOptions};

use crate::error::StoreError;

/// Creates a schema in the database of `url`; returns the address whose connections see only that schema. The name
/// consists of lower-case letters, digits and underscores.
pub async fn create(url: &Secret, name: &str) -> Result<Secret, StoreError> {
    run(url, name, format!("CREATE SCHEMA {name}")).await?;
    let url = url.expose_secret();
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(Secret::from(format!(
        "{url}{separator}options[search_path]={name}"
    )))
}

/// Drops a schema with all its content.
pub async fn remove(url: &Secret, name: &str) -> Result<(), StoreError> {
    run(url, name, format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await
}

async fn run(url: &Secret, name: &str, sql: String) -> Result<(), StoreError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(fits) {
        return Err(StoreError::Config(
            "expected a schema's name of lower-case letters, digits and underscores",
        ));
    }
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| StoreError::Config("expected a PostgreSQL URL that can be read"))?;
    let mut connection = options.connect().await?;
    sqlx::query::<Postgres>(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}
