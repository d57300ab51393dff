//! The properties of librdkafka's clients.

use std::{sync::Arc, time::Duration};

use carillon_runtime::os_sentence;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use super::brokers::REPORTS;
use crate::{
    config::{KafkaConfig, SaslMechanism, Security},
    error::BusError,
};

/// The beginning of a certificate in PEM.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The properties that every client has.
pub(super) fn base(config: &KafkaConfig) -> Result<ClientConfig, BusError> {
    let wrong = |key: &str, expected: &str| Err(BusError::Config(format!("kafka.{key}: {expected}")));
    if config.brokers.trim().is_empty() {
        return wrong("brokers", "expected host:port, comma-separated");
    }
    if config.security != Security::Plaintext && !cfg!(feature = "kafka-tls") {
        return wrong("security", "this binary was built without the feature kafka-tls");
    }
    let has_user = config.sasl_username.is_some() || config.sasl_password.is_some();
    if has_user && !config.security.has_sasl() {
        return wrong(
            "security",
            "expected sasl_ssl or sasl_plaintext beside a SASL user or password",
        );
    }
    if config.security.has_sasl() {
        for (key, is_set) in [
            ("sasl_mechanism", config.sasl_mechanism.is_some()),
            ("sasl_username", config.sasl_username.is_some()),
            ("sasl_password", config.sasl_password.is_some()),
        ] {
            if !is_set {
                return wrong(key, "expected a value, since kafka.security has SASL");
            }
        }
    }
    let ca_file = config.ca_file.as_deref().filter(|_| config.security.has_tls());
    if let Some(path) = ca_file {
        let shown = path.display();
        let read = std::fs::read(path);
        let pem = read
            .map_err(|error| BusError::Config(format!("kafka.ca_file: {shown}: {}", os_sentence(&error))))?;
        if !pem.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE) {
            return wrong("ca_file", &format!("expected certificates in PEM in {shown}"));
        }
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
        ("sasl.mechanism", config.sasl_mechanism.map(SaslMechanism::as_str)),
        ("sasl.username", config.sasl_username.as_deref()),
        (
            "sasl.password",
            config
                .sasl_password
                .as_ref()
                .map(secrecy::ExposeSecret::expose_secret),
        ),
        ("ssl.ca.location", ca_file.and_then(|path| path.to_str())),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            client.set(key, value);
        }
    }
    for (key, value) in &config.properties {
        if let Some((_, why)) = FIXED.iter().find(|(fixed, _)| fixed == key) {
            let text = format!("kafka.properties.{key}: it cannot be set here: {why}");
            return Err(BusError::Config(text));
        }
        client.set(key, value);
    }
    Ok(client)
}

/// Checks the settings without connecting: those of Carillon, and the user's properties, which librdkafka reads.
pub(super) fn check(config: &KafkaConfig) -> Result<(), BusError> {
    let base = base(config)?;
    for (key, value) in &config.properties {
        let mut alone = ClientConfig::new();
        alone.set(key, value);
        if alone.create_native_config().is_err() {
            return Err(BusError::Config(format!(
                "kafka.properties.{key}: expected a property of librdkafka with a value that it takes"
            )));
        }
    }
    let made = producer(&base, config.delivery_timeout).create_native_config();
    made.map(drop).map_err(BusError::Kafka)
}

/// Properties that cannot be set by `kafka.properties`, each with its reason. All other properties set there override
/// Carillon's own.
const FIXED: [(&str, &str); 29] = [
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("metadata.broker.list", "set kafka.brokers instead"),
    ("security.protocol", "set kafka.security instead"),
    ("message.timeout.ms", "set kafka.delivery_timeout instead"),
    ("delivery.timeout.ms", "set kafka.delivery_timeout instead"),
    ("session.timeout.ms", "set kafka.session_timeout instead"),
    (
        "heartbeat.interval.ms",
        "it is half a second, or a quarter of kafka.session_timeout if that is less",
    ),
    ("enable.idempotence", ONCE),
    ("enable.gapless.guarantee", ONCE),
    ("max.in.flight", ONCE),
    ("max.in.flight.requests.per.connection", ONCE),
    ("acks", "an acknowledged record has to be on all in-sync replicas"),
    (
        "request.required.acks",
        "an acknowledged record has to be on all in-sync replicas",
    ),
    ("transactional.id", "each router has its own"),
    (
        "transaction.timeout.ms",
        "an open transaction holds up all readers",
    ),
    ("partitioner", "one user's records have to stay in one partition"),
    ("batch.num.messages", "a doubtful batch is recognised by its size"),
    (
        "message.max.bytes",
        "a record that was read has to be small enough to be written again",
    ),
    ("group.id", "each role has its own"),
    (
        "group.instance.id",
        "several members of one process would share it",
    ),
    ("enable.auto.commit", COMMITTED),
    ("enable.auto.offset.store", COMMITTED),
    ("auto.offset.reset", "a new group reads from the beginning"),
    (
        "partition.assignment.strategy",
        "members hand partitions over one by one",
    ),
    ("enable.partition.eof", "the end of a partition is not an error"),
    (
        "isolation.level",
        "records of aborted transactions must not be read",
    ),
    ("check.crcs", "a damaged batch has to be an error"),
    (
        "allow.auto.create.topics",
        "`carillon topics create` creates the topics",
    ),
    (
        "statistics.interval.ms",
        "the reports show whether brokers are lost",
    ),
];
const ONCE: &str = "a record has to be written once and in order";
const COMMITTED: &str = "an offset is committed only after its record was processed";

/// A client's properties: `tuned` may be overridden by those of `base`, `fixed` may not.
fn with(base: &ClientConfig, tuned: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(base.log_level);
    let based = base.config_map();
    for (key, value) in tuned.iter().copied().chain(based).chain(fixed.iter().copied()) {
        config.set(key, value);
    }
    config
}

