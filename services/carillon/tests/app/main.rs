//! Tests of the whole application as its users run it: processes, HTTP, `kill -9`. Embedded (`carillon dev`), or with
//! one process for each role on real Kafka, PostgreSQL and Redis if their URLs are set.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod administration;
mod answers;
mod backends;
mod breakers;
mod chaos;
mod command_errors;
mod command_line;
mod command_words;
mod configuration;
mod connections;
mod dead_letters;
mod delivery;
mod digests;
mod documents;
mod fallbacks;
mod logs;
mod mailers;
mod readiness;
mod receipts;
mod scheduling;
mod sources;
mod suppressions;
mod template_pages;
mod traces;
mod unsubscribe;
mod webhooks;

use std::future::Future;

use carillon_testkit::installation::{Installation, ROLES, Services, Setup};

/// On the real services if they are configured, else embedded.
fn setup() -> Setup {
    Setup {
        binary: env!("CARGO_BIN_EXE_carillon").into(),
        services: Services::from_env(),
        roles: ROLES,
        settings: Vec::new(),
        dev_args: &[],
    }
}

/// Runs a test on a new installation.
fn with_installation<F: Future<Output = ()>>(test: impl FnOnce(Installation) -> F) {
    with_installation_of(setup(), test);
}

fn with_installation_of<F: Future<Output = ()>>(setup: Setup, test: impl FnOnce(Installation) -> F) {
    Installation::with(setup, test);
}
