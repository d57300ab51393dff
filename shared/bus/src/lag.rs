//! The lag of a consumer group, whether it moves, and whether members have no work.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

/// A group's lag on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLag {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Records that are written and not yet committed by the group.
    pub records: i64,
    /// The sum of the partitions' committed offsets. It changes whenever the group commits.
    pub committed: i64,
}

/// A subscription that has more members in a group than each of its topics has partitions, so that some members receive
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrowdedTopic {
    /// The topic of the subscription that has the most partitions.
    pub topic: Arc<str>,
    /// Members that subscribe to it.
    pub members: usize,
    /// Its partitions. Each has one reader, so the other members receive nothing from it.
    pub partitions: usize,
}

/// The crowded subscriptions of a group. `subscriptions` has the topics of each member; `partitions` returns the number
/// of a topic's partitions.
pub(crate) fn crowds<E>(
    subscriptions: impl IntoIterator<Item = Vec<Arc<str>>>,
    mut partitions: impl FnMut(&str) -> Result<usize, E>,
) -> Result<Vec<CrowdedTopic>, E> {
    let mut shared: BTreeMap<Vec<Arc<str>>, usize> = BTreeMap::new();
    for mut topics in subscriptions {
        topics.sort_unstable();
        *shared.entry(topics).or_default() += 1;
    }
    let mut crowds = Vec::new();
    for (topics, members) in shared {
        let mut largest: Option<CrowdedTopic> = None;
        for topic in topics {
            let partitions = partitions(&topic)?;
            if largest.as_ref().is_none_or(|known| known.partitions < partitions) {
                largest = Some(CrowdedTopic {
                    topic,
                    members,
                    partitions,
                });
            }
        }
        crowds.extend(largest.filter(|crowd| crowd.members > crowd.partitions));
    }
    Ok(crowds)
}

/// A topic on which records wait and the group has not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Still {
    pub(crate) topic: Arc<str>,
    pub(crate) records: i64,
    pub(crate) lasted: Duration,
}

/// Compares a group's committed offsets from one observation to the next.
#[derive(Debug, Default)]
pub(crate) struct Movement(HashMap<Arc<str>, (i64, Instant)>);

impl Movement {
    /// Evaluates one observation. Returns the topics on which records wait and the group has not moved, each with the
    /// time since its last move.
    pub(crate) fn observe(&mut self, lags: &[TopicLag], now: Instant) -> Vec<Still> {
        let mut all = Vec::new();
        for lag in lags {
            if lag.records == 0 {
                self.0.remove(&lag.topic);
                continue;
            }
            let seen = self
                .0
                .entry(Arc::clone(&lag.topic))
                .or_insert((lag.committed, now));
            if seen.0 != lag.committed {
                *seen = (lag.committed, now);
            }
            all.push(Still {
                topic: Arc::clone(&lag.topic),
                records: lag.records,
                lasted: now - seen.1,
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_subscription_is_crowded_if_its_largest_topic_has_fewer_partitions_than_members() {
        let topics = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        let normal = || vec![topics(&["email", "retry"]), topics(&["retry", "email"])];
        let counted = |members: Vec<Vec<Arc<str>>>| {
            let partitions = |topic: &str| Ok::<_, Infallible>(if topic == "email" { 2 } else { 1 });
            crowds(members, partitions).unwrap()
        };
        assert_eq!(counted(normal()), [], "two members have a partition each");
        let mut members = normal();
        members.push(topics(&["high"]));
        assert_eq!(counted(members.clone()), [], "another lane's");
        members.push(topics(&["email", "retry"]));
        let crowd = CrowdedTopic {
            topic: "email".into(),
            members: 3,
            partitions: 2,
        };
        assert_eq!(counted(members), [crowd]);
    }

    #[test]
    fn a_group_stands_still_on_topics_with_waiting_records_and_no_commit() {
        let lag = |records, committed| TopicLag {
            topic: "t".into(),
            records,
            committed,
        };
        let start = Instant::now();
        let mut movement = Movement::default();
        let mut lasted = |seconds, lag| {
            let still = movement.observe(&[lag], start + Duration::from_secs(seconds));
            still.first().map(|still| still.lasted.as_secs())
        };
        assert_eq!(lasted(0, lag(3, 10)), Some(0));
        assert_eq!(lasted(15, lag(5, 10)), Some(15), "more wait, and none is done");
        assert_eq!(lasted(30, lag(5, 11)), Some(0), "one is done");
        assert_eq!(lasted(45, lag(5, 11)), Some(15));
        assert_eq!(lasted(60, lag(0, 16)), None, "nothing waits");
        assert_eq!(lasted(75, lag(1, 16)), Some(0));
    }
}
