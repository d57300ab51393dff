//! The lock that keeps a second process off the log, whose tails, offsets and groups are in memory. It is a file beside
//! the log. The operating system releases it when the process ends, also after a crash.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::Path,
    time::Duration,
};

use carillon_runtime::os_sentence;

use crate::error::BusError;

/// The number of tries, and the pause between two: a process that closes the log still writes the records that it has
/// accepted.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Locks the log until the returned file is closed.
pub(super) async fn acquire(log: &Path) -> Result<File, BusError> {
    let mut path = log.as_os_str().to_owned();
    path.push(".lock");
    let path = std::path::PathBuf::from(path);
    let unusable = |error: &std::io::Error| {
        let (log, why) = (log.display(), os_sentence(error));
        BusError::Config(format!(
            "bus.path: the embedded log {log} cannot be opened: {why}"
        ))
    };
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| unusable(&error))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => {
                // The process id is for people, so a failure to write it does not matter.
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
