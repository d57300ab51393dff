//! Consuming batch by batch: read records, process them, and commit their offsets, alone or together with the records
//! that result from them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::BusError,
    member::{Member, Polled},
    meter::Work,
    record::{OutRecord, Partition, Position, Record},
};

/// The longest wait for a change of the assignment, after a rewind that has to wait for one.
const CHANGE: Duration = Duration::from_millis(200);

/// The limits of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// The most records (slightly exceeded where the backend reads in larger pieces).
    pub max_records: usize,
    /// The number of bytes at which no further records are added.
    pub max_bytes: usize,
    /// The longest wait for further records after the first, while the batch holds less than half of
    /// `max_records`. A backlog fills a half at once, so waiting would gain nothing.
    pub linger: Duration,
}

/// Records that are processed and committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order within each partition.
    pub records: Vec<Record>,
    bytes: usize,
    offsets: BTreeMap<Partition, (i64, u64)>,
}

/// The state of reading after the member's calls so far. It decides which call may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    /// All calls have succeeded: reading on and committing are possible.
    Steady,
    /// A step was begun, and its result is not known yet. Reading on is possible, and beginning the next step.
    StepBegun,
    /// A call has failed or was not awaited to its end. Reading on or committing would skip records that were not
    /// processed, so a rewind has to succeed first.
    RewindDue,
}

/// A member of a consumer group that works batch by batch.
pub struct BatchConsumer {
    member: Box<dyn Member>,
    group: Arc<str>,
    /// The assigned partitions, each with the epoch of its assignment.
    epochs: BTreeMap<Partition, u64>,
    last_epoch: u64,
    state: ReadState,
    /// A batch that is not full yet. It is kept here so that a cancelled [`BatchConsumer::next`] loses no record.
    filling: Option<Batch>,
    work: Work,
    /// The time at which the batch in hand was handed out.
    at_work: Option<Instant>,
}

impl ReadState {
    /// Makes a call of the member after which the state is `then`. If the call fails, or this future is dropped before
    /// its end, a rewind is due.
    async fn passes_to(
        &mut self,
        then: Self,
        call: impl Future<Output = Result<(), BusError>>,
    ) -> Result<(), BusError> {
        *self = Self::RewindDue;
        call.await?;
        *self = then;
        Ok(())
    }
}

impl BatchConsumer {
    pub(crate) fn new(member: Box<dyn Member>, group: &str, work: Work) -> Self {
        Self {
            member,
            group: Arc::from(group),
            epochs: BTreeMap::new(),
            last_epoch: 0,
            state: ReadState::Steady,
            filling: None,
            work,
            at_work: None,
        }
    }

    /// Notes the end of the work on the batch that was handed out last, if it is not noted yet.
    fn worked(&mut self, is_done: bool) {
        if let Some(since) = self.at_work.take() {
            self.work.ended(since, is_done);
        }
    }

    /// Waits for at least one record. Cancel-safe. Revoked partitions are released here: their records that were read
    /// and not committed belong to the next owner. A [`BatchConsumer::rewind`] that failed, or was omitted after a
    /// failed [`BatchConsumer::commit_with`], is carried out first.
    pub async fn next(&mut self, limits: &BatchLimits) -> Result<Batch, BusError> {
        loop {
            if let Some(batch) = self.next_in(self.last_epoch, limits).await? {
                return Ok(batch);
            }
        }
    }

    /// The next batch of an assignment, for a caller that chooses the offsets at which its partitions are read. `None`
    /// as soon as the assignment's epoch is not `epoch`, even if there is no record to read.
    pub async fn next_in(&mut self, epoch: u64, limits: &BatchLimits) -> Result<Option<Batch>, BusError> {
        while self.state == ReadState::RewindDue {
            self.make_up_for_rewind().await?;
        }
        loop {
            if self.last_epoch != epoch {
                return Ok(None);
            }
            if self.filling.is_some() {
                self.fill(limits).await?;
                if self.last_epoch != epoch {
                    continue;
                }
            }
            if let Some(batch) = self.filling.take() {
                self.work.begins(batch.records.len());
                self.at_work = Some(Instant::now());
                return Ok(Some(batch));
            }
            let polled = self.poll(limits.max_records).await?;
            if let Some(records) = self.observe(polled).await {
                self.add(records);
            }
        }
    }

