//! The settings of an FCM account.

use std::{path::PathBuf, time::Duration};

use carillon_domain::{Channel, Platform, duration_text};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::setting::{ProviderSettings, hidden, request_timeout};

/// Firebase Cloud Messaging, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmConfig {
    /// The file with the service account's JSON key in Google's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_path: Option<PathBuf>,
    /// The content of that file; set instead of the path.
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<SecretString>,
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
    "https://fcm.googleapis.com".to_owned()
}

impl ProviderSettings for FcmConfig {
    const CHANNEL: Channel = Channel::Push;
    const PLATFORMS: &[Platform] = &[Platform::Android, Platform::Web];
    const PLATFORMS_OF_OTHERS: &[Platform] = &[Platform::Ios];

    fn longest_call(&self) -> Duration {
        self.request_timeout
    }

    fn rate_per_second(&self) -> Option<u32> {
        self.rate_per_second
    }
}
