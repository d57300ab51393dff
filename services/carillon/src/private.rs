//! Files that only this user may read: data folders hold addresses, message contents and keys.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Makes all files that this process creates from now on accessible to this user only.
pub(crate) fn create_for_this_user_alone() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// Files that `carillon dev` creates in its folder: those with these names, and those whose names begin with
/// them.
const FILES: [&str; 6] = ["bus.db", "store.", "secrets.json", "api-key", "address", "lock"];
const FOLDERS: [&str; 2] = ["simulator", "shop"];
/// The file that shows that a folder belongs to Carillon; it exists from the first start on.
const MARK: &str = "secrets.json";

/// A file or folder that others may read and whose mode cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("{} can be read by others, and that cannot be changed: run chmod -R go= on it as its owner", .path.display())]
pub(crate) struct NotPrivate {
    path: PathBuf,
    source: io::Error,
}

/// Removes the permissions of group and others from Carillon's files in a data folder, and from the folder itself if it
/// is Carillon's own or empty. A folder with other content keeps its mode.
pub(crate) fn take_from_others(folder: &Path) -> Result<(), NotPrivate> {
    let failed = |source| NotPrivate {
        path: folder.to_owned(),
        source,
    };
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        is_empty = false;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if FOLDERS.contains(&&*name) || FILES.iter().any(|file| name.starts_with(file)) {
            take_all(&entry.path())?;
        }
    }
    if is_empty || folder.join(MARK).exists() {
        take(folder)?;
    }
    Ok(())
}

/// Removes the permissions from a file, or from a folder and its content. Links are left unchanged.
fn take_all(path: &Path) -> Result<(), NotPrivate> {
    if path.is_symlink() {
        return Ok(());
    }
    take(path)?;
    if path.is_dir() {
        let failed = |source| NotPrivate {
            path: path.to_owned(),
            source,
        };
        for entry in fs::read_dir(path).map_err(failed)? {
            take_all(&entry.map_err(failed)?.path())?;
        }
    }
    Ok(())
}

fn take(path: &Path) -> Result<(), NotPrivate> {
    let taken = fs::metadata(path).and_then(|about| {
        let mode = about.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
    });
    match taken {
        // SQLite may remove its files at any time.
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(NotPrivate {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn write(path: &Path) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn a_data_folder_that_others_could_read_becomes_private_with_all_its_files() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let simulator = folder.join("simulator");
        fs::create_dir_all(&simulator).unwrap();
        let outside = parent.path().join("outside");
        write(&outside);
        std::os::unix::fs::symlink(&outside, simulator.join("link")).unwrap();
        let files = [
            "bus.db",
            "bus.db-shm",
            "store.db-wal",
            "store.read-model.db",
            "api-key",
            "secrets.json",
            "simulator/simulator.db",
        ];
        let files = files.map(|name| folder.join(name));
        for file in &files {
            write(file);
        }
        for dir in [&folder, &simulator] {
            fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        }
        take_from_others(&folder).unwrap();
        for file in &files {
            assert_eq!(mode(file), 0o600, "{}", file.display());
        }
        assert_eq!((mode(&folder), mode(&simulator)), (0o700, 0o700));
        assert_eq!(mode(&outside), 0o644, "what a link leads to is somebody else's");
    }

    #[test]
    fn a_folder_with_other_content_keeps_its_mode_and_an_empty_one_becomes_private() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (other, ours) = (folder.path().join("notes.txt"), folder.path().join("bus.db"));
        write(&other);
        write(&ours);
        take_from_others(folder.path()).unwrap();
        assert_eq!(
            (mode(folder.path()), mode(&other), mode(&ours)),
            (0o755, 0o644, 0o600)
        );

        let empty = tempfile::tempdir().unwrap();
        fs::set_permissions(empty.path(), Permissions::from_mode(0o755)).unwrap();
        take_from_others(empty.path()).unwrap();
        assert_eq!(mode(empty.path()), 0o700);
    }
}
