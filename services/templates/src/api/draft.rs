//! `GET` and `PUT /v1/templates/{type}/{channel}`, and `DELETE /v1/templates/{type}/{channel}/draft`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use carillon_domain::Timestamp;
use carillon_runtime::http::{ConditionHeaders, Conditions, JsonBody, Path, Problem, ProblemKind};
use carillon_store::{
    StoreError,
    templates::{Draft, Parts, TemplateDraft, TemplateName},
};
use serde::{Deserialize, Serialize};

use super::{Issue, LocaleQuery, MAX_TEMPLATE, TemplatesApi, issues, name_of, no_draft};
use crate::{
    StoreTemplates,
    access::{Reads, Writes},
    body, errors, gate,
    query::QueryOf,
};

/// A template: the published version and the draft.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TemplateDocument {
    /// `<type>/<channel>`, or `partials/<name>`.
    id: String,
    /// The locale that it serves; null serves all.
    locale: Option<String>,
    /// The version in use.
    published: Option<InUse>,
    /// The text that is not published. Publishing ends it.
    draft: Option<DraftDocument>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct InUse {
    version: u32,
    /// `subject`, `text`, `html` (e-mail), `text` (SMS), `title`, `body`, `data.<key>` (push).
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    parts: Parts,
    /// When it was published first.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Draft)]
struct DraftDocument {
    /// Grows by 1 with each writing; a new draft begins at 1.
    version: i64,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    parts: Parts,
    /// The version that was in use when the draft was written; null if there was none.
    base: Option<u32>,
    /// Whether another version was published since, for example by `catalog apply`. Publishing such a draft replaces
    /// that version.
    outdated: bool,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutDraft {
    /// The whole template by part; a part that is not named is removed.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    parts: Parts,
}

/// A stored draft, with the errors and warnings for its author.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Saved {
    id: String,
    locale: Option<String>,
    draft: Option<DraftDocument>,
    /// Errors that prevent publishing.
    errors: Vec<Issue>,
    /// Warnings for the author.
    warnings: Vec<Issue>,
}

fn document(draft: Option<Draft>, outdated: bool) -> Option<DraftDocument> {
    draft.map(|draft| DraftDocument {
        version: draft.version,
        parts: draft.parts,
        base: draft.base,
        outdated,
    })
}

/// Reads a template.
#[utoipa::path(
    get,
    path = "/v1/templates/{type}/{channel}",
    tag = "templates",
    params(("type" = String, Path), ("channel" = String, Path), LocaleQuery),
    responses(
        (status = 200, description = "The template; its `ETag` covers the published version and the draft together", body = TemplateDocument),
        (status = 404, description = "Neither published nor a draft", body = Problem),
    )
)]
pub(super) async fn get(
    State(api): State<TemplatesApi>,
    Reads(tenant): Reads,
    Path((group, name)): Path<(String, String)>,
    QueryOf(query): QueryOf<LocaleQuery>,
) -> Result<Response, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let state = api.store.templates().state(&tenant, &name).await;
    let state = state.map_err(|error| Problem::of_store(&error))?;
    if !state.exists() {
        return Err(Problem::new(
            ProblemKind::NotFound,
            format!("there is no template {name}"),
        ));
    }
    let (tag, outdated) = (state.etag(), state.is_outdated());
    let document = TemplateDocument {
        id: name.id,
        locale: name.locale,
        published: state.published.map(|row| InUse {
            version: row.version,
            parts: row.parts,
            created_at: row.created_at,
        }),
        draft: document(state.draft, outdated),
    };
    Ok(([(header::ETAG, tag)], Json(document)).into_response())
}

/// Writes a draft. A draft may have errors; they only prevent publishing.
#[utoipa::path(
    put,
    path = "/v1/templates/{type}/{channel}",
    tag = "templates",
    params(
        ("type" = String, Path),
        ("channel" = String, Path),
        LocaleQuery,
        ConditionHeaders,
    ),
    request_body = PutDraft,
    responses(
        (status = 200, description = "Written; the `ETag` is the template's with this draft", body = Saved),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
        (status = 422, description = "A field is not as expected", body = Problem),
    )
)]
pub(super) async fn put(
    State(api): State<TemplatesApi>,
    Writes(tenant): Writes,
    Path((group, name)): Path<(String, String)>,
    QueryOf(query): QueryOf<LocaleQuery>,
    conditions: Conditions,
    body: JsonBody,
) -> Result<Response, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let PutDraft { parts } = body::read(body, MAX_TEMPLATE).await?;
    let draft = Arc::new(TemplateDraft {
        name,
        parts: gate::without_marks(parts),
    });
    let admission = api
        .renderer
        .admit(&tenant)
        .map_err(|error| errors::work(&error))?;
    let published = StoreTemplates::new(api.store.clone())
        .published(&tenant)
        .await
        .map_err(|error| Problem::of_store(&error))?;
    let judged = gate::judge_aside(&api, &admission, published, &tenant, &draft)
        .await?
        .validation;
    let state = api
        .store
        .templates()
        .put_draft(&tenant, &draft, conditions.given())
        .await
        .map_err(|error| Problem::of_store(&error))?;
    let tag = state.etag();
    let TemplateName { id, locale } = draft.name.clone();
    let saved = Saved {
        id,
        locale,
        draft: document(state.draft, false),
        errors: issues(&judged.errors),
        warnings: issues(&judged.warnings),
    };
    Ok((StatusCode::OK, [(header::ETAG, tag)], Json(saved)).into_response())
}

/// Discards a draft. The published version stays in use.
#[utoipa::path(
    delete,
    path = "/v1/templates/{type}/{channel}/draft",
    tag = "templates",
    params(
        ("type" = String, Path),
        ("channel" = String, Path),
        LocaleQuery,
        ConditionHeaders,
    ),
    responses(
        (status = 204, description = "The draft is discarded"),
        (status = 404, description = "There is no draft", body = Problem),
        (status = 412, description = "`If-Match` or `If-None-Match` does not hold", body = Problem),
    )
)]
pub(super) async fn discard(
    State(api): State<TemplatesApi>,
    Writes(tenant): Writes,
    Path((group, name)): Path<(String, String)>,
    QueryOf(query): QueryOf<LocaleQuery>,
    conditions: Conditions,
) -> Result<StatusCode, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let templates = api.store.templates();
    let discarded = templates.discard_draft(&tenant, &name, conditions.given()).await;
    discarded.map_err(|error| match error {
        StoreError::NotFound { .. } => no_draft(&name),
        error => Problem::of_store(&error),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
