//! SQLite's only writer: a task that owns the connection and lends it to one caller at a time.
//!
//! ```text
//! Idle ── a statement, and no request that would share its transaction ──► Lent alone: it commits itself ──► Idle
//!   └── else BEGIN ──► Lent ── finished ──► kept; the inbox has more ──► Lent (several statements: in a savepoint)
//!                       │                                 └── no more ──► COMMIT ──► Idle; kept callers are answered
//!                       └── given up ──► its writes are undone; COMMIT of what is kept, or ROLLBACK ──► Idle
//! ```
//!
//! Which requests share a transaction, and in which order, is decided by the [inbox](carillon_runtime::inbox). A caller
//! has the connection in a [`Turn`]; a turn that is dropped is given up. Callers are told of success only after the
//! commit. A finished turn is committed even if its caller goes away.
//!
//! Each statement is a message to SQLite's thread and back, so none is sent without need.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use carillon_runtime::inbox::{Inbox, InboxClosed, InboxSender, Job, inbox};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{oneshot, watch};

use super::{Conn, Health, measures::Commits};
use crate::{error::StoreError, fault::Fault};

/// The time for which a probe waits for the writer, and then for the file's write lock.
const PROBE: Duration = Duration::from_secs(2);

/// The writer of one file; a cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: InboxSender<Request>,
    /// Whether the file is to be closed. The task has the receiver until its end.
    close: watch::Sender<bool>,
    /// The longest wait for a turn.
    patience: Duration,
    health: Health,
    /// The number of writes at the last probe.
    probed: AtomicU64,
}

/// Whether the statements of a turn need a transaction to be written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statements {
    One,
    Several,
}

/// The rows that a turn is for. They may be gathered from several callers until the turn comes.
pub(crate) trait Rows: Send + Sync + 'static {
    /// The number of rows so far.
    fn count(&self) -> usize;

    /// Ends the gathering. Returns how the rows are written.
    fn seal(&self) -> Statements;
}

impl Rows for (usize, Statements) {
    fn count(&self) -> usize {
        self.0
    }

    fn seal(&self) -> Statements {
        self.1
    }
}

/// A caller that waits for its turn.
struct Request {
    rows: Arc<dyn Rows>,
    turn: oneshot::Sender<Result<Turn, StoreError>>,
}

impl Job for Request {
    fn rows(&self) -> usize {
        self.rows.count()
    }
}

/// The connection in the hands of a caller.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None` once the connection was returned.
    lent: Option<Lent>,
    health: Health,
}

#[derive(Debug)]
struct Lent {
    connection: SqliteConnection,
    /// Set if there is no explicit transaction: the turn's one statement commits itself.
    is_alone: bool,
    back: oneshot::Sender<(SqliteConnection, End)>,
}

/// The end of a turn.
#[derive(Debug)]
enum End {
    /// Its statement has committed itself.
    Durable,
    /// Its writes are in the open transaction. The caller waits for the commit.
    Finished(KeptTurn),
    /// The caller failed or went away.
    GivenUp,
}

/// The caller of a turn that has ended and is not committed yet.
type KeptTurn = oneshot::Sender<Result<(), StoreError>>;

impl Writer {
    /// Starts the task. It ends when it is closed, or the last handle is dropped.
    pub(super) fn spawn(connection: SqliteConnection, patience: Duration, commits: Commits) -> Self {
        let (requests, inbox) = inbox();
        let (close, closing) = watch::channel(false);
        let health = Health::default();
        let task = WriterTask {
            inbox,
            closing,
            health: health.clone(),
            commits,
        };
        tokio::spawn(task.run(connection));
        Self(Arc::new(Inner {
            requests,
            close,
            patience,
            health,
            probed: AtomicU64::new(0),
        }))
    }

    /// A turn for these rows. Unless its statements are one, they are undone if the turn does not end with
    /// [`Turn::commit`].
    pub(super) async fn turn(&self, rows: Arc<dyn Rows>) -> Result<Turn, StoreError> {
        tokio::time::timeout(self.0.patience, self.ask(rows))
            .await
            .map_err(|_| StoreError::from(sqlx::Error::PoolTimedOut))?
    }

