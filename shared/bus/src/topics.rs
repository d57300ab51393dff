//! The list of all topics.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use carillon_domain::{Channel, Lane, field_error::quoted, retry::RetryPolicy};
use carillon_runtime::config::{duration, number};
use serde::{Deserialize, Serialize};

/// The purpose of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// Events to be decided.
    Events(Lane),
    /// Deliveries to be sent.
    Channel(Channel, Lane),
    /// Deliveries that wait for another attempt; `bulk` has its own set, high and normal share one.
    Retry {
        /// Their channel.
        channel: Channel,
        /// Whether this is the set of the bulk lane.
        bulk: bool,
        /// The longest wait of a record in this topic.
        tier: Duration,
    },
    /// Deliveries that could not be sent.
    DeadLetters(Channel),
    /// Events that could not be read.
    EventDeadLetters,
    /// Work that waits for its time.
    Scheduled,
    /// Statuses: decisions, and states of deliveries.
    Status,
    /// Records of another system, which become events. Not one of our topics: Carillon neither creates it nor needs it.
    Source,
}

/// Settings of all topics, with exceptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicSettings {
    /// Partitions of the topics with high load (events, channels, status).
    #[serde(deserialize_with = "number::between::<_, _, 1, 10_000>")]
    pub partitions: u32,
    /// Partitions of retry tiers, dead letters and scheduled work.
    #[serde(deserialize_with = "number::between::<_, _, 1, 10_000>")]
    pub side_partitions: u32,
    /// Replicas of each partition (Kafka only).
    #[serde(deserialize_with = "number::between::<_, _, 1, 100>")]
    pub replication: u32,
    /// Replicas that have to have a record before it counts as written (Kafka only).
    #[serde(deserialize_with = "number::between::<_, _, 1, 100>")]
    pub min_insync_replicas: u32,
    /// Retention of events, deliveries and retries.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_153_600_000_000>",
        serialize_with = "duration::serialize"
    )]
    pub retention: Duration,
    /// Retention of statuses and dead letters. A rebuild of the read model reaches back this far.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_153_600_000_000>",
        serialize_with = "duration::serialize"
    )]
    pub long_retention: Duration,
    /// Exceptions by the topic's name without its prefix, such as `email.bulk`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, TopicException>,
}

/// Settings of one topic that differ from the others'. Unset fields follow [`TopicSettings`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicException {
    /// Partitions.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 10_000>",
        skip_serializing_if = "Option::is_none"
    )]
    pub partitions: Option<u32>,
    /// Replicas of each partition.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 100>",
        skip_serializing_if = "Option::is_none"
    )]
    pub replication: Option<u32>,
    /// Replicas that have to have a record before it counts as written.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 100>",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_insync_replicas: Option<u32>,
    /// Retention.
    #[serde(
        deserialize_with = "duration::between_or_none::<_, 1_000, 3_153_600_000_000>",
        serialize_with = "duration::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub retention: Option<Duration>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            partitions: 6,
            side_partitions: 2,
            replication: 1,
            min_insync_replicas: 1,
            retention: Duration::from_hours(7 * 24),
            long_retention: Duration::from_hours(30 * 24),
            topics: BTreeMap::new(),
        }
    }
}

/// A setting that cannot work: its key within `[bus.topics]`, and the expected value.
pub type BadTopicSetting = (String, String);

impl TopicSettings {
    /// Checks that the settings fit each other and the retry tiers. Returns the mistakes.
    #[must_use]
    pub fn validate(&self, tiers: &[Duration]) -> Vec<BadTopicSetting> {
        let mut mistakes = Vec::new();
        let topics = Topics::new("", tiers, self);
        let known = |name: &str| {
            topics
                .specs
                .iter()
                .any(|spec| spec.name.strip_prefix('.') == Some(name))
        };
        for name in self.topics.keys().filter(|name| !known(name)) {
            let expected = format!(
                "expected names of topics without their prefix, such as email.bulk, not {}",
                quoted(name)
            );
            mistakes.push(("topics".to_owned(), expected));
        }
        for spec in &topics.specs {
            let name = spec.name.strip_prefix('.').unwrap_or_default();
            let key = |setting: &str| match self.topics.get(name) {
                Some(_) => format!("topics.{name}.{setting}"),
                None => setting.to_owned(),
            };
            if spec.min_insync_replicas > spec.replication {
                let expected = format!(
                    "expected no more than {}, which is the replication, not {}",
                    spec.replication, spec.min_insync_replicas
                );
                mistakes.push((key("min_insync_replicas"), expected));
            }
            if let TopicKind::Retry { tier, .. } = spec.kind
                && tier >= spec.retention
            {
                let expected = format!(
                    "expected more than the longest of retry.tiers ({}), whose records would be deleted before they are due, not {}",
                    duration::text(tier),
                    duration::text(spec.retention)
                );
                mistakes.push((key("retention"), expected));
            }
        }
        // Topics without settings of their own share a mistake.
        let mut seen = HashSet::new();
        mistakes.retain(|mistake| seen.insert(mistake.clone()));
        mistakes
    }
}

