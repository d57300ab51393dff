//! Issues of templates, for their authors.

use serde::Serialize;

use crate::{RenderError, TemplateDef};

/// The code of the issue of a template that includes a partial with an issue of its own.
pub(super) const UNUSABLE_PARTIAL: &str = "unusable-partial";

/// An issue and its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TemplateIssue {
    /// `<type>/<channel>`, `partials/<name>` or `locales/<tag>`.
    pub template: String,
    /// The locale of a template that serves a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The part, such as `html`; empty for the whole template.
    pub part: String,
    /// The line, from 1, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// A stable code, such as `syntax`, `unknown-key`, `unsafe-link`.
    pub code: &'static str,
    /// A sentence that names the expected form.
    pub message: String,
}

impl std::fmt::Display for TemplateIssue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.template)?;
        if let Some(locale) = &self.locale {
            write!(f, " ({locale})")?;
        }
        if !self.part.is_empty() {
            write!(f, " {}", self.part)?;
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl TemplateIssue {
    /// Whether it is an issue of this template.
    pub(super) fn is_of(&self, def: &TemplateDef) -> bool {
        self.template == def.id() && self.locale == def.locale
    }

    /// Whether the issue only follows from one that its partial has itself.
    #[must_use]
    pub fn is_consequence(&self) -> bool {
        self.code == UNUSABLE_PARTIAL
    }

    /// The pointer of its part in the template's document; empty for the whole template.
    #[must_use]
    pub fn pointer(&self) -> String {
        if self.part.is_empty() {
            String::new()
        } else {
            RenderError::part_pointer(&self.part)
        }
    }
}

/// The result of checking a set of templates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// Errors, with which the set cannot be published.
    pub errors: Vec<TemplateIssue>,
    /// Warnings for the author.
    pub warnings: Vec<TemplateIssue>,
}

/// The template and part in which issues are found.
#[derive(Debug, Clone)]
pub(super) struct IssueSite {
    template: String,
    locale: Option<String>,
    part: String,
}

impl IssueSite {
    pub(super) fn new(template: impl Into<String>, locale: Option<&str>, part: &str) -> Self {
        Self {
            template: template.into(),
            locale: locale.map(ToOwned::to_owned),
            part: part.to_owned(),
        }
    }

    pub(super) fn issue(
        &self,
        line: Option<usize>,
        code: &'static str,
        message: impl Into<String>,
    ) -> TemplateIssue {
        TemplateIssue {
            template: self.template.clone(),
            locale: self.locale.clone(),
            part: self.part.clone(),
            line,
            code,
            message: message.into(),
        }
    }
}
