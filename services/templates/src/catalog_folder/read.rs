//! Reads the files of a catalog folder.

use std::path::Path;

use carillon_domain::Catalog;
use carillon_render::{FolderError, TemplateSet, load_folder, read_text};

use super::FolderIssue;
use crate::body::pointer;

/// Reads `catalog.yaml`.
pub(super) fn catalog(file: &Path) -> Result<Catalog, Vec<FolderIssue>> {
    let issue = |pointer: String, line: Option<usize>, code: &str, message: String| FolderIssue {
        file: file.to_owned(),
        pointer,
        line,
        code: code.to_owned(),
        message,
    };
    let text = read_text(file).map_err(|error| vec![of_file(&error)])?;
    let yaml = |error: &serde_yaml_ng::Error, pointer: String, code: &str| {
        let line = error.location().map(|at| at.line());
        vec![issue(pointer, line, code, error.to_string())]
    };
    // The first pass refuses a repeated key, which the second one would accept silently.
    serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&text)
        .map_err(|error| yaml(&error, String::new(), "syntax"))?;
    serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(&text))
        .map_err(|error| yaml(error.inner(), pointer(error.path()), "type"))
}

/// Reads templates, partials and locales.
pub(super) fn templates(folder: &Path) -> Result<TemplateSet, FolderIssue> {
    load_folder(folder).map_err(|error| of_file(&error))
}

fn of_file(error: &FolderError) -> FolderIssue {
    let (file, code, message) = match error {
        FolderError::Unreadable { path, source } => (path, "unreadable", source.to_string()),
        FolderError::NoText { path } => {
            let expected = "expected a regular file of at most 16 MiB";
            (path, "unreadable", expected.to_owned())
        }
        FolderError::Twice { path, other } => {
            let other = other.file_name().unwrap_or_default().display();
            let text = format!("expected one file for this text, but {other} is for the same locale");
            (path, "duplicate-locale", text)
        }
        FolderError::Name { path, expected } => (path, "name", format!("expected a file named {expected}")),
    };
    FolderIssue {
        file: file.clone(),
        pointer: String::new(),
        line: None,
        code: code.to_owned(),
        message,
    }
}
