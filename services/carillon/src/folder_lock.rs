//! The lock of a data folder. The `carillon dev` of the folder holds it while it runs; the file contains the
//! number of that process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};

const LOCK_FILE: &str = "lock";

/// Locks a folder for this process until the file is closed.
pub(crate) fn take(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK_FILE);
    let mut lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).ok();
            let process = process.and_then(|number| number.trim().parse::<u32>().ok());
            let process = process.map_or_else(String::new, |number| format!(" (process {number})"));
            bail!(
                "{} is in use by another carillon{process}; stop that one, or choose another folder with --data-dir",
                folder.display()
            );
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
    }
    lock.set_len(0)
        .and_then(|()| write!(lock, "{}", std::process::id()))
        .with_context(|| path.display().to_string())?;
    Ok(lock)
}

/// Whether a process holds a folder's lock.
pub(crate) fn is_taken(folder: &Path) -> io::Result<bool> {
    let lock = match File::open(folder.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
