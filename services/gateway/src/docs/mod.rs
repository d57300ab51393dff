//! `/docs`: the API reference, rendered once from the OpenAPI document. It needs no key, no script and no
//! internet access.

mod view;

use askama::Template;
use axum::{Router, response::IntoResponse as _, routing::get};
use serde_json::Value;

use self::view::{Reference, Schema, Section};
use crate::{
    dashboard::{
        page::{Frame, PageError, render},
        pages,
    },
    error::ApiError,
    input::NoQuery,
};

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Option<Frame>,
    sections: Vec<Section>,
    schemas: Vec<Schema>,
    shared: Vec<view::DocumentedAnswer>,
}

/// The route.
pub(crate) fn router(document: &Value) -> Router {
    let Reference {
        sections,
        schemas,
        shared,
    } = view::read(document);
    let page = DocsPage {
        frame: None,
        sections,
        schemas,
        shared,
    };
    let page = std::sync::Arc::new(page);
    let show = move |asked: Result<NoQuery, ApiError>| async move {
        match asked {
            Ok(NoQuery) => render(&*page),
            Err(error) => PageError::from(error).into_response(),
        }
    };
    pages(Router::new().route("/docs", get(show)))
}
