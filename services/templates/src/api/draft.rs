//! `GET` and `PUT /v1/templates/{type}/{channel}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use carillon_domain::Timestamp;
use carillon_runtime::http::{Conditions, JsonBody, Path, Problem, ProblemKind};
use carillon_store::{
    etag,
    templates::{Parts, TemplateDraft, TemplateName},
};
use serde::{Deserialize, Serialize};

use super::{Issue, LocaleQuery, MAX_TEMPLATE, TemplatesApi, issues, name_of};
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
    /// The draft; its version is the entity tag of the document, which is `"0"` without a draft.
    draft: Option<Draft>,
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
struct Draft {
    version: i64,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    parts: Parts,
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
    draft: Draft,
    /// Errors that prevent publishing.
    errors: Vec<Issue>,
    /// Warnings for the author.
    warnings: Vec<Issue>,
}

/// Reads a template.
#[utoipa::path(
    get,
    path = "/v1/templates/{type}/{channel}",
    tag = "templates",
    params(("type" = String, Path), ("channel" = String, Path), LocaleQuery),
    responses(
        (status = 200, description = "The template; `ETag` is its draft's", body = TemplateDocument),
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
    let templates = api.store.templates();
    let draft = templates
        .draft(&tenant, &name)
        .await
        .map_err(|error| errors::store(&error))?;
    let published = templates
        .published(&tenant)
        .await
        .map_err(|error| errors::store(&error))?;
    let published = published
        .into_iter()
        .find(|row| row.id == name.id && row.locale == name.locale);
    if draft.is_none() && published.is_none() {
        return Err(Problem::new(
            ProblemKind::NotFound,
            format!("there is no template {}", name.id),
        ));
    }
    let tag = etag(draft.as_ref().map_or(0, |draft| draft.version));
    let document = TemplateDocument {
        id: name.id,
        locale: name.locale,
        published: published.map(|row| InUse {
            version: row.version,
            parts: row.parts,
            created_at: row.created_at,
        }),
        draft: draft.map(|draft| Draft {
            version: draft.version,
            parts: draft.value.parts,
        }),
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
        ("If-Match" = Option<String>, Header, description = "Entity tags, one of which must be the draft's, or `*`: it must exist; a template without draft has the tag `\"0\"`"), ("If-None-Match" = Option<String>, Header, description = "`*`: it must not exist; or entity tags that must not be the present one"),
    ),
    request_body = PutDraft,
    responses(
        (status = 200, description = "Written", body = Saved),
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
    let templates = api.store.templates();
    let published = StoreTemplates::new(api.store.clone())
        .published(&tenant)
        .await
        .map_err(|error| errors::store(&error))?;
    let judged = gate::judge_aside(&api, published, &tenant, &draft)
        .await?
        .validation;
    let saved = templates
        .put_draft(&tenant, &draft, conditions.given())
        .await
        .map_err(|error| errors::store(&error))?;
    let tag = saved.etag();
    let TemplateDraft {
        name: TemplateName { id, locale },
        parts,
    } = saved.value;
    let saved = Saved {
        id,
        locale,
        draft: Draft {
            version: saved.version,
            parts,
        },
        errors: issues(&judged.errors),
        warnings: issues(&judged.warnings),
    };
    Ok((StatusCode::OK, [(header::ETAG, tag)], Json(saved)).into_response())
}
