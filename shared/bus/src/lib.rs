//! The bus: topics, producers, consumers, retry tiers and dead letters, on Apache Kafka or on the embedded log. The
//! only user of rdkafka.

mod batch;
mod config;
pub mod dead_letter;
mod embedded;
mod error;
pub mod headers;
mod kafka;
mod lag;
mod ledger;
mod member;
mod meter;
mod parallel;
mod record;
mod refused;
pub mod replay;
mod report;
pub mod retry;
mod topics;

use std::{sync::Arc, time::Duration};

use carillon_domain::{clock::SharedClock, retry::RetryPolicy};
use carillon_runtime::Shutdown;

pub use batch::{Batch, BatchConsumer, BatchLimits};
pub use config::{Backend, BusConfig, EmbeddedConfig, KafkaConfig, SaslMechanism, Security};
pub use dead_letter::Queue;
pub use error::BusError;
pub use headers::Headers;
pub use lag::{CrowdedTopic, TopicLag};
pub use parallel::{Handler, Inbound, PANICS, ParallelOptions};
pub use record::{OutRecord, Partition, Position, Record, Unreadable};
pub use refused::Refused;
pub use topics::{
    BadTopicSetting, MAX_MESSAGE_BYTES, TopicException, TopicKind, TopicSettings, TopicSpec, Topics,
};

use crate::{
    member::Member,
    meter::{Metered, Unfinished, Work, Written},
};

/// The topics that a consumer group reads. It starts at the earliest record of a partition on which the group has
/// committed no offset.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The group's name. Members of one group share the partitions.
    pub group: String,
    /// Topics, with their prefix.
    pub topics: Vec<Arc<str>>,
}

/// A handle to the bus; clones share everything.
#[derive(Clone)]
pub struct Bus {
    backend: Handle,
    topics: Arc<Topics>,
    retry: Arc<RetryPolicy>,
    clock: SharedClock,
    stuck_after: Duration,
    written: Arc<Written>,
    unfinished: Arc<Unfinished>,
}

/// The default time after which a group that has waiting records and commits none is called stuck.
pub const STUCK_AFTER: Duration = Duration::from_mins(1);

#[derive(Clone)]
enum Handle {
    Kafka(Arc<kafka::Kafka>),
    Embedded(Arc<embedded::EmbeddedLog>),
}

impl Handle {
    fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Embedded(_) => "embedded",
        }
    }
}

impl Bus {
    /// Checks the settings without connecting or opening anything.
    pub fn check_settings(config: &BusConfig) -> Result<(), BusError> {
        match &config.backend {
            Backend::Kafka(kafka) => kafka::check(kafka),
            Backend::Embedded(_) => Ok(()),
        }
    }

    /// Connects to Kafka, which need not answer yet, or opens the embedded log.
    pub async fn connect(config: BusConfig, clock: SharedClock) -> Result<Self, BusError> {
        let topics = Topics::new(&config.prefix, config.retry.tiers(), &config.topics);
        let topics = Arc::new(topics.with_sources(&config.sources, &config.topics));
        let backend = match &config.backend {
            Backend::Kafka(kafka) => Handle::Kafka(Arc::new(kafka::Kafka::connect(kafka)?)),
            Backend::Embedded(embedded) => Handle::Embedded(
                embedded::EmbeddedLog::open(&embedded.path, &topics, Arc::clone(&clock)).await?,
            ),
        };
        Ok(Self {
            written: Arc::new(Written::new(backend.name(), &topics)),
            unfinished: Arc::default(),
            backend,
            topics,
            retry: Arc::new(config.retry),
            clock,
            stuck_after: STUCK_AFTER,
        })
    }