    /// Rewinds. If the rewind has to wait for a change of the assignment, polls for that change.
    async fn make_up_for_rewind(&mut self) -> Result<(), BusError> {
        match self.rewind().await {
            Err(BusError::Revoked) => {
                if let Ok(polled) = tokio::time::timeout(CHANGE, self.member.poll(1)).await {
                    // The records are ignored: the rewind reads them again.
                    self.observe(polled?).await;
                }
                Ok(())
            }
            ended => ended,
        }
    }

    /// Adds the records that arrive within the linger time, if one is set.
    async fn fill(&mut self, limits: &BatchLimits) -> Result<(), BusError> {
        let deadline = Instant::now() + limits.linger;
        while !limits.linger.is_zero()
            && let Some(batch) = &self.filling
            && batch.records.len() < limits.max_records.div_ceil(2)
            && batch.bytes < limits.max_bytes
        {
            let room = limits.max_records - batch.records.len();
            let Ok(polled) = tokio::time::timeout_at(deadline, self.poll(room)).await else {
                break;
            };
            if let Some(records) = self.observe(polled?).await {
                self.add(records);
            }
        }
        Ok(())
    }

    /// Polls. An error may be that of a step that was begun, so a rewind is due after it.
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
        let polled = self.member.poll(max).await;
        if polled.is_err() && self.state == ReadState::StepBegun {
            self.state = ReadState::RewindDue;
        }
        polled
    }

    async fn observe(&mut self, polled: Polled) -> Option<Vec<Record>> {
        match polled {
            Polled::Records(records) => return Some(records),
            Polled::Assigned(partitions) => {
                self.last_epoch += 1;
                tracing::debug!(group = %self.group, ?partitions, "partitions were assigned");
                self.epochs.extend(
                    partitions
                        .into_iter()
                        .map(|partition| (partition, self.last_epoch)),
                );
            }
            Polled::Revoked(partitions) => {
                tracing::debug!(group = %self.group, ?partitions, "revoked");
                // The next owner reads from the offsets that the step commits. If the step fails, a rewind is due.
                if let Err(error) = self.settle().await {
                    tracing::warn!(group = %self.group, %error, "a step failed while its partitions were revoked");
                }
                for partition in &partitions {
                    self.epochs.remove(partition);
                }
                self.forget(&partitions);
                self.member.release(&partitions).await;
            }
        }
        None
    }

    fn add(&mut self, records: Vec<Record>) {
        for record in records {
            let partition = record.position().partition();
            let Some(epoch) = self.epochs.get(&partition).copied() else {
                // A member hands out only records of assigned partitions. If it did not, the next owner would read
                // the record.
                tracing::error!(group = %self.group, ?partition, offset = record.offset, "a record of a partition that is not assigned");
                debug_assert!(
                    false,
                    "a record of a partition that is not assigned: {partition:?}"
                );
                continue;
            };
            let batch = self.filling.get_or_insert_default();
            batch.bytes += record.size();
            batch.offsets.insert(partition, (record.offset + 1, epoch));
            batch.records.push(record);
        }
    }

    /// Removes records that are not handed out yet.
    fn forget(&mut self, partitions: &[Partition]) {
        if let Some(batch) = &mut self.filling {
            batch.forget(partitions);
        }
        self.filling.take_if(|batch| batch.records.is_empty());
    }

    /// An error if a rewind is due.
    fn may_commit(&self) -> Result<(), BusError> {
        match self.state {
            ReadState::Steady | ReadState::StepBegun => Ok(()),
            ReadState::RewindDue => Err(BusError::Revoked),
        }
    }

    fn offsets(&self, batch: &Batch) -> Result<Vec<(Partition, i64)>, BusError> {
        self.may_commit()?;
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
        self.settle().await?;
        let offsets = self.offsets(batch)?;
        self.member.commit(&offsets).await?;
        self.worked(true);
        Ok(())
    }

    /// The atomic step: the records and the batch's offsets become visible together or not at all. After an error,
    /// call [`BatchConsumer::rewind`] and read again; until then nothing is committed and nothing further is read.
    pub async fn commit_with(&mut self, batch: &Batch, out: Vec<OutRecord>) -> Result<(), BusError> {
        let offsets = self.offsets(batch)?;
        self.step(out, &offsets).await?;
        self.worked(true);
        Ok(())
    }

    /// Begins the atomic step, so that the next batch can be read and processed meanwhile. One step is under way at a
    /// time: this call waits for the one before. If that one failed, nothing is begun, and its error is returned by
    /// this call or by an earlier one that noticed it. After an error, rewind and read again, as after
    /// [`BatchConsumer::commit_with`].
    pub async fn begin_commit_with(&mut self, batch: &Batch, out: Vec<OutRecord>) -> Result<(), BusError> {
        let offsets = self.offsets(batch)?;
        self.state
            .passes_to(ReadState::StepBegun, self.member.begin(out, &offsets))
            .await?;
        self.worked(true);
        Ok(())
    }

    /// Waits for the end of the step that was begun, if there is one.
    pub async fn settle(&mut self) -> Result<(), BusError> {
        match self.state {
            ReadState::Steady | ReadState::RewindDue => Ok(()),
            ReadState::StepBegun => {
                self.state
                    .passes_to(ReadState::Steady, self.member.settle())
                    .await
            }
        }
    }

    /// Writes a part of a large output in a transaction of its own, without offsets. A batch that is read again
    /// writes its parts again, so the records have to tolerate duplicates.
    pub async fn produce_part(&mut self, out: Vec<OutRecord>) -> Result<(), BusError> {
        self.may_commit()?;
        self.step(out, &[]).await
    }

    async fn step(&mut self, out: Vec<OutRecord>, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        self.state
            .passes_to(ReadState::Steady, self.member.commit_with(out, offsets))
            .await
    }

    /// Returns to the last committed offsets. Until that has succeeded, nothing further is read or committed.
    pub async fn rewind(&mut self) -> Result<(), BusError> {
        self.worked(false);
        self.filling = None;
        let partitions: Vec<Partition> = self.epochs.keys().cloned().collect();
        self.last_epoch += 1;
        for epoch in self.epochs.values_mut() {
            *epoch = self.last_epoch;
        }
        self.state
            .passes_to(ReadState::Steady, self.member.rewind(&partitions))
            .await
    }

    /// Reads the assigned ones of these partitions from the given positions on. After an error all partitions return
    /// to their committed offsets.
    pub async fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.settle().await?;
        let assigned: Vec<(Partition, i64)> = self.assigned(positions).collect();
        for (partition, _) in &assigned {
            self.forget(std::slice::from_ref(partition));
        }
        let member = &mut self.member;
        let seek = async move {
            for (partition, offset) in &assigned {
                member.seek(partition, *offset).await?;
            }
            Ok(())
        };
        // A rewind that is due stays so.
        let then = self.state;
        self.state.passes_to(then, seek).await
    }

    /// The assigned ones of these partitions, with the offsets.
    fn assigned(&self, positions: &[Position]) -> impl Iterator<Item = (Partition, i64)> {
        let all = positions
            .iter()
            .map(|position| (position.partition(), position.offset));
        all.filter(|(partition, _)| self.epochs.contains_key(partition))
    }

    /// Commits these positions, as far as their partitions are assigned: the group's lag is counted from there.
    pub async fn commit_at(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let offsets: Vec<(Partition, i64)> = self.assigned(positions).collect();
        if offsets.is_empty() {
            return Ok(());
        }
        self.member.commit(&offsets).await
    }

    /// The partitions that this member owns.
    pub fn assignment(&self) -> impl Iterator<Item = &Partition> {
        self.epochs.keys()
    }

    /// A number that grows whenever partitions are assigned or a rewind begins.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.last_epoch
    }
}

