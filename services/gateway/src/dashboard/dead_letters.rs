//! `/dlq` and `/dlq/{id}`: what could not be delivered, by cause and one by one.

use askama::Template;
use axum::{extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use carillon_domain::FieldError;
use carillon_store::dead_letters::{DeadLetterFilter, DeadLetterGroup, DeadLetterState, DeadLetterView};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Dashboard,
    page::{Frame, PageError, Part, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, Query, page},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: Option<String>,
    fingerprint: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    frame: Option<Frame>,
    causes: Vec<DeadLetterGroup>,
    fingerprint: Option<String>,
    state: &'static str,
    letters: Vec<DeadLetterView>,
    older: Option<String>,
}

/// The list; open ones unless another state is asked for.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0;
    let state: DeadLetterState = match asked.state.as_deref() {
        None | Some("") => DeadLetterState::Open,
        Some(text) => text.parse().map_err(|_| {
            let message = "state: expected open, replayed or discarded";
            ApiError::fields(vec![FieldError::new("/state", "format", message)])
        })?,
    };
    let page = page(None, asked.cursor.as_deref())?;
    let letters = dashboard.gateway.store.dead_letters();
    let tenant = signed_in.caller.tenant();
    let filter = DeadLetterFilter {
        state: vec![state],
        fingerprint: asked.fingerprint.iter().cloned().collect(),
        ..DeadLetterFilter::default()
    };
    let found = letters.list(tenant, &filter, page).await?;
    let fingerprint = asked.fingerprint.as_deref().map_or_else(String::new, |text| {
        format!("&fingerprint={}", utf8_percent_encode(text, NON_ALPHANUMERIC))
    });
    Ok(render(&DeadLettersPage {
        frame: Some(Frame::new(Part::DeadLetters, &signed_in)),
        causes: letters.groups(tenant).await?,
        older: found
            .next_cursor
            .map(|cursor| format!("/dlq?state={state}{fingerprint}&cursor={cursor}")),
        fingerprint: asked.fingerprint,
        state: state.into(),
        letters: found.items,
    }))
}

#[derive(Template)]
#[template(path = "dead_letter.html")]
struct DeadLetterPage {
    frame: Option<Frame>,
    letter: DeadLetterView,
    value: Value,
}

/// The bytes of a record, as well as they can be shown.
enum Value {
    Text(String),
    Binary(String),
}

/// One dead letter.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
) -> Result<Response, PageError> {
    let letters = dashboard.gateway.store.dead_letters();
    let letter = letters
        .get(signed_in.caller.tenant(), id?.0)
        .await?
        .ok_or_else(|| ApiError::not_found("dead letter"))?;
    let value = readable(&letter.value_base64);
    Ok(render(&DeadLetterPage {
        frame: Some(Frame::new(Part::DeadLetters, &signed_in)),
        letter,
        value,
    }))
}

/// JSON with line breaks, other text as it is, anything else as base64.
fn readable(base64: &str) -> Value {
    let Some(text) = STANDARD
        .decode(base64)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return Value::Binary(base64.to_owned());
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => Value::Text(format!("{json:#}")),
        Err(_) => Value::Text(text),
    }
}
