//! Tests of the simulator by real HTTP and SMTP clients, over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like the tests"
)]

mod api;
mod apns;
mod faults_http;
mod faults_smtp;
mod fcm;
mod memory;
mod page;
mod receipts;
mod sendgrid;
mod ses;
mod smtp;
mod support;
mod twilio;
mod webhook;
