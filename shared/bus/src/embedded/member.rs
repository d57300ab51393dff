//! A member of a consumer group on the embedded log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify};

use super::{
    EmbeddedLog, Slot,
    groups::{Membership, Pending},
    reader,
    writer::CommittedOffset,
};
use crate::{
    error::BusError,
    member::{Member, Polled},
    record::{OutRecord, Partition, Record},
};

struct Owned {
    slot: Arc<Slot>,
    /// The next offset to hand out.
    position: i64,
    paused: bool,
}

pub(super) struct EmbeddedMember {
    log: Arc<EmbeddedLog>,
    group: Arc<str>,
    membership: Arc<Membership>,
    /// Locked by a write until the write is durable.
    turn: Arc<Mutex<()>>,
    wake: Arc<Notify>,
    owned: BTreeMap<Partition, Owned>,
    /// The partition that was served last; the next turn begins behind it.
    last_served: Option<Partition>,
    /// Assigned partitions that are not announced yet (a poll may be cancelled at any await).
    assigning: Vec<Partition>,
    /// Records that were read and not handed out.
    ready: Vec<Record>,
}

impl EmbeddedMember {
    pub(super) fn join(log: Arc<EmbeddedLog>, group: &str, topics: &[Arc<str>]) -> Result<Self, BusError> {
        let wake = Arc::new(Notify::new());
        let mut wanted = BTreeSet::new();
        for name in topics {
            let topic = log.topic(name)?;
            wanted.extend(topic.slots.iter().map(|slot| slot.partition.clone()));
            topic.waiting.lock().push(Arc::downgrade(&wake));
        }
        let membership = Membership::join(&log.groups, group, wanted, Arc::clone(&wake));
        Ok(Self {
            log,
            group: Arc::from(group),
            membership,
            turn: Arc::default(),
            wake,
            owned: BTreeMap::new(),
            last_served: None,
            assigning: Vec::new(),
            ready: Vec::new(),
        })
    }

    async fn take(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        let committed = reader::committed(&self.log.read, &self.group).await?;
        for partition in partitions {
            let slot = Arc::clone(self.log.slot(partition)?);
            let start = slot.start.load(Ordering::Acquire);
            let position = committed.get(&slot.id).copied().unwrap_or(start).max(start);
            self.owned.insert(
                partition.clone(),
                Owned {
                    slot,
                    position,
                    paused: false,
                },
            );
        }
        Ok(())
    }

    /// The partitions that may have records, in turn order.
    fn in_turn(&self) -> Vec<Partition> {
        let ready = |(_, owned): &(&Partition, &Owned)| {
            !owned.paused && owned.position < owned.slot.next.load(Ordering::Acquire)
        };
        let (mut after, mut before): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for (partition, _) in self.owned.iter().filter(ready) {
            if self.last_served.as_ref().is_some_and(|last| partition <= last) {
                before.push(partition.clone());
            } else {
                after.push(partition.clone());
            }
        }
        after.extend(before);
        after
    }

    async fn read(&mut self, max: usize) -> Result<(), BusError> {
        let partitions = self.in_turn();
        let share = (max / partitions.len().max(1)).max(1);
        for partition in partitions {
            if self.ready.len() >= max {
                break;
            }
            let Some(owned) = self.owned.get(&partition) else {
                continue;
            };
            let (slot, from) = (
                Arc::clone(&owned.slot),
                owned.position.max(owned.slot.start.load(Ordering::Acquire)),
            );
            let tail = slot.tail.lock().read(from, share);
            let read = match tail {
                Some(read) => read,
                None => reader::records(&self.log.read, &slot, from, share).await?,
            };
            if let (Some(last), Some(owned)) = (read.last(), self.owned.get_mut(&partition)) {
                owned.position = last.offset + 1;
                self.last_served = Some(partition);
                self.ready.extend(read);
            }
        }
        Ok(())
    }

    /// Discards records of a partition that were read and not handed out.
    fn forget(&mut self, partition: &Partition) {
        self.ready
            .retain(|record| record.topic != partition.topic || record.partition != partition.index);
    }

    fn offsets(&self, offsets: &[(Partition, i64)]) -> Result<Vec<CommittedOffset>, BusError> {
        if !self
            .membership
            .owns(offsets.iter().map(|(partition, _)| partition))
        {
            return Err(BusError::Revoked);
        }
        offsets
            .iter()
            .map(|(partition, next)| {
                let slot = self.log.slot(partition)?.id;
                Ok(CommittedOffset {
                    group: Arc::clone(&self.group),
                    slot,
                    next: *next,
                })
            })
            .collect()
    }

    /// Writes records and offsets after earlier writes have ended.
    async fn write(&self, out: Vec<OutRecord>, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let offsets = self.offsets(offsets)?;
        let pending = Pending {
            _turn: turn,
            _membership: Arc::clone(&self.membership),
        };
        self.log.append(out, offsets, Some(pending)).await.map(drop)
    }
}

#[async_trait]
impl Member for EmbeddedMember {
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
        loop {
            let change = self.membership.poll();
            self.assigning.extend(change.assigned);
            if !self.assigning.is_empty() {
                self.take(&self.assigning.clone()).await?;
                return Ok(Polled::Assigned(std::mem::take(&mut self.assigning)));
            }
            if !change.to_release.is_empty() {
                return Ok(Polled::Revoked(change.to_release));
            }
            if self.ready.is_empty() {
                self.read(max).await?;
            }
            if !self.ready.is_empty() {
                return Ok(Polled::Records(std::mem::take(&mut self.ready)));
            }
            self.wake.notified().await;
        }
    }

    async fn release(&mut self, partitions: &[Partition]) {
        let _landed = Arc::clone(&self.turn).lock_owned().await;
        for partition in partitions {
            self.owned.remove(partition);
            self.forget(partition);
        }
        self.membership.release(partitions);
    }

    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        self.write(Vec::new(), offsets).await
    }

    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError> {
        self.write(out, offsets).await
    }

    fn pause(&mut self, partition: &Partition) -> Result<(), BusError> {
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.paused = true;
        }
        Ok(())
    }

    fn resume(&mut self, partition: &Partition) -> Result<(), BusError> {
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.paused = false;
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError> {
        self.forget(partition);
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.position = offset;
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        let _landed = Arc::clone(&self.turn).lock_owned().await;
        let owned: Vec<_> = partitions
            .iter()
            .filter(|partition| self.owned.contains_key(*partition))
            .cloned()
            .collect();
        for partition in &owned {
            self.forget(partition);
        }
        self.take(&owned).await?;
        self.wake.notify_one();
        Ok(())
    }
}
