//! `/templates/{type}/{channel}`: a template with its version in use and its draft. An admin writes a draft, reads its errors,
//! and publishes it.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::{Method, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use carillon_runtime::http::{Path, ProblemError};
use carillon_store::api_keys::Role;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Dashboard,
    api::{Answered, Call, Refused, call},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
    templates,
};
use crate::{error::ApiError, input::Query};

type Parts = BTreeMap<String, String>;

/// The prefix of a form's fields with parts.
const PART: &str = "part.";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    locale: Option<String>,
    /// `published`, `discarded` or `stale`, after a form.
    result: Option<String>,
}

/// The document of `GET /v1/templates/{type}/{channel}`.
#[derive(Debug, Deserialize)]
struct Document {
    id: String,
    locale: Option<String>,
    published: Option<Published>,
    draft: Option<Draft>,
}

#[derive(Debug, Deserialize)]
struct Published {
    version: u32,
    parts: Parts,
}

#[derive(Debug, Deserialize)]
struct Draft {
    version: i64,
    parts: Parts,
    outdated: bool,
}

/// The answer to a written draft.
#[derive(Debug, Deserialize)]
struct Saved {
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    pointer: String,
    message: String,
}

impl From<ProblemError> for Issue {
    fn from(error: ProblemError) -> Self {
        Self {
            pointer: error.pointer,
            message: error.message,
        }
    }
}

/// A part of the form.
struct Part {
    name: String,
    text: String,
    /// The rows of its field.
    rows: usize,
}

#[derive(Template)]
#[template(path = "template.html")]
struct TemplatePage {
    frame: Option<Frame>,
    template: Document,
    /// The path without the query; forms name the locale in a field.
    path: String,
    etag: String,
    parts: Vec<Part>,
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
    /// What became of a form.
    said: Option<&'static str>,
    may_change: bool,
}

impl TemplatePage {
    /// The path of a button below the form.
    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// The form of a draft, or of a button.
struct Written {
    csrf: String,
    etag: String,
    locale: Option<String>,
    parts: Parts,
}

impl Written {
    fn of(fields: Vec<(String, String)>) -> Self {
        let mut written = Self {
            csrf: String::new(),
            etag: String::new(),
            locale: None,
            parts: Parts::new(),
        };
        for (name, value) in fields {
            match name.as_str() {
                "csrf" => written.csrf = value,
                "etag" => written.etag = value,
                "locale" => written.locale = Some(value).filter(|locale| !locale.is_empty()),
                // Browsers send line breaks as CR LF. An empty part is one that the template does not have.
                name => {
                    let part = name.strip_prefix(PART).filter(|_| !value.trim().is_empty());
                    if let Some(part) = part {
                        written.parts.insert(part.to_owned(), value.replace("\r\n", "\n"));
                    }
                }
            }
        }
        written
    }
}

/// A template's routes under `/v1`.
struct Routes {
    id: String,
    locale: Option<String>,
}

impl Routes {
    fn new(group: &str, name: &str, locale: Option<String>) -> Self {
        Self {
            id: format!("{group}/{name}"),
            locale,
        }
    }

    fn page(&self) -> String {
        templates::path(&self.id, self.locale.as_deref())
    }

    /// The path of the API that belongs to the page, or one below it.
    fn api(&self, below: &str) -> String {
        let page = self.page();
        match page.split_once('?') {
            None => format!("/v1{page}{below}"),
            Some((path, query)) => format!("/v1{path}{below}?{query}"),
        }
    }

