//! SQLite's only writer. If no other write waits, a write is a transaction of its own. Writes that wait for one
//! another share a transaction, since each commit syncs the disk (group commit).
//!
//! A turn begins when its caller has the lock, which is given in the order of the requests. The first turn of a
//! transaction spawns the task that commits it. That task queues for the lock twice, so the turns requested before it
//! runs share the transaction. While it commits, the next group gathers. Callers are told of success only after the
//! commit.
//!
//! Small writes go before large ones, of which at most one stands in the lock's queue. A small write that is the last
//! one waiting is committed at once. Thus a one-time password waits for one or two parts of a campaign, not for all
//! that are queued.
//!
//! Each statement is a message to SQLite's thread and back, so none is sent without need: no savepoint for a turn
//! that is alone in its transaction, no explicit transaction for a single statement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::{Conn, Health, measures::Commits};
use crate::{error::StoreError, fault::Fault};

/// The time for which a probe waits for the writer, and then for the file's write lock.
const PROBE: Duration = Duration::from_secs(2);

/// The writer of one file; a cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Group(Arc<Inner>);

/// The size class of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

impl Size {
    /// The most rows of a small write.
    const SMALL: usize = 32;

    pub(super) fn of(rows: usize) -> Self {
        if rows <= Self::SMALL {
            Self::Small
        } else {
            Self::Large
        }
    }
}

#[derive(Debug)]
struct Inner {
    writer: Arc<Mutex<Writer>>,
    /// The queue of large turns, of which one at a time queues for `writer`.
    gate: Mutex<()>,
    /// The number of requests that wait for a turn, and of small ones among them.
    asking: AtomicUsize,
    asking_small: AtomicUsize,
    pool: SqlitePool,
    /// The longest wait for a turn.
    patience: Duration,
    health: Health,
    /// The number of writes at the last probe.
    probed: AtomicU64,
}

#[derive(Debug)]
struct Writer {
    /// `None` once the file is closed.
    connection: Option<PoolConnection<Sqlite>>,
    transaction: Transaction,
    /// The number of the current transaction. The task spawned for a transaction commits it unless a turn has done so
    /// before.
    number: u64,
    savepoint: Savepoint,
    /// The callers whose writes are in the open transaction.
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    health: Health,
    commits: Commits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// Begun by one turn, which has not ended. If its caller went away, the transaction is rolled back.
    OfOneTurn,
    /// Contains writes of turns that have ended, so it has to be committed.
    Open,
}

/// The savepoint that the turn before may have left behind, if its caller went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    None,
    /// `SAVEPOINT` was sent; it may exist, and nothing was written after it.
    Opening,
    Open,
    /// `RELEASE` was sent; it may still exist, and the writes after it are kept.
    Releasing,
}

/// The writer, held by one caller.
pub(crate) struct Turn {
    writer: OwnedMutexGuard<Writer>,
    group: Group,
    size: Size,
    /// Set if the turn has no explicit transaction: its one statement commits itself.
    is_alone: bool,
}

/// A request that waits for a turn; counted while it exists.
struct Asking<'a>(&'a AtomicUsize);

