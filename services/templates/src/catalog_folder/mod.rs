//! A catalog folder, such as `examples/shop`: reading it, checking it as a whole, comparing it with the store,
//! applying it.

mod apply;
mod check;
mod read;

use std::path::{Path, PathBuf};

use carillon_domain::Catalog;
use carillon_render::TemplateSet;
use serde::Serialize;

pub use apply::{Applied, ApplyError, Difference, Names, PublishedVersion, apply, diff};

/// A folder that can be applied.
#[derive(Debug, Clone)]
pub struct CatalogFolder {
    /// `catalog.yaml`.
    pub catalog: Catalog,
    /// `templates/`, `partials/` and `locales/`.
    pub templates: TemplateSet,
    /// Warnings for its author.
    pub warnings: Vec<FolderIssue>,
}

/// An issue of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderIssue {
    /// The file or folder.
    pub file: PathBuf,
    /// RFC 6901 pointer into `catalog.yaml`; empty elsewhere.
    pub pointer: String,
    /// The line, from 1, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// A stable code.
    pub code: String,
    /// A sentence that names the expected value.
    pub message: String,
}

impl std::fmt::Display for FolderIssue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.pointer.is_empty() {
            write!(f, " {}", self.pointer)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A folder that cannot be applied.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct FolderInvalid {
    /// All issues, at least one.
    pub issues: Vec<FolderIssue>,
}

/// Reads a folder and checks it as a whole.
pub fn load(folder: &Path) -> Result<CatalogFolder, FolderInvalid> {
    let catalog = read::catalog(&folder.join("catalog.yaml"));
    let templates = read::templates(folder);
    match (catalog, templates) {
        (Ok(catalog), Ok(templates)) => check::check(folder, catalog, templates),
        (catalog, templates) => {
            let mut issues = catalog.err().unwrap_or_default();
            issues.extend(templates.err());
            Err(FolderInvalid { issues })
        }
    }
}