/// The size limit in bytes of records in topics to which only Carillon writes, and of all producers. Events topics
/// have the brokers' limit (1,048,588 unless configured otherwise), so that each event that was read can become
/// deliveries and dead letters.
pub const MAX_MESSAGE_BYTES: u32 = 4 * 1024 * 1024;

/// The settings of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name, with the prefix.
    pub name: Arc<str>,
    /// Purpose.
    pub kind: TopicKind,
    /// Number of partitions.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication: u32,
    /// Replicas that have to have a record before it counts as written.
    pub min_insync_replicas: u32,
    /// Retention.
    pub retention: Duration,
    /// Size limit of a record in bytes (Kafka only); `None`: the brokers' limit.
    pub max_message_bytes: Option<u32>,
}

/// The names and settings of all topics of one prefix.
#[derive(Debug)]
pub struct Topics {
    prefix: Arc<str>,
    specs: Vec<TopicSpec>,
    by_name: BTreeMap<Arc<str>, usize>,
    tiers: Vec<Duration>,
    sources: Vec<TopicSpec>,
}

impl Topics {
    /// Builds the list for a prefix (`notifications`) and retry tiers.
    #[must_use]
    pub fn new(prefix: &str, tiers: &[Duration], settings: &TopicSettings) -> Self {
        let mut kinds: Vec<TopicKind> = Lane::ALL.into_iter().map(TopicKind::Events).collect();
        for channel in Channel::ALL {
            kinds.extend(
                Lane::ALL
                    .into_iter()
                    .map(|lane| TopicKind::Channel(channel, lane)),
            );
            for bulk in [false, true] {
                kinds.extend(tiers.iter().map(|tier| TopicKind::Retry {
                    channel,
                    bulk,
                    tier: *tier,
                }));
            }
            kinds.push(TopicKind::DeadLetters(channel));
        }
        kinds.extend([
            TopicKind::EventDeadLetters,
            TopicKind::Scheduled,
            TopicKind::Status,
        ]);
        let specs: Vec<_> = kinds
            .into_iter()
            .map(|kind| spec(prefix, kind, settings))
            .collect();
        let by_name = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| (Arc::clone(&spec.name), index))
            .collect();
        Self {
            prefix: Arc::from(prefix),
            specs,
            by_name,
            tiers: tiers.to_vec(),
            sources: Vec::new(),
        }
    }

    /// Adds topics of other systems that are read. Their settings are used where Carillon creates them itself: in the
    /// embedded log, and in tests.
    #[must_use]
    pub fn with_sources(self, names: &[String], settings: &TopicSettings) -> Self {
        let spec = |name: &String| TopicSpec {
            name: Arc::from(name.as_str()),
            kind: TopicKind::Source,
            partitions: settings.side_partitions,
            replication: settings.replication,
            min_insync_replicas: settings.min_insync_replicas,
            retention: settings.retention,
            max_message_bytes: None,
        };
        Self {
            sources: names.iter().map(spec).collect(),
            ..self
        }
    }

    /// The topics of other systems that are read.
    #[must_use]
    pub fn sources(&self) -> &[TopicSpec] {
        &self.sources
    }

    /// The prefix of the names, without the dot.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All topics.
    #[must_use]
    pub fn all(&self) -> &[TopicSpec] {
        &self.specs
    }

    /// The purpose of a topic; `None` if it is not one of ours, nor a source.
    #[must_use]
    pub fn kind_of(&self, name: &str) -> Option<TopicKind> {
        match self.by_name.get(name) {
            Some(index) => Some(self.specs[*index].kind),
            None => self
                .sources
                .iter()
                .find(|spec| &*spec.name == name)
                .map(|spec| spec.kind),
        }
    }

    /// The name of a consumer group: `router` → `notifications.router`.
    #[must_use]
    pub fn group(&self, role: &str) -> String {
        format!("{}.{role}", self.prefix)
    }

    /// The name of the consumer group that reads a source. Each source has its own, so that one that cannot be read does not
    /// keep the others waiting.
    #[must_use]
    pub fn source_group(&self, topic: &str) -> String {
        self.group(&format!("source.{topic}"))
    }

    /// The events topic of a lane.
    #[must_use]
    pub fn events(&self, lane: Lane) -> Arc<str> {
        self.name(TopicKind::Events(lane))
    }

    /// The deliveries topic of a channel and lane.
    #[must_use]
    pub fn channel(&self, channel: Channel, lane: Lane) -> Arc<str> {
        self.name(TopicKind::Channel(channel, lane))
    }

    /// The topic of one retry tier. The high and normal lanes share it.
    #[must_use]
    pub fn retry(&self, channel: Channel, lane: Lane, tier: Duration) -> Arc<str> {
        self.name(TopicKind::Retry {
            channel,
            bulk: lane == Lane::Bulk,
            tier,
        })
    }

    /// The topics of all retry tiers that serve a lane.
    #[must_use]
    pub fn retries(&self, channel: Channel, lane: Lane) -> Vec<Arc<str>> {
        self.tiers
            .iter()
            .map(|tier| self.retry(channel, lane, *tier))
            .collect()
    }

    /// The dead letter topic of a channel.
    #[must_use]
    pub fn dlq(&self, channel: Channel) -> Arc<str> {
        self.name(TopicKind::DeadLetters(channel))
    }

    /// The dead letter topic of the events topics.
    #[must_use]
    pub fn events_dlq(&self) -> Arc<str> {
        self.name(TopicKind::EventDeadLetters)
    }

    /// All dead letter topics.
    #[must_use]
    pub fn dlqs(&self) -> Vec<Arc<str>> {
        Channel::ALL
            .into_iter()
            .map(|channel| self.dlq(channel))
            .chain([self.events_dlq()])
            .collect()
    }

    /// The topic of work that waits for its time.
    #[must_use]
    pub fn scheduled(&self) -> Arc<str> {
        self.name(TopicKind::Scheduled)
    }

    /// The status topic.
    #[must_use]
    pub fn status(&self) -> Arc<str> {
        self.name(TopicKind::Status)
    }

    #[expect(
        clippy::expect_used,
        reason = "`new` makes every kind that the methods above ask for"
    )]
    fn name(&self, kind: TopicKind) -> Arc<str> {
        let spec = self.specs.iter().find(|spec| spec.kind == kind);
        Arc::clone(&spec.expect("every kind is in the list").name)
    }
}

