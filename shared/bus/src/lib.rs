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
mod parallel;
mod record;
pub mod retry;
mod topics;

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::{clock::SharedClock, retry::RetryPolicy};
use carillon_runtime::{Shutdown, http::ReadySwitch};

pub use batch::{Batch, BatchConsumer, BatchLimits};
pub use config::{Backend, BusConfig, EmbeddedConfig, KafkaConfig, Security};
pub use dead_letter::Queue;
pub use error::BusError;
pub use headers::Headers;
pub use lag::TopicLag;
pub use parallel::{Handler, Inbound, PANICS, ParallelOptions};
pub use record::{OutRecord, Partition, Position, Record, Unreadable};
pub use topics::{MAX_MESSAGE_BYTES, TopicException, TopicKind, TopicSettings, TopicSpec, Topics};

use crate::{lag::Movement, member::Member};

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
}

/// The interval at which a group's lag is measured.
const LOOK_AT_LAG: Duration = Duration::from_secs(15);
/// The default time after which a group that has waiting records and commits none is called stuck.
pub const STUCK_AFTER: Duration = Duration::from_mins(1);

#[derive(Clone)]
enum Handle {
    Kafka(Arc<kafka::Kafka>),
    Embedded(Arc<embedded::EmbeddedLog>),
}

impl Bus {
    /// Connects to Kafka, which need not answer yet, or opens the embedded log.
    pub async fn connect(config: BusConfig, clock: SharedClock) -> Result<Self, BusError> {
        let topics = Arc::new(Topics::new(&config.prefix, config.retry.tiers(), &config.topics));
        let backend = match &config.backend {
            Backend::Kafka(kafka) => Handle::Kafka(Arc::new(kafka::Kafka::connect(kafka)?)),
            Backend::Embedded(embedded) => Handle::Embedded(
                embedded::EmbeddedLog::open(&embedded.path, &topics, Arc::clone(&clock)).await?,
            ),
        };
        Ok(Self {
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
        match &self.backend {
            Handle::Kafka(_) => "kafka",
            Handle::Embedded(_) => "embedded",
        }
    }

    /// Creates the topics that do not exist yet, and returns their names.
    pub async fn create_topics(&self) -> Result<Vec<Arc<str>>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.create_topics(self.topics.all()).await,
            // The embedded log creates its topics when it is opened.
            Handle::Embedded(_) => Ok(Vec::new()),
        }
    }

    /// Deletes the topics with their records, and the groups that are named after the prefix. Only for the topics of
    /// a test. (The embedded log is deleted with its file.)
    pub async fn delete_topics(&self) -> Result<(), BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => {
                let events = self.topics.events(carillon_domain::Lane::Normal);
                let prefix = events.trim_end_matches("events").to_owned();
                kafka.delete_topics(self.topics.all(), prefix).await
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
        match &self.backend {
            Handle::Kafka(kafka) => kafka.publish(records).await,
            Handle::Embedded(log) => log.publish(records).await,
        }
    }

    /// Joins a consumer group to process records batch by batch.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<BatchConsumer, BusError> {
        Ok(BatchConsumer::new(self.join(subscription)?, &subscription.group))
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
        };
        parallel::run(member, context, handler, shutdown).await
    }

    fn join(&self, subscription: &Subscription) -> Result<Box<dyn Member>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => {
                // Status consumers are not latency-critical; they fetch larger batches.
                let is_status = |topic: &Arc<str>| self.topics().place(topic) == Some(TopicKind::Status);
                let gathers = subscription.topics.iter().all(is_status);
                kafka.join(&subscription.group, &subscription.topics, gathers)
            }
            Handle::Embedded(log) => log.join(&subscription.group, &subscription.topics),
        }
    }

    /// A group's lag by topic.
    pub async fn lag(&self, group: &str) -> Result<Vec<TopicLag>, BusError> {
        match &self.backend {
            Handle::Kafka(kafka) => kafka.lag(group, self.topics.all()).await,
            Handle::Embedded(log) => log.lag(group).await,
        }
    }

    /// Keeps the gauges `carillon_consumer_lag{group,topic}` and
    /// `carillon_consumer_stuck_seconds{group,topic}` current until the shutdown. While the group is stuck,
    /// its part of the readiness has a note.
    pub async fn report_lag(&self, group: String, part: ReadySwitch, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(LOOK_AT_LAG.min(self.stuck_after));
        let mut movement = Movement::default();
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = shutdown.soft() => return,
            }
            match self.lag(&group).await {
                Ok(lags) => part.note("lag", self.tell_lag(&group, &lags, &mut movement)),
                Err(error) => tracing::debug!(group, %error, "the lag was not measured"),
            }
        }
    }

    /// Sets the gauges; returns a note if the group is stuck.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn tell_lag(&self, group: &str, lags: &[TopicLag], movement: &mut Movement) -> Option<String> {
        let mut seconds: HashMap<&str, f64> = HashMap::new();
        let mut note = None;
        for still in movement.observe(lags, tokio::time::Instant::now()) {
            // Records of these topics wait for their due time on purpose.
            let waits = matches!(
                self.topics.place(&still.topic),
                Some(TopicKind::Retry { .. } | TopicKind::Scheduled)
            );
            if waits || still.lasted < self.stuck_after {
                continue;
            }
            let lasted = still.lasted.as_secs();
            note = Some(format!(
                "{} records of {} wait, and none has been done for {lasted} s",
                still.records, still.topic
            ));
            let known = lags.iter().find(|lag| lag.topic == still.topic);
            seconds.extend(known.map(|lag| (&*lag.topic, still.lasted.as_secs_f64())));
        }
        for lag in lags {
            let labels = [("group", group.to_owned()), ("topic", lag.topic.to_string())];
            metrics::gauge!("carillon_consumer_lag", &labels).set(lag.records as f64);
            let stuck = seconds.get(&*lag.topic).copied().unwrap_or(0.0);
            metrics::gauge!("carillon_consumer_stuck_seconds", &labels).set(stuck);
        }
        note
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
