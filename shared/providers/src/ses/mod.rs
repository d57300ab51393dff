//! Amazon SES, API v2.

mod answer;
mod check;
mod codes;
mod config;
mod names;
mod request;
mod signature;

pub use config::SesConfig;
pub use names::{AccessKeyId, ConfigurationSet, Region};
pub use request::SesRequests;
