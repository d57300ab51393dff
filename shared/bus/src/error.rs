//! What can go wrong on the bus.

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The partitions of the batch belong to another member now: rewind and go on.
    #[error("the partitions were revoked before the commit")]
    Revoked,
    /// The brokers do not answer, or not in time. Trying again may help.
    #[error("the bus does not answer: {0}")]
    Unavailable(String),
    /// The disk under the embedded log refuses writes. Writes succeed again once there is room.
    #[error("the embedded log takes no writes: {0}")]
    Disk(&'static str),
    /// A record is larger than the bus takes.
    #[error("a record of {size} bytes is too large for {topic}")]
    TooLarge {
        /// Where it was to go.
        topic: String,
        /// Its size.
        size: usize,
    },
    /// There is no such topic; `carillon topics create` makes them.
    #[error("there is no topic {0}; run `carillon topics create`")]
    NoTopic(String),
    /// The configuration cannot work.
    #[error("bus configuration: {0}")]
    Config(String),
    /// Reading or committing has failed for longer than is allowed.
    #[error("the bus stands still")]
    Stalled(#[from] carillon_runtime::Stalled),
    /// The process is ending.
    #[error("the bus is closed")]
    Closed,
    /// The embedded log is open already, in another process as a rule.
    #[error("the embedded log {} is in use by {}: it is for one process; stop that one, or set CARILLON_KAFKA__BROKERS", .log.display(), other(*.process))]
    InUse {
        /// The log.
        log: std::path::PathBuf,
        /// The process that uses it, if it is known.
        process: Option<u32>,
    },
    /// The embedded log's file cannot be used.
    #[error("the embedded log failed")]
    Log(#[source] sqlx::Error),
    /// The Kafka client failed in a way that trying again does not mend.
    #[error("the Kafka client failed")]
    Kafka(#[source] rdkafka::error::KafkaError),
}

impl BusError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Revoked | Self::Unavailable(_) | Self::Disk(_) => true,
            Self::Log(error) => matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)),
            Self::TooLarge { .. }
            | Self::InUse { .. }
            | Self::NoTopic(_)
            | Self::Config(_)
            | Self::Closed
            | Self::Stalled(_)
            | Self::Kafka(_) => false,
        }
    }
}

impl From<sqlx::Error> for BusError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error)
    }
}

/// Another process, in a sentence.
fn other(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("another carillon (process {process})"),
        None => "another process".to_owned(),
    }
}
