//! Detects a client that has lost all its brokers.
//!
//! A broker that was frozen is fenced until its controller hears from it again. If it is the only broker, its
//! metadata meanwhile names no broker at all, and librdkafka removes each broker that is not named. The client would
//! recover by bootstrapping again, but an answer that comes from a broker cancels the bootstrap too (librdkafka issue
//! 5301), so the client never recovers. Only a new client helps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext},
};

use super::logs;

/// The interval of librdkafka's statistics reports.
pub(super) const REPORTS: Duration = Duration::from_secs(2);
/// Consecutive reports without a broker after which the client counts as lost. A client that recovers by itself has
/// no broker for milliseconds only.
const ENOUGH: u32 = 2;

/// The state of a client's brokers, from its statistics reports and from the deliveries of its records. It is the
/// whole context of a producer.
#[derive(Clone, Default)]
pub(super) struct Brokers {
    reports_without: Arc<AtomicU32>,
    doubtful: Arc<AtomicBool>,
}

impl Brokers {
    /// Takes in a report, which is librdkafka's statistics as JSON.
    pub(super) fn report(&self, statistics: &[u8]) {
        if names_a_broker(statistics) {
            self.reports_without.store(0, Ordering::Relaxed);
        } else {
            self.reports_without.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a delivery was doubtful ([`is_doubtful`]) since the last call.
    pub(super) fn take_doubt(&self) -> bool {
        self.doubtful.swap(false, Ordering::AcqRel)
    }

    /// Whether the client is lost.
    pub(super) fn are_lost(&self) -> bool {
        self.reports_without.load(Ordering::Relaxed) >= ENOUGH
    }
}

/// A delivery without an offset is an assumption of librdkafka's: a broker that has just become a partition's leader
/// refuses a producer's first batch and accepts the second, which was sent right after it. When the first is sent
/// again, the broker calls its sequence numbers out of order. librdkafka takes that for already written, although the
/// batch is lost.
pub(super) fn is_doubtful(offset: i64) -> bool {
    offset < 0
}

/// Whether a report names a real broker: one that was `configured` for bootstrapping, or `learned`. The other entries
/// are internal, or logical ones that stand for a real broker.
fn names_a_broker(statistics: &[u8]) -> bool {
    std::str::from_utf8(statistics).is_ok_and(|statistics| {
        ["learned", "configured"]
            .iter()
            .any(|source| statistics.contains(&format!("\"source\":\"{source}\"")))
    })
}

impl ClientContext for Brokers {
    fn stats_raw(&self, statistics: &[u8]) {
        self.report(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        logs::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logs::error(&error, reason);
    }
}

impl ProducerContext for Brokers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if result.as_ref().is_ok_and(|message| is_doubtful(message.offset())) {
            self.doubtful.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        ClientConfig,
        producer::{Producer as _, ThreadedProducer},
    };

    use super::*;

    #[test]
    fn a_client_without_brokers_in_two_reports_in_a_row_is_lost() {
        let without =
            br#"{"brokers":{":0/internal":{"source":"internal"},"GroupCoordinator":{"source":"logical"}}}"#;
        let with = br#"{"brokers":{"a:1/1":{"nodeid":1, "source":"learned", "state":"DOWN"}}}"#;
        let brokers = Brokers::default();
        for (report, lost) in [
            (&without[..], false),
            (with, false),
            (without, false),
            (without, true),
            (without, true),
            (with, false),
        ] {
            brokers.report(report);
            assert_eq!(brokers.are_lost(), lost);
        }
    }

    #[test]
    fn a_client_that_is_only_away_from_its_broker_is_not_lost() {
        let brokers = Brokers::default();
        // No server listens on this port.
        let producer: ThreadedProducer<Brokers> = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("statistics.interval.ms", "10")
            .create_with_context(brokers.clone())
            .unwrap();
        brokers.report(b"{}");
        let heard = || brokers.reports_without.load(Ordering::Relaxed) == 0;
        for _ in 0..500 {
            if heard() {
                break;
            }
            producer.poll(Duration::from_millis(10));
        }
        assert!(heard() && !brokers.are_lost());
        assert_eq!(producer.in_flight_count(), 0);
    }
}
