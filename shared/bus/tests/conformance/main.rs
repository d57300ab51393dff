//! The contract of both backends. Each test runs on the embedded log, and on Apache Kafka where
//! `CARILLON_KAFKA__BROKERS` is set.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod atomic;
mod groups;
mod kafka;
mod log;
mod parallel;
mod producers;
mod retries;
mod support;
mod write_lock;
