//! The only writer of the log: a task that writes the jobs of its inbox, several in one transaction, which is synced to
//! disk once. The inbox lets small jobs go before large ones.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, atomic::Ordering},
    vec::Drain,
};

use carillon_domain::{Timestamp, clock::SharedClock};
use carillon_runtime::inbox::{Inbox, InboxClosed, InboxSender, Job, inbox};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::oneshot;

use super::{Slot, disk::Disk, frames, groups::Pending, retention::Retention};
use crate::{
    error::BusError,
    record::{OutRecord, Position, Record},
};

/// The sizes of an `INSERT` in rows; the largest that fits is taken.
const ROWS: [usize; 4] = [32, 8, 2, 1];

/// A group's next offset on a partition.
#[derive(Debug)]
pub(super) struct CommittedOffset {
    pub(super) group: Arc<str>,
    pub(super) slot: i64,
    pub(super) next: i64,
}

struct LogWrite {
    appends: Vec<(Arc<Slot>, OutRecord)>,
    offsets: Vec<CommittedOffset>,
    pending: Option<Pending>,
    done: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

impl Job for LogWrite {
    fn rows(&self) -> usize {
        self.appends.len().max(self.offsets.len())
    }

    fn bytes(&self) -> usize {
        self.appends.iter().map(|(_, record)| record.size()).sum()
    }
}

/// Hands writes to the writer's task.
#[derive(Debug)]
pub(super) struct LogWriter(InboxSender<LogWrite>);

impl LogWriter {
    /// Starts the task. It ends when the log is dropped, and releases the file lock at its end.
    pub(super) fn spawn(
        connection: SqliteConnection,
        retention: Retention,
        clock: SharedClock,
        lock: File,
        disk: Arc<Disk>,
    ) -> Self {
        let (writes, inbox) = inbox();
        tokio::spawn(async move {
            run(connection, inbox, retention, clock, &disk).await;
            drop(lock);
        });
        Self(writes)
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
        let write = LogWrite {
            appends,
            offsets,
            pending,
            done,
        };
        let sent = self.0.send(write).await;
        sent.map_err(|InboxClosed| BusError::Closed)?;
        answer.await.map_err(|_| BusError::Closed)?
    }
}

async fn run(
    mut connection: SqliteConnection,
    mut inbox: Inbox<LogWrite>,
    mut retention: Retention,
    clock: SharedClock,
    disk: &Disk,
) {
    loop {
        tokio::select! {
            first = inbox.first() => {
                let Some(first) = first else { break };
                let mut writes = vec![first];
                writes.extend(std::iter::from_fn(|| inbox.more()));
                if disk.has_given_up() {
                    refuse(&mut writes);
                }
                if !writes.is_empty() {
                    commit(&mut connection, writes, &clock, disk).await;
                }
            }
            // Writes that queue behind a wait for another process's lock end with it, so no second wait begins here.
            () = retention.due(), if !disk.has_given_up() => {
                if let Err(error) = retention.prune(&mut connection, clock.now()).await {
                    let _ = disk.failed(&error);
                    tracing::warn!(%error, "the embedded log was not pruned");
                }
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the embedded log was not closed cleanly");
    }
}

/// Refuses the writes that queued while one waited in vain for the lock that another process holds. A probe, which
/// writes nothing, finds out whether the lock is free again.
fn refuse(writes: &mut Vec<LogWrite>) {
    for write in writes.extract_if(.., |write| write.rows() > 0) {
        drop(write.pending);
        // A caller that has left does not need the answer.
        let _ = write.done.send(Err(Disk::locked_out()));
    }
}

/// A record with its partition and offset.
struct Placed {
    slot: Arc<Slot>,
    record: Record,
}

async fn commit(connection: &mut SqliteConnection, writes: Vec<LogWrite>, clock: &SharedClock, disk: &Disk) {
    let now = clock.now();
    let mut placed = Vec::new();
    let mut offsets = Vec::new();
    let mut answers = Vec::with_capacity(writes.len());
    let mut next: HashMap<i64, i64> = HashMap::new();
    for write in writes {
        let from = placed.len();
        for (slot, out) in write.appends {
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
        offsets.extend(write.offsets);
        answers.push((write.done, write.pending, from..placed.len()));
    }
    let is_probe = placed.is_empty() && offsets.is_empty();
    match store(connection, &placed, offsets).await {
        Ok(()) => {
            if is_probe {
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
                // A caller that has left does not need the answer; its records are written nevertheless.
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
struct Row {
    slot: i64,
    first: i64,
    last: i64,
    written_at: Timestamp,
    frames: Vec<u8>,
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
    offsets: Vec<CommittedOffset>,
) -> Result<(), sqlx::Error> {
    let rows = rows(placed);
    if rows.len() <= FEW && offsets.len() <= FEW {
        return store_few(connection, rows, offsets).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, rows, push_rows).await?;
    insert(&mut transaction, offsets, push_offsets).await?;
    transaction.commit().await
}

async fn store_few(
    connection: &mut SqliteConnection,
    mut rows: Vec<Row>,
    mut offsets: Vec<CommittedOffset>,
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("BEGIN IMMEDIATE; ");
    if !rows.is_empty() {
        push_rows(&mut query, rows.drain(..));
        query.push("; ");
    }
    if !offsets.is_empty() {
        push_offsets(&mut query, offsets.drain(..));
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

fn push_offsets(query: &mut QueryBuilder<Sqlite>, offsets: Drain<'_, CommittedOffset>) {
    query.push("INSERT INTO committed (member_group, slot, next_offset) ");
    query.push_values(offsets, |mut row, offset| {
        row.push_bind(offset.group.to_string())
            .push_bind(offset.slot)
            .push_bind(offset.next);
    });
    query.push(" ON CONFLICT (member_group, slot) DO UPDATE SET next_offset = excluded.next_offset");
}

fn push_rows(query: &mut QueryBuilder<Sqlite>, rows: Drain<'_, Row>) {
    query.push("INSERT INTO batches (slot, first_offset, last_offset, written_at, frames) ");
    query.push_values(rows, |mut to, row| {
        to.push_bind(row.slot)
            .push_bind(row.first)
            .push_bind(row.last)
            .push_bind(row.written_at.timestamp_micros())
            .push_bind(row.frames);
    });
}

/// Inserts items by statements of a few fixed sizes, so that prepared ones are reused.
async fn insert<T>(
    connection: &mut SqliteConnection,
    mut items: Vec<T>,
    push: fn(&mut QueryBuilder<Sqlite>, Drain<'_, T>),
) -> Result<(), sqlx::Error> {
    while let Some(size) = ROWS.into_iter().find(|size| *size <= items.len()) {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push(&mut query, items.drain(..size));
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}
