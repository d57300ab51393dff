//! Reads the files of a catalog folder.

use std::path::Path;

use carillon_domain::{Catalog, field_error::echo};
use carillon_render::{FolderError, TemplateSet, load_folder, read_text};
use carillon_runtime::{
    http::{serde_code, serde_sentence},
    os_sentence,
};

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
    // The first pass refuses a repeated key, which the second one would accept silently.
    serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&text).map_err(|error| {
        let line = error.location().map(|at| at.line());
        vec![issue(String::new(), line, "syntax", unreadable(&error))]
    })?;
    serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(&text)).map_err(|error| {
        let line = error.inner().location().map(|at| at.line());
        let said = without_place(&error.inner().to_string());
        vec![issue(
            pointer(error.path()),
            line,
            serde_code(&said),
            serde_sentence(&said),
        )]
    })
}

/// The sentence about a text that is not YAML. libyaml's own sentences name the parts of its grammar.
fn unreadable(error: &serde_yaml_ng::Error) -> String {
    let said = error.to_string();
    if let Some(key) = said.split("duplicate entry with key ").nth(1) {
        let key = key.split(" at line ").next().unwrap_or_default();
        return format!("expected the key {} once", echo(key));
    }
    if said.contains("more than one document") {
        return "expected one YAML document, not several".to_owned();
    }
    if said.contains("repetition limit") || said.contains("recursion limit") {
        return "expected YAML of few levels whose aliases expand to little text".to_owned();
    }
    match error.location() {
        Some(at) => format!("expected YAML: the text cannot be read at column {}", at.column()),
        None => "expected YAML: the text ends too early".to_owned(),
    }
}

/// serde's sentence about a value of YAML, without the path to the value. The pointer has the path.
fn without_place(said: &str) -> String {
    const STARTS: [&str; 6] = [
        "missing field `",
        "unknown field `",
        "unknown variant `",
        "duplicate field `",
        "invalid type: ",
        "invalid value: ",
    ];
    let start = STARTS.iter().filter_map(|start| said.find(start)).min();
    said[start.unwrap_or(0)..].to_owned()
}

/// Reads templates, partials and locales.
pub(super) fn templates(folder: &Path) -> Result<TemplateSet, FolderIssue> {
    load_folder(folder).map_err(|error| of_file(&error))
}

fn of_file(error: &FolderError) -> FolderIssue {
    let (file, code, message) = match error {
        FolderError::Unreadable { path, source } => (path, "unreadable", os_sentence(source)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_not_one_small_document_says_so() {
        let unreadable = |text: &str| {
            let read: Result<serde_yaml_ng::Value, _> = serde_yaml_ng::from_str(text);
            unreadable(&read.unwrap_err())
        };
        let aliases = |name: char, of: char| {
            let references = vec![format!("*{of}"); 9].join(",");
            format!("{name}: &{name} [{references}]\n")
        };
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, of) in ('b'..='j').zip('a'..) {
            bomb.push_str(&aliases(name, of));
        }
        for (text, expected) in [
            ("a: 1\n---\nb: 2\n", "expected one YAML document, not several"),
            (
                bomb.as_str(),
                "expected YAML of few levels whose aliases expand to little text",
            ),
        ] {
            assert_eq!(unreadable(text), expected);
        }
    }
}
