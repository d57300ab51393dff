//! The common parts of all providers' settings.

use std::time::Duration;

use carillon_domain::Channel;
use secrecy::SecretString;
use serde::Serializer;
use url::Url;

/// The longest part of a value that an error repeats, in characters.
const MAX_ECHO: usize = 100;

/// The common interface of all providers' settings.
pub(crate) trait ProviderSettings {
    /// The channel of the provider's messages.
    const CHANNEL: Channel;

    /// The longest time of a call that has a connection.
    fn longest_call(&self) -> Duration;

    /// The most messages a second; without it, no limit.
    fn rate_per_second(&self) -> Option<u32>;
}

/// A setting of an account that is missing or cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {expected}")]
pub struct SettingError {
    /// The setting within the account's section.
    pub key: &'static str,
    /// The expected value.
    pub expected: String,
}

impl SettingError {
    /// The error of a setting, with the expected value as a sentence without a full stop.
    pub fn new(key: &'static str, expected: impl Into<String>) -> Self {
        Self {
            key,
            expected: expected.into(),
        }
    }
}

/// A value in an error: its beginning, in quotes.
pub(crate) fn echo(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_ECHO).collect();
    format!("{beginning:?}")
}

/// Reads the URL of a setting. Its value is repeated in the error.
pub(crate) fn http_url(key: &'static str, text: &str) -> Result<Url, SettingError> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    url.ok_or_else(|| SettingError::new(key, format!("expected an http or https URL, not {}", echo(text))))
}

/// Writes a secret as `***`, so that the effective configuration can be printed.
#[expect(clippy::ref_option, reason = "the form that serde calls")]
pub(crate) fn hidden<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some("***")
}

/// The request timeout of an account that sets none.
pub(crate) fn request_timeout() -> Duration {
    Duration::from_secs(8)
}
