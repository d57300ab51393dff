//! The gateway over HTTP, on embedded backends, or on real ones where they are set.

mod accounts;
mod catalog_and_keys;
mod crashes;
mod dashboard;
mod events_bad;
mod events_good;
mod idempotency;
mod seed;
mod status;
mod support;
mod surface;
