//! The whole configuration: defaults < `carillon.toml` < environment < flags. `deploy/carillon.toml` is its reference.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use carillon_bus::{Backend, BusConfig, EmbeddedConfig, KafkaConfig, TopicSettings};
use carillon_domain::{
    contact::AddressKey,
    duration_text,
    field_error::quoted,
    retry::{RetryPolicy, RetryPolicyError},
    unsubscribe::UnsubscribeLinks,
};
use carillon_gateway::GatewayConfig;
use carillon_providers::ProvidersConfig;
use carillon_router::RouterConfig;
use carillon_runtime::{
    Secret,
    config::{HttpUrl, comma_separated, duration, hidden, listen, number},
    http::HttpConfig,
    telemetry::TelemetryConfig,
};
use carillon_simulator::{ApnsIdentity, SimulatorConfig};
use carillon_store::{DatabaseUrl, RedisUrl, StoreConfig};
use carillon_workers::{ChannelsConfig, WorkersConfig};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The longest prefix of topics. Kafka takes names of 249 characters.
const LONGEST_PREFIX: usize = 100;

/// All settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The address on which this process listens, and the bounds of a connection.
    pub(crate) http: HttpConfig,
    /// Kafka; without brokers the embedded log is used.
    pub(crate) kafka: KafkaConfig,
    /// The topics.
    pub(crate) bus: BusSection,
    /// The retry policy.
    pub(crate) retry: RetrySection,
    /// The database, PostgreSQL or SQLite.
    pub(crate) database: DatabaseSection,
    /// Redis; without a URL, limits are counted in this process.
    pub(crate) redis: RedisSection,
    /// Secrets of this installation.
    pub(crate) security: SecuritySection,
    /// The gateway's settings.
    pub(crate) gateway: GatewayConfig,
    /// The router's settings.
    pub(crate) router: RouterConfig,
    /// Worker tuning.
    pub(crate) workers: WorkersConfig,
    /// Provider accounts, by name.
    pub(crate) providers: ProvidersConfig,
    /// Settings of channels: the order of their accounts.
    pub(crate) channels: ChannelsConfig,
    /// The place where templates are rendered.
    pub(crate) templates: TemplatesSection,
    /// The simulator's settings.
    pub(crate) simulator: SimulatorSection,
    /// Logs, traces, metrics.
    pub(crate) telemetry: TelemetryConfig,
    /// The settings of the shutdown.
    pub(crate) shutdown: ShutdownSection,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusSection {
    /// The prefix of all topic names.
    pub(crate) prefix: String,
    /// The embedded log's file.
    pub(crate) path: PathBuf,
    /// The time after which a group that has waiting records and finishes none is called stuck.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 86_400_000>",
        serialize_with = "duration::serialize"
    )]
    pub(crate) stuck_after: Duration,
    /// Partitions, replication, retention.
    pub(crate) topics: TopicSettings,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetrySection {
    /// The waits of the tiers, ascending; each tier is a topic for each channel.
    #[serde(with = "comma_separated")]
    pub(crate) tiers: Vec<String>,
    /// The most attempts of a delivery.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000>")]
    pub(crate) max_attempts: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseSection {
    /// `postgres://…` or `sqlite://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<DatabaseUrl>,
    /// The most connections of this process.
    #[serde(deserialize_with = "number::between::<_, _, 1, 10_000>")]
    pub(crate) max_connections: u32,
    /// Whether connections to PostgreSQL go through a pooler in transaction mode, such as PgBouncer.
    pub(crate) transaction_pooling: bool,
    /// The retention of timelines.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_153_600_000_000>",
        serialize_with = "duration::serialize"
    )]
    pub(crate) history_retention: Duration,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedisSection {
    /// `redis://…` or `rediss://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<RedisUrl>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecuritySection {
    /// The key with which guests' addresses are hashed: any long text, the same for all processes.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) address_key: Option<Secret>,
    /// The token with which roles authenticate to the templates role.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) internal_token: Option<Secret>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TemplatesSection {
    /// The templates role's URL; without it, templates are rendered in the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<HttpUrl>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SimulatorSection {
    /// The address for FCM, Twilio, SendGrid, SES, API and page.
    #[serde(with = "listen")]
    pub(crate) listen: SocketAddr,
    /// The address for SMTP.
    #[serde(with = "listen")]
    pub(crate) smtp_listen: SocketAddr,
    /// The address for APNs, over HTTP/2 with TLS.
    #[serde(with = "listen")]
    pub(crate) apns_listen: SocketAddr,
    /// The certificate of its APNs, in PEM; without it, one is generated for this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_certificate_pem: Option<String>,
    /// The private key of that certificate, in PEM.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) apns_certificate_key_pem: Option<Secret>,
    /// The key with which its APNs checks provider tokens; without it, signatures are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_public_key_pem: Option<String>,
    /// The most streams of one connection to its APNs.
    pub(crate) apns_max_streams: NonZeroU32,
    /// The folder of its memory; without it, the memory is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The key with which FCM's token endpoint checks assertions; without it, they are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_account_public_key_pem: Option<String>,
    /// The SID of its Twilio account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) twilio_account_sid: Option<String>,
    /// The token of that account.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) twilio_auth_token: Option<Secret>,
    /// The API key of its SendGrid account.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_api_key: Option<Secret>,
    /// The region of its SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_region: Option<String>,
    /// The id of the access key of its SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_access_key_id: Option<String>,
    /// The secret of that key.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) ses_secret_access_key: Option<Secret>,
    /// The session token that requests to its SES must have.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) ses_session_token: Option<Secret>,
    /// The time from a message's receipt to the providers' reports of its fate; without it, there are none.
    #[serde(
        deserialize_with = "duration::between_or_none::<_, 0, 600_000>",
        serialize_with = "duration::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) receipts_after: Option<Duration>,
    /// The URL to which its SendGrid reports; without it, SendGrid reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_webhook_url: Option<HttpUrl>,
    /// The private key with which its SendGrid signs reports, PKCS #8 in PEM.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub(crate) sendgrid_webhook_key_pem: Option<Secret>,
    /// The SNS topic to which its SES publishes reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ses_topic: Option<String>,
    /// The URL to which its SNS passes SES's reports on; without it, SES reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sns_subscriber_url: Option<HttpUrl>,
    /// The URL at which the subscriber reaches the simulator; without it, `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sns_endpoint: Option<HttpUrl>,
    /// The version of its SNS's signatures: 1 (SHA-1) or 2 (SHA-256).
    #[serde(deserialize_with = "number::between::<_, _, 1, 2>")]
    pub(crate) sns_signature_version: u8,
    /// Whether its SMTP offers SMTPUTF8.
    pub(crate) smtp_utf8: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShutdownSection {
    /// The time between the soft and the hard signal.
    #[serde(
        deserialize_with = "duration::between::<_, 0, 86_400_000>",
        serialize_with = "duration::serialize"
    )]
    pub(crate) grace: Duration,
    /// The time for which a role's retried work may fail before the process ends with an error.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 604_800_000>",
        serialize_with = "duration::serialize"
    )]
    pub(crate) stall_limit: Duration,
}

