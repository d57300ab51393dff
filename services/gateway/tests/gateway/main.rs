//! Tests of the gateway over HTTP, on embedded backends, or on real ones where they are configured.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod accounts;
mod acknowledges;
mod activity;
mod addresses;
mod answers;
mod bindings;
mod bounded_errors;
mod cancels;
mod catalog_and_keys;
mod conditions;
mod crashes;
mod dashboard;
mod dashboard_buttons;
mod dead_letter_edits;
mod dead_letter_groups;
mod dead_letter_job_pages;
mod dead_letter_jobs;
mod decisions;
mod digests;
mod endpoints;
mod events_bad;
mod events_good;
mod foreign_text;
mod idempotency;
mod limits;
mod live;
mod locales;
mod media_types;
mod opt_ins;
mod plain_answers;
mod privacy;
mod privacy_versions;
mod producers;
mod proofs;
mod receipts;
mod receipts_calls;
mod repeated_requests;
mod seed;
mod simulation;
mod status;
mod strict_bodies;
mod support;
mod suppressions;
mod suppressions_import;
mod surface;
mod unreadable_bodies;
mod unsubscribe;
