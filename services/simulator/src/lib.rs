//! A simulator of FCM, APNs, Twilio, SMTP, SendGrid, Amazon SES and endpoints of webhooks, with faults on request, which shows the messages that it received.
//!
//! It is the provider of the embedded mode, the fake provider of tests (it starts in milliseconds in memory) and the
//! sink of load tests. It does not depend on Carillon: it knows the wire formats, and the places in which Carillon
//! puts its ids:
//!
//! | provider | delivery id | event id |
//! |---|---|---|
//! | FCM | `message.data.carillon_delivery_id` | `message.data.carillon_event_id` |
//! | APNs | `carillon_delivery_id` beside `aps` | `carillon_event_id` beside `aps` |
//! | Twilio | query parameter `delivery_id` of `StatusCallback` | `event_id` of the same |
//! | SMTP | header `X-Carillon-Delivery` | header `X-Carillon-Event` |
//! | SendGrid | custom argument `carillon_delivery_id` | header `X-Carillon-Event` |
//! | SES | tag `carillon_delivery_id` | header `X-Carillon-Event` |
//! | webhooks | header `webhook-id` | `id` of the body |
//!
//! Receivers that fail without a script: FCM tokens that start with `unregistered`, `invalid`, `sender-mismatch`,
//! `third-party-auth`, `quota`, `unavailable` or `internal`; APNs tokens that start with `dead`, `bad`, `c0ffee` or
//! `feed`; endpoints whose name starts with `gone`; Twilio's published magic numbers; mailboxes whose local part starts
//! with `no-such-user`, `mailbox-full`, `greylisted` or `blocked` over SMTP, or with `invalid` at SendGrid and SES,
//! which also refuse senders whose address starts with `unverified`. All others fail only by fault script ([`faults`],
//! `PUT /v1/faults`).

mod apns;
mod clock;
mod config;
mod context;
mod error;
pub mod faults;
mod fcm;
mod http;
mod mail;
mod message;
mod receipts;
mod replies;
mod sendgrid;
mod ses;
mod simulator;
mod smtp;
mod store;
mod twilio;
mod webhook;

pub use apns::ApnsIdentity;
pub use config::SimulatorConfig;
pub use error::SimulatorError;
pub use message::{Channel, Duplicate, Message, MessageFilter, Provider, Stats, StoredMessage};
pub use simulator::Simulator;
pub use store::{KEPT_MESSAGES, Messages};
