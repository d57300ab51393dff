//! Apple Push Notification service, HTTP/2 with provider tokens.
//!
//! Sources, read in November 2026 at developer.apple.com/documentation/usernotifications: "Sending notification requests
//! to APNs" (headers, sizes), "Handling notification responses from APNs" (statuses, reasons, `timestamp`),
//! "Establishing a connection to APNs" (streams, GOAWAY) and "Establishing a token-based connection to APNs" (tokens).

mod answer;
mod check;
mod config;
mod request;
mod token;

pub use answer::ApnsAnswer;
pub use config::{ApnsConfig, ApnsEnvironment, AppleId, HttpsOrigin, Topic};
pub use request::{ApnsRequests, apns_id};
pub use token::{ProviderToken, ProviderTokens};