/// The size limit of records and topics, well above the default of brokers (about 1 MB), so that a record that could
/// be read can be written again with headers that describe its failure.
pub(super) const MAX_MESSAGE_BYTES: usize = crate::topics::MAX_MESSAGE_BYTES as usize;

/// An idempotent producer: each record is written once, in order, and acknowledged by all in-sync replicas.
pub(super) fn producer(base: &ClientConfig, delivery_timeout: Duration) -> ClientConfig {
    let tuned = [
        ("compression.type", "lz4"),
        ("linger.ms", "2"),
        ("queue.buffering.max.kbytes", "65536"),
        ("batch.size", "1000000"),
        ("topic.metadata.refresh.interval.ms", "30000"),
    ];
    let fixed = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("partitioner", "murmur2_random"),
        // Small enough that in a doubtful batch (`brokers::is_doubtful`) every offset is below zero.
        ("batch.num.messages", "1000"),
        ("message.max.bytes", &MAX_MESSAGE_BYTES.to_string()),
        ("statistics.interval.ms", &REPORTS.as_millis().to_string()),
        ("message.timeout.ms", &delivery_timeout.as_millis().to_string()),
    ];
    with(base, &tuned, &fixed)
}

/// The longest time that a transaction may stay open. An orphaned transaction blocks read-committed readers for this
/// time.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A transactional producer: its records and offsets become visible together.
pub(super) fn transactional(base: &ClientConfig, id: &str) -> ClientConfig {
    let mut tuned = ClientConfig::new();
    tuned
        .set_log_level(base.log_level)
        .set("linger.ms", "0")
        // The wait before a coordinator that is still ending a transaction is asked again.
        .set("retry.backoff.ms", "10");
    for (key, value) in base.config_map() {
        tuned.set(key, value);
    }
    let mut config = producer(&tuned, TRANSACTION_TIMEOUT);
    config.set("transactional.id", id).set(
        "transaction.timeout.ms",
        TRANSACTION_TIMEOUT.as_millis().to_string(),
    );
    config
}

/// Group, topics and fetch settings of one member.
pub(super) struct MemberConfig {
    pub(super) group: String,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) session_timeout: Duration,
    /// The time after which a client that does not read its partitions is replaced.
    pub(super) reading_patience: Duration,
    /// Lets a fetch wait briefly for more records, which means fewer fetches.
    pub(super) gathers: bool,
}

/// The longest time between two heartbeats of a member, in milliseconds.
///
/// A member learns of a rebalance by a heartbeat. A partition that moves from one member to another has no reader
/// until every member has joined the round that gives it away, so its records wait for up to this time.
const LONGEST_HEARTBEAT: u128 = 500;

/// A group member that commits explicitly, reads only committed records, and prefetches little.
pub(super) fn consumer(base: &ClientConfig, membership: &MemberConfig) -> ClientConfig {
    let session = membership.session_timeout.as_millis();
    let tuned = [
        ("max.poll.interval.ms", "300000"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.min.bytes", if membership.gathers { "65536" } else { "1" }),
        ("fetch.error.backoff.ms", "100"),
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.message.max.bytes", "1048576"),
        ("queued.max.messages.kbytes", "4096"),
        ("topic.metadata.refresh.interval.ms", "10000"),
    ];
    let fixed = [
        ("group.id", &*membership.group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", &session.to_string()),
        (
            "heartbeat.interval.ms",
            &(session / 4).min(LONGEST_HEARTBEAT).to_string(),
        ),
        ("allow.auto.create.topics", "false"),
        // A batch damaged on the broker's disk then causes an error, not wrong data.
        ("check.crcs", "true"),
        ("statistics.interval.ms", &REPORTS.as_millis().to_string()),
    ];
    with(base, &tuned, &fixed)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn base_with(key: &str, value: &str) -> Result<ClientConfig, BusError> {
        base(&KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            properties: [(key.to_owned(), value.to_owned())].into(),
            ..KafkaConfig::default()
        })
    }

    #[test]
    fn a_property_that_a_guarantee_needs_is_refused_with_the_reason() {
        for (key, why) in FIXED {
            let refused = base_with(key, "1").unwrap_err().to_string();
            assert!(refused.contains(key) && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn any_other_property_of_the_user_wins_over_ours() {
        let base = base_with("linger.ms", "50").unwrap();
        let producer = producer(&base, Duration::from_secs(5));
        assert_eq!(producer.get("linger.ms"), Some("50"));
        assert_eq!(producer.get("acks"), Some("all"));
        let base = base_with("fetch.min.bytes", "9").unwrap();
        let membership = MemberConfig {
            group: "g".to_owned(),
            topics: Vec::new(),
            session_timeout: Duration::from_secs(10),
            reading_patience: Duration::from_secs(20),
            gathers: true,
        };
        let consumer = consumer(&base, &membership);
        assert_eq!(consumer.get("fetch.min.bytes"), Some("9"));
        assert_eq!(consumer.get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn every_property_that_we_fix_for_a_member_or_a_producer_is_refused_from_the_user() {
        let bare = base_with("client.rack", "a").unwrap();
        let transactional = transactional(&bare, "t");
        // A property of the user that is not refused wins. A value that no user may change must therefore be in the list.
        for (key, value) in transactional.config_map() {
            let fixed = FIXED.iter().any(|(fixed, _)| *fixed == key);
            let ours = base_with(key, "7").map(|base| super::transactional(&base, "t"));
            assert!(fixed || ours.unwrap().get(key) == Some("7"), "{key} = {value}");
        }
    }
}
