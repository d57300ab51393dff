//! The queue of records that wait for a handler. At most one record of each key is in hand.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::{
    ledger::Ticket,
    record::{Partition, Record},
};

/// A record that waits for a handler.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record: Record,
    pub(super) ticket: Ticket,
}

/// Records in order of arrival. A record in hand holds back those of the same key.
#[derive(Debug, Default)]
pub(super) struct KeyedQueue {
    ready: VecDeque<Waiting>,
    /// The records behind each key that is ready or in hand.
    followers: HashMap<Bytes, VecDeque<Waiting>>,
    waiting: usize,
}

impl KeyedQueue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting += 1;
        if let Some(key) = &waiting.record.key {
            if let Some(followers) = self.followers.get_mut(key) {
                followers.push_back(waiting);
                return;
            }
            self.followers.insert(key.clone(), VecDeque::new());
        }
        self.ready.push_back(waiting);
    }

    /// Up to `max` records of different keys.
    pub(super) fn take(&mut self, max: usize) -> Vec<Waiting> {
        let taken: Vec<_> = self.ready.drain(..max.min(self.ready.len())).collect();
        self.waiting -= taken.len();
        taken
    }

    /// Notes that a record of the key is no longer in hand.
    pub(super) fn ended(&mut self, key: Option<&Bytes>) {
        let Some(key) = key else { return };
        let Some(followers) = self.followers.get_mut(key) else {
            return;
        };
        match followers.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => {
                self.followers.remove(key);
            }
        }
    }

    /// Discards the waiting records of a partition.
    pub(super) fn forget(&mut self, partition: &Partition) {
        let of_partition = |waiting: &Waiting| waiting.ticket.partition == *partition;
        for followers in self.followers.values_mut() {
            followers.retain(|waiting| !of_partition(waiting));
        }
        let (forgotten, kept): (VecDeque<_>, VecDeque<_>) = self.ready.drain(..).partition(of_partition);
        self.ready = kept;
        for waiting in forgotten {
            self.ended(waiting.record.key.as_ref());
        }
        self.waiting = self.ready.len() + self.followers.values().map(VecDeque::len).sum::<usize>();
    }

    /// The number of waiting records.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Whether a record can be handed over.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{headers::Headers, ledger::Ledger};

    fn waiting(ledger: &mut Ledger, key: &'static str, offset: i64) -> Waiting {
        let topic: Arc<str> = "t".into();
        let ticket = ledger.polled(
            &Partition {
                topic: Arc::clone(&topic),
                index: 0,
            },
            offset,
        );
        let record = Record {
            topic,
            partition: 0,
            offset,
            key: Some(Bytes::from_static(key.as_bytes())),
            value: Bytes::new(),
            headers: Headers::default(),
            timestamp: carillon_domain::Timestamp::UNIX_EPOCH,
            unreadable: None,
        };
        Waiting { record, ticket }
    }

    fn offsets(taken: &[Waiting]) -> Vec<i64> {
        taken.iter().map(|waiting| waiting.record.offset).collect()
    }

    #[test]
    fn a_follower_waits_for_its_key_and_other_keys_overtake() {
        let (mut queue, mut ledger) = (KeyedQueue::default(), Ledger::default());
        for (key, offset) in [("a", 0), ("a", 1), ("b", 2), ("a", 3)] {
            queue.push(waiting(&mut ledger, key, offset));
        }
        assert_eq!(offsets(&queue.take(10)), [0, 2]);
        assert!(!queue.is_ready());
        queue.ended(Some(&Bytes::from_static(b"a")));
        assert_eq!(offsets(&queue.take(10)), [1]);
        queue.ended(Some(&Bytes::from_static(b"a")));
        assert_eq!(offsets(&queue.take(10)), [3]);
        queue.ended(Some(&Bytes::from_static(b"a")));
        assert_eq!(queue.len(), 0);
        assert!(queue.followers.contains_key(&b"b"[..]) && !queue.followers.contains_key(&b"a"[..]));
    }

    #[test]
    fn forgetting_a_partition_leaves_no_key_locked() {
        let (mut queue, mut ledger) = (KeyedQueue::default(), Ledger::default());
        queue.push(waiting(&mut ledger, "a", 0));
        queue.push(waiting(&mut ledger, "a", 1));
        queue.forget(&Partition {
            topic: "t".into(),
            index: 0,
        });
        assert_eq!(queue.len(), 0);
        queue.push(waiting(&mut ledger, "a", 2));
        assert_eq!(offsets(&queue.take(1)), [2]);
    }
}
