//! Rules that involve several settings.

use carillon_domain::{
    duration_text,
    field_error::quoted,
    retry::{RetryPolicy, RetryPolicyError},
};
use carillon_runtime::{
    Secret,
    config::{Mistake, duration},
};
use secrecy::ExposeSecret as _;

use super::Config;

/// The longest prefix of topics. Kafka takes names of 249 characters.
const LONGEST_PREFIX: usize = 100;

/// An invalid value and its key.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {expected}")]
pub(crate) struct Invalid {
    key: String,
    expected: String,
    /// Other settings by which the value is invalid.
    given: &'static [&'static str],
}

pub(crate) fn invalid(key: impl Into<String>, expected: impl Into<String>) -> Invalid {
    Invalid {
        key: key.into(),
        expected: expected.into(),
        given: &[],
    }
}

impl Invalid {
    /// Names the settings, or sections, by which the value is invalid.
    pub(crate) fn given(self, settings: &'static [&'static str]) -> Self {
        Self {
            given: settings,
            ..self
        }
    }

    /// Whether the rule cannot be judged, because one of its settings could not be read.
    pub(crate) fn depends_on(&self, mistake: &Mistake) -> bool {
        mistake.concerns(&self.key) || self.given.iter().any(|key| mistake.concerns(key))
    }
}

impl From<Invalid> for Mistake {
    fn from(invalid: Invalid) -> Self {
        let text = invalid.to_string();
        Self::new(invalid.key, text)
    }
}

impl Config {
    /// Checks rules that involve several fields. Returns all that are broken.
    pub(crate) fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let gateway = self.gateway.validate().into_iter();
        broken.extend(
            gateway.map(|(key, expected)| invalid(format!("gateway.{key}"), expected).given(&["gateway"])),
        );
        let http = self.http.validate().into_iter();
        broken.extend(
            http.map(|(key, expected)| {
                invalid(format!("http.{key}"), expected).given(&["http.body_timeout"])
            }),
        );
        match self.retry_policy() {
            Ok(retry) => {
                let topics = self.bus.topics.validate(retry.tiers()).into_iter();
                let of_topics = |(key, expected)| invalid(format!("bus.topics.{key}"), expected);
                broken.extend(topics.map(|topic| of_topics(topic).given(&["bus.topics", "retry"])));
            }
            Err(retry) => broken.push(retry),
        }
        let sources = self.sources.validate(&self.bus.prefix).into_iter();
        broken.extend(
            sources.map(|(key, expected)| invalid(format!("sources.{key}"), expected).given(&["bus.prefix"])),
        );
        let accounts = self
            .channels
            .validate(&self.providers)
            .into_iter()
            .chain(self.workers.validate(&self.providers));
        broken.extend(accounts.map(|error| {
            let needs: &[_] = if error.key.starts_with("channels.") || error.key.starts_with("workers.") {
                &["providers"]
            } else {
                &[]
            };
            invalid(error.key, error.expected).given(needs)
        }));
        let ratio = self.telemetry.trace_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            let expected = format!("expected a number from 0 to 1, not {ratio}");
            broken.push(invalid("telemetry.trace_ratio", expected));
        }
        let simulator = &self.simulator;
        if simulator.apns_certificate_pem.is_some() != simulator.apns_certificate_key_pem.is_some() {
            let expected = "expected apns_certificate_pem and apns_certificate_key_pem, or neither of them";
            let certificate = invalid("simulator.apns_certificate_pem", expected);
            broken.push(certificate.given(&["simulator.apns_certificate_key_pem"]));
        }
        broken.extend(self.times());
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let prefix = &self.bus.prefix;
        if !(1..=LONGEST_PREFIX).contains(&prefix.len()) || !prefix.chars().all(fits) {
            broken.push(invalid(
                "bus.prefix",
                format!(
                    "expected 1 to {LONGEST_PREFIX} ASCII letters, digits, '.', '_' and '-', not {}",
                    quoted(prefix)
                ),
            ));
        }
        broken.extend(self.secrets());
        broken
    }

    /// The rules about times that have to be longer than others.
    fn times(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        let call = self.providers.longest_call();
        let (lease, grace) = (self.workers.lease, self.shutdown.grace);
        if lease <= call {
            let [call, lease] = [call, lease].map(duration::text);
            let expected = format!(
                "expected more than {call}, which is the longest call of a provider (its request_timeout, and for SMTP the reset \
                 after it), not {lease}"
            );
            broken.push(invalid("workers.lease", expected).given(&["providers"]));
        }
        if grace < call {
            let [call, grace] = [call, grace].map(duration::text);
            let expected = format!(
                "expected no less than {call}, which is the longest call of a provider (its request_timeout, and for SMTP the \
                 reset after it), not {grace}"
            );
            broken.push(invalid("shutdown.grace", expected).given(&["providers"]));
        }
        let (claim, delivery) = (self.gateway.claim_lease, self.kafka.delivery_timeout);
        if self.is_distributed() && claim <= delivery {
            let [claim, delivery] = [claim, delivery].map(duration::text);
            let expected = format!("expected more than kafka.delivery_timeout ({delivery}), not {claim}");
            broken.push(invalid("gateway.claim_lease", expected).given(&["kafka"]));
        }
        broken
    }

    /// The rules about secrets that all processes share.
    fn secrets(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if self.is_distributed() && self.security.address_key.is_none() {
            let expected = "expected a secret text, the same for every process (addresses of guests and of the suppression list are \
                 hashed with it)";
            broken.push(invalid("security.address_key", expected));
        }
        let token = self.security.internal_token.as_ref();
        if self.templates.url.is_some() && token.is_none() {
            let expected = "expected a secret text, as in the templates role, since templates.url is set";
            broken.push(invalid("security.internal_token", expected));
        }
        // Leading and trailing spaces do not belong to a header's value.
        let fits_a_header = |secret: &Secret| {
            let text = secret.expose_secret();
            text.trim() == text && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if !token.is_none_or(fits_a_header) {
            let expected = "expected visible ASCII characters, with spaces between them at most, because it travels in a header";
            broken.push(invalid("security.internal_token", expected));
        }
        broken
    }

    /// The rule about the key of links to unsubscribe. It is a rule of roles only: `carillon dev` and commands take the
    /// key from their data folder.
    pub(crate) fn links_rule(&self) -> Option<Invalid> {
        let is_broken = self.http.public_url.is_some()
            && self.security.address_key.is_none()
            // The rule about Kafka says it already.
            && !self.is_distributed();
        let expected =
            "expected a secret text, since http.public_url is set: links to unsubscribe are signed with it";
        is_broken.then(|| invalid("security.address_key", expected).given(&["http.public_url"]))
    }

    pub(crate) fn retry_policy(&self) -> Result<RetryPolicy, Invalid> {
        let tiers = self.retry.tiers.iter().map(|tier| {
            duration_text::parse(tier).ok_or_else(|| {
                let expected = format!("expected durations such as 5s,1m,10m,1h, not {}", quoted(tier));
                invalid("retry.tiers", expected)
            })
        });
        let tiers = tiers.collect::<Result<Vec<_>, _>>()?;
        RetryPolicy::new(tiers, self.retry.max_attempts).map_err(|error| match error {
            RetryPolicyError::NoAttempts => invalid("retry.max_attempts", error.to_string()),
            RetryPolicyError::Empty | RetryPolicyError::NotAscending => {
                let tiers = quoted(&self.retry.tiers.join(","));
                invalid("retry.tiers", format!("{error}, not {tiers}"))
            }
        })
    }
}
