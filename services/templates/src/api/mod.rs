//! The routes of templates.

mod draft;
mod list;
mod preview;
mod publish;
mod render;

use std::sync::Arc;

use carillon_domain::field_error::quoted;
use carillon_render::{InProcess, TemplateIssue};
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};
use carillon_store::{
    Store,
    templates::{Draft, TemplateName},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::store_templates::Kind;

/// The longest body of a template, in bytes.
const MAX_TEMPLATE: usize = 1024 * 1024;

/// The services that the routes use.
#[derive(Debug, Clone)]
pub struct TemplatesApi {
    /// Templates are stored here.
    pub store: Store,
    /// Renders in this process.
    pub renderer: Arc<InProcess>,
}

/// The routes, with their descriptions. The caller puts a layer around them that inserts a [`crate::TemplateCaller`].
pub fn router<S: Clone + Send + Sync + 'static>(api: TemplatesApi) -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(render::render))
        .routes(routes!(list::list))
        .routes(routes!(draft::get, draft::put))
        .routes(routes!(draft::discard))
        .routes(routes!(publish::publish))
        .routes(routes!(preview::preview))
        .with_state(api)
}

/// `?locale=` names the template that serves one locale only.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LocaleQuery {
    /// BCP 47; without it, the template that serves every locale.
    #[param(example = "fr")]
    locale: Option<String>,
}

/// The name that a path and a query give. `partials/<name>` stands for a partial, which has no locale.
fn name_of(group: &str, name: &str, locale: Option<&str>) -> Result<TemplateName, Problem> {
    let id = format!("{group}/{name}");
    let fits = |text: &str| {
        text.len() <= 128
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let (is_known, is_partial) = match Kind::parse(&id) {
        Some(Kind::Template { event_type, .. }) => (fits(event_type), false),
        Some(Kind::Partial { name }) => (fits(name), true),
        None => (false, false),
    };
    if !is_known {
        return Err(Problem::new(
            ProblemKind::NotFound,
            format!(
                "expected <type>/<email|sms|push|webhook> or partials/<name>, not {}",
                quoted(&id)
            ),
        ));
    }
    let Some(tag) = locale else {
        return Ok(TemplateName { id, locale: None });
    };
    if is_partial {
        let expected = format!(
            "expected no locale of a partial, which serves all, not {}",
            quoted(tag)
        );
        return Err(wrong_locale(&expected));
    }
    let Some(locale) = carillon_render::canonical_locale(tag) else {
        let expected = format!(
            "expected a BCP 47 language tag, such as fr-CA, not {}",
            quoted(tag)
        );
        return Err(wrong_locale(&expected));
    };
    // Spellings of one locale lead to one name.
    Ok(TemplateName {
        id,
        locale: Some(locale),
    })
}

/// The refusal of `?locale=`.
fn wrong_locale(expected: &str) -> Problem {
    let error = ProblemError {
        pointer: "/locale".to_owned(),
        code: "format".to_owned(),
        message: expected.to_owned(),
    };
    Problem::new(ProblemKind::Validation, format!("locale: {expected}")).with_errors(vec![error])
}

fn no_draft(name: &TemplateName) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no draft of {name}"))
}

/// The warning about a draft beside which another version was published. `published` is the version in use.
fn outdated(name: &TemplateName, draft: &Draft, published: Option<u32>) -> Issue {
    let version = |version: Option<u32>| match version {
        None => "no version".to_owned(),
        Some(version) => format!("version {version}"),
    };
    Issue {
        pointer: String::new(),
        code: "outdated-draft".to_owned(),
        message: format!(
            "the draft of {name} was written beside {}, and {} is published since: read it, and write or discard the draft",
            version(draft.base),
            version(published)
        ),
    }
}

/// An error of a template, or a warning for its author.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Issue {
    /// RFC 6901 pointer into the template, or into the body of a preview (`/data`).
    #[schema(example = "/parts/html")]
    pointer: String,
    /// A stable code.
    #[schema(example = "unknown-key")]
    code: String,
    /// A sentence with the place.
    message: String,
}

impl From<&TemplateIssue> for Issue {
    fn from(issue: &TemplateIssue) -> Self {
        Self {
            pointer: issue.pointer(),
            code: issue.code.to_owned(),
            message: issue.to_string(),
        }
    }
}

fn issues(found: &[TemplateIssue]) -> Vec<Issue> {
    found.iter().map(Issue::from).collect()
}
