//! The common parts of all providers' settings.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use carillon_domain::{Channel, Platform, duration_text, field_error::quoted};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

/// The longest part of a value that an error repeats, in characters.
const MAX_ECHO: usize = 100;

/// The common interface of all providers' settings.
pub(crate) trait ProviderSettings {
    /// The channel of the provider's messages.
    const CHANNEL: Channel;

    /// The platforms of devices that the provider is the first choice for. Other channels have no platforms.
    const PLATFORMS: &[Platform] = &[];

    /// The platforms that it reaches through another provider, and serves if no account is the first choice for them.
    const PLATFORMS_OF_OTHERS: &[Platform] = &[];

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

/// The http or https URL of a server, to which paths are appended, without a slash at its end. It has no user or password,
/// since it is printed, and neither query nor fragment. `carillon_runtime::config::HttpUrl` is the same for settings of
/// processes, on which this crate does not depend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The URL of a path, which begins with a slash.
    pub(crate) fn join(&self, key: &'static str, path: &str) -> Result<Url, SettingError> {
        let text = format!("{}{path}", self.0);
        Url::parse(&text).map_err(|_| {
            SettingError::new(
                key,
                format!("expected the URL of a server, not {}", quoted(&text)),
            )
        })
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_base = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        if Url::parse(text).is_ok_and(|url| is_base(&url)) && text.trim() == text {
            return Ok(Self(text.trim_end_matches('/').to_owned()));
        }
        // The text before an @ may contain a password.
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => text.to_owned(),
        };
        Err(format!(
            "expected an http or https URL without user, query and fragment, not {}",
            quoted(&shown)
        ))
    }
}

/// Lets serde read a type by its `FromStr` and write it as its text.
macro_rules! by_text {
    ($($Type:ident),+) => {
        $(
            impl TryFrom<String> for $Type {
                type Error = String;

                fn try_from(text: String) -> Result<Self, String> {
                    text.parse()
                }
            }

            impl From<$Type> for String {
                fn from(value: $Type) -> Self {
                    value.0
                }
            }
        )+
    };
}

pub(crate) use by_text;

by_text!(BaseUrl);

/// Reads a secret. The value in an error is left out, since it may be a secret that was written as another type, such as a
/// number.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    match Option::<String>::deserialize(deserializer) {
        Ok(None) => Ok(None),
        Ok(Some(text)) if !text.trim().is_empty() => Ok(Some(text.into())),
        Ok(Some(_)) | Err(_) => Err(D::Error::custom("expected a text that is not empty")),
    }
}

/// The shortest and the longest request timeout.
const REQUEST_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);

/// Reads a request timeout.
pub(crate) fn read_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let timeout = duration_text::deserialize(deserializer)?;
    if REQUEST_TIMEOUTS.contains(&timeout) {
        return Ok(timeout);
    }
    let [least, most, timeout] =
        [*REQUEST_TIMEOUTS.start(), *REQUEST_TIMEOUTS.end(), timeout].map(duration_text::format);
    Err(D::Error::custom(format!(
        "expected a duration from {least} to {most}, not {timeout}"
    )))
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