impl Default for BusSection {
    fn default() -> Self {
        Self {
            prefix: "notifications".to_owned(),
            path: PathBuf::from("carillon-data/bus.db"),
            stuck_after: carillon_bus::STUCK_AFTER,
            topics: TopicSettings::default(),
        }
    }
}

impl Default for RetrySection {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            tiers: policy
                .tiers()
                .iter()
                .map(|tier| duration_text::format(*tier))
                .collect(),
            max_attempts: policy.max_attempts(),
        }
    }
}

impl Default for DatabaseSection {
    fn default() -> Self {
        Self {
            url: None,
            max_connections: 8,
            transaction_pooling: false,
            history_retention: Duration::from_hours(90 * 24),
        }
    }
}

impl Default for SimulatorSection {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8081).into(),
            smtp_listen: ([127, 0, 0, 1], 8025).into(),
            apns_listen: ([127, 0, 0, 1], 8443).into(),
            apns_certificate_pem: None,
            apns_certificate_key_pem: None,
            apns_public_key_pem: None,
            apns_max_streams: NonZeroU32::MIN.saturating_add(999),
            data_dir: None,
            service_account_public_key_pem: None,
            twilio_account_sid: None,
            twilio_auth_token: None,
            sendgrid_api_key: None,
            ses_region: None,
            ses_access_key_id: None,
            ses_secret_access_key: None,
            ses_session_token: None,
            receipts_after: None,
            sendgrid_webhook_url: None,
            sendgrid_webhook_key_pem: None,
            ses_topic: None,
            sns_subscriber_url: None,
            sns_endpoint: None,
            sns_signature_version: 2,
            smtp_utf8: true,
        }
    }
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(20),
            stall_limit: Duration::from_mins(15),
        }
    }
}

/// An invalid value and its key.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {expected}")]
pub(crate) struct Invalid {
    key: String,
    expected: String,
}

pub(crate) fn invalid(key: impl Into<String>, expected: impl Into<String>) -> Invalid {
    Invalid {
        key: key.into(),
        expected: expected.into(),
    }
}

