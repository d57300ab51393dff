//! The only user of sqlx and redis: migrations, one module per table, loaders for the decision, quotas.