    async fn ask(&self, rows: Arc<dyn Rows>) -> Result<Turn, StoreError> {
        let (turn, lent) = oneshot::channel();
        let sent = self.0.requests.send(Request { rows, turn }).await;
        sent.map_err(|InboxClosed| StoreError::Closed)?;
        lent.await.map_err(|_| StoreError::Closed)?
    }

    /// The fault that keeps the file from taking writes. Writes since the last probe are evidence enough; without
    /// any, the write lock is taken and released, which writes and syncs nothing.
    pub(super) async fn probe(&self) -> Result<Option<Fault>, StoreError> {
        let health = &self.0.health;
        let count = health.writes();
        if self.0.probed.swap(count, Ordering::Relaxed) != count && health.fault().is_none() {
            return Ok(None);
        }
        let asked = self.ask(Arc::new((0, Statements::One)));
        let Ok(turn) = tokio::time::timeout(PROBE, asked).await else {
            // Another turn is under way all the time: it waits for the lock, or has much to do.
            let waits = health.writes() == count;
            return Ok(health.fault().or(waits.then_some(Fault::Slow)));
        };
        let mut turn = turn?;
        let Some(lent) = turn.lent.as_mut().filter(|lent| lent.is_alone) else {
            // The file's lock is this writer's own.
            return Ok(health.fault());
        };
        let taken = execute(&mut lent.connection, health, "BEGIN IMMEDIATE; ROLLBACK");
        match tokio::time::timeout(PROBE, taken).await {
            Err(_) => {
                health.failed(Fault::Locked);
                Ok(Some(Fault::Locked))
            }
            Ok(Err(error)) => error.fault().map(Some).ok_or(error),
            Ok(Ok(())) => {
                turn.end(|_| End::Durable);
                health.locked();
                Ok(health.fault())
            }
        }
    }

    /// Serves the requests that wait, refuses others, and closes the file.
    pub(super) async fn close(&self) {
        self.0.close.send_replace(true);
        self.0.close.closed().await;
    }
}

impl Turn {
    #[expect(
        clippy::expect_used,
        reason = "the connection is returned only when the turn ends"
    )]
    pub(super) fn conn(&mut self) -> Conn<'_> {
        let lent = self.lent.as_mut().expect("a turn's connection");
        Conn::Sqlite(&mut lent.connection, Some(&self.health))
    }

    /// Ends the turn and waits until its writes are on disk.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (done, committed) = oneshot::channel();
        let is_durable = self.end(|is_alone| {
            if is_alone {
                End::Durable
            } else {
                End::Finished(done)
            }
        });
        if is_durable {
            self.health.wrote();
            return Ok(());
        }
        committed.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns the connection to the writer, with the end of the turn. `end` builds it from whether the turn was alone,
    /// which is also the result.
    fn end(&mut self, end: impl FnOnce(bool) -> End) -> bool {
        let Some(lent) = self.lent.take() else {
            return false;
        };
        // The task is gone only at the end of the process.
        let _ = lent.back.send((lent.connection, end(lent.is_alone)));
        lent.is_alone
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(|_| End::GivenUp);
    }
}

struct WriterTask {
    inbox: Inbox<Request>,
    closing: watch::Receiver<bool>,
    health: Health,
    commits: Commits,
}