impl Config {
    /// A sentence, without capital and full stop, about the platforms whose devices no push account serves.
    pub(crate) fn unserved_devices(&self) -> Option<String> {
        let unserved = self.channels.unserved_platforms(&self.providers).ok()?;
        let names: Vec<&str> = unserved.into_iter().map(Into::into).collect();
        (!names.is_empty()).then(|| format!("no account serves devices of {}", names.join(" and ")))
    }

    /// Checks rules that involve several fields.
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        let retry = self.retry_policy()?;
        let bad = self.gateway.validate();
        bad.map_err(|(key, expected)| invalid(format!("gateway.{key}"), expected))?;
        let bad = self.http.validate();
        bad.map_err(|(key, expected)| invalid(format!("http.{key}"), expected))?;
        let bad = self.bus.topics.validate(retry.tiers());
        bad.map_err(|(key, expected)| invalid(format!("bus.topics.{key}"), expected))?;
        let wrong = self.channels.validate(&self.providers);
        wrong.map_err(|error| invalid(error.key, error.expected))?;
        let ratio = self.telemetry.trace_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            let expected = format!("expected a number from 0 to 1, not {ratio}");
            return Err(invalid("telemetry.trace_ratio", expected));
        }
        let simulator = &self.simulator;
        if simulator.apns_certificate_pem.is_some() != simulator.apns_certificate_key_pem.is_some() {
            let expected = "expected apns_certificate_pem and apns_certificate_key_pem, or neither of them";
            return Err(invalid("simulator.apns_certificate_pem", expected));
        }
        self.validate_times()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let prefix = &self.bus.prefix;
        if !(1..=LONGEST_PREFIX).contains(&prefix.len()) || !prefix.chars().all(fits) {
            return Err(invalid(
                "bus.prefix",
                format!(
                    "expected 1 to {LONGEST_PREFIX} ASCII letters, digits, '.', '_' and '-', not {}",
                    quoted(prefix)
                ),
            ));
        }
        if self.is_distributed() && self.security.address_key.is_none() {
            let expected = "expected a secret text, the same for every process (addresses of guests and of the suppression list are \
                 hashed with it)";
            return Err(invalid("security.address_key", expected));
        }
        if self.http.public_url.is_some() && self.security.address_key.is_none() {
            let expected = "expected a secret text, since http.public_url is set: links to unsubscribe are signed with it";
            return Err(invalid("security.address_key", expected));
        }
        let token = self.security.internal_token.as_ref();
        if self.templates.url.is_some() && token.is_none() {
            let expected = "expected a secret text, as in the templates role, since templates.url is set";
            return Err(invalid("security.internal_token", expected));
        }
        // Leading and trailing spaces do not belong to a header's value.
        let fits_a_header = |secret: &Secret| {
            let text = secret.expose_secret();
            text.trim() == text && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if !token.is_none_or(fits_a_header) {
            let expected = "expected visible ASCII characters, with spaces between them at most, because it travels in a header";
            return Err(invalid("security.internal_token", expected));
        }
        Ok(())
    }

    /// Checks times that have to be longer than others.
    fn validate_times(&self) -> Result<(), Invalid> {
        let call = self.providers.longest_call();
        let (lease, grace) = (self.workers.lease, self.shutdown.grace);
        if lease <= call {
            let [call, lease] = [call, lease].map(duration::text);
            let expected = format!(
                "expected more than {call}, which is the longest call of a provider (its request_timeout, and for SMTP the reset \
                 after it), not {lease}"
            );
            return Err(invalid("workers.lease", expected));
        }
        if grace < call {
            let [call, grace] = [call, grace].map(duration::text);
            let expected = format!(
                "expected no less than {call}, which is the longest call of a provider (its request_timeout, and for SMTP the \
                 reset after it), not {grace}"
            );
            return Err(invalid("shutdown.grace", expected));
        }
        let (claim, delivery) = (self.gateway.claim_lease, self.kafka.delivery_timeout);
        if self.is_distributed() && claim <= delivery {
            let [claim, delivery] = [claim, delivery].map(duration::text);
            let expected = format!("expected more than kafka.delivery_timeout ({delivery}), not {claim}");
            return Err(invalid("gateway.claim_lease", expected));
        }
        Ok(())
    }

    /// The simulator's own configuration.
    pub(crate) fn simulator_config(&self) -> SimulatorConfig {
        let section = &self.simulator;
        let defaults = SimulatorConfig::default();
        let given = |secret: Option<&Secret>, default: String| {
            secret.map_or(default, |secret| secret.expose_secret().to_owned())
        };
        SimulatorConfig {
            listen: section.listen,
            smtp_listen: section.smtp_listen,
            apns_listen: section.apns_listen,
            apns_identity: match (&section.apns_certificate_pem, &section.apns_certificate_key_pem) {
                (Some(certificate), Some(key)) => Some(ApnsIdentity {
                    // Only clients need the authority; the server needs its own certificate.
                    authority_pem: String::new(),
                    certificate_pem: certificate.clone(),
                    key_pem: key.expose_secret().to_owned(),
                }),
                _ => None,
            },
            apns_public_key_pem: section.apns_public_key_pem.clone(),
            apns_team_id: defaults.apns_team_id,
            apns_key_id: defaults.apns_key_id,
            apns_topic: defaults.apns_topic,
            apns_max_streams: section.apns_max_streams.get(),
            data_dir: section.data_dir.clone(),
            service_account_public_key_pem: section.service_account_public_key_pem.clone(),
            twilio_account_sid: section
                .twilio_account_sid
                .clone()
                .unwrap_or(defaults.twilio_account_sid),
            twilio_auth_token: given(section.twilio_auth_token.as_ref(), defaults.twilio_auth_token),
            sendgrid_api_key: given(section.sendgrid_api_key.as_ref(), defaults.sendgrid_api_key),
            ses_region: section.ses_region.clone().unwrap_or(defaults.ses_region),
            ses_access_key_id: section
                .ses_access_key_id
                .clone()
                .unwrap_or(defaults.ses_access_key_id),
            ses_secret_access_key: given(
                section.ses_secret_access_key.as_ref(),
                defaults.ses_secret_access_key,
            ),
            ses_session_token: section
                .ses_session_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            receipts_after: section.receipts_after,
            sendgrid_webhook_url: section
                .sendgrid_webhook_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            sendgrid_webhook_key_pem: given(
                section.sendgrid_webhook_key_pem.as_ref(),
                defaults.sendgrid_webhook_key_pem,
            ),
            ses_topic: section.ses_topic.clone().unwrap_or(defaults.ses_topic),
            sns_subscriber_url: section
                .sns_subscriber_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            sns_endpoint: section.sns_endpoint.as_ref().map(|url| url.as_str().to_owned()),
            sns_signature_version: section.sns_signature_version,
            smtp_user: None,
            smtp_utf8: section.smtp_utf8,
        }
    }

    /// Whether the bus is Kafka.
    pub(crate) fn is_distributed(&self) -> bool {
        !self.kafka.brokers.trim().is_empty()
    }

    pub(crate) fn retry_policy(&self) -> Result<RetryPolicy, Invalid> {
        let tiers = self.retry.tiers.iter().map(|tier| {
            duration_text::parse(tier).ok_or_else(|| {
                let expected = format!("expected durations such as 5s,1m,10m,1h, not {}", quoted(tier));
                invalid("retry.tiers", expected)
            })
        });
        let tiers = tiers.collect::<Result<Vec<Duration>, _>>()?;
        RetryPolicy::new(tiers, self.retry.max_attempts).map_err(|error| match error {
            RetryPolicyError::NoAttempts => invalid("retry.max_attempts", error.to_string()),
            RetryPolicyError::Empty | RetryPolicyError::NotAscending => {
                let tiers = quoted(&self.retry.tiers.join(","));
                invalid("retry.tiers", format!("{error}, not {tiers}"))
            }
        })
    }

    pub(crate) fn bus_config(&self) -> Result<BusConfig, Invalid> {
        let backend = if self.is_distributed() {
            Backend::Kafka(Box::new(self.kafka.clone()))
        } else {
            Backend::Embedded(EmbeddedConfig {
                path: self.bus.path.clone(),
            })
        };
        Ok(BusConfig {
            prefix: self.bus.prefix.clone(),
            backend,
            retry: self.retry_policy()?,
            topics: self.bus.topics.clone(),
        })
    }

    pub(crate) fn store_config(&self) -> Result<StoreConfig, Invalid> {
        let url = self.database.url.clone().ok_or_else(|| {
            invalid(
                "database.url",
                "expected postgres://… or sqlite://… (CARILLON_DATABASE__URL)",
            )
        })?;
        Ok(StoreConfig {
            max_connections: self.database.max_connections,
            transaction_pooling: self.database.transaction_pooling,
            history_retention: self.database.history_retention,
            address_key: self.address_key(),
            ..StoreConfig::new(url.secret())
        })
    }

    /// The links by which recipients of mails unsubscribe.
    pub(crate) fn unsubscribe_links(&self) -> Option<UnsubscribeLinks> {
        let url = self.http.public_url.as_ref()?;
        Some(UnsubscribeLinks::new(url.as_str(), &self.address_key()))
    }

    /// The key with which addresses are hashed: 32 bytes derived from the configured text.
    fn address_key(&self) -> AddressKey {
        let text = self
            .security
            .address_key
            .as_ref()
            .map_or("", |secret| secret.expose_secret());
        AddressKey::new(Sha256::digest(text.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests;
