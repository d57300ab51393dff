//! Consumer groups within one process: each partition has at most one owner. A partition is released by its owner
//! before another member takes it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::record::Partition;

pub(super) type MemberId = u64;

#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    groups: HashMap<String, Group>,
    last_member: MemberId,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<MemberId, (BTreeSet<Partition>, Arc<Notify>)>,
    owners: HashMap<Partition, MemberId>,
    targets: HashMap<Partition, MemberId>,
}

/// Membership in a group. It ends when the member and its last write are gone.
#[derive(Debug)]
pub(super) struct Membership {
    groups: Arc<Groups>,
    group: Arc<str>,
    id: MemberId,
}

impl Membership {
    pub(super) fn join(
        groups: &Arc<Groups>,
        group: &str,
        wanted: BTreeSet<Partition>,
        wake: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            groups: Arc::clone(groups),
            group: Arc::from(group),
            id: groups.join(group, wanted, wake),
        })
    }

    /// Calls [`Groups::poll`] for this member.
    pub(super) fn poll(&self) -> Change {
        self.groups.poll(&self.group, self.id)
    }

    /// Calls [`Groups::release`] for this member.
    pub(super) fn release(&self, partitions: &[Partition]) {
        self.groups.release(&self.group, self.id, partitions);
    }

    /// Calls [`Groups::owns`] for this member.
    pub(super) fn owns<'a>(&self, partitions: impl Iterator<Item = &'a Partition>) -> bool {
        self.groups.owns(&self.group, self.id, partitions)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.groups.leave(&self.group, self.id);
    }
}

/// A member's write that is not durable yet, whether or not its caller still waits. Until then the member releases no
/// partition and reads no committed offset. Otherwise the next owner would read the records again that the write
/// commits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) _turn: tokio::sync::OwnedMutexGuard<()>,
    pub(super) _membership: Arc<Membership>,
}

/// A change of a member's assignment.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) assigned: Vec<Partition>,
    pub(super) to_release: Vec<Partition>,
}

impl Groups {
    /// Adds a member, which takes part in each partition that it subscribes to.
    pub(super) fn join(&self, group: &str, wanted: BTreeSet<Partition>, wake: Arc<Notify>) -> MemberId {
        let mut inner = self.0.lock();
        inner.last_member += 1;
        let id = inner.last_member;
        let group = inner.groups.entry(group.to_owned()).or_default();
        group.members.insert(id, (wanted, wake));
        group.rebalance();
        id
    }

    /// Removes a member; its partitions are free at once.
    pub(super) fn leave(&self, group: &str, member: MemberId) {
        let mut inner = self.0.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return;
        };
        group.members.remove(&member);
        group.owners.retain(|_, owner| *owner != member);
        group.rebalance();
    }

    /// The topics of each member of a group.
    pub(super) fn subscriptions(&self, group: &str) -> Vec<Vec<Arc<str>>> {
        let inner = self.0.lock();
        let members = inner
            .groups
            .get(group)
            .into_iter()
            .flat_map(|group| group.members.values());
        members
            .map(|(wanted, _)| {
                let topics: BTreeSet<&Arc<str>> = wanted.iter().map(|partition| &partition.topic).collect();
                topics.into_iter().cloned().collect()
            })
            .collect()
    }

    /// Assigns the free partitions that are meant for the member, and returns them with those that it has to release.
    pub(super) fn poll(&self, group: &str, member: MemberId) -> Change {
        let mut change = Change::default();
        let mut inner = self.0.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return change;
        };
        for (partition, target) in &group.targets {
            match group.owners.get(partition) {
                None if *target == member => change.assigned.push(partition.clone()),
                Some(owner) if *owner == member && *target != member => {
                    change.to_release.push(partition.clone());
                }
                _ => {}
            }
        }
        for partition in &change.assigned {
            group.owners.insert(partition.clone(), member);
        }
        change.assigned.sort();
        change.to_release.sort();
        change
    }

    /// Releases partitions of a member and wakes the members that they are meant for.
    pub(super) fn release(&self, group: &str, member: MemberId, partitions: &[Partition]) {
        let mut inner = self.0.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return;
        };
        for partition in partitions {
            if group.owners.get(partition) == Some(&member) {
                group.owners.remove(partition);
            }
        }
        group.wake();
    }

    /// Whether the member owns every one of the partitions.
    pub(super) fn owns<'a>(
        &self,
        group: &str,
        member: MemberId,
        mut partitions: impl Iterator<Item = &'a Partition>,
    ) -> bool {
        let inner = self.0.lock();
        let Some(group) = inner.groups.get(group) else {
            return false;
        };
        partitions.all(|partition| group.owners.get(partition) == Some(&member))
    }
}

impl Group {
    /// Assigns each partition to the member that has the fewest, among those that want it. An owner keeps its
    /// partitions while the load stays even.
    fn rebalance(&mut self) {
        let partitions: BTreeSet<Partition> = self
            .members
            .values()
            .flat_map(|(wanted, _)| wanted.iter().cloned())
            .collect();
        let mut load: HashMap<(MemberId, Arc<str>), usize> = HashMap::new();
        self.targets.clear();
        for partition in &partitions {
            let of = |id: MemberId| {
                load.get(&(id, Arc::clone(&partition.topic)))
                    .copied()
                    .unwrap_or(0)
            };
            let owner = self.owners.get(partition).copied();
            let candidates = self
                .members
                .iter()
                .filter(|(_, (wanted, _))| wanted.contains(partition))
                .map(|(id, _)| *id);
            let Some(chosen) = candidates.min_by_key(|id| (of(*id), Some(*id) != owner, *id)) else {
                continue;
            };
            *load.entry((chosen, Arc::clone(&partition.topic))).or_default() += 1;
            self.targets.insert(partition.clone(), chosen);
        }
        self.wake();
    }

    fn wake(&self) {
        for (_, notify) in self.members.values() {
            notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: i32) -> BTreeSet<Partition> {
        (0..count)
            .map(|index| Partition {
                topic: "t".into(),
                index,
            })
            .collect()
    }

    #[test]
    fn a_partition_moves_only_after_its_owner_released_it() {
        let groups = Groups::default();
        let first = groups.join("g", partitions(4), Arc::default());
        assert_eq!(groups.poll("g", first).assigned.len(), 4);
        let second = groups.join("g", partitions(4), Arc::default());
        assert!(groups.poll("g", second).assigned.is_empty());
        let leaving = groups.poll("g", first).to_release;
        assert_eq!(leaving.len(), 2);
        groups.release("g", first, &leaving);
        assert_eq!(groups.poll("g", second).assigned, leaving);
        assert!(!groups.owns("g", first, leaving.iter()));

        groups.leave("g", second);
        assert_eq!(groups.poll("g", first).assigned, leaving);
    }
}