    /// The page after a form.
    fn after(&self, result: &str) -> Response {
        let page = self.page();
        let separator = if page.contains('?') { '&' } else { '?' };
        Redirect::to(&format!("{page}{separator}result={result}")).into_response()
    }
}

/// The parts that the form has: those of the text, and those that the channel's templates may have.
fn fields(id: &str, parts: &Parts) -> Vec<Part> {
    let usual: &[&str] = match id.rsplit_once('/') {
        Some(("partials", _)) => &["text", "html"],
        Some((_, "email")) => &["subject", "text", "html"],
        Some((_, "sms")) => &["text"],
        Some((_, "push")) => &["title", "body"],
        Some((_, "webhook")) => &["body"],
        _ => &[],
    };
    let others = parts
        .keys()
        .map(String::as_str)
        .filter(|name| !usual.contains(name));
    let names = usual.iter().copied().chain(others);
    names
        .map(|name| {
            let text = parts.get(name).cloned().unwrap_or_default();
            Part {
                name: name.to_owned(),
                rows: text.lines().count().clamp(4, 24),
                text,
            }
        })
        .collect()
}

async fn read(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    routes: &Routes,
) -> Result<Answered<Document>, PageError> {
    let asked = Call {
        method: Method::GET,
        path: &routes.api(""),
        if_match: None,
        body: None,
    };
    Ok(call(&dashboard.api, signed_in, asked).await??)
}

/// The page of a template as it stands. With `written`, the form has that text instead of the draft's.
async fn page(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    routes: &Routes,
    written: Option<Parts>,
) -> Result<TemplatePage, PageError> {
    let Answered { etag, document } = read(dashboard, signed_in, routes).await?;
    let draft = document.draft.as_ref().map(|draft| &draft.parts);
    let parts = draft.or(document.published.as_ref().map(|published| &published.parts));
    let parts = written.or(parts.cloned()).unwrap_or_default();
    Ok(TemplatePage {
        frame: Some(signed_in.frame(NavSection::Templates)),
        path: routes.page().split('?').next().unwrap_or_default().to_owned(),
        etag: etag.unwrap_or_default(),
        parts: fields(&document.id, &parts),
        errors: Vec::new(),
        warnings: Vec::new(),
        said: None,
        may_change: signed_in.role() >= Role::Admin,
        template: document,
    })
}

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path((group, name)): Path<(String, String)>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let Asked { locale, result } = asked?.0;
    let locale = locale.filter(|locale| !locale.is_empty());
    let mut page = page(&dashboard, &signed_in, &Routes::new(&group, &name, locale), None).await?;
    page.said = match result.as_deref() {
        Some("published") => Some("Published: messages are rendered with it from now on."),
        Some("discarded") => Some("The draft was discarded. The published version stays in use."),
        _ => None,
    };
    Ok(render(&page))
}

/// Writes a draft; the page has its errors and warnings.
pub(crate) async fn save(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path((group, name)): Path<(String, String)>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let written = Written::of(fields);
    signed_in.check_form(&written.csrf)?;
    let routes = Routes::new(&group, &name, written.locale);
    let asked = Call {
        method: Method::PUT,
        path: &routes.api(""),
        if_match: Some(&written.etag),
        body: Some(json!({"parts": written.parts})),
    };
    let saved: Result<Answered<Saved>, Refused> = call(&dashboard.api, &signed_in, asked).await?;
    match saved {
        Ok(Answered { document, .. }) => {
            let mut page = page(&dashboard, &signed_in, &routes, None).await?;
            page.said = Some(if document.errors.is_empty() {
                "The draft was saved. Publish it to use it."
            } else {
                "The draft was saved. It cannot be published: see below."
            });
            page.errors = document.errors;
            page.warnings = document.warnings;
            Ok(render(&page))
        }
        Err(refused) => refuse(&dashboard, &signed_in, &routes, refused, Some(written.parts)).await,
    }
}

/// The page with the reason for which a form was refused.
async fn refuse(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    routes: &Routes,
    refused: Refused,
    written: Option<Parts>,
) -> Result<Response, PageError> {
    let is_stale = refused.status == StatusCode::PRECONDITION_FAILED;
    if !is_stale && refused.errors.is_empty() {
        return Err(refused.into());
    }
    let mut page = page(dashboard, signed_in, routes, written).await?;
    if is_stale {
        page.said = Some("Nothing was changed: the template was changed meanwhile. Compare, and save again.");
    }
    page.errors = refused.errors.into_iter().map(Issue::from).collect();
    let mut response = render(&page);
    *response.status_mut() = refused.status;
    Ok(response)
}

/// Publishes the draft.
pub(crate) async fn publish(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path((group, name)): Path<(String, String)>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let pressed = Pressed {
        method: Method::POST,
        below: "/publish",
        result: "published",
    };
    press(&dashboard, &signed_in, (&group, &name), fields, pressed).await
}

/// Discards the draft.
pub(crate) async fn discard(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path((group, name)): Path<(String, String)>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let pressed = Pressed {
        method: Method::DELETE,
        below: "/draft",
        result: "discarded",
    };
    press(&dashboard, &signed_in, (&group, &name), fields, pressed).await
}

/// A button below the form.
struct Pressed {
    method: Method,
    below: &'static str,
    result: &'static str,
}

async fn press(
    dashboard: &Dashboard,
    signed_in: &SignedIn,
    (group, name): (&str, &str),
    fields: Vec<(String, String)>,
    pressed: Pressed,
) -> Result<Response, PageError> {
    let written = Written::of(fields);
    signed_in.check_form(&written.csrf)?;
    let routes = Routes::new(group, name, written.locale);
    let asked = Call {
        method: pressed.method,
        path: &routes.api(pressed.below),
        if_match: Some(&written.etag),
        body: None,
    };
    let done: Result<Answered<Value>, Refused> = call(&dashboard.api, signed_in, asked).await?;
    match done {
        Ok(_) => Ok(routes.after(pressed.result)),
        Err(refused) => refuse(dashboard, signed_in, &routes, refused, None).await,
    }
}
