//! Twilio's Messages API.

mod answer;
mod callback;
mod check;
mod codes;
mod config;
mod request;

pub use config::{AccountSid, SenderId, ServiceSid, TwilioConfig};
pub use request::TwilioRequests;
