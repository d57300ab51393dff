//! Tests of the tracker, on embedded backends, or on real ones where they are configured.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod books;
mod dead_letters;
mod fallbacks;
mod projection;
mod rebuild;
mod receipts;
mod running;
mod statuses;
mod support;
mod traces;
