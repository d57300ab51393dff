//! The errors of the bus.

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The batch's partitions belong to another member now. The caller rewinds and reads on.
    #[error("the partitions were revoked before the commit")]
    Revoked,
    /// The brokers do not answer in time. The same call may succeed later.
    #[error("the bus does not answer: {0}")]
    Unavailable(String),
    /// The embedded log takes no writes: its disk has no room or fails, or another process holds its lock. Writes
    /// succeed again once that is over.
    #[error("the embedded log takes no writes: {0}")]
    Disk(&'static str),
    /// A record is larger than the bus takes.
    #[error("a record of {size} bytes is too large for {topic}")]
    TooLarge {
        /// The topic that it was meant for.
        topic: String,
        /// Its size in bytes.
        size: usize,
    },
    /// The topic does not exist; `carillon topics create` creates it.
    #[error("there is no topic {0}; run `carillon topics create`")]
    NoTopic(String),
    /// The configuration is invalid. The text begins with the setting.
    #[error("{0}")]
    Config(String),
    /// Reading or committing has failed for longer than is allowed.
    #[error("the bus makes no progress")]
    Stalled(#[from] carillon_runtime::Stalled),
    /// The process is ending.
    #[error("the bus is closed")]
    Closed,
    /// The embedded log is open already, usually in another process.
    #[error("the embedded log {} is in use by {}: it is for one process; stop that one, or set CARILLON_KAFKA__BROKERS", .log.display(), other(*.process))]
    InUse {
        /// The log.
        log: std::path::PathBuf,
        /// The id of the process that uses it, if known.
        process: Option<u32>,
    },
    /// The embedded log's file cannot be used.
    #[error("the embedded log failed")]
    Log(#[source] sqlx::Error),
    /// The Kafka client failed for good: another try does not help.
    #[error("the Kafka client failed")]
    Kafka(#[source] rdkafka::error::KafkaError),
}

impl BusError {
    /// The kind of the error, as metrics name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Unavailable(_) => "unavailable",
            Self::Disk(_) => "disk",
            Self::TooLarge { .. } => "too_large",
            Self::NoTopic(_) => "no_topic",
            Self::Config(_) => "config",
            Self::Stalled(_) => "stalled",
            Self::Closed => "closed",
            Self::InUse { .. } => "in_use",
            Self::Log(_) => "log",
            Self::Kafka(_) => "kafka",
        }
    }

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

/// Names the other process in an error text.
fn other(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("another carillon (process {process})"),
        None => "another process".to_owned(),
    }
}
