//! How the bus is set up.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use carillon_domain::retry::RetryPolicy;
use carillon_runtime::{
    Secret,
    config::{duration, hidden},
};
use serde::{Deserialize, Serialize};

use crate::topics::TopicSettings;

/// Everything that a bus needs.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// What every topic's name begins with: `notifications`.
    pub prefix: String,
    /// Where the records lie.
    pub backend: Backend,
    /// Tiers and attempts.
    pub retry: RetryPolicy,
    /// Partitions, replication and retention.
    pub topics: TopicSettings,
}

/// Where the records lie.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In Apache Kafka.
    Kafka(Box<KafkaConfig>),
    /// In a file of this process.
    Embedded(EmbeddedConfig),
}

/// The embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its SQLite file; made if it is not there.
    pub path: PathBuf,
}

/// Apache Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// How to speak to them.
    pub security: Security,
    /// CA certificates in PEM, in the place of the system's.
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
    /// How long a publish may take until it is an error.
    #[serde(with = "duration")]
    pub delivery_timeout: Duration,
    /// How long a member may be silent until its partitions go to others.
    #[serde(with = "duration")]
    pub session_timeout: Duration,
    /// Further librdkafka properties, such as `client.rack`.
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

/// How to speak to the brokers. TLS verifies certificates and host names, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// As it is.
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
    /// librdkafka's name.
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
