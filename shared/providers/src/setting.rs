//! Settings that cannot work, and the forms that the providers' settings share.

use std::time::Duration;

use secrecy::SecretString;
use serde::Serializer;
use url::Url;

/// The longest part of a value that an error repeats, in characters.
const MAX_ECHO: usize = 100;

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

/// Reads the URL of a setting. Its value is repeated in the error.
pub(crate) fn http_url(key: &'static str, text: &str) -> Result<Url, SettingError> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    url.ok_or_else(|| {
        let echo: String = text.chars().take(MAX_ECHO).collect();
        SettingError::new(key, format!("expected an http or https URL, not {echo:?}"))
    })
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
