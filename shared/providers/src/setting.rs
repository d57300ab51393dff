//! The common parts of all providers' settings.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use carillon_domain::{Channel, Platform, duration_text, field_error::quoted};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

use crate::receipt::Receipts;

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
    fn rate_per_second(&self) -> Option<NonZeroU32>;

    /// Checks the rules that involve several settings, and the content of secrets. Files are read where they are used.
    /// `account` is the account's name.
    fn check(&self, account: &str) -> Result<(), SettingError>;

    /// The warning about a valid setting that is probably a mistake, if there is one.
    fn warning(&self) -> Option<SettingError> {
        None
    }

    /// The way in which receipts reach the account. `account` is the account's name.
    fn receipts(&self, account: &str) -> Result<Receipts, SettingError> {
        let _ = account;
        Ok(Receipts::None(None))
    }
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

/// The name of a server: a host name in ASCII, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(fits);
        let is_name = text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected a host name such as smtp.example.com, or an IP address, not {}",
            quoted(text)
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

impl HostName {
    /// Whether the host is this machine or belongs to a private network. These are private: a private address; a name
    /// of one label, such as a compose service; a name below a domain that does not exist in the public DNS.
    pub(crate) fn is_private(&self) -> bool {
        let text = self.0.trim_end_matches('.').to_ascii_lowercase();
        match text.parse() {
            Ok(IpAddr::V4(ip)) => is_private_v4(ip),
            Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
                Some(ip) => is_private_v4(ip),
                None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            },
            Err(_) => match text.rsplit_once('.') {
                None => true,
                Some((_, top)) => matches!(top, "localhost" | "local" | "internal"),
            },
        }
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_private() || ip.is_link_local()
}

by_text!(BaseUrl, HostName);

/// Reads a secret. The value in an error is left out, since it may be a secret that was written as another type, such as a
/// number.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    match Option::<String>::deserialize(deserializer) {
        Ok(None) => Ok(None),
        Ok(Some(text)) if !text.trim().is_empty() => Ok(Some(text.into())),
        Ok(Some(_)) | Err(_) => Err(D::Error::custom("expected a text that is not empty")),
    }
}

/// Writes a secret as `***`, so that the effective configuration can be printed.
#[expect(clippy::ref_option, reason = "the form that serde calls")]
pub(crate) fn hidden<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some("***")
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

/// The request timeout of an account that sets none.
pub(crate) fn request_timeout() -> Duration {
    Duration::from_secs(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_http_or_https_and_errors_show_no_password() {
        let url: BaseUrl = "https://api.twilio.com/".parse().unwrap();
        let joined = url.join("base_url", "/v1").unwrap();
        assert_eq!(joined.as_str(), "https://api.twilio.com/v1");
        for text in [
            "",
            "shop.example",
            "ftp://shop.example",
            "http://",
            "https://h:0x",
            "https://h?x",
            "http://u:hunter2@h",
            "htp://u:hunter2@h",
        ] {
            let said = text.parse::<BaseUrl>().unwrap_err();
            assert!(said.starts_with("expected an http or https URL"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_private_host_is_this_machine_or_one_that_the_public_internet_does_not_reach() {
        let is_private = |text: &str| text.parse::<HostName>().unwrap().is_private();
        for text in [
            "localhost",
            "simulator",
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "relay.mail.svc.cluster.local",
            "relay.internal.",
            "Mail.LocalHost",
        ] {
            assert!(is_private(text), "{text}");
        }
        for text in [
            "smtp.example.com",
            "smtp.example.com.",
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_private(text), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_in_ascii_or_an_ip_address() {
        for text in ["simulator", "smtp.example.com", "smtp_relay", "127.0.0.1", "::1"] {
            text.parse::<HostName>().unwrap();
        }
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "smtp.example.com:25",
            "smtp://a",
            "bücher.example",
            "[::1]",
        ] {
            let said = text.parse::<HostName>().unwrap_err();
            assert!(said.starts_with("expected a host name"), "{said}");
        }
    }
}
