//! Tests of the repositories, each on SQLite and, where `CARILLON_DATABASE__URL` is set, on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod accounts;
mod activity;
mod audit_log;
mod breakers;
mod channel_holds;
mod claims;
mod conditions;
mod content;
mod convergence;
mod dead_letter_groups;
mod dead_letter_jobs;
mod dead_letters;
mod decisions;
mod digests;
mod endpoints;
mod fallbacks;
mod faults;
mod former;
mod hung;
mod live;
mod opt_ins;
mod queries;
mod quotas;
mod read_model;
mod start;
mod support;
mod suppressed_by_people;
mod suppressions;
mod upgrade;
mod waiting;
mod work;
mod write_lock;
