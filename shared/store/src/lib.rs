//! SQL and Redis: migrations, one module for each table (only that module writes it), loaders for the decision,
//! quotas, shared breakers. This crate is the only user of sqlx and redis.

mod batcher;
mod columns;
mod config;
mod counters;
mod db;
mod error;
mod facts;
mod fault;
mod lease;
mod page;
mod principal;
mod redis_link;
mod store;
mod urls;
mod versioned;

pub mod account_holds;
pub mod account_part_holds;
pub mod api_keys;
pub mod audit;
pub mod audit_log;
pub mod breakers;
pub mod catalog_cache;
pub mod catalogs;
pub mod channel_holds;
pub mod dead_letter_groups;
pub mod dead_letter_jobs;
pub mod dead_letters;
pub mod digests;
pub mod events;
pub mod fallbacks;
pub mod idempotency;
pub mod outbox;
pub mod preferences;
pub mod quota;
pub mod read_model;
pub mod schema;
pub mod send_ledger;
pub mod suppressions;
pub mod templates;
pub mod users;
pub mod waiting;

pub use config::{Dialect, StoreConfig};
pub use error::StoreError;
pub use facts::RecipientFacts;
pub use fault::Fault;
pub use lease::Lease;
pub use page::{Cursor, MAX_LIMIT, Page, PageOf};
pub use redis_link::{RedisConfig, RedisFault};
pub use store::Store;
pub use urls::{DatabaseUrl, RedisUrl};
pub use versioned::{Versioned, Written, before_first, etag};
