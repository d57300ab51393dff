//! What is wrong with templates, for the people who write them.

use serde::Serialize;

use crate::RenderError;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TemplateIssue {
    /// `<type>/<channel>`, `partials/<name>` or `locales/<tag>`.
    pub template: String,
    /// The locale of a template that serves one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The part, such as `html`; empty for the whole.
    pub part: String,
    /// From 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// A stable code, such as `syntax`, `unknown-key`, `unsafe-link`.
    pub code: &'static str,
    /// A sentence that names what was expected.
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
    /// The pointer of its part in the template's document; empty for the whole.
    #[must_use]
    pub fn pointer(&self) -> String {
        if self.part.is_empty() {
            String::new()
        } else {
            RenderError::part_pointer(&self.part)
        }
    }
}

/// What a set of templates may be published with, and what not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// With one of these, the set may not be published.
    pub errors: Vec<TemplateIssue>,
    /// What the author should look at.
    pub warnings: Vec<TemplateIssue>,
}

/// Where issues are found: the same template and part for all of them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    template: String,
    locale: Option<String>,
    part: String,
}

impl Place {
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