fn short_name(kind: TopicKind) -> String {
    match kind {
        TopicKind::Events(lane) => format!("events{}", lane.topic_suffix()),
        TopicKind::Channel(channel, lane) => format!("{channel}{}", lane.topic_suffix()),
        TopicKind::Retry { channel, bulk, tier } => {
            format!(
                "{channel}{}.retry.{}",
                if bulk { ".bulk" } else { "" },
                RetryPolicy::tier_name(tier)
            )
        }
        TopicKind::DeadLetters(channel) => format!("{channel}.dlq"),
        TopicKind::EventDeadLetters => "events.dlq".to_owned(),
        TopicKind::Scheduled => "scheduled".to_owned(),
        TopicKind::Status => "status".to_owned(),
        TopicKind::Source => "source".to_owned(),
    }
}

fn spec(prefix: &str, kind: TopicKind, settings: &TopicSettings) -> TopicSpec {
    let short = short_name(kind);
    let (partitions, retention) = match kind {
        TopicKind::Events(_) | TopicKind::Channel(..) => (settings.partitions, settings.retention),
        TopicKind::Status => (settings.partitions, settings.long_retention),
        TopicKind::Retry { .. } => (settings.side_partitions, settings.retention),
        TopicKind::DeadLetters(_)
        | TopicKind::EventDeadLetters
        | TopicKind::Scheduled
        | TopicKind::Source => (settings.side_partitions, settings.long_retention),
    };
    let exception = settings.topics.get(&short).cloned().unwrap_or_default();
    TopicSpec {
        name: Arc::from(format!("{prefix}.{short}")),
        kind,
        partitions: exception.partitions.unwrap_or(partitions),
        replication: exception.replication.unwrap_or(settings.replication),
        min_insync_replicas: exception
            .min_insync_replicas
            .unwrap_or(settings.min_insync_replicas),
        retention: exception.retention.unwrap_or(retention),
        max_message_bytes: (!matches!(kind, TopicKind::Events(_))).then_some(MAX_MESSAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_topics_and_groups_are_frozen() {
        let tiers = [Duration::from_secs(5), Duration::from_mins(1)];
        let exception = TopicException {
            partitions: Some(12),
            ..TopicException::default()
        };
        let settings = TopicSettings {
            topics: [("email.bulk".to_owned(), exception)].into(),
            ..TopicSettings::default()
        };
        let topics = Topics::new("notifications", &tiers, &settings);
        assert_eq!(&*topics.events(Lane::High), "notifications.events.high");
        assert_eq!(&*topics.channel(Channel::Sms, Lane::Normal), "notifications.sms");
        assert_eq!(
            &*topics.retry(Channel::Sms, Lane::High, tiers[1]),
            "notifications.sms.retry.1m"
        );
        assert_eq!(
            &*topics.retry(Channel::Push, Lane::Bulk, tiers[0]),
            "notifications.push.bulk.retry.5s"
        );
        assert_eq!(&*topics.dlq(Channel::Email), "notifications.email.dlq");
        assert_eq!(&*topics.events_dlq(), "notifications.events.dlq");
        assert_eq!(topics.group("router"), "notifications.router");
        assert_eq!(
            topics.kind_of("notifications.email.bulk"),
            Some(TopicKind::Channel(Channel::Email, Lane::Bulk))
        );
        assert_eq!(topics.kind_of("notifications.other"), None);
        let bulk = topics
            .all()
            .iter()
            .find(|spec| &*spec.name == "notifications.email.bulk")
            .unwrap();
        assert_eq!(bulk.partitions, 12);
        let names: std::collections::BTreeSet<_> = topics.all().iter().map(|spec| &spec.name).collect();
        assert_eq!(names.len(), topics.all().len());
    }
}