impl<'a> Asking<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Group {
    /// A writer on the only connection of a pool.
    pub(super) async fn new(
        pool: SqlitePool,
        patience: Duration,
        commits: Commits,
    ) -> Result<Self, StoreError> {
        let health = Health::default();
        let writer = Writer {
            commits,
            health: health.clone(),
            connection: Some(pool.acquire().await?),
            transaction: Transaction::None,
            number: 0,
            savepoint: Savepoint::None,
            waiting: Vec::new(),
        };
        Ok(Self(Arc::new(Inner {
            writer: Arc::new(Mutex::new(writer)),
            gate: Mutex::new(()),
            asking: AtomicUsize::new(0),
            asking_small: AtomicUsize::new(0),
            pool,
            patience,
            health,
            probed: AtomicU64::new(0),
        })))
    }

    /// The health of the database file.
    pub(super) fn health(&self) -> &Health {
        &self.0.health
    }

    /// The fault that keeps the file from taking writes. Writes since the last probe are evidence enough; without
    /// any, the write lock is taken and released, which writes and syncs nothing.
    pub(super) async fn probe(&self) -> Result<Option<Fault>, StoreError> {
        let health = &self.0.health;
        let count = health.writes();
        if self.0.probed.swap(count, Ordering::Relaxed) != count && health.fault().is_none() {
            return Ok(None);
        }
        let Ok(mut writer) = tokio::time::timeout(PROBE, Arc::clone(&self.0.writer).lock_owned()).await
        else {
            // Another turn is in the writer's hands all the time: it waits for the lock, or has much to do.
            let waits = health.writes() == count;
            return Ok(health.fault().or(waits.then_some(Fault::Slow)));
        };
        if writer.connection.is_none() {
            return Err(StoreError::Closed);
        }
        writer.tidy().await;
        if writer.transaction != Transaction::None {
            // The file's lock is this writer's own.
            return Ok(health.fault());
        }
        // If this is dropped half-way, the next turn tidies up.
        writer.transaction = Transaction::OfOneTurn;
        match tokio::time::timeout(PROBE, writer.run("BEGIN IMMEDIATE")).await {
            Err(_) => {
                health.failed(Fault::Locked);
                Ok(Some(Fault::Locked))
            }
            Ok(Err(error)) => {
                writer.transaction = Transaction::None;
                error.fault().map(Some).ok_or(error)
            }
            Ok(Ok(())) => {
                writer.tidy().await;
                health.locked();
                Ok(health.fault())
            }
        }
    }

    async fn lock(&self, size: Size) -> Result<OwnedMutexGuard<Writer>, StoreError> {
        let _asking = Asking::new(&self.0.asking);
        let _small = (size == Size::Small).then(|| Asking::new(&self.0.asking_small));
        let lock = async {
            let _place = match size {
                Size::Small => None,
                Size::Large => Some(self.0.gate.lock().await),
            };
            Arc::clone(&self.0.writer).lock_owned().await
        };
        let mut writer = tokio::time::timeout(self.0.patience, lock)
            .await
            .map_err(|_| StoreError::from(sqlx::Error::PoolTimedOut))?;
        if writer.connection.is_none() {
            return Err(StoreError::Closed);
        }
        writer.tidy().await;
        if writer.transaction == Transaction::None && self.0.health.has_given_up() {
            return Err(StoreError::Unavailable(Fault::Locked, None));
        }
        Ok(writer)
    }

    /// Whether no request waits that is worth delaying the commit of a turn of this size for.
    fn is_last(&self, size: Size) -> bool {
        let asking = match size {
            Size::Small => &self.0.asking_small,
            Size::Large => &self.0.asking,
        };
        asking.load(Ordering::Relaxed) == 0
    }

    /// A turn for one statement.
    pub(super) async fn turn(&self, size: Size) -> Result<Turn, StoreError> {
        let mut writer = self.lock(size).await?;
        let is_alone = writer.transaction == Transaction::None && self.is_last(size);
        if writer.transaction == Transaction::None && !is_alone {
            self.open(&mut writer).await?;
            // The turn's only statement is atomic by itself.
            writer.transaction = Transaction::Open;
        }
        Ok(self.take(writer, size, is_alone))
    }

    /// A turn whose statements are undone unless it ends with [`Turn::commit`].
    pub(super) async fn all_or_nothing(&self, size: Size) -> Result<Turn, StoreError> {
        let mut writer = self.lock(size).await?;
        if writer.transaction == Transaction::None {
            self.open(&mut writer).await?;
        } else {
            writer.savepoint = Savepoint::Opening;
            writer.run("SAVEPOINT turn").await?;
            writer.savepoint = Savepoint::Open;
        }
        Ok(self.take(writer, size, false))
    }

    fn take(&self, writer: OwnedMutexGuard<Writer>, size: Size, is_alone: bool) -> Turn {
        Turn {
            writer,
            group: self.clone(),
            size,
            is_alone,
        }
    }

    async fn open(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.transaction = Transaction::OfOneTurn;
        // A deferred transaction that reads first could not become a writer once another process has written.
        if let Err(error) = writer.run("BEGIN IMMEDIATE").await {
            writer.transaction = Transaction::None;
            return Err(error);
        }
        writer.number += 1;
        tokio::spawn(commit(Arc::clone(&self.0.writer), writer.number));
        Ok(())
    }

    /// Commits the open transaction and closes the file.
    pub(super) async fn close(&self) {
        // Earlier requests for large turns are served first.
        let _place = self.0.gate.lock().await;
        let mut writer = self.0.writer.lock().await;
        writer.tidy().await;
        writer.commit().await;
        drop(writer.connection.take());
        drop(writer);
        self.0.pool.close().await;
    }
}

