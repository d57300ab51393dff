//! librdkafka's log lines, limited to one a minute for each kind of message. While a broker is away, each thread of
//! each client repeats the same line many times a second.

use std::sync::LazyLock;

use carillon_runtime::Limited;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

static SAID: LazyLock<Limited> = LazyLock::new(Limited::default);

/// Whether a line about the subject may be written now; see [`Limited::admit`]. All members of a group share the
/// limit.
pub(super) fn admit(subject: &str) -> Option<u64> {
    SAID.admit(subject)
}

/// A line of the client's log; `facility` names its kind.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;

    let is_warning = matches!(
        level,
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning
    );
    if !is_warning {
        tracing::debug!(facility, message, "the Kafka client");
    } else if let Some(left_out) = SAID.admit(facility) {
        tracing::warn!(facility, message, left_out, "the Kafka client");
    }
}

/// An error of the whole client. The client recovers from most of them by itself.
pub(super) fn error(error: &KafkaError, reason: &str) {
    // The end of a partition is reported only to callers that asked for it, and is not an error.
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    let code = super::describe(error);
    if let Some(left_out) = SAID.admit(&code) {
        tracing::warn!(code, reason, left_out, "the Kafka client");
    }
}

/// The context of short-lived clients that send one request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plain;

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self::error(&error, reason);
    }
}

impl ConsumerContext for Plain {}
