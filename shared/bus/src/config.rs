//! The configuration of the bus.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use carillon_domain::retry::RetryPolicy;
use carillon_runtime::{
    Secret,
    config::{duration, hidden},
};
use serde::{Deserialize, Serialize};

use crate::topics::TopicSettings;

/// The bus and its topics.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// The prefix of every topic name: `notifications`.
    pub prefix: String,
    /// Where records are stored.
    pub backend: Backend,
    /// Retry tiers and the number of attempts.
    pub retry: RetryPolicy,
    /// Partitions, replication and retention.
    pub topics: TopicSettings,
}

/// Where records are stored.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In Apache Kafka.
    Kafka(Box<KafkaConfig>),
    /// In a SQLite file, for this process only.
    Embedded(EmbeddedConfig),
}

/// The embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its SQLite file; created if it does not exist.
    pub path: PathBuf,
}

/// Apache Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The protocol to the brokers.
    pub security: Security,
    /// CA certificates in PEM, used instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_username: Option<String>,
    /// SASL password.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub sasl_password: Option<Secret>,
    /// The time after which a publish that is not acknowledged fails.
    #[serde(with = "duration")]
    pub delivery_timeout: Duration,
    /// The time without a sign of life after which a member loses its partitions to others.
    #[serde(with = "duration")]
    pub session_timeout: Duration,
    /// Further librdkafka properties, such as `client.rack`. They win over Carillon's own; those that the guarantees
    /// need are refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            security: Security::Plaintext,
            ca_file: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            delivery_timeout: Duration::from_secs(5),
            session_timeout: Duration::from_secs(10),
            properties: BTreeMap::new(),
        }
    }
}

/// The protocol to the brokers. TLS always verifies certificates and host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// TCP without TLS or SASL.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Security {
    /// librdkafka's name of the protocol.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}
