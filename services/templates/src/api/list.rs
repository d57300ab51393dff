//! `GET /v1/templates`.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use carillon_runtime::http::{Given, Problem, ProblemKind};
use carillon_store::{MAX_LIMIT, templates::TemplateName};
use serde::{Deserialize, Serialize};

use super::TemplatesApi;
use crate::{access::Reads, query::QueryOf};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// At most 500; 50 without it.
    #[param(minimum = 1, maximum = 500, value_type = Option<u32>)]
    #[serde(default)]
    limit: Given<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ListResponse {
    items: Vec<Entry>,
    next_cursor: Option<String>,
}

/// A template in a list.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct Entry {
    /// `<type>/<channel>`, or `partials/<name>`.
    #[schema(example = "OrderShipped/email")]
    id: String,
    /// The locale that it serves; null serves all.
    locale: Option<String>,
    /// The version in use; null if none was published.
    version: Option<u32>,
    /// The draft's version; null if there is none.
    draft_version: Option<i64>,
    /// Whether another version was published since the draft was written.
    outdated: bool,
}

/// Lists templates and partials by name.
#[utoipa::path(
    get,
    path = "/v1/templates",
    tag = "templates",
    params(PageQuery),
    responses((status = 200, description = "Templates by name", body = ListResponse))
)]
pub(super) async fn list(
    State(api): State<TemplatesApi>,
    Reads(tenant): Reads,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<ListResponse>, Problem> {
    let templates = api.store.templates();
    let mut entries: BTreeMap<TemplateName, Entry> = BTreeMap::new();
    for row in templates
        .published(&tenant)
        .await
        .map_err(|error| Problem::of_store(&error))?
    {
        let name = TemplateName {
            id: row.id,
            locale: row.locale,
        };
        entries.entry(name).or_default().version = Some(row.version);
    }
    for (name, draft) in templates
        .drafts(&tenant)
        .await
        .map_err(|error| Problem::of_store(&error))?
    {
        let entry = entries.entry(name).or_default();
        entry.draft_version = Some(draft.version);
        entry.outdated = draft.base != entry.version;
    }
    let limit = query.limit.0.unwrap_or(50);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let text = format!("limit: expected 1 to {MAX_LIMIT}, not {limit}");
        return Err(Problem::new(ProblemKind::Validation, text));
    }
    let mut rest = entries
        .into_iter()
        .filter(|(name, _)| {
            query
                .cursor
                .as_ref()
                .is_none_or(|cursor| cursor_of(name) > *cursor)
        })
        .map(|(name, entry)| Entry {
            id: name.id,
            locale: name.locale,
            ..entry
        });
    let items: Vec<Entry> = rest.by_ref().take(limit as usize).collect();
    let next_cursor = rest.next().and(items.last()).map(|last| {
        cursor_of(&TemplateName {
            id: last.id.clone(),
            locale: last.locale.clone(),
        })
    });
    Ok(Json(ListResponse { items, next_cursor }))
}

/// A name as a text with the same order: `!` comes before all characters of ids and locales.
fn cursor_of(name: &TemplateName) -> String {
    format!("{}!{}", name.id, name.locale.as_deref().unwrap_or(""))
}