    /// The topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Tiers and attempts.
    #[must_use]
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.retry
    }

    /// `kafka` or `embedded`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// Creates the topics that do not exist yet, and returns their names.
    pub async fn create_topics(&self) -> Result<Vec<Arc<str>>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.create_topics(self.topics.all()).await,
            // The embedded log creates its topics when it is opened.
            Handle::Embedded(_) => Ok(Vec::new()),
        }
    }

    /// Creates the topics of the sources. Only for tests: the system that writes a source creates its topic.
    pub async fn create_sources(&self) -> Result<(), BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.create_topics(self.topics.sources()).await.map(drop),
            Handle::Embedded(_) => Ok(()),
        }
    }

    /// Deletes the topics with their records, and the groups that are named after the prefix. Only for the topics of
    /// a test. (The embedded log is deleted with its file.)
    pub async fn delete_topics(&self) -> Result<(), BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => {
                let events = self.topics.events(carillon_domain::Lane::Normal);
                let prefix = events.trim_end_matches("events").to_owned();
                let all = [self.topics.all(), self.topics.sources()].concat();
                kafka.delete_topics(&all, prefix).await
            }
            Handle::Embedded(_) => Ok(()),
        }
    }

    /// Checks that the bus answers and has our topics.
    pub async fn check(&self) -> Result<(), BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.check(self.topics.all()).await,
            Handle::Embedded(log) => log.check().await,
        }
    }

    /// Writes records; all are durable on return, in order for each key. After an error some may have been written:
    /// writing all of them again is safe where duplicates do no harm. Each record gets the current span's trace
    /// context.
    pub async fn publish(&self, mut records: Vec<OutRecord>) -> Result<Vec<Position>, BusError> {
        stamp(&mut records);
        self.written.sending(&records);
        let since = tokio::time::Instant::now();
        let published = match &self.backend {
            Handle::Kafka(kafka) => kafka.publish(records).await,
            Handle::Embedded(log) => log.publish(records).await,
        };
        self.written.published(since, &published);
        published
    }

    /// Joins a consumer group to process records batch by batch.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<BatchConsumer, BusError> {
        let group = &subscription.group;
        let work = Work::new(self.backend.name(), group);
        Ok(BatchConsumer::new(self.join(subscription)?, group, work))
    }

    /// Joins a consumer group to process many records at once, and runs until the shutdown; see [`Handler`].
    pub async fn run_parallel(
        &self,
        subscription: &Subscription,
        options: ParallelOptions,
        handler: Arc<dyn Handler>,
        shutdown: Shutdown,
    ) -> Result<(), BusError> {
        let member = self.join(subscription)?;
        let context = parallel::Context {
            group: Arc::from(subscription.group.as_str()),
            topics: Arc::clone(&self.topics),
            clock: Arc::clone(&self.clock),
            options,
            work: Work::new(self.backend.name(), &subscription.group),
        };
        parallel::run(member, context, handler, shutdown).await
    }

    fn join(&self, subscription: &Subscription) -> Result<Box<dyn Member>, BusError> {
        let member = match &self.backend {
            Handle::Kafka(kafka) => {
                // Status consumers are not latency-critical; they fetch larger batches.
                let is_status = |topic: &Arc<str>| self.topics().kind_of(topic) == Some(TopicKind::Status);
                let gathers = subscription.topics.iter().all(is_status);
                kafka.join(&subscription.group, &subscription.topics, gathers)?
            }
            Handle::Embedded(log) => log.join(&subscription.group, &subscription.topics)?,
        };
        Ok(Box::new(Metered::new(
            member,
            &subscription.group,
            &subscription.topics,
            &self.written,
            &self.unfinished,
        )))
    }

    /// A group's lag by topic.
    pub async fn lag(&self, group: &str) -> Result<Vec<TopicLag>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.lag(group, &self.topics).await,
            Handle::Embedded(log) => log.lag(group).await,
        }
    }

    /// The crowded subscriptions of a group; see [`CrowdedTopic`]. While a group rebalances, its members are not known,
    /// and none is returned.
    pub async fn crowds(&self, group: &str) -> Result<Vec<CrowdedTopic>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.crowds(group).await,
            Handle::Embedded(log) => Ok(log.crowds(group)),
        }
    }

    /// Sets the time after which a group that has waiting records and commits none is called stuck.
    #[must_use]
    pub fn with_stuck_after(self, stuck_after: Duration) -> Self {
        Self { stuck_after, ..self }
    }
}

/// Adds the current trace context to records that have none.
fn stamp(records: &mut [OutRecord]) {
    let Some(traceparent) = carillon_runtime::telemetry::current_traceparent() else {
        return;
    };
    let traceparent = bytes::Bytes::from(traceparent);
    for record in records {
        if record.headers.get(headers::TRACEPARENT).is_none() {
            record.headers.push(headers::TRACEPARENT, traceparent.clone());
        }
    }
}
