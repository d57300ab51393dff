//! The settings of an SMTP relay.

use std::{
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use carillon_domain::{Channel, duration_text};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    mail::MailSender,
    setting::{HostName, ProviderSettings, SettingError, hidden, read_timeout, request_timeout, secret},
};

/// The time that a relay has to reset a refused transaction; after that the connection is closed.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// An SMTP relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host name; TLS certificates are checked against it.
    pub host: HostName,
    /// Port.
    #[serde(default = "port")]
    pub port: NonZeroU16,
    /// The security of the connection.
    #[serde(default)]
    pub tls: SmtpTls,
    /// AUTH user; without it, no AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// AUTH password.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub password: Option<SecretString>,
    /// The sender, such as `Shop <shop@example.com>`.
    pub from: MailSender,
    /// The most connections at the same time.
    #[serde(default = "connections")]
    pub max_connections: NonZeroU16,
    /// The longest time of one message's transaction.
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

fn port() -> NonZeroU16 {
    const { NonZeroU16::new(587).unwrap() }
}

fn connections() -> NonZeroU16 {
    const { NonZeroU16::new(32).unwrap() }
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

    fn rate_per_second(&self) -> Option<NonZeroU32> {
        self.rate_per_second
    }

    fn check(&self, _: &str) -> Result<(), SettingError> {
        self.credentials().map(drop)
    }

    fn warning(&self) -> Option<SettingError> {
        let is_open = self.password.is_some() && self.tls == SmtpTls::None && !self.host.is_private();
        is_open.then(|| {
            let text = format!(
                "expected starttls or implicit, not none, because the password goes to {} unencrypted",
                self.host.as_str()
            );
            SettingError::new("tls", text)
        })
    }
}
