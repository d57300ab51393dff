//! The settings of a Twilio account.

use std::time::Duration;

use carillon_domain::{Channel, duration_text};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::setting::{ProviderSettings, hidden, request_timeout};

/// Twilio's Messages API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// The account's id, `AC…`.
    pub account_sid: String,
    /// The account's secret token.
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<SecretString>,
    /// The sender's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A messaging service, `MG…`; set instead of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<String>,
    /// Carillon's public URL, for status callbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The base URL of the API.
    #[serde(default = "base_url")]
    pub base_url: String,
    /// The longest time of a request, to the end of the answer.
    #[serde(default = "request_timeout", with = "duration_text")]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

fn base_url() -> String {
    "https://api.twilio.com".to_owned()
}

impl ProviderSettings for TwilioConfig {
    const CHANNEL: Channel = Channel::Sms;

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<u32> {
        self.rate_per_second
    }
}
