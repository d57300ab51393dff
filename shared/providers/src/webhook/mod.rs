//! Webhooks: requests to the endpoints of users, signed as Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! The crate `standardwebhooks` of the specification's authors is not used: its Rust version signs with one secret at a time and
//! brings second versions of hmac, sha2 and base64, for a signature that is one HMAC.

mod answer;
mod check;
mod config;
mod network;
mod request;
mod signature;

pub use config::WebhookConfig;
pub use network::{Networks, is_public};
pub use request::{NotSendable, WebhookRequests};
