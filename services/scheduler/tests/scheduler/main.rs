//! Tests of the scheduler on the embedded backends, and on the real ones where they are configured.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod canaries;
mod crashes;
mod digests;
mod fallbacks;
mod jobs;
mod planned;
mod support;
mod waiting;
