//! The only writer of the log. It writes the jobs that wait in one transaction (group commit), which is synced to
//! disk once. Small jobs come before large ones, so that a one-time password waits for at most one part of a
//! campaign.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, atomic::Ordering},
};

use carillon_domain::{Timestamp, clock::SharedClock};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{Slot, disk::Disk, frames, groups::Pending, retention::Retention};
use crate::{
    error::BusError,
    record::{OutRecord, Position, Record},
};

/// Records in a transaction from which on no further job is added.
const MAX_RECORDS: usize = 512;
/// Bytes in a transaction from which on no further job is added.
const MAX_BYTES: usize = 1024 * 1024;
/// The most records, and the most offsets, of a small job.
const SMALL: usize = 16;
/// The sizes of an `INSERT` in rows; the largest that fits is taken.
const ROWS: [usize; 4] = [32, 8, 2, 1];

/// A group's next offset on a partition.
#[derive(Debug)]
pub(super) struct CommittedOffset {
    pub(super) group: Arc<str>,
    pub(super) slot: i64,
    pub(super) next: i64,
}

struct Job {
    appends: Vec<(Arc<Slot>, OutRecord)>,
    offsets: Vec<CommittedOffset>,
    pending: Option<Pending>,
    done: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

/// Hands jobs to the writer's task.
#[derive(Debug)]
pub(super) struct Writer {
    small: mpsc::Sender<Job>,
    large: mpsc::Sender<Job>,
}

/// The jobs that wait for the writer's task.
struct Inbox {
    small: mpsc::Receiver<Job>,
    large: mpsc::Receiver<Job>,
    /// Set after small jobs were taken: the next turn belongs to the large ones.
    large_is_next: bool,
}

impl Writer {
    /// Starts the task. It ends when the log is dropped, and releases the file lock at its end.
    pub(super) fn spawn(
        connection: SqliteConnection,
        retention: Retention,
        clock: SharedClock,
        lock: File,
        disk: Arc<Disk>,
    ) -> Self {
        let (writer, inbox) = Self::channel();
        tokio::spawn(async move {
            run(connection, inbox, retention, clock, &disk).await;
            drop(lock);
        });
        writer
    }

    fn channel() -> (Self, Inbox) {
        let (small, few) = mpsc::channel(4_096);
        let (large, many) = mpsc::channel(4_096);
        let inbox = Inbox {
            small: few,
            large: many,
            large_is_next: false,
        };
        (Self { small, large }, inbox)
    }

    /// Writes records and offsets in one transaction; both are durable on return. `pending` is dropped after the
    /// transaction has succeeded or failed, even if the caller no longer waits.
    pub(super) async fn write(
        &self,
        appends: Vec<(Arc<Slot>, OutRecord)>,
        offsets: Vec<CommittedOffset>,
        pending: Option<Pending>,
    ) -> Result<Vec<Position>, BusError> {
        if appends.is_empty() && offsets.is_empty() {
            return Ok(Vec::new());
        }
        self.hand_over(appends, offsets, pending).await
    }

    /// Takes the file's write lock and releases it, which writes and syncs nothing.
    pub(super) async fn probe(&self) -> Result<(), BusError> {
        self.hand_over(Vec::new(), Vec::new(), None).await.map(|_| ())
    }

