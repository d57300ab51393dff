//! The free space of the disk under a file.

use std::{io, path::Path};

/// Free bytes below which a disk counts as full. One transaction may need this much, and its write-ahead log
/// as much again.
const ROOM: u64 = 2 * 1024 * 1024;

/// The reason for which the disk takes no data.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Fewer than 2 MiB are free for this user.
    #[error("the disk is full: {free} bytes are free")]
    Full {
        /// Bytes that this user may still write.
        free: u64,
    },
    /// The file system is mounted read-only.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The file system could not be queried.
    #[error("the file system could not be queried")]
    Unknown(#[source] io::Error),
}

/// Checks that the file system of an existing file or folder takes more data.
pub fn check(path: &Path) -> Result<(), DiskError> {
    let system = rustix::fs::statvfs(path).map_err(|error| DiskError::Unknown(error.into()))?;
    if system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(DiskError::ReadOnly);
    }
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free < ROOM {
        return Err(DiskError::Full { free });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_passes_and_a_path_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).is_ok());
        let nowhere = check(&folder.path().join("nowhere"));
        assert!(matches!(nowhere, Err(DiskError::Unknown(_))));
    }
}
