//! The configuration of providers and workers.

use std::time::Duration;

use carillon_providers::{FcmConfig, SmtpConfig, TwilioConfig, smtp::RESET_TIMEOUT};
use carillon_runtime::config::duration;
use serde::{Deserialize, Serialize};

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