    async fn hand_over(
        &self,
        appends: Vec<(Arc<Slot>, OutRecord)>,
        offsets: Vec<CommittedOffset>,
        pending: Option<Pending>,
    ) -> Result<Vec<Position>, BusError> {
        let (done, answer) = oneshot::channel();
        let is_small = appends.len() <= SMALL && offsets.len() <= SMALL;
        let jobs = if is_small { &self.small } else { &self.large };
        jobs.send(Job {
            appends,
            offsets,
            pending,
            done,
        })
        .await
        .map_err(|_| BusError::Closed)?;
        answer.await.map_err(|_| BusError::Closed)?
    }
}

async fn run(
    mut connection: SqliteConnection,
    mut inbox: Inbox,
    mut retention: Retention,
    clock: SharedClock,
    disk: &Disk,
) {
    loop {
        let jobs = tokio::select! {
            jobs = inbox.next() => jobs,
            () = retention.due() => {
                if let Err(error) = retention.prune(&mut connection, clock.now()).await {
                    tracing::warn!(%error, "the embedded log was not pruned");
                }
                continue;
            }
        };
        if jobs.is_empty() {
            break;
        }
        let jobs = without_waiting(jobs, disk);
        if !jobs.is_empty() {
            commit(&mut connection, jobs, &clock, disk).await;
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the embedded log was not closed cleanly");
    }
}

impl Inbox {
    /// The jobs of the next transaction: either small or large ones, up to the limits. Small ones come first; where
    /// both kinds wait, they take turns. Empty when all senders are gone. Cancel-safe.
    async fn next(&mut self) -> Vec<Job> {
        if std::mem::take(&mut self.large_is_next)
            && let Ok(job) = self.large.try_recv()
        {
            return gather(job, &mut self.large);
        }
        tokio::select! {
            biased;
            Some(job) = self.small.recv() => {
                self.large_is_next = true;
                gather(job, &mut self.small)
            }
            Some(job) = self.large.recv() => gather(job, &mut self.large),
            else => Vec::new(),
        }
    }
}

/// Adds the jobs that wait behind the first one, up to the limits of a transaction.
fn gather(first: Job, inbox: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let size = |job: &Job| job.appends.iter().map(|(_, record)| record.size()).sum::<usize>();
    let (mut records, mut bytes) = (first.appends.len(), size(&first));
    let mut jobs = vec![first];
    while records < MAX_RECORDS && bytes < MAX_BYTES {
        let Ok(job) = inbox.try_recv() else { break };
        records += job.appends.len();
        bytes += size(&job);
        jobs.push(job);
    }
    jobs
}

/// Refuses the writes that queued while one waited in vain for the lock that another process holds. A probe, which
/// writes nothing, finds out whether the lock is free again.
fn without_waiting(jobs: Vec<Job>, disk: &Disk) -> Vec<Job> {
    if !disk.has_given_up() {
        return jobs;
    }
    let (probes, writes): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|job| job.appends.is_empty() && job.offsets.is_empty());
    for job in writes {
        drop(job.pending);
        // A caller that has left does not need the answer.
        let _ = job.done.send(Err(Disk::locked_out()));
    }
    probes
}

/// A record with its partition and offset.
struct Placed {
    slot: Arc<Slot>,
    record: Record,
}

async fn commit(connection: &mut SqliteConnection, jobs: Vec<Job>, clock: &SharedClock, disk: &Disk) {
    let now = clock.now();
    let mut placed = Vec::new();
    let mut offsets = Vec::new();
    let mut answers = Vec::with_capacity(jobs.len());
    let mut next: HashMap<i64, i64> = HashMap::new();
    for job in jobs {
        let from = placed.len();
        for (slot, out) in job.appends {
            let offset = next
                .entry(slot.id)
                .or_insert_with(|| slot.next.load(Ordering::Acquire));
            let record = Record {
                topic: Arc::clone(&slot.partition.topic),
                partition: slot.partition.index,
                offset: *offset,
                key: out.key,
                value: out.value,
                headers: out.headers,
                timestamp: now,
                unreadable: None,
            };
            *offset += 1;
            placed.push(Placed { slot, record });
        }
        offsets.extend(job.offsets);
        answers.push((job.done, job.pending, from..placed.len()));
    }
    match store(connection, &placed, &offsets).await {
        Ok(()) => {
            if placed.is_empty() && offsets.is_empty() {
                disk.locked();
            } else {
                disk.wrote();
            }
            let positions: Vec<Position> = placed.iter().map(|placed| placed.record.position()).collect();
            for placed in placed {
                let mut tail = placed.slot.tail.lock();
                placed
                    .slot
                    .next
                    .store(placed.record.offset + 1, Ordering::Release);
                tail.push(placed.record);
            }
            for (done, pending, range) in answers {
                drop(pending);
                // A caller that has left does not need the answer; its records are written all the same.
                let _ = done.send(Ok(positions[range].to_vec()));
            }
        }
        Err(error) => {
            let is_news = disk.is_well();
            let told = disk.failed(&error);
            let error = &error as &dyn std::error::Error;
            if is_news {
                tracing::error!(error, "the embedded log did not take a transaction");
            } else {
                tracing::debug!(error, "the embedded log did not take a transaction");
            }
            for (done, pending, _) in answers {
                drop(pending);
                let _ = done.send(Err(told()));
            }
        }
    }
}

/// Consecutive records of one partition that share a row.
pub(super) struct Row {
    pub(super) slot: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) written_at: Timestamp,
    pub(super) frames: Vec<u8>,
}