impl Batch {
    /// Removes the records and offsets of partitions that belong to another member now.
    fn forget(&mut self, partitions: &[Partition]) {
        self.offsets
            .retain(|partition, _| !partitions.contains(partition));
        self.records
            .retain(|record| !partitions.contains(&record.position().partition()));
        self.bytes = self.records.iter().map(Record::size).sum();
    }

    /// The next offset of each partition after this batch.
    pub fn next_positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.offsets.iter().map(|(partition, (next, _))| Position {
            topic: Arc::clone(&partition.topic),
            partition: partition.index,
            offset: *next,
        })
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::member::fake::{Fake, State};

    const ONE: BatchLimits = BatchLimits {
        max_records: 1,
        max_bytes: 1 << 20,
        linger: Duration::ZERO,
    };

    fn consumer(state: State) -> (BatchConsumer, Arc<Mutex<State>>) {
        let state = Arc::new(Mutex::new(state));
        let member = Box::new(Fake(Arc::clone(&state)));
        (BatchConsumer::new(member, "g", Work::new("fake", "g")), state)
    }

    #[tokio::test]
    async fn a_rewind_that_fails_is_made_up_for_before_anything_else_is_read_or_committed() {
        let (mut consumer, state) = consumer(State {
            end: 3,
            failing_rewinds: 2,
            ..State::default()
        });
        let first = consumer.next(&ONE).await.unwrap();
        consumer.rewind().await.unwrap_err();
        // A caller that ignores the error.
        assert!(matches!(consumer.commit(&first).await, Err(BusError::Revoked)));
        consumer.next(&ONE).await.unwrap_err();
        let again = consumer.next(&ONE).await.unwrap();
        assert_eq!(again.records[0].offset, 0);
        assert!(matches!(consumer.commit(&first).await, Err(BusError::Revoked)));
        consumer.commit(&again).await.unwrap();
        assert_eq!(state.lock().committed, 1);
        assert_eq!(consumer.next(&ONE).await.unwrap().records[0].offset, 1);
    }

