//! Firebase Cloud Messaging, HTTP v1.

mod answer;
mod check;
mod config;
mod grant;
mod request;
mod service_account;

pub use answer::{classify, is_unauthenticated};
pub use config::{FcmConfig, ServiceAccountKey};
pub use grant::{GrantedToken, TokenRequests, granted, unreachable};
pub use request::{FcmRequests, Push};
pub use service_account::ServiceAccount;
