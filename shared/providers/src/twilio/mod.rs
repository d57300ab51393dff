//! Twilio's Messages API.

mod answer;
mod callback;
mod codes;
mod config;
mod request;

pub use answer::classify;
pub use config::TwilioConfig;
pub use request::TwilioRequests;