    #[tokio::test]
    async fn nothing_is_committed_past_a_step_that_failed_even_if_the_caller_does_not_rewind() {
        let (mut consumer, state) = consumer(State {
            end: 3,
            failing_steps: 1,
            ..State::default()
        });
        let first = consumer.next(&ONE).await.unwrap();
        consumer.commit_with(&first, Vec::new()).await.unwrap_err();
        assert!(consumer.produce_part(Vec::new()).await.is_err());
        let again = consumer.next(&ONE).await.unwrap();
        assert_eq!(again.records[0].offset, 0);
        consumer.commit_with(&again, Vec::new()).await.unwrap();
        assert_eq!(state.lock().committed, 1);
    }

    #[tokio::test]
    async fn the_records_of_a_step_that_was_not_awaited_are_read_again() {
        let (mut consumer, state) = consumer(State {
            end: 3,
            hanging: true,
            ..State::default()
        });
        let first = consumer.next(&ONE).await.unwrap();
        let step = consumer.commit_with(&first, Vec::new());
        tokio::time::timeout(Duration::from_millis(5), step)
            .await
            .unwrap_err();
        state.lock().hanging = false;
        assert_eq!(consumer.next(&ONE).await.unwrap().records[0].offset, 0);
    }

    const LINGERING: BatchLimits = BatchLimits {
        max_records: 100,
        max_bytes: 1 << 20,
        linger: Duration::from_mins(1),
    };

    #[tokio::test]
    async fn where_many_are_waiting_no_batch_waits_for_more() {
        let (mut consumer, _state) = consumer(State {
            end: 50,
            ..State::default()
        });
        let batch = tokio::time::timeout(Duration::from_secs(10), consumer.next(&LINGERING));
        assert_eq!(batch.await.unwrap().unwrap().records.len(), 50);
    }

    #[tokio::test]
    async fn a_cancelled_next_loses_nothing() {
        let (mut consumer, _state) = consumer(State {
            end: 2,
            ..State::default()
        });
        tokio::time::timeout(Duration::from_millis(20), consumer.next(&LINGERING))
            .await
            .unwrap_err();
        let batch = consumer.next(&ONE).await.unwrap();
        assert_eq!(batch.records.len(), 2);
        consumer.commit(&batch).await.unwrap();
    }
}
