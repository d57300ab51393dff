//! Tests of the sources, on the embedded backends, or on real ones where they are configured.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod example;
mod outbox;
mod outbox_setting;
mod support;
mod topics;
