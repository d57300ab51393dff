//! `POST /v1/templates/{type}/{channel}/publish`.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_domain::Timestamp;
use carillon_runtime::http::{Conditions, Path, Problem, ProblemKind};
use carillon_store::StoreError;
use serde::Serialize;

use super::{Issue, LocaleQuery, TemplatesApi, issues, name_of};
use crate::{StoreTemplates, access::Writes, errors, gate, query::QueryOf};

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

/// Publishes the draft as a new version, if it passes the gate.
#[utoipa::path(
    post,
    path = "/v1/templates/{type}/{channel}/publish",
    tag = "templates",
    params(
        ("type" = String, Path),
        ("channel" = String, Path),
        LocaleQuery,
        ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the present one, or `*`: it must exist"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one"),
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
) -> Result<Json<PublishedTemplate>, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let templates = api.store.templates();
    let draft = templates
        .draft(&tenant, &name)
        .await
        .map_err(|error| errors::store(&error))?
        .ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("there is no draft of {}", name.id)))?;
    conditions
        .check(true, &draft.etag())
        .map_err(|unmet| errors::store(&StoreError::PreconditionFailed(unmet)))?;
    let published = StoreTemplates::new(api.store.clone())
        .published(&tenant)
        .await
        .map_err(|error| errors::store(&error))?;
    let draft = Arc::new(draft.value);
    let judged = gate::judge_aside(&api, published, &tenant, &draft)
        .await?
        .validation;
    if !judged.errors.is_empty() {
        return Err(errors::invalid(
            &judged.errors,
            "the template cannot be published",
        ));
    }
    // Publishes the judged text, even if the draft has changed meanwhile.
    templates
        .apply(
            &tenant,
            std::slice::from_ref(&*draft),
            &std::collections::BTreeMap::new(),
        )
        .await
        .map_err(|error| errors::store(&error))?;
    let rows = templates
        .published(&tenant)
        .await
        .map_err(|error| errors::store(&error))?;
    let row = rows
        .into_iter()
        .find(|row| row.id == name.id && row.locale == name.locale)
        .ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("{} is not published", name.id)))?;
    api.renderer.refresh().await;
    Ok(Json(PublishedTemplate {
        id: row.id,
        locale: row.locale,
        version: row.version,
        created_at: row.created_at,
        warnings: issues(&judged.warnings),
    }))
}
