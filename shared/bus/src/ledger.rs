//! The contiguous-offset ledger: records complete in any order, but only the frontier, before which all records are
//! complete, may be committed. Pure; each consumer has one.
//!
//! Offsets have gaps (transaction markers and compacted records take some), so the ledger goes by the order in which
//! records were polled, not by arithmetic. An epoch distinguishes the assignments of a partition: records polled in
//! an earlier epoch cannot move the frontier any more.

use std::collections::{HashMap, VecDeque};

use crate::record::Partition;

/// Identifies one record in flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    /// Its partition.
    pub(crate) partition: Partition,
    /// Its offset.
    pub(crate) offset: i64,
    /// The assignment in which it was polled.
    pub(crate) epoch: u64,
}

#[derive(Debug)]
struct PartitionLedger {
    epoch: u64,
    /// Polled records in poll order, and whether each is complete.
    polled: VecDeque<(i64, bool)>,
    /// The next offset to commit; `None` before the first record is complete.
    frontier: Option<i64>,
    committed: Option<i64>,
}

/// The records in flight, by partition.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lanes: HashMap<Partition, PartitionLedger>,
    epochs: u64,
}

impl Ledger {
    /// A partition was assigned (again): a new epoch begins.
    pub(crate) fn assign(&mut self, partition: Partition) {
        self.epochs += 1;
        let lane = PartitionLedger {
            epoch: self.epochs,
            polled: VecDeque::new(),
            frontier: None,
            committed: None,
        };
        self.lanes.insert(partition, lane);
    }

    /// A partition was revoked: its records can no longer be completed.
    pub(crate) fn revoke(&mut self, partition: &Partition) {
        self.lanes.remove(partition);
    }

    /// Notes a polled record. A partition that was not announced counts as assigned.
    pub(crate) fn polled(&mut self, partition: &Partition, offset: i64) -> Ticket {
        if !self.lanes.contains_key(partition) {
            self.assign(partition.clone());
        }
        let mut epoch = 0;
        if let Some(lane) = self.lanes.get_mut(partition) {
            // A record that is polled a second time is already in the list, or before the frontier.
            let last = lane.polled.back().map(|(last, _)| *last);
            if offset > last.max(lane.frontier.map(|frontier| frontier - 1)).unwrap_or(-1) {
                lane.polled.push_back((offset, false));
            }
            epoch = lane.epoch;
        }
        Ticket {
            partition: partition.clone(),
            offset,
            epoch,
        }
    }

    /// Notes that a record is done. Returns whether it still counted, that is, whether its partition was not revoked
    /// meanwhile.
    pub(crate) fn complete(&mut self, ticket: &Ticket) -> bool {
        let Some(lane) = self
            .lanes
            .get_mut(&ticket.partition)
            .filter(|lane| lane.epoch == ticket.epoch)
        else {
            return false;
        };
        let Ok(index) = lane
            .polled
            .binary_search_by_key(&ticket.offset, |(offset, _)| *offset)
        else {
            return false;
        };
        lane.polled[index].1 = true;
        while let Some((offset, true)) = lane.polled.front().copied() {
            lane.polled.pop_front();
            lane.frontier = Some(offset + 1);
        }
        true
    }