impl WriterTask {
    async fn run(mut self, mut connection: SqliteConnection) {
        while let Some(request) = self.first().await {
            // Only a probe, which writes nothing, finds out whether another process still holds the lock.
            if self.health.has_given_up() && request.rows.count() > 0 {
                let locked = StoreError::Unavailable(Fault::Locked, None);
                let _ = request.turn.send(Err(locked));
                continue;
            }
            let is_alone = request.rows.seal() == Statements::One && !self.inbox.has_more();
            let returned = if is_alone {
                self.alone(connection, request).await
            } else {
                self.transaction(connection, request).await
            };
            let Some(idle) = returned else { return };
            connection = idle;
        }
        if let Err(error) = connection.close().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a SQLite file was not closed cleanly"
            );
        }
    }

    /// The next request whose caller still waits.
    async fn first(&mut self) -> Option<Request> {
        loop {
            let request = tokio::select! {
                biased;
                Ok(()) = self.closing.changed() => {
                    self.inbox.close();
                    continue;
                }
                request = self.inbox.first() => request?,
            };
            if !request.turn.is_closed() {
                return Some(request);
            }
        }
    }

    fn more(&mut self) -> Option<Request> {
        std::iter::from_fn(|| self.inbox.more()).find(|request| !request.turn.is_closed())
    }

    /// One statement, which commits itself.
    async fn alone(&mut self, connection: SqliteConnection, request: Request) -> Option<SqliteConnection> {
        let (mut connection, end) = self.lend(connection, request, true).await?;
        match end {
            End::Durable | End::Finished(_) => {}
            // A probe may have left a transaction open; usually there is none.
            End::GivenUp => drop(execute(&mut connection, &self.health, "ROLLBACK").await),
        }
        Some(connection)
    }

    /// A transaction of `first` and the requests that share it. The last one is the first that is given up.
    async fn transaction(
        &mut self,
        mut connection: SqliteConnection,
        first: Request,
    ) -> Option<SqliteConnection> {
        // A deferred transaction that reads first could not become a writer once another process has written.
        if let Err(error) = execute(&mut connection, &self.health, "BEGIN IMMEDIATE").await {
            // The caller may have gone away.
            let _ = first.turn.send(Err(error));
            return Some(connection);
        }
        let mut kept: Vec<KeptTurn> = Vec::new();
        let mut result = Ok(());
        let mut next = Some(first);
        let mut savepoint = "SAVEPOINT turn";
        while let Some(request) = next.take() {
            let in_savepoint = request.rows.seal() == Statements::Several && !kept.is_empty();
            if in_savepoint {
                result = execute(&mut connection, &self.health, savepoint).await;
                savepoint = "RELEASE turn; SAVEPOINT turn";
            }
            if let Err(error) = &result {
                let _ = request.turn.send(Err(error.clone()));
                break;
            }
            let (back, end) = self.lend(connection, request, false).await?;
            connection = back;
            match end {
                End::Finished(caller) => {
                    kept.push(caller);
                    next = self.more();
                }
                End::Durable | End::GivenUp if in_savepoint => {
                    result = execute(&mut connection, &self.health, "ROLLBACK TO turn").await;
                }
                // A single statement has written all of its rows or none, so there is nothing to undo. The turn that
                // began the transaction has nothing before it, so the whole transaction is rolled back.
                End::Durable | End::GivenUp => {}
            }
        }
        if result.is_ok() && !kept.is_empty() {
            let since = Instant::now();
            result = execute(&mut connection, &self.health, "COMMIT").await;
            if result.is_ok() {
                self.commits.took(since);
                self.health.wrote();
            }
        }
        if let Err(error) = &result {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "SQLite did not take a transaction"
            );
        }
        if result.is_err() || kept.is_empty() {
            // SQLite may have rolled back by itself (a full disk).
            let _ = execute(&mut connection, &self.health, "ROLLBACK").await;
        }
        for caller in kept {
            // A caller that went away needs no answer.
            let _ = caller.send(result.clone());
        }
        Some(connection)
    }

    /// Lends the connection and waits until it is returned. `None` if it is lost, which only the end of the process
    /// can cause.
    async fn lend(
        &self,
        connection: SqliteConnection,
        request: Request,
        is_alone: bool,
    ) -> Option<(SqliteConnection, End)> {
        let (back, returned) = oneshot::channel();
        let turn = Turn {
            lent: Some(Lent {
                connection,
                is_alone,
                back,
            }),
            health: self.health.clone(),
        };
        // If the caller has gone away, the turn is dropped, which gives it up.
        drop(request.turn.send(Ok(turn)));
        returned.await.ok()
    }
}

async fn execute(on: &mut SqliteConnection, health: &Health, sql: &'static str) -> Result<(), StoreError> {
    health.note(sqlx::query(sql).execute(on).await).map(drop)
}

#[cfg(test)]
mod tests;
