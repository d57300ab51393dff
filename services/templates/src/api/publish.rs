//! `POST /v1/templates/{type}/{channel}/publish`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{OriginalUri, State},
};
use carillon_domain::Timestamp;
use carillon_runtime::http::{ConditionHeaders, Conditions, Path, Problem, ProblemKind};
use carillon_store::{
    StoreError,
    api_keys::Principal,
    templates::{Draft, TemplateDraft, TemplateName},
};
use serde::Serialize;

use super::{Issue, LocaleQuery, TemplatesApi, issues, name_of, no_draft};
use crate::{StoreTemplates, access::Writes, errors, gate, query::QueryOf};

/// The number of times that a draft is judged again because other content was published meanwhile.
const MAX_JUDGED: usize = 8;

/// The published version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PublishedTemplate {
    /// `<type>/<channel>`, or `partials/<name>`.
    id: String,
    /// The locale that it serves; null serves all.
    locale: Option<String>,
    /// Immutable, from 1; publishing the same text again keeps it.
    version: u32,
    /// When this version was published first.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Warnings for the author.
    warnings: Vec<Issue>,
}

/// Publishes the draft as a new version, if it passes the gate. Publishing ends the draft. The audit log gets an entry.
#[utoipa::path(
    post,
    path = "/v1/templates/{type}/{channel}/publish",
    tag = "templates",
    params(
        ("type" = String, Path),
        ("channel" = String, Path),
        LocaleQuery,
        ConditionHeaders,
    ),
    responses(
        (status = 200, description = "In use", body = PublishedTemplate),
        (status = 404, description = "There is no draft", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "The template cannot be published; `errors` point at its parts", body = Problem),
    )
)]
pub(super) async fn publish(
    State(api): State<TemplatesApi>,
    Writes(tenant): Writes,
    Path((group, name)): Path<(String, String)>,
    QueryOf(query): QueryOf<LocaleQuery>,
    conditions: Conditions,
    who: Option<Extension<Principal>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<PublishedTemplate>, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let admission = api
        .renderer
        .admit(&tenant)
        .map_err(|error| errors::work(&error))?;
    let templates = api.store.templates();
    let source = StoreTemplates::new(api.store.clone());
    for _ in 0..MAX_JUDGED {
        let state = templates.state(&tenant, &name).await;
        let state = state.map_err(|error| Problem::of_store(&error))?;
        conditions
            .check(state.exists(), &state.etag())
            .map_err(|unmet| Problem::of_store(&StoreError::PreconditionFailed(unmet)))?;
        let outdated = state.is_outdated();
        let before = state.published.map(|row| row.version);
        let kept = state.draft.ok_or_else(|| no_draft(&name))?;
        let draft = Arc::new(TemplateDraft {
            name: name.clone(),
            parts: kept.parts.clone(),
        });
        let published = source.published(&tenant).await;
        let published = published.map_err(|error| Problem::of_store(&error))?;
        let revision = published.revision;
        let judged = gate::judge_aside(&api, &admission, published, &tenant, &draft)
            .await?
            .validation;
        if !judged.errors.is_empty() {
            return Err(errors::invalid(
                &judged.errors,
                "the template cannot be published",
            ));
        }
        let given = conditions.given();
        let published = match &who {
            Some(Extension(who)) => {
                let route = uri.path_and_query().map_or("/", |path| path.as_str());
                templates.publish_as(who, route, &draft, revision, given).await
            }
            // A role of Carillon has no key.
            None => templates.publish(&tenant, &draft, revision, given).await,
        };
        let published = published.map_err(|error| match error {
            StoreError::NotFound { .. } => no_draft(&name),
            error => Problem::of_store(&error),
        })?;
        let Some(row) = published else { continue };
        api.renderer.refresh().await;
        let mut warnings = issues(&judged.warnings);
        if outdated {
            warnings.push(replaced(&name, &kept, before));
        }
        return Ok(Json(PublishedTemplate {
            id: row.id,
            locale: row.locale,
            version: row.version,
            created_at: row.created_at,
            warnings,
        }));
    }
    Err(Problem::new(
        ProblemKind::Unavailable,
        "other templates were published meanwhile each time that this one was checked; try again later",
    )
    .with_retry_after(Duration::from_secs(1)))
}

/// The warning that an outdated draft has replaced the version in use.
fn replaced(name: &TemplateName, draft: &Draft, before: Option<u32>) -> Issue {
    let named =
        |version: Option<u32>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    Issue {
        pointer: String::new(),
        code: "outdated-draft".to_owned(),
        message: format!(
            "the draft of {name} was written beside version {}, and has now replaced version {}, which was published since",
            named(draft.base),
            named(before)
        ),
    }
}
