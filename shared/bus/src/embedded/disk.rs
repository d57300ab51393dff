//! The disk under the embedded log, and the result of its last write.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use carillon_runtime::disk::{self, DiskError};
use parking_lot::Mutex;

use crate::error::BusError;

/// For this long after a failed write, the next one is expected to fail too.
const REMEMBERED: Duration = Duration::from_secs(10);

const FULL: &str = "its disk is full";
const READ_ONLY: &str = "its file system is read-only";
const BROKEN: &str = "its disk fails";

/// The result of the last write, and a check of the room that is left.
#[derive(Debug)]
pub(super) struct Disk {
    file: PathBuf,
    /// Cause and time of the last failed write; `None` after a write succeeds.
    failed: Mutex<Option<(&'static str, Instant)>>,
}

impl Disk {
    pub(super) fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            failed: Mutex::new(None),
        }
    }

    /// Whether no write has failed since the last successful one.
    pub(super) fn is_well(&self) -> bool {
        self.failed.lock().is_none()
    }

    /// Records that a transaction was written.
    pub(super) fn wrote(&self) {
        *self.failed.lock() = None;
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

/// By SQLite's primary result code, the low byte.
fn cause(error: &sqlx::Error) -> Option<&'static str> {
    let sqlx::Error::Database(refusal) = error else {
        return None;
    };
    match refusal.code()?.parse::<u32>().ok()? & 0xff {
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
    async fn a_full_disk_is_told_from_other_failures_until_a_write_is_taken() {
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
