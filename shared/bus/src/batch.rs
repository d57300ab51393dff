//! Consuming batch by batch: read some records, work on them, commit them, alone or together with what they gave rise
//! to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::BusError,
    member::{Member, Polled},
    record::{OutRecord, Partition, Position, Record},
};

/// How much a batch may hold.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// At most this many records (a little more where the backend reads in larger pieces).
    pub max_records: usize,
    /// No further records are added to a batch of this many bytes.
    pub max_bytes: usize,
    /// How long to wait for a batch to fill up after its first record.
    pub linger: Duration,
}

/// Records that are worked on and committed together.
#[derive(Debug)]
pub struct Batch {
    /// In order within each partition.
    pub records: Vec<Record>,
    offsets: BTreeMap<Partition, (i64, u64)>,
}

/// A member of a consumer group that works batch by batch.
pub struct BatchConsumer {
    member: Box<dyn Member>,
    group: Arc<str>,
    /// What is assigned, and in which epoch.
    epochs: BTreeMap<Partition, u64>,
    last_epoch: u64,
}

impl BatchConsumer {
    pub(crate) fn new(member: Box<dyn Member>, group: &str) -> Self {
        Self {
            member,
            group: Arc::from(group),
            epochs: BTreeMap::new(),
            last_epoch: 0,
        }
    }

    /// Waits for at least one record. Cancel-safe. Revoked partitions are given up here: what was read of them and is
    /// not committed is another member's.
    pub async fn next(&mut self, limits: &BatchLimits) -> Result<Batch, BusError> {
        loop {
            let polled = self.member.poll(limits.max_records).await?;
            if let Some(records) = self.observe(polled).await {
                let mut batch = Batch {
                    records: Vec::new(),
                    offsets: BTreeMap::new(),
                };
                self.add(&mut batch, records);
                if !batch.records.is_empty() {
                    self.fill(&mut batch, limits).await?;
                    return Ok(batch);
                }
            }
        }
    }

    /// Adds what comes within the linger time, if there is one.
    async fn fill(&mut self, batch: &mut Batch, limits: &BatchLimits) -> Result<(), BusError> {
        if limits.linger.is_zero() {
            return Ok(());
        }
        let deadline = Instant::now() + limits.linger;
        let mut bytes: usize = batch.records.iter().map(Record::size).sum();
        while batch.records.len() < limits.max_records && bytes < limits.max_bytes {
            let room = limits.max_records - batch.records.len();
            match tokio::time::timeout_at(deadline, self.member.poll(room)).await {
                Err(_) => break,
                Ok(Ok(Polled::Records(records))) => {
                    bytes += records.iter().map(Record::size).sum::<usize>();
                    self.add(batch, records);
                }
                Ok(polled) => {
                    self.observe(polled?).await;
                }
            }
        }
        Ok(())
    }

    async fn observe(&mut self, polled: Polled) -> Option<Vec<Record>> {
        match polled {
            Polled::Records(records) => return Some(records),
            Polled::Assigned(partitions) => {
                self.last_epoch += 1;
                tracing::debug!(group = %self.group, ?partitions, "assigned");
                self.epochs.extend(
                    partitions
                        .into_iter()
                        .map(|partition| (partition, self.last_epoch)),
                );
            }
            Polled::Revoked(partitions) => {
                tracing::debug!(group = %self.group, ?partitions, "revoked");
                for partition in &partitions {
                    self.epochs.remove(partition);
                }
                self.member.release(&partitions).await;
            }
        }
        None
    }

    fn add(&self, batch: &mut Batch, records: Vec<Record>) {
        for record in records {
            let partition = record.position().partition();
            // A record of a partition that was revoked meanwhile is another member's.
            if let Some(epoch) = self.epochs.get(&partition) {
                batch.offsets.insert(partition, (record.offset + 1, *epoch));
                batch.records.push(record);
            }
        }
    }

    fn offsets(&self, batch: &Batch) -> Result<Vec<(Partition, i64)>, BusError> {
        batch
            .offsets
            .iter()
            .map(|(partition, (next, epoch))| match self.epochs.get(partition) {
                Some(current) if current == epoch => Ok((partition.clone(), *next)),
                _ => Err(BusError::Revoked),
            })
            .collect()
    }

    /// Commits the offsets behind the batch.
    pub async fn commit(&mut self, batch: &Batch) -> Result<(), BusError> {
        let offsets = self.offsets(batch)?;
        self.member.commit(&offsets).await
    }

    /// The atomic step: the records and the batch's offsets become visible together or not at all. After an error,
    /// [`BatchConsumer::rewind`] and read again.
    pub async fn commit_with(&mut self, batch: &Batch, out: Vec<OutRecord>) -> Result<(), BusError> {
        let offsets = self.offsets(batch)?;
        self.member.commit_with(out, &offsets).await
    }

    /// Writes a part of a large output in a transaction of its own, without offsets. Whoever re-reads the batch writes
    /// it again, so its records have to be such that doubles do no harm.
    pub async fn produce_part(&mut self, out: Vec<OutRecord>) -> Result<(), BusError> {
        self.member.commit_with(out, &[]).await
    }

    /// Goes back to the last committed offsets.
    pub async fn rewind(&mut self) -> Result<(), BusError> {
        let partitions: Vec<Partition> = self.epochs.keys().cloned().collect();
        self.last_epoch += 1;
        for epoch in self.epochs.values_mut() {
            *epoch = self.last_epoch;
        }
        self.member.rewind(&partitions).await
    }

    /// Reads the partitions from these positions on, as far as they are assigned.
    pub async fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        for position in positions {
            let partition = position.partition();
            if self.epochs.contains_key(&partition) {
                self.member.seek(&partition, position.offset).await?;
            }
        }
        Ok(())
    }

    /// The partitions that this member owns.
    pub fn assignment(&self) -> impl Iterator<Item = &Partition> {
        self.epochs.keys()
    }

    /// Changes whenever partitions are assigned.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.last_epoch
    }
}

impl Batch {
    /// Where each partition goes on behind this batch.
    pub fn next_positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.offsets.iter().map(|(partition, (next, _))| Position {
            topic: Arc::clone(&partition.topic),
            partition: partition.index,
            offset: *next,
        })
    }
}
