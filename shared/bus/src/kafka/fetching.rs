//! Detects a client that does not read one of its assigned partitions although the brokers answer.
//!
//! librdkafka starts a partition in several steps, such as asking for its committed offset and checking its leader's
//! epoch. A broker's refusal of some of these steps stops the partition for good
//! ([librdkafka#5586](https://github.com/confluentinc/librdkafka/issues/5586),
//! [#4492](https://github.com/confluentinc/librdkafka/issues/4492)). The client reports nothing, keeps its partitions
//! and reads none of their records until it is replaced by a new client.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::record::Partition;

/// The time for which a client may leave a partition unread. It exceeds the longest time of a transaction, because the
/// committed offsets are unknown while a transaction is open.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The longest time for which a client may leave a partition unread. If the new client stands still too, the next one
/// gets twice the time, so that a group does not rebalance constantly while new clients do not help.
const LONGEST_PATIENCE: Duration = Duration::from_mins(5);
/// The least number of consecutive reports with an unread partition. A single report is not enough: it may be old, if
/// the process was frozen.
const ENOUGH: u32 = 5;

/// Watches whether a client reads its partitions, by its statistics reports.
#[derive(Debug)]
pub(super) struct Fetching {
    /// The patience with a client whose predecessor read its partitions.
    first: Duration,
    /// The patience with this client.
    patience: Duration,
    state: Mutex<State>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self::new(PATIENCE)
    }
}

#[derive(Debug, Default)]
struct State {
    /// The present run of consecutive reports with an unread partition.
    unread: Option<Unread>,
    /// Whether the client has ever read all its partitions.
    has_read: bool,
    stands: bool,
}

#[derive(Debug)]
struct Unread {
    since: Instant,
    reports: u32,
}

impl Fetching {
    /// A watch over the first client of a member.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            first: patience,
            patience,
            state: Mutex::default(),
        }
    }

    /// A watch over the client that replaces this one.
    pub(super) fn of_the_next(&self) -> Self {
        let state = self.state.lock();
        let patience = if state.stands && !state.has_read {
            (self.patience * 2).min(LONGEST_PATIENCE)
        } else {
            self.first
        };
        Self {
            patience,
            ..Self::new(self.first)
        }
    }

    /// Evaluates a report. `owned` are the partitions that are assigned to the client.
    pub(super) fn report<'a>(
        &self,
        statistics: &[u8],
        owned: impl IntoIterator<Item = &'a Partition>,
        now: Instant,
    ) {
        let mut owned = owned.into_iter().peekable();
        if owned.peek().is_none() {
            return self.assigned();
        }
        let Ok(report) = serde_json::from_slice::<Report>(statistics) else {
            return;
        };
        let mut state = self.state.lock();
        if !owned.any(|partition| report.leaves_unread(partition)) {
            state.has_read |= report.group.is_up();
            state.unread = None;
            return;
        }
        let unread = state.unread.get_or_insert(Unread {
            since: now,
            reports: 0,
        });
        unread.reports += 1;
        let is_over = unread.reports >= ENOUGH && now - unread.since >= self.patience;
        state.stands |= is_over;
    }

    /// Begins a new wait, because partitions were assigned now.
    pub(super) fn assigned(&self) {
        self.state.lock().unread = None;
    }

    /// Declares that the client stands still.
    #[cfg(test)]
    pub(super) fn declare_still(&self) {
        self.state.lock().stands = true;
    }

    /// Whether the client stands still and has to be replaced.
    pub(super) fn stands(&self) -> bool {
        self.state.lock().stands
    }
}

/// The parts of librdkafka's statistics that tell whether partitions are read.
#[derive(Deserialize)]
struct Report {
    brokers: HashMap<String, Broker>,
    topics: HashMap<String, Topic>,
    #[serde(rename = "cgrp", default)]
    group: Group,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    state: String,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<String, TopicPartition>,
}

#[derive(Deserialize)]
struct TopicPartition {
    leader: i32,
    fetch_state: String,
}

/// The state of the connection to the group's coordinator.
#[derive(Deserialize, Default)]
struct Group {
    state: String,
}

impl Group {
    fn is_up(&self) -> bool {
        self.state == "up"
    }
}

