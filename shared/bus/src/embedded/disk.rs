//! The disk under the embedded log, and the result of its last write.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use carillon_runtime::disk::{self, DiskError};
use parking_lot::Mutex;

use crate::error::BusError;

/// The time after a failed write in which the next one is expected to fail too.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The time after a wait for another process's write lock in which no second wait begins: the writes that queued during
/// the first one end with it.
const GIVEN_UP: Duration = Duration::from_millis(250);

const FULL: &str = "its disk is full";
const READ_ONLY: &str = "its file system is read-only";
const BROKEN: &str = "its disk fails";
const LOCKED: &str = "another process holds its write lock";
const SLOW: &str = "a write does not end: another process holds its write lock, or its disk hangs";

/// The result of the last write, and a check of the room that is left.
#[derive(Debug)]
pub(super) struct Disk {
    file: PathBuf,
    /// Cause and time of the last failed write; `None` after a write succeeds.
    failed: Mutex<Option<(&'static str, Instant)>>,
    /// Counts transactions that were written.
    writes: AtomicU64,
    /// The count at the last check.
    checked: AtomicU64,
}

impl Disk {
    pub(super) fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            failed: Mutex::new(None),
            writes: AtomicU64::new(0),
            checked: AtomicU64::new(0),
        }
    }

    /// Whether no write has failed since the last successful one.
    pub(super) fn is_well(&self) -> bool {
        self.failed.lock().is_none()
    }

    /// Records that a transaction was written.
    pub(super) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        *self.failed.lock() = None;
    }

    /// Records that the write lock was taken, so no other process holds it. This does not end other faults.
    pub(super) fn locked(&self) {
        let mut failed = self.failed.lock();
        *failed = failed.take_if(|(cause, _)| *cause != LOCKED);
    }

    /// Whether a write has just waited in vain for the lock that another process holds.
    pub(super) fn has_given_up(&self) -> bool {
        matches!(*self.failed.lock(), Some((cause, at)) if cause == LOCKED && at.elapsed() < GIVEN_UP)
    }

    /// The error of a write that does not get the lock.
    pub(super) fn locked_out() -> BusError {
        BusError::Disk(LOCKED)
    }

    /// The number of transactions written.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Whether nothing was written since the last time that this was asked.
    pub(super) fn is_unproven(&self) -> bool {
        let writes = self.writes();
        self.checked.swap(writes, Ordering::Relaxed) == writes || !self.is_well()
    }

    /// The error of a write that does not end.
    pub(super) fn stuck(&self) -> BusError {
        let failed = *self.failed.lock();
        BusError::Disk(failed.map_or(SLOW, |(cause, _)| cause))
    }

    /// Records that a transaction failed; returns the error for its callers.
    pub(super) fn failed(&self, error: &sqlx::Error) -> impl Fn() -> BusError + use<> {
        let cause = cause(error);
        if let Some(cause) = cause {
            *self.failed.lock() = Some((cause, Instant::now()));
        }
        move || match cause {
            Some(cause) => BusError::Disk(cause),
            None => BusError::Unavailable("the embedded log did not take the transaction".to_owned()),
        }
    }

    /// Checks that the disk has room and that recent writes succeeded.
    pub(super) fn check(&self) -> Result<(), BusError> {
        match disk::check(&self.file) {
            Ok(()) => {}
            Err(DiskError::Full { .. }) => return Err(BusError::Disk(FULL)),
            Err(DiskError::ReadOnly) => return Err(BusError::Disk(READ_ONLY)),
            Err(DiskError::Unknown(_)) => return Err(BusError::Disk(BROKEN)),
        }
        match *self.failed.lock() {
            Some((cause, at)) if at.elapsed() < REMEMBERED => Err(BusError::Disk(cause)),
            _ => Ok(()),
        }
    }
}

/// The cause of a failed write, by SQLite's primary result code (the low byte).
fn cause(error: &sqlx::Error) -> Option<&'static str> {
    let sqlx::Error::Database(refusal) = error else {
        return None;
    };
    match refusal.code()?.parse::<u32>().ok()? & 0xff {
        5 | 6 => Some(LOCKED),
        8 => Some(READ_ONLY),
        10 | 14 => Some(BROKEN),
        13 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_apart_from_other_failures_until_a_write_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(folder.path());
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut run = async |sql: &'static str| sqlx::query(sql).execute(&mut connection).await;
        run("CREATE TABLE t (filler BLOB)").await.unwrap();
        run("PRAGMA max_page_count = 10").await.unwrap();
        let full = run("INSERT INTO t VALUES (zeroblob(1000000))").await.unwrap_err();
        let wrong = run("INSERT INTO nowhere VALUES (1)").await.unwrap_err();

        assert!(matches!(disk.failed(&wrong)(), BusError::Unavailable(_)));
        assert!(disk.check().is_ok());
        let told = disk.failed(&full)();
        assert!(matches!(told, BusError::Disk(FULL)) && told.is_retriable());
        assert_eq!(
            disk.check().unwrap_err().to_string(),
            "the embedded log takes no writes: its disk is full"
        );
        disk.wrote();
        assert!(disk.check().is_ok());
    }
}
