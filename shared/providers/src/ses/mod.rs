//! Amazon SES, API v2.

mod answer;
mod check;
mod codes;
mod config;
mod names;
mod receipt;
mod reference;
mod request;
mod signature;
mod sns;

pub use config::SesConfig;
pub use names::{AccessKeyId, ConfigurationSet, Region, TopicArn};
pub use request::SesRequests;
pub use sns::{SnsCall, SnsContent, SnsReceipts};

#[cfg(test)]
mod testing {
    use std::time::Duration;

    use super::SesConfig;

    pub(super) fn config() -> SesConfig {
        SesConfig {
            region: "eu-central-1".parse().unwrap(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            secret_access_key: Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned().into()),
            session_token: None,
            from: "Große Läden <shop@bücher.example>".parse().unwrap(),
            configuration_set: None,
            receipts_topic: None,
            sns_endpoint: None,
            base_url: None,
            request_timeout: Duration::from_secs(8),
            rate_per_second: None,
        }
    }
}
