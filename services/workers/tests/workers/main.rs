//! Tests of the workers: the deliver stage with a scripted provider, on embedded backends or on real ones where they
//! are configured, and the senders against servers that speak their wire protocols.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod accounts;
mod apns;
mod apple;
mod budget;
mod cancels;
mod claims;
mod configuration;
mod countries;
mod expiry;
mod failover;
mod fcm;
mod fcm_tokens;
mod goaway;
mod http_sender;
mod http_server;
mod lanes;
mod outcomes;
mod panics;
mod platforms;
mod provider;
mod records;
mod relay;
mod retries;
mod routes;
mod scopes;
mod sendgrid;
mod ses;
mod shared_breakers;
mod smtp;
mod smtp_replies;
mod support;
mod suppressions;
mod twilio;
mod twilio_list;
mod uncertain;
mod webhook_sender;
mod webhooks;
mod written;
