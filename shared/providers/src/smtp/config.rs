//! The settings of an SMTP relay.

use std::time::Duration;

use carillon_domain::{Channel, duration_text};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::setting::{ProviderSettings, SettingError, hidden, request_timeout};

/// The time that a relay has to reset a refused transaction; after that the connection is closed.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// An SMTP relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host name; TLS certificates are checked against it.
    pub host: String,
    /// Port.
    #[serde(default = "port")]
    pub port: u16,
    /// The security of the connection.
    #[serde(default)]
    pub tls: SmtpTls,
    /// AUTH user; without it, no AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// AUTH password.
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretString>,
    /// The sender, such as `Shop <shop@example.com>`.
    pub from: String,
    /// The most connections at the same time.
    #[serde(default = "connections")]
    pub max_connections: usize,
    /// The longest time of one message's transaction.
    #[serde(default = "request_timeout", with = "duration_text")]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

/// The security of an SMTP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// STARTTLS, required.
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// No TLS, for a relay on this machine.
    None,
}

fn port() -> u16 {
    587
}

fn connections() -> usize {
    32
}

impl SmtpConfig {
    /// User and password for AUTH, if there are any.
    pub fn credentials(&self) -> Result<Option<(&str, &SecretString)>, SettingError> {
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (None, None) => Ok(None),
            _ => Err(SettingError::new(
                "password",
                "expected username and password together",
            )),
        }
    }
}

impl ProviderSettings for SmtpConfig {
    const CHANNEL: Channel = Channel::Email;

    fn longest_call(&self) -> Duration {
        self.request_timeout + RESET_TIMEOUT
    }

    fn rate_per_second(&self) -> Option<u32> {
        self.rate_per_second
    }
}
