//! The properties of librdkafka's clients.

use std::time::Duration;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use super::{brokers::REPORTS, member::Membership};
use crate::{
    config::{KafkaConfig, Security},
    error::BusError,
};

/// The properties that every client has.
pub(super) fn base(config: &KafkaConfig) -> Result<ClientConfig, BusError> {
    if config.brokers.trim().is_empty() {
        return Err(BusError::Config(
            "kafka.brokers: expected host:port, comma-separated".to_owned(),
        ));
    }
    if config.security != Security::Plaintext && !cfg!(feature = "kafka-tls") {
        let text = "kafka.security: this binary was built without the feature kafka-tls";
        return Err(BusError::Config(text.to_owned()));
    }
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "carillon")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Error);
    if config.security != Security::Plaintext {
        client.set("security.protocol", config.security.protocol());
    }
    let texts = [
        ("sasl.mechanism", config.sasl_mechanism.as_deref()),
        ("sasl.username", config.sasl_username.as_deref()),
        (
            "sasl.password",
            config
                .sasl_password
                .as_ref()
                .map(secrecy::ExposeSecret::expose_secret),
        ),
        (
            "ssl.ca.location",
            config.ca_file.as_deref().and_then(|path| path.to_str()),
        ),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            client.set(key, value);
        }
    }
    for (key, value) in &config.properties {
        client.set(key, value);
    }
    Ok(client)
}

/// The size limit of records and topics, well above the default of brokers (about 1 MB), so that a record that could
/// be read can be written again with headers that describe its failure.
pub(super) const MAX_MESSAGE_BYTES: usize = crate::topics::MAX_MESSAGE_BYTES as usize;

/// An idempotent producer: each record is written once, in order, and acknowledged by all in-sync replicas.
pub(super) fn producer(base: &ClientConfig, delivery_timeout: Duration) -> ClientConfig {
    let mut config = base.clone();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "2")
        // Small enough that in a doubtful batch (`brokers::is_doubtful`) every offset is below zero.
        .set("batch.num.messages", "1000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("batch.size", "1000000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("statistics.interval.ms", REPORTS.as_millis().to_string())
        .set("message.timeout.ms", delivery_timeout.as_millis().to_string());
    config
}

/// The longest time that a transaction may stay open. An orphaned transaction blocks read-committed readers for this
/// time.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A transactional producer: its records and offsets become visible together.
pub(super) fn transactional(base: &ClientConfig, id: &str) -> ClientConfig {
    let mut config = producer(base, TRANSACTION_TIMEOUT);
    config
        .set("transactional.id", id)
        .set("linger.ms", "0")
        // The wait before a coordinator that is still ending a transaction is asked again.
        .set("retry.backoff.ms", "10")
        .set(
            "transaction.timeout.ms",
            TRANSACTION_TIMEOUT.as_millis().to_string(),
        );
    config
}

/// A group member that commits explicitly, reads only committed records, and prefetches little.
pub(super) fn consumer(base: &ClientConfig, membership: &Membership) -> ClientConfig {
    let session = membership.session_timeout.as_millis();
    let mut config = base.clone();
    config
        .set("group.id", &membership.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.to_string())
        .set("heartbeat.interval.ms", (session / 4).max(100).to_string())
        .set("max.poll.interval.ms", "300000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.min.bytes", if membership.gathers { "65536" } else { "1" })
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.message.max.bytes", "1048576")
        .set("queued.max.messages.kbytes", "4096")
        .set("allow.auto.create.topics", "false")
        // A batch damaged on the broker's disk then causes an error, not wrong data.
        .set("check.crcs", "true")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("statistics.interval.ms", REPORTS.as_millis().to_string());
    config
}

/// A client that checks whether single offsets of a group's partitions can be read (`unreadable`). It assigns
/// partitions to itself and does not join the group.
pub(super) fn examiner(base: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = base.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "0")
        // A broker sends the first batch whole, even if it is larger.
        .set("fetch.message.max.bytes", "1024")
        .set("allow.auto.create.topics", "false");
    config
}
