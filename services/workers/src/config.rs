//! Which providers there are, and how the workers go about.

use std::{path::PathBuf, time::Duration};

use carillon_runtime::{
    Secret,
    config::{duration, hidden},
};
use serde::{Deserialize, Serialize};

use crate::senders::RESET_TIMEOUT;

/// How the workers go about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// Records in flight on the high lane, for each channel.
    pub high_in_flight: usize,
    /// On the normal lane and its retry topics.
    pub normal_in_flight: usize,
    /// On the bulk lane and its retry topics.
    pub bulk_in_flight: usize,
    /// Until when a claim is surely done; longer than any provider's request timeout.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// The longest wait of an account, a domain or a message after consecutive throttles without a
    /// `Retry-After`.
    #[serde(with = "duration")]
    pub longest_back_off: Duration,
    /// The time since its first failure after which a delivery that is only ever told to wait becomes a dead
    /// letter.
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

/// Provider accounts; a channel without one parks its deliveries.
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
    /// The service account's JSON key, as Google gives it out: a file…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_path: Option<PathBuf>,
    /// …or its content.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Secret>,
    /// Where to send.
    #[serde(default = "fcm_url")]
    pub base_url: String,
    /// To the end of the answer.
    #[serde(default = "request_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// Messages a second; none: as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

/// Twilio's Messages API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// `AC…`.
    pub account_sid: String,
    /// The account's token.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<Secret>,
    /// The sender's number…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// …or a messaging service, `MG…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<String>,
    /// Carillon's public URL, for status callbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Where to send.
    #[serde(default = "twilio_url")]
    pub base_url: String,
    /// To the end of the answer.
    #[serde(default = "request_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// Messages a second; none: as fast as it goes.
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
    /// How the connection is secured.
    #[serde(default)]
    pub tls: SmtpTls,
    /// AUTH user; none: no AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// AUTH password.
    #[serde(default, with = "hidden", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The sender, such as `Shop <shop@example.com>`.
    pub from: String,
    /// Connections at the same time.
    #[serde(default = "smtp_connections")]
    pub max_connections: usize,
    /// To the end of one message's transaction.
    #[serde(default = "request_timeout", with = "duration")]
    pub request_timeout: Duration,
    /// Messages a second; none: as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

/// How an SMTP connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// STARTTLS, required.
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// None: for a relay on this machine.
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
    /// The longest that a request takes, over all accounts.
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
