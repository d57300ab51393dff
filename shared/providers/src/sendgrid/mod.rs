//! SendGrid's v3 API.

mod answer;
mod categories;
mod check;
mod config;
mod receipt;
mod request;
mod signature;

pub use categories::Categories;
pub use config::SendGridConfig;
pub use request::SendGridRequests;
pub use signature::WebhookKey;
