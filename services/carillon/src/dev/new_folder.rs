//! The data folder of a first start.

use std::{
    fs,
    path::{Path, PathBuf},
};

use carillon_runtime::os_sentence;

/// A data folder that this start creates. It is removed if the start fails, so that nothing half-made stays behind.
pub(super) struct NewFolder {
    /// The folders that do not exist yet, the data folder first; empty if it exists.
    missing: Vec<PathBuf>,
}

impl NewFolder {
    pub(super) fn of(dir: &Path) -> Self {
        let missing = dir
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        Self {
            missing: missing.map(Path::to_owned).collect(),
        }
    }

    /// Keeps the folder: the drop of this value no longer removes it.
    pub(super) fn keep(&mut self) {
        self.missing.clear();
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        let mut missing = self.missing.iter();
        let Some(folder) = missing.next().filter(|folder| folder.exists()) else {
            return;
        };
        if let Err(error) = fs::remove_dir_all(folder) {
            tracing::warn!(folder = %folder.display(), error = os_sentence(&error),
                "the data folder of the failed start was not removed");
            return;
        }
        for parent in missing {
            // A folder that another program uses by now is not empty, and stays.
            let _ = fs::remove_dir(parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_start_removes_the_folders_that_it_has_created_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let (existing, new) = (parent.path().join("existing"), parent.path().join("a/b"));
        fs::create_dir(&existing).unwrap();
        for dir in [&existing, &new] {
            let _failed = NewFolder::of(dir);
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("secrets.json"), "{}").unwrap();
        }
        assert!(existing.join("secrets.json").exists());
        assert!(!parent.path().join("a").exists());
        let mut begun = NewFolder::of(&new);
        fs::create_dir_all(&new).unwrap();
        begun.keep();
        drop(begun);
        assert!(new.exists());
    }
}