/// The records of each partition in rows of at most about [`frames::ROW`] bytes.
fn rows(placed: &[Placed]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut open: HashMap<i64, usize> = HashMap::new();
    for Placed { slot, record } in placed {
        let current = open.get(&slot.id).copied();
        let current = current.filter(|index| rows[*index].frames.len() < frames::ROW);
        let index = current.unwrap_or_else(|| {
            rows.push(Row {
                slot: slot.id,
                first: record.offset,
                last: record.offset,
                written_at: record.timestamp,
                frames: Vec::new(),
            });
            open.insert(slot.id, rows.len() - 1);
            rows.len() - 1
        });
        rows[index].last = record.offset;
        frames::push(&mut rows[index].frames, record);
    }
    rows
}

/// The most rows, and the most offsets, that are sent to SQLite's thread in a single message.
const FEW: usize = 8;

async fn store(
    connection: &mut SqliteConnection,
    placed: &[Placed],
    offsets: &[CommittedOffset],
) -> Result<(), sqlx::Error> {
    let rows = rows(placed);
    if rows.len() <= FEW && offsets.len() <= FEW {
        return store_few(connection, rows, offsets).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, rows).await?;
    for some in chunks(offsets) {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_offsets(&mut query, some);
        query.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn store_few(
    connection: &mut SqliteConnection,
    rows: Vec<Row>,
    offsets: &[CommittedOffset],
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("BEGIN IMMEDIATE; ");
    if !rows.is_empty() {
        push_rows(&mut query, rows);
        query.push("; ");
    }
    if !offsets.is_empty() {
        push_offsets(&mut query, offsets);
        query.push("; ");
    }
    query.push("COMMIT");
    let stored = query.build().execute(&mut *connection).await;
    if let Err(error) = stored {
        // SQLite may have rolled back by itself, or the transaction may not have begun.
        let _ = sqlx::query("ROLLBACK").execute(connection).await;
        return Err(error);
    }
    Ok(())
}

fn push_offsets(query: &mut QueryBuilder<Sqlite>, offsets: &[CommittedOffset]) {
    query.push("INSERT INTO committed (member_group, slot, next_offset) ");
    query.push_values(offsets, |mut row, offset| {
        row.push_bind(&*offset.group)
            .push_bind(offset.slot)
            .push_bind(offset.next);
    });
    query.push(" ON CONFLICT (member_group, slot) DO UPDATE SET next_offset = excluded.next_offset");
}

fn push_rows(query: &mut QueryBuilder<Sqlite>, rows: impl IntoIterator<Item = Row>) {
    query.push("INSERT INTO batches (slot, first_offset, last_offset, written_at, frames) ");
    query.push_values(rows, |mut to, row| {
        to.push_bind(row.slot)
            .push_bind(row.first)
            .push_bind(row.last)
            .push_bind(row.written_at.timestamp_micros())
            .push_bind(row.frames);
    });
}

/// Inserts rows; they are visible once the transaction is committed.
pub(super) async fn insert(connection: &mut SqliteConnection, mut rows: Vec<Row>) -> Result<(), sqlx::Error> {
    while let Some(size) = piece(rows.len()) {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_rows(&mut query, rows.drain(..size));
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// The largest piece size that fits into the rest.
fn piece(left: usize) -> Option<usize> {
    ROWS.into_iter().find(|size| *size <= left)
}

/// Splits into pieces of a few fixed sizes, so that prepared statements are reused.
fn chunks<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = piece(all.len())?;
        let (some, rest) = all.split_at(size);
        all = rest;
        Some(some)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(offsets: usize) -> Job {
        let offset = |slot| CommittedOffset {
            group: Arc::from("g"),
            slot,
            next: 1,
        };
        Job {
            appends: Vec::new(),
            offsets: (0..).map(offset).take(offsets).collect(),
            pending: None,
            done: oneshot::channel().0,
        }
    }

    #[tokio::test]
    async fn what_is_small_goes_first_and_then_it_is_the_turn_of_what_is_large() {
        let (Writer { small, large }, mut inbox) = Writer::channel();
        for offsets in [100, 101] {
            large.send(job(offsets)).await.unwrap();
        }
        for offsets in [1, 2] {
            small.send(job(offsets)).await.unwrap();
        }
        let sizes = |jobs: Vec<Job>| jobs.iter().map(|job| job.offsets.len()).collect::<Vec<_>>();
        assert_eq!(sizes(inbox.next().await), [1, 2]);
        small.send(job(3)).await.unwrap();
        assert_eq!(
            sizes(inbox.next().await),
            [100, 101],
            "more that is small does not keep it waiting"
        );
        assert_eq!(sizes(inbox.next().await), [3]);
        drop((small, large));
        assert!(inbox.next().await.is_empty(), "all senders are gone");
    }
}
