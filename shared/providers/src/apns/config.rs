//! The settings of an APNs account. Values that Apple cannot have given out are refused when the configuration is read.

use std::{
    fmt,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use carillon_domain::{duration_text, field_error::quoted};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::setting::{by_text, hidden, read_timeout, request_timeout, secret};

/// Apple Push Notification service with a provider token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsConfig {
    /// The id of the developer team.
    pub team_id: AppleId,
    /// The id of the signing key.
    pub key_id: AppleId,
    /// The file of the signing key, as Apple hands it out (`AuthKey_….p8`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_path: Option<PathBuf>,
    /// The content of that file; set instead of the path.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub key: Option<SecretString>,
    /// The app's bundle id.
    pub topic: Topic,
    /// The environment whose device tokens the app has.
    #[serde(default)]
    pub environment: ApnsEnvironment,
    /// Another server than Apple's for the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<HttpsOrigin>,
    /// A file of certificates in PEM, which are trusted instead of the public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_certificates_path: Option<PathBuf>,
    /// The most connections of one worker. Each carries as many messages at a time as Apple allows.
    #[serde(default = "max_connections")]
    pub max_connections: NonZeroU16,
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

const fn max_connections() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(1)
}

impl ApnsConfig {
    /// The server.
    #[must_use]
    pub fn origin(&self) -> HttpsOrigin {
        self.base_url.clone().unwrap_or_else(|| HttpsOrigin {
            host: self.environment.host().to_owned(),
            port: 443,
        })
    }
}

/// The environment of an app's device tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApnsEnvironment {
    /// Apps from the App Store and TestFlight.
    #[default]
    Production,
    /// Apps that Xcode installed.
    Sandbox,
}

impl ApnsEnvironment {
    fn host(self) -> &'static str {
        match self {
            Self::Production => "api.push.apple.com",
            Self::Sandbox => "api.sandbox.push.apple.com",
        }
    }
}

/// The id of a team or a key: 10 capital letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppleId(String);

impl AppleId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppleId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if text.len() == 10 && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected 10 capital letters and digits, such as A1B2C3D4E5, not {}",
            quoted(text)
        ))
    }
}

/// The bundle id of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(String);

impl Topic {
    /// The longest bundle id that is accepted, in characters.
    const LONGEST: usize = 255;

    /// The topic's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let is_topic = text.len() <= Self::LONGEST && text.split('.').all(|part| !part.is_empty());
        if is_topic && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected the app's bundle id, such as com.example.shop, not {}",
            quoted(text)
        ))
    }
}

/// A host and a port that speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpsOrigin {
    host: String,
    port: u16,
}

impl HttpsOrigin {
    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as an authority.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for HttpsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = |url: &Url| {
            url.scheme() == "https"
                && matches!(url.path(), "" | "/")
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        };
        let url = Url::parse(text).ok().filter(bare);
        let origin = url.and_then(|url| {
            Some(Self {
                host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
                port: url.port_or_known_default()?,
            })
        });
        origin.ok_or_else(|| {
            format!(
                "expected https:// with a host and perhaps a port, and no path, not {}",
                quoted(text)
            )
        })
    }
}

impl fmt::Display for HttpsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

impl From<HttpsOrigin> for String {
    fn from(origin: HttpsOrigin) -> Self {
        origin.to_string()
    }
}

impl TryFrom<String> for HttpsOrigin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

by_text!(AppleId, Topic);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_topics_and_servers_that_apple_cannot_have_are_refused_with_the_value() {
        for (wrong, fault) in [
            ("", "A1B2C3D4E5"),
            ("A1B2C3D4E", "A1B2C3D4E5"),
            ("a1b2c3d4e5", "A1B2C3D4E5"),
        ] {
            let told = wrong.parse::<AppleId>().unwrap_err();
            assert!(told.contains(fault) && told.contains(&quoted(wrong)), "{told}");
        }
        for wrong in ["", "com..shop", ".com", "com.example shop", "com/example"] {
            assert!(wrong.parse::<Topic>().is_err(), "{wrong}");
        }
        for wrong in [
            "http://127.0.0.1:1",
            "https://",
            "https://host/path",
            "https://user@host",
            "https://host?x",
            "host:443",
        ] {
            assert!(wrong.parse::<HttpsOrigin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_environment_names_apples_server_and_a_base_url_replaces_it() {
        let origin = |text: &str| text.parse::<HttpsOrigin>().unwrap();
        assert_eq!(origin("https://h.example").authority(), "h.example:443");
        assert_eq!(origin("https://[::1]:2197/").host(), "::1");
        assert_eq!(origin("https://[::1]:2197/").authority(), "[::1]:2197");
        let mut config: ApnsConfig = serde_json::from_str(
            r#"{"team_id":"TEAM000001","key_id":"KEY0000001","topic":"com.example.shop"}"#,
        )
        .unwrap();
        assert_eq!(config.origin().authority(), "api.push.apple.com:443");
        config.environment = ApnsEnvironment::Sandbox;
        assert_eq!(config.origin().authority(), "api.sandbox.push.apple.com:443");
        config.base_url = Some(origin("https://127.0.0.1:8443"));
        assert_eq!(config.origin().to_string(), "https://127.0.0.1:8443");
        assert_eq!(config.max_connections.get(), 2);
    }
}
