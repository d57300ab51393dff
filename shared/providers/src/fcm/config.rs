//! The settings of an FCM account.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use carillon_domain::duration_text;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::service_account::KEY;
use crate::setting::{BaseUrl, SettingError, hidden, read_timeout, request_timeout, secret};

/// Firebase Cloud Messaging, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmConfig {
    /// The file with the service account's JSON key in Google's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_path: Option<PathBuf>,
    /// The content of that file; set instead of the path.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub service_account: Option<SecretString>,
    /// The base URL of the API.
    #[serde(default = "base_url")]
    pub base_url: BaseUrl,
    /// The longest time of a request, to the end of the answer.
    #[serde(
        default = "request_timeout",
        deserialize_with = "read_timeout",
        serialize_with = "duration_text::serialize"
    )]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<NonZeroU32>,
}

#[expect(
    clippy::expect_used,
    reason = "the text is a URL, as every test that reads an account shows"
)]
fn base_url() -> BaseUrl {
    "https://fcm.googleapis.com".parse().expect("a URL")
}

impl FcmConfig {
    /// The sources of the service account's key: its content, or its file.
    pub fn key(&self) -> Result<ServiceAccountKey<'_>, SettingError> {
        match (&self.service_account, &self.service_account_path) {
            (Some(json), None) => Ok(ServiceAccountKey::Content(json)),
            (None, Some(path)) => Ok(ServiceAccountKey::File(path)),
            (None, None) => Err(SettingError::new(
                KEY,
                "expected service_account_path or service_account, and neither is set",
            )),
            (Some(_), Some(_)) => Err(SettingError::new(
                KEY,
                "expected either service_account_path or service_account, and both are set",
            )),
        }
    }
}

/// Where a service account's key stands.
#[derive(Debug, Clone, Copy)]
pub enum ServiceAccountKey<'a> {
    /// In the configuration.
    Content(&'a SecretString),
    /// In a file.
    File(&'a Path),
}