impl Turn {
    #[expect(clippy::expect_used, reason = "no turn begins on a closed file")]
    pub(super) fn conn(&mut self) -> Conn<'_> {
        let connection = self.writer.connection.as_deref_mut();
        Conn::Sqlite(
            connection.expect("a turn's connection"),
            Some(self.group.health()),
        )
    }

    /// Ends the turn and waits until its writes are on disk.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.is_alone {
            self.group.health().wrote();
            return Ok(());
        }
        if self.writer.savepoint == Savepoint::Open {
            self.writer.savepoint = Savepoint::Releasing;
            self.writer.run("RELEASE turn").await?;
            self.writer.savepoint = Savepoint::None;
        }
        self.writer.transaction = Transaction::Open;
        let (done, committed) = oneshot::channel();
        self.writer.waiting.push(done);
        if self.size == Size::Small && self.group.is_last(Size::Small) {
            // Runs in a task so that it finishes even if the caller goes away.
            tokio::spawn(async move { self.writer.commit().await });
        } else {
            drop(self.writer);
        }
        committed.await.map_err(|_| StoreError::Closed)?
    }
}

impl Writer {
    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let connection = self.connection.as_deref_mut().ok_or(StoreError::Closed)?;
        let done = sqlx::query(statement).execute(connection).await;
        self.health.note(done).map(|_| ())
    }

    /// Cleans up after a turn that did not finish.
    async fn tidy(&mut self) {
        if self.transaction == Transaction::OfOneTurn {
            // The transaction may not have begun.
            let _ = self.run("ROLLBACK").await;
            self.transaction = Transaction::None;
        }
        match std::mem::replace(&mut self.savepoint, Savepoint::None) {
            Savepoint::None => {}
            // The savepoint may not exist.
            Savepoint::Opening | Savepoint::Releasing => {
                let _ = self.run("RELEASE turn").await;
            }
            Savepoint::Open => {
                let undone = async {
                    self.run("ROLLBACK TO turn").await?;
                    self.run("RELEASE turn").await
                };
                if let Err(error) = undone.await {
                    // The writes of the unfinished turn must not be committed.
                    self.fail(&error).await;
                }
            }
        }
    }

    async fn commit(&mut self) {
        if self.transaction == Transaction::None {
            return;
        }
        let since = Instant::now();
        match self.run("COMMIT").await {
            Ok(()) => {
                self.commits.took(since);
                self.transaction = Transaction::None;
                self.health.wrote();
                self.answer(&Ok(()));
            }
            Err(error) => self.fail(&error).await,
        }
    }

    /// Gives up the open transaction, which SQLite may have rolled back by itself (a full disk).
    async fn fail(&mut self, error: &StoreError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "SQLite did not take a transaction"
        );
        let _ = self.run("ROLLBACK").await;
        self.transaction = Transaction::None;
        self.answer(&Err(error.clone()));
    }

    fn answer(&mut self, result: &Result<(), StoreError>) {
        for waiting in self.waiting.drain(..) {
            // A caller that went away needs no answer.
            let _ = waiting.send(result.clone());
        }
    }
}

async fn commit(writer: Arc<Mutex<Writer>>, number: u64) {
    // Requests that wait already go first; queueing a second time includes them.
    drop(writer.lock().await);
    let mut writer = writer.lock().await;
    if writer.number == number {
        writer.tidy().await;
        writer.commit().await;
    }
}

#[cfg(test)]
mod tests;
