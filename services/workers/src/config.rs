//! The configuration of providers and workers.

use std::{path::PathBuf, time::Duration};

use carillon_runtime::{
    Secret,
    config::{duration, hidden},
};
use serde::{Deserialize, Serialize};

/// The time that an SMTP relay has to reset a refused transaction; after that the connection is closed.
pub(crate) const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// Worker tuning: concurrency, lease and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// Records in flight on the high lane, for each channel.
    pub high_in_flight: usize,
    /// Records in flight on the normal lane and its retry topics, for each channel.
    pub normal_in_flight: usize,
    /// Records in flight on the bulk lane and its retry topics, for each channel.
    pub bulk_in_flight: usize,
    /// The lease of a claim. It is longer than any provider's request timeout, so that by its end the attempt has
    /// certainly ended.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// The longest wait of an account, a domain or a message after consecutive throttles without a
    /// `Retry-After`.
    #[serde(with = "duration")]
    pub longest_back_off: Duration,
    /// The time since its first failure after which a delivery that has only been told to wait becomes a dead letter.
    #[serde(with = "duration")]
    pub give_up_after: Duration,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            high_in_flight: 256,
            normal_in_flight: 512,
            bulk_in_flight: 256,
            lease: Duration::from_secs(12),
            longest_back_off: Duration::from_mins(15),
            give_up_after: Duration::from_hours(72),
        }
    }
}

/// The provider accounts. The worker of a channel without one does not start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvidersConfig {
    /// Push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcm: Option<FcmConfig>,
    /// SMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twilio: Option<TwilioConfig>,
    /// E-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpConfig>,
}

/// Firebase Cloud Messaging, HTTP v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmConfig {
    /// The file with the service account's JSON key in Google's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_path: Option<PathBuf>,
    /// The content of that file; set instead of the path.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Secret>,
    /// The base URL of the API.
    #[serde(default = "fcm_url")]
    pub base_url: String,
    /// The longest time of a request, to the end of the answer.
    #[serde(default = "request_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

/// Twilio's Messages API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// The account's id, `AC…`.
    pub account_sid: String,
    /// The account's secret token.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<Secret>,
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
    #[serde(default = "twilio_url")]
    pub base_url: String,
    /// The longest time of a request, to the end of the answer.
    #[serde(default = "request_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

/// An SMTP relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host name; TLS certificates are checked against it.
    pub host: String,
    /// Port.
    #[serde(default = "smtp_port")]
    pub port: u16,
    /// The security of the connection.
    #[serde(default)]
    pub tls: SmtpTls,
    /// AUTH user; without it, no AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// AUTH password.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The sender, such as `Shop <shop@example.com>`.
    pub from: String,
    /// The most connections at the same time.
    #[serde(default = "smtp_connections")]
    pub max_connections: usize,
    /// The longest time of one message's transaction.
    #[serde(default = "request_timeout", with = "duration")]
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

fn fcm_url() -> String {
    "https://fcm.googleapis.com".to_owned()
}

fn twilio_url() -> String {
    "https://api.twilio.com".to_owned()
}

fn smtp_port() -> u16 {
    587
}

fn smtp_connections() -> usize {
    32
}

fn request_timeout() -> Duration {
    Duration::from_secs(8)
}

impl ProvidersConfig {
    /// The longest request timeout of all accounts.
    #[must_use]
    pub fn longest_timeout(&self) -> Duration {
        let timeouts = [
            self.fcm.as_ref().map(|fcm| fcm.request_timeout),
            self.twilio.as_ref().map(|twilio| twilio.request_timeout),
            self.smtp
                .as_ref()
                .map(|smtp| smtp.request_timeout + RESET_TIMEOUT),
        ];
        timeouts.into_iter().flatten().max().unwrap_or_default()
    }
}
