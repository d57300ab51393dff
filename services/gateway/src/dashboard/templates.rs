//! `/templates`: the templates and partials, with the versions in use and the drafts.

use askama::Template;
use axum::{extract::State, http::Method, response::Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Dashboard,
    api::{Call, call},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{error::ApiError, input::Query};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    cursor: Option<String>,
}

/// A row of `GET /v1/templates`.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    locale: Option<String>,
    version: Option<u32>,
    draft_version: Option<i64>,
    outdated: bool,
}

#[derive(Debug, Deserialize)]
struct Listed {
    items: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "templates.html")]
struct TemplatesPage {
    frame: Option<Frame>,
    entries: Vec<Entry>,
    next: Option<String>,
}

/// The path and query of a template's page.
pub(super) fn path(id: &str, locale: Option<&str>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (group, name) = id.split_once('/').unwrap_or((id, ""));
    let path = format!("/templates/{}/{}", encoded(group), encoded(name));
    match locale {
        None => path,
        Some(locale) => format!("{path}?locale={}", encoded(locale)),
    }
}

impl Entry {
    fn path(&self) -> String {
        path(&self.id, self.locale.as_deref())
    }
}

/// Renders the page.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let cursor = asked?.0.cursor.filter(|cursor| !cursor.is_empty());
    let after = cursor.map_or_else(String::new, |cursor| {
        format!("&cursor={}", utf8_percent_encode(&cursor, NON_ALPHANUMERIC))
    });
    let asked = Call {
        method: Method::GET,
        path: &format!("/v1/templates?limit=200{after}"),
        if_match: None,
        body: None,
    };
    let found: Listed = call(&dashboard.api, &signed_in, asked).await??.document;
    Ok(render(&TemplatesPage {
        frame: Some(signed_in.frame(NavSection::Templates)),
        entries: found.items,
        next: found.next_cursor.map(|cursor| {
            format!(
                "/templates?cursor={}",
                utf8_percent_encode(&cursor, NON_ALPHANUMERIC)
            )
        }),
    }))
}
