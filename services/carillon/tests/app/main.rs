//! The whole application, as its users run it: processes, HTTP, kill -9. Embedded (`carillon dev`), or with every role
//! its own process on real Kafka, PostgreSQL and Redis where their URLs are set.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod backends;
mod chaos;
mod delivery;
mod documents;
mod installation;
mod process;
