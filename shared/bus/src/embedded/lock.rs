//! One process at a time: the log's tails, offsets and groups are in memory. The lock is a file beside the log; the
//! operating system lets go of it when the process ends, however that comes about.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::Path,
    time::Duration,
};

use crate::error::BusError;

/// How often, and how long apart, it is tried: whoever closes the log still writes what it has accepted.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Locks the log for as long as the file is open.
pub(super) async fn acquire(log: &Path) -> Result<File, BusError> {
    let mut path = log.as_os_str().to_owned();
    path.push(".lock");
    let path = std::path::PathBuf::from(path);
    let unusable = |error: &std::io::Error| BusError::Config(format!("{}: {error}", path.display()));
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| unusable(&error))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => {
                // The number is for people, so it does not matter if it cannot be written.
                let _ = file
                    .set_len(0)
                    .and_then(|()| write!(file, "{}", std::process::id()));
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
    }
    let process = fs::read_to_string(&path).ok();
    Err(BusError::InUse {
        log: log.to_owned(),
        process: process.and_then(|number| number.trim().parse().ok()),
    })
}
