//! The age of records that the process has read and not finished.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use carillon_domain::Timestamp;
use parking_lot::Mutex;

use crate::record::{Partition, Record};

/// The records that the members of this process have read and not committed, by group, topic and partition.
///
/// A member reads on until it has as many records in flight as it may. The oldest of these is therefore the oldest
/// waiting record of the partition: records that are not read yet are younger.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Mutex<HashMap<Arc<str>, Topics>>);

type Topics = BTreeMap<Arc<str>, HashMap<i32, Reads>>;

/// A partition's reads that are not committed, oldest first.
#[derive(Debug, Default)]
struct Reads {
    /// The offset and the time of each read's first record.
    firsts: VecDeque<(i64, Timestamp)>,
    /// Behind the last record that was read.
    end: i64,
}

impl Unfinished {
    /// Notes that a member owns these partitions and has read nothing of them yet.
    pub(crate) fn owns(&self, group: &Arc<str>, partitions: &[Partition]) {
        let mut groups = self.0.lock();
        let topics = groups.entry(Arc::clone(group)).or_default();
        for partition in partitions {
            let topic = topics.entry(Arc::clone(&partition.topic)).or_default();
            topic.insert(partition.index, Reads::default());
        }
    }

    /// Notes that the partitions belong to others. Their topics stay, with nothing unfinished.
    pub(crate) fn forget(&self, group: &Arc<str>, partitions: &[Partition]) {
        let mut groups = self.0.lock();
        let Some(topics) = groups.get_mut(group) else {
            return;
        };
        for partition in partitions {
            if let Some(topic) = topics.get_mut(&partition.topic) {
                topic.remove(&partition.index);
            }
        }
    }

    /// Notes records that were read. Those without a time of their own are left out.
    pub(crate) fn read(&self, group: &Arc<str>, records: &[Record]) {
        let mut groups = self.0.lock();
        let Some(topics) = groups.get_mut(group) else {
            return;
        };
        let runs = records.chunk_by(|one, next| (&one.topic, one.partition) == (&next.topic, next.partition));
        for run in runs {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let reads = topics
                .get_mut(&first.topic)
                .and_then(|topic| topic.get_mut(&first.partition));
            let Some(reads) = reads else { continue };
            reads.end = last.offset + 1;
            if first.timestamp > Timestamp::UNIX_EPOCH {
                reads.firsts.push_back((first.offset, first.timestamp));
            }
        }
    }

    /// Notes the next offset of each partition.
    pub(crate) fn committed(&self, group: &Arc<str>, offsets: &[(Partition, i64)]) {
        let mut groups = self.0.lock();
        let Some(topics) = groups.get_mut(group) else {
            return;
        };
        for (partition, next) in offsets {
            let reads = topics
                .get_mut(&partition.topic)
                .and_then(|topic| topic.get_mut(&partition.index));
            let Some(reads) = reads else { continue };
            if *next >= reads.end {
                reads.firsts.clear();
            }
            while reads.firsts.get(1).is_some_and(|(offset, _)| offset <= next) {
                reads.firsts.pop_front();
            }
        }
    }

    /// The time of the oldest unfinished record of each topic; none if everything that was read is done.
    pub(crate) fn oldest(&self, group: &str) -> Vec<(Arc<str>, Option<Timestamp>)> {
        let groups = self.0.lock();
        let Some(topics) = groups.get(group) else {
            return Vec::new();
        };
        topics
            .iter()
            .map(|(topic, partitions)| {
                let firsts = partitions.values().filter_map(|reads| reads.firsts.front());
                (Arc::clone(topic), firsts.map(|(_, time)| *time).min())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn partition(index: i32) -> Partition {
        Partition {
            topic: "t".into(),
            index,
        }
    }

    fn record(partition: i32, offset: i64, second: u64) -> Record {
        Record {
            topic: "t".into(),
            partition,
            offset,
            key: None,
            value: bytes::Bytes::new(),
            headers: crate::Headers::default(),
            timestamp: Timestamp::UNIX_EPOCH + Duration::from_secs(second),
            unreadable: None,
        }
    }

    #[test]
    fn a_queue_is_as_old_as_its_oldest_record_that_is_not_done() {
        let (all, group) = (Unfinished::default(), Arc::from("g"));
        let oldest = || {
            all.oldest("g")
                .into_iter()
                .map(|(_, time)| time.map(|time| time.timestamp()))
                .collect::<Vec<_>>()
        };
        assert!(oldest().is_empty());
        all.owns(&group, &[partition(0), partition(1)]);
        assert_eq!(oldest(), [None]);
        all.read(&group, &[record(0, 5, 100), record(0, 6, 101), record(1, 0, 90)]);
        all.read(&group, &[record(0, 7, 110)]);
        assert_eq!(oldest(), [Some(90)]);
        all.committed(&group, &[(partition(1), 1)]);
        assert_eq!(oldest(), [Some(100)]);
        all.committed(&group, &[(partition(0), 7)]);
        assert_eq!(oldest(), [Some(110)], "the first read is done");
        all.committed(&group, &[(partition(0), 8)]);
        assert_eq!(oldest(), [None]);
        all.read(&group, &[record(0, 8, 120)]);
        all.forget(&group, &[partition(0)]);
        assert_eq!(oldest(), [None], "another member's");
        all.read(&group, &[record(1, 1, 0)]);
        assert_eq!(oldest(), [None], "a record without a time");
    }
}
