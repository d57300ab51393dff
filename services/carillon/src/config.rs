//! The whole configuration: defaults < `carillon.toml` < environment < flags. `deploy/carillon.toml` is its reference.

mod rules;
mod simulator;

use std::{path::PathBuf, time::Duration};

use carillon_bus::{Backend, BusConfig, EmbeddedConfig, KafkaConfig, TopicSettings};
use carillon_domain::{
    contact::AddressKey, duration_text, retry::RetryPolicy, unsubscribe::UnsubscribeLinks,
};
use carillon_gateway::GatewayConfig;
use carillon_providers::ProvidersConfig;
use carillon_router::RouterConfig;
use carillon_runtime::{
    Secret,
    config::{HttpUrl, comma_separated, duration, hidden, number},
    http::HttpConfig,
    telemetry::TelemetryConfig,
};
use carillon_sources::SourcesConfig;
use carillon_store::{DatabaseUrl, RedisUrl, StoreConfig};
use carillon_workers::{ChannelsConfig, WorkersConfig};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::rules::{Invalid, invalid};
use self::simulator::SimulatorSection;

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
    /// The topics of other systems that are read.
    pub(crate) sources: SourcesConfig,
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
    /// The time after which PostgreSQL ends a statement. If no answer comes for up to 5 s longer, the connection is closed.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub(crate) statement_timeout: Duration,
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
            statement_timeout: Duration::from_mins(1),
            history_retention: Duration::from_hours(90 * 24),
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

impl Config {
    /// A sentence, without capital and full stop, about the platforms whose devices no push account serves.
    pub(crate) fn unserved_devices(&self) -> Option<String> {
        let unserved = self.channels.unserved_platforms(&self.providers).ok()?;
        let names: Vec<&str> = unserved.into_iter().map(Into::into).collect();
        (!names.is_empty()).then(|| format!("no account serves devices of {}", names.join(" and ")))
    }

    /// Whether the bus is Kafka.
    pub(crate) fn is_distributed(&self) -> bool {
        !self.kafka.brokers.trim().is_empty()
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
            sources: self.sources.names(),
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
            statement_timeout: self.database.statement_timeout,
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