impl Report {
    /// Whether the partition is not read, although its leader and the group's coordinator answer. A paused partition counts
    /// as read.
    fn leaves_unread(&self, partition: &Partition) -> bool {
        let topic = self.topics.get(&*partition.topic);
        let reported = topic.and_then(|topic| topic.partitions.get(&partition.index.to_string()));
        reported.is_some_and(|reported| {
            reported.fetch_state != "active" && self.group.is_up() && self.is_up(reported.leader)
        })
    }

    fn is_up(&self, node: i32) -> bool {
        self.brokers
            .values()
            .any(|broker| broker.nodeid == node && broker.state == "UP")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32) -> Partition {
        Partition {
            topic: "t".into(),
            index,
        }
    }

    /// A report of a client with two partitions.
    fn report(second: &str, broker: &str, group: &str) -> Vec<u8> {
        format!(
            r#"{{"brokers":{{"a:1/1":{{"nodeid":1,"state":"{broker}","more":[1]}}}},"cgrp":{{"state":"{group}"}},
            "topics":{{"t":{{"partitions":{{"0":{{"leader":1,"fetch_state":"active"}},
            "1":{{"leader":1,"fetch_state":"{second}"}},"-1":{{"leader":-1,"fetch_state":"none"}}}}}}}}}}"#
        )
        .into_bytes()
    }

    /// The number of seconds after which a client that sends this report every two seconds counts as standing still.
    fn stands_after(fetching: &Fetching, report: &[u8], owned: &[Partition]) -> Option<u64> {
        let start = Instant::now();
        (0..300).map(|tick| tick * 2).find(|second| {
            fetching.report(report, owned, start + Duration::from_secs(*second));
            fetching.stands()
        })
    }

    #[test]
    fn a_client_that_leaves_a_partition_unread_for_twenty_seconds_stands_still() {
        let both = [partition(0), partition(1)];
        for state in ["none", "offset-query", "validate-epoch-wait", "stopped"] {
            let report = report(state, "UP", "up");
            assert_eq!(
                stands_after(&Fetching::default(), &report, &both),
                Some(20),
                "{state}"
            );
        }
    }

    #[test]
    fn a_client_whose_brokers_are_away_or_whose_partitions_are_read_does_not_stand_still() {
        let both = [partition(0), partition(1)];
        for (report, owned) in [
            (report("none", "CONNECT", "up"), &both[..]),
            (report("none", "UP", "query-coord"), &both),
            (report("active", "UP", "up"), &both),
            (report("none", "UP", "up"), &both[..1]),
            (b"no report".to_vec(), &both),
        ] {
            assert_eq!(stands_after(&Fetching::default(), &report, owned), None);
        }
    }

    #[test]
    fn a_new_client_waits_longer_until_one_has_read_its_partitions() {
        let both = [partition(0), partition(1)];
        let (bad, good) = (report("none", "UP", "up"), report("active", "UP", "up"));
        let mut fetching = Fetching::default();
        for seconds in [20, 40, 80, 160, 300, 300] {
            assert_eq!(stands_after(&fetching, &bad, &both), Some(seconds));
            fetching = fetching.of_the_next();
        }
        fetching.report(&good, &both, Instant::now());
        assert_eq!(stands_after(&fetching, &bad, &both), Some(300));
        fetching = fetching.of_the_next();
        assert_eq!(stands_after(&fetching, &bad, &both), Some(20));
        let replaced_for_another_reason = fetching.of_the_next().of_the_next();
        assert_eq!(stands_after(&replaced_for_another_reason, &bad, &both), Some(20));
    }

    #[test]
    fn an_assignment_and_a_partition_that_is_read_again_begin_a_new_wait() {
        let both = [partition(0), partition(1)];
        let (bad, good) = (report("none", "UP", "up"), report("active", "UP", "up"));
        let (fetching, start) = (Fetching::default(), Instant::now());
        let look = |second, statistics: &[u8]| {
            fetching.report(statistics, &both, start + Duration::from_secs(second));
            fetching.stands()
        };
        for second in [0, 6, 12, 18] {
            assert!(!look(second, &bad));
        }
        assert!(!look(22, &good));
        assert!(!look(24, &bad));
        for second in [30, 36, 42] {
            assert!(!look(second, &bad));
        }
        assert!(look(44, &bad));
        let fetching = Fetching::default();
        for second in 0..100 {
            fetching.assigned();
            fetching.report(&bad, &both, start + Duration::from_secs(second));
        }
        assert!(!fetching.stands());
    }
}
