//! The health of a database: its last fault, and which of its connections may be unusable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::{PgConnection, Postgres};

use crate::{error::StoreError, fault::Fault};

/// The time after a failed write during which the next one is expected to fail too.
const REMEMBERED: Duration = Duration::from_secs(10);
/// The time after a wait for another process's write lock during which no second wait begins: the requests that queued
/// during the first one end with it.
const GIVEN_UP: Duration = Duration::from_millis(250);
/// The time after a failure during which connections that were open then are checked before use. It equals the pool's
/// idle timeout.
const SUSPECT: Duration = Duration::from_mins(10);

/// The health, shared by all connections of a database; a cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether `seen` contains a fault. It is nearly always false, which avoids taking the lock.
    is_marked: AtomicBool,
    seen: Mutex<Seen>,
    /// Counts durable writes.
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    /// The last write that failed for a reason that stops every write.
    failed: Option<(Fault, Instant)>,
    /// Connections opened before this time are checked for whether they can write.
    suspect: Option<Instant>,
    /// Connections opened before this time are not used any more.
    stale: Option<Instant>,
}

/// The verdict on a pooled connection before it is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Use,
    Ask,
    Close,
}

impl Health {
    /// Converts a result of sqlx into a result of the store, and remembers a fault of the database.
    pub(crate) fn note<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            if let Some(fault) = Fault::of(&error) {
                self.failed(fault);
            }
            error.into()
        })
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, fault: Fault) {
        let now = Instant::now();
        let mut seen = self.0.seen.lock();
        if fault.stops_writes() {
            seen.failed = Some((fault, now));
        }
        match fault {
            Fault::ReadOnly | Fault::Restarting | Fault::Unreachable => seen.suspect = Some(now),
            Fault::Prepared => seen.stale = Some(now),
            Fault::DiskFull | Fault::Storage | Fault::Locked => {}
            _ => return,
        }
        self.0.is_marked.store(true, Ordering::Release);
    }

    /// Notes that a write is durable, so that the last fault is over.
    pub(super) fn wrote(&self) {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        if self.0.is_marked.load(Ordering::Acquire) {
            self.0.seen.lock().failed = None;
        }
    }

    /// The number of writes that have become durable.
    pub(super) fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::Relaxed)
    }

    /// Records that the write lock was taken, so no other process holds it. This does not end other faults.
    pub(super) fn locked(&self) {
        if self.0.is_marked.load(Ordering::Acquire) {
            let failed = &mut self.0.seen.lock().failed;
            *failed = failed.take_if(|(fault, _)| *fault != Fault::Locked);
        }
    }

    /// The recent fault that stopped writes, unless a write has succeeded since.
    pub(super) fn fault(&self) -> Option<Fault> {
        let seen = self.0.seen.lock();
        let (fault, at) = seen.failed?;
        (at.elapsed() < REMEMBERED).then_some(fault)
    }

    /// Whether a write has just given up waiting for the lock that another process holds.
    pub(super) fn has_given_up(&self) -> bool {
        self.0.is_marked.load(Ordering::Acquire)
            && matches!(self.0.seen.lock().failed, Some((Fault::Locked, at)) if at.elapsed() < GIVEN_UP)
    }

    /// The verdict on a connection of this age.
    pub(super) fn verdict(&self, age: Duration) -> Verdict {
        if !self.0.is_marked.load(Ordering::Acquire) {
            return Verdict::Use;
        }
        let seen = self.0.seen.lock();
        let is_older = |mark: Option<Instant>| mark.is_some_and(|at| age >= at.elapsed());
        let is_recent = seen.suspect.is_some_and(|at| at.elapsed() < SUSPECT);
        if is_older(seen.stale) {
            Verdict::Close
        } else if is_recent && is_older(seen.suspect) {
            Verdict::Ask
        } else {
            Verdict::Use
        }
    }
}

/// Whether the server behind a connection, and the session on it, take writes.
pub(super) async fn is_writable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar::<Postgres, bool>(
        "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'",
    )
    .persistent(false)
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_open_when_the_database_failed_are_checked_and_newer_ones_are_not() {
        let health = Health::default();
        let (old, new) = (Duration::from_mins(1), Duration::ZERO);
        assert_eq!(health.verdict(old), Verdict::Use);
        health.failed(Fault::Conflict);
        assert_eq!(health.verdict(old), Verdict::Use);
        health.failed(Fault::ReadOnly);
        assert_eq!(health.verdict(old), Verdict::Ask);
        assert_eq!(health.verdict(new), Verdict::Use);
        health.failed(Fault::Prepared);
        assert_eq!(health.verdict(old), Verdict::Close);
        assert_eq!(health.verdict(new), Verdict::Use);
    }

    #[test]
    fn a_write_that_succeeds_ends_the_noted_fault() {
        let health = Health::default();
        health.failed(Fault::Slow);
        assert_eq!(health.fault(), None);
        health.failed(Fault::DiskFull);
        assert_eq!(health.fault(), Some(Fault::DiskFull));
        health.locked();
        assert_eq!(health.fault(), Some(Fault::DiskFull), "a lock is no write");
        health.wrote();
        assert_eq!((health.fault(), health.writes()), (None, 1));
        health.failed(Fault::Locked);
        assert_eq!(health.fault(), Some(Fault::Locked));
        health.locked();
        assert_eq!(health.fault(), None);
    }
}
