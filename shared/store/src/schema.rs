//! Schemas of a PostgreSQL database: several Carillons, or tests, beside each other in one database.

use carillon_runtime::Secret;

use crate::error::StoreError;

/// Makes a schema in the database of `url` and returns the address whose connections see only that schema.
pub async fn create(url: &Secret, name: &str) -> Result<Secret, StoreError> {
    unimplemented!()
}

/// Drops a schema with all that is in it.
pub async fn remove(url: &Secret, name: &str) -> Result<(), StoreError> {
    unimplemented!()
}
