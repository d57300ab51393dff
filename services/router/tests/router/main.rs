//! Tests of the router, on embedded backends, or on real ones where they are configured.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod bindings;
mod deliveries;
mod digests;
mod fallbacks;
mod fan_out;
mod hostile;
mod limits;
mod overflow;
mod panics;
mod preferences;
mod producers;
mod reader;
mod recipients;
mod rejects;
mod repeats;
mod routed;
mod running;
mod scheduled;
mod skipped;
mod support;
mod suppressions;
mod tenant_limits;
