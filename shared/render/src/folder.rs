//! Templates from a folder: `templates/<type>/<channel>[.<locale>].<part>.hbs`, `partials/<name>.<html|text>.hbs` and
//! `locales/<tag>.ftl`.

mod read;

use std::path::{Path, PathBuf};

use crate::TemplateSet;

/// Why a folder cannot be read as templates, with the file at fault.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// A file is a device, a pipe or a folder, or too large to be a text.
    #[error("{}: expected a regular file of at most 16 MiB", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A file's name does not fit the pattern of its place.
    #[error("{}: expected a file named {expected}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The pattern.
        expected: &'static str,
    },
    /// Two files hold the same text, because their names spell one locale in two ways.
    #[error("{}: expected one file for this text, but {} is for the same locale", path.display(), other.display())]
    Twice {
        /// The later one by name.
        path: PathBuf,
        /// The earlier one.
        other: PathBuf,
    },
}

/// Reads a catalog folder's templates, partials and locales; a folder without any of them is an empty set.
pub fn load_folder(folder: &Path) -> Result<TemplateSet, FolderError> {
    read::load(folder)
}

/// The file of a locale's texts in a catalog folder. A file's name may spell the tag in another way than BCP 47
/// does, such as `fr_CA`.
#[must_use]
pub fn locale_file(folder: &Path, tag: &str) -> PathBuf {
    read::locale_file(folder, tag)
}

/// Reads a text file of a catalog folder, without a leading byte order mark. Only a regular file is opened,
/// because a device or a pipe may never end.
pub fn read_text(file: &Path) -> Result<String, FolderError> {
    read::read(file)
}
