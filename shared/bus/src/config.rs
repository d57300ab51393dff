//! The configuration of the bus.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use carillon_domain::{field_error::quoted, retry::RetryPolicy};
use carillon_runtime::{
    Secret,
    config::{duration, hidden},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

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
    /// The topics of other systems that are read. The embedded log has only the topics that it is told of.
    pub sources: Vec<String>,
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
    /// `host:port`, comma-separated. Empty without Kafka.
    #[serde(deserialize_with = "brokers")]
    pub brokers: String,
    /// The protocol to the brokers.
    pub security: Security,
    /// CA certificates in PEM, used instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The way in which user and password are proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// SASL user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_username: Option<String>,
    /// SASL password.
    #[serde(with = "hidden", skip_serializing_if = "Option::is_none")]
    pub sasl_password: Option<Secret>,
    /// The time after which a publish that is not acknowledged fails.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 300_000>",
        serialize_with = "duration::serialize"
    )]
    pub delivery_timeout: Duration,
    /// The time without a sign of life after which a member loses its partitions to others.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 1_800_000>",
        serialize_with = "duration::serialize"
    )]
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
    /// Whether the connection is encrypted.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether user and password are sent.
    #[must_use]
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

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

/// The way in which user and password are proved to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// The password itself is sent.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// librdkafka's name of the mechanism.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Reads the list of brokers.
fn brokers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    match brokers.iter().find(|broker| !is_broker(broker)) {
        None => Ok(brokers.join(",")),
        Some(wrong) => Err(D::Error::custom(format!(
            "expected brokers as HOST:PORT, separated by commas, such as kafka-1:9092,kafka-2:9092, not {}",
            quoted(wrong)
        ))),
    }
}

/// Whether a text is `host:port` or `[IPv6]:port`, optionally behind a protocol, as in `SASL_SSL://host:port`.
/// librdkafka also accepts a host without a port. Carillon does not, because any single word would then be valid.
fn is_broker(text: &str) -> bool {
    let address = match text.split_once("://") {
        Some(("PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL", address)) => address,
        Some(_) => return false,
        None => text,
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
            None => return false,
        },
        None => match address.split_once(':') {
            Some(parts) => parts,
            None => return false,
        },
    };
    let is_host = if address.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !host.is_empty() && host.chars().all(fits)
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_have_a_host_and_a_port() {
        for text in [
            "kafka:9092",
            "10.0.0.1:9092",
            "[::1]:9092",
            "SASL_SSL://b-1.example.com:9094",
        ] {
            assert!(is_broker(text), "{text}");
        }
        for text in [
            "",
            "nonsense",
            "[::1]",
            "SSL://kafka",
            ":9092",
            "kafka:",
            "kafka:0",
            "kafka:x",
            "kafka:99999",
            "a b:1",
            "http://kafka:9092",
            "::1:9092",
            "[::1",
            "k/x",
            "[kafka]:1",
        ] {
            assert!(!is_broker(text), "{text}");
        }
    }
}
