//! The present state of a template: the version in use and the draft beside it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Parts, TemplateRow};

/// The bytes of a draft's digest in an entity tag.
const DIGEST: usize = 8;

/// A text that is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Grows by 1 with each writing; a new draft begins at 1.
    pub version: i64,
    /// Its text.
    pub parts: Parts,
    /// The version that was in use when the draft was written; `None` if there was none.
    pub base: Option<u32>,
}

/// The present state of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateState {
    /// The version in use.
    pub published: Option<TemplateRow>,
    /// The draft beside it.
    pub draft: Option<Draft>,
}

impl TemplateState {
    /// Whether there is a published version or a draft.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.published.is_some() || self.draft.is_some()
    }

    /// Whether another version was published since the draft was written.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let published = self.published.as_ref().map(|row| row.version);
        self.draft.as_ref().is_some_and(|draft| draft.base != published)
    }

    /// The strong entity tag of all that is shown of a template: the published version, and the version, base and
    /// text of the draft. It is empty for a template that does not exist. Versions of drafts begin again after
    /// publishing, so the text is part of the tag: two equal tags stand for the same content.
    #[must_use]
    pub fn etag(&self) -> String {
        if !self.exists() {
            return String::new();
        }
        let published = self.published.as_ref().map_or(0, |row| row.version);
        let mut tag = format!("\"{published}");
        if let Some(draft) = &self.draft {
            let mut digest = Sha256::new();
            // Lengths separate the texts.
            for text in draft.parts.iter().flat_map(|(part, text)| [part, text]) {
                digest.update(text.len().to_be_bytes());
                digest.update(text);
            }
            let _ = write!(tag, ".{}.{}.", draft.version, draft.base.unwrap_or(0));
            for byte in &digest.finalize()[..DIGEST] {
                let _ = write!(tag, "{byte:02x}");
            }
        }
        tag.push('"');
        tag
    }
}