    /// Whether the record's assignment still lasts.
    #[must_use]
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.lanes
            .get(&ticket.partition)
            .is_some_and(|lane| lane.epoch == ticket.epoch)
    }

    /// The frontiers that are due to be committed: the next offset to read of each partition that moved since the
    /// last call.
    pub(crate) fn take_commits(&mut self) -> Vec<(Partition, i64)> {
        let mut commits = Vec::new();
        for (partition, lane) in &mut self.lanes {
            if lane.frontier.is_some() && lane.frontier != lane.committed {
                lane.committed = lane.frontier;
                commits.extend(lane.frontier.map(|offset| (partition.clone(), offset)));
            }
        }
        commits
    }

    /// Marks frontiers as due again after a failed commit.
    pub(crate) fn uncommit(&mut self, commits: &[(Partition, i64)]) {
        for (partition, offset) in commits {
            if let Some(lane) = self.lanes.get_mut(partition)
                && lane.committed == Some(*offset)
            {
                lane.committed = None;
            }
        }
    }

    /// Begins a new epoch after a record was given up: all records in flight are read again. Returns the first offset
    /// that is not complete, from which the partition has to be read; the frontier stays.
    pub(crate) fn restart(&mut self, partition: &Partition) -> Option<i64> {
        let lane = self.lanes.get_mut(partition)?;
        let (first, _) = *lane.polled.front()?;
        self.epochs += 1;
        lane.epoch = self.epochs;
        lane.polled.clear();
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn partition(index: usize) -> Partition {
        Partition {
            topic: "t".into(),
            index: i32::try_from(index).unwrap(),
        }
    }

    fn index(partition: &Partition) -> usize {
        usize::try_from(partition.index).unwrap()
    }

    #[derive(Debug, Clone)]
    enum Action {
        Poll { at: usize, gap: i64 },
        Complete(prop::sample::Index),
        Revoke(usize),
        Assign(usize),
        Commit,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => (0..2_usize, 0..3_i64).prop_map(|(at, gap)| Action::Poll { at, gap }),
            4 => any::<prop::sample::Index>().prop_map(Action::Complete),
            1 => (0..2_usize).prop_map(Action::Revoke),
            1 => (0..2_usize).prop_map(Action::Assign),
            2 => Just(Action::Commit),
        ]
    }

    proptest! {
        /// The model: per partition, the set of offsets polled in this epoch and not complete. A commit may never pass
        /// the smallest of them, and when all are complete it has reached the end.
        #[test]
        fn a_commit_never_passes_an_open_record_and_reaches_the_end_when_none_is_open(
            actions in proptest::collection::vec(action(), 1..200),
        ) {
            let mut ledger = Ledger::default();
            let mut tickets: Vec<Ticket> = Vec::new();
            let mut next = [0_i64; 2];
            let mut open: [BTreeSet<i64>; 2] = Default::default();
            let mut end: [Option<i64>; 2] = [None, None];
            let mut committed: [Option<i64>; 2] = [None, None];
            for action in actions {
                match action {
                    Action::Poll { at, gap } => {
                        next[at] += gap;
                        tickets.push(ledger.polled(&partition(at), next[at]));
                        open[at].insert(next[at]);
                        end[at] = Some(next[at] + 1);
                        next[at] += 1;
                    }
                    Action::Complete(which) if !tickets.is_empty() => {
                        let ticket = tickets.swap_remove(which.index(tickets.len()));
                        let current = ledger.is_current(&ticket);
                        prop_assert_eq!(ledger.complete(&ticket), current);
                        if current {
                            open[index(&ticket.partition)].remove(&ticket.offset);
                        }
                    }
                    Action::Complete(_) => {}
                    Action::Revoke(at) | Action::Assign(at) => {
                        if matches!(action, Action::Assign(_)) {
                            ledger.assign(partition(at));
                        } else {
                            ledger.revoke(&partition(at));
                        }
                        open[at].clear();
                        end[at] = None;
                        committed[at] = None;
                    }
                    Action::Commit => {
                        for (partition, offset) in ledger.take_commits() {
                            let at = index(&partition);
                            if let Some(first_open) = open[at].first() {
                                prop_assert!(offset <= *first_open);
                            }
                            prop_assert!(committed[at].is_none_or(|before| before < offset));
                            committed[at] = Some(offset);
                        }
                        for at in 0..2 {
                            if open[at].is_empty() && end[at].is_some() {
                                prop_assert_eq!(committed[at], end[at]);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn late_work_of_an_earlier_assignment_moves_no_offset() {
        let mut ledger = Ledger::default();
        let old = ledger.polled(&partition(0), 5);
        ledger.revoke(&partition(0));
        ledger.assign(partition(0));
        let new = ledger.polled(&partition(0), 5);
        assert!(!ledger.complete(&old));
        assert_eq!(ledger.take_commits(), []);
        assert!(ledger.complete(&new));
        assert_eq!(ledger.take_commits(), [(partition(0), 6)]);
        assert_eq!(ledger.take_commits(), []);
    }

    #[test]
    fn a_given_up_record_restarts_its_partition_and_the_frontier_stays() {
        let mut ledger = Ledger::default();
        let done = ledger.polled(&partition(0), 2);
        let given_up = ledger.polled(&partition(0), 3);
        let behind = ledger.polled(&partition(0), 7);
        ledger.complete(&done);
        assert_eq!(ledger.restart(&partition(0)), Some(3));
        assert!(!ledger.complete(&behind) && !ledger.is_current(&given_up));
        assert_eq!(ledger.take_commits(), [(partition(0), 3)]);
        for offset in [3, 7] {
            let again = ledger.polled(&partition(0), offset);
            assert!(ledger.complete(&again));
        }
        assert_eq!(ledger.take_commits(), [(partition(0), 8)]);
    }

    #[test]
    fn a_record_that_comes_twice_neither_stops_the_frontier_nor_moves_it_back() {
        let mut ledger = Ledger::default();
        let tickets = [5, 7, 5, 7, 8].map(|offset| ledger.polled(&partition(0), offset));
        for ticket in [&tickets[1], &tickets[0]] {
            ledger.complete(ticket);
        }
        assert_eq!(ledger.take_commits(), [(partition(0), 8)]);
        let late = ledger.polled(&partition(0), 5);
        ledger.complete(&late);
        assert_eq!(ledger.take_commits(), []);
        ledger.complete(&tickets[4]);
        assert_eq!(ledger.take_commits(), [(partition(0), 9)]);
    }

    #[test]
    fn a_failed_commit_is_due_again() {
        let mut ledger = Ledger::default();
        let first = ledger.polled(&partition(0), 3);
        let second = ledger.polled(&partition(0), 7);
        ledger.complete(&second);
        ledger.complete(&first);
        let commits = ledger.take_commits();
        assert_eq!(commits, [(partition(0), 8)]);
        ledger.uncommit(&commits);
        assert_eq!(ledger.take_commits(), commits);
    }
}
