//! Webhooks: requests to the endpoints of users, signed as Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! The crate `standardwebhooks` (1.0.1) of the specification's authors is not used: it signs with one secret at a time, and brings
//! `time`, a second `base64` and a second SHA-256 for a signature that is one HMAC.

mod answer;
mod check;
mod config;
mod endpoints;
mod network;
mod request;
mod signature;

pub use config::WebhookConfig;
pub use endpoints::EndpointRules;
pub use network::{Networks, is_public};
pub use request::{NotSendable, WebhookRequests};
