//! `/dlq` and `/dlq/{id}`: the dead letters, by cause and one by one.

use askama::Template;
use axum::{extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use carillon_domain::{FieldError, Timestamp, field_error::quoted};
use carillon_store::dead_letters::{DeadLetterFilter, DeadLetterGroup, DeadLetterState, DeadLetterView};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::{Id, NoQuery, Query, page},
    privacy::{mask_groups, mask_letter, show_dead_letter},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

/// The list, of open dead letters unless another state is requested.
pub(crate) async fn list(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let asked = asked?.0;
    let state: DeadLetterState = match asked.state.as_deref() {
        None | Some("") => DeadLetterState::Open,
        Some(text) => text.parse().map_err(|_| {
            let message = format!(
                "the parameter state: expected open, replayed or discarded, not {}",
                quoted(text)
            );
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
    let mut found = letters.list(tenant, &filter, page).await?;
    for letter in &mut found.items {
        mask_letter(letter);
    }
    let mut causes = letters.groups(tenant).await?;
    mask_groups(&mut causes);
    let fingerprint = asked.fingerprint.as_deref().map_or_else(String::new, |text| {
        format!("&fingerprint={}", utf8_percent_encode(text, NON_ALPHANUMERIC))
    });
    Ok(render(&DeadLettersPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        causes,
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
    /// The partition and offset that the record came from.
    place: Option<(i32, i64)>,
    /// The time of the record at that place.
    written_at: Option<Timestamp>,
    headers: Vec<(String, String)>,
    /// The reason for which the record is hidden or masked.
    hidden: Option<&'static str>,
    value: Option<Value>,
}

/// The bytes of a record in a readable form.
enum Value {
    Text(String),
    Binary(String),
}

/// The page of a dead letter.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    id: Result<Id, ApiError>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let letters = dashboard.gateway.store.dead_letters();
    let letter = letters
        .get(signed_in.caller.tenant(), id?.0)
        .await?
        .ok_or_else(|| ApiError::not_found("dead letter"))?;
    let document = show_dead_letter(
        &dashboard.gateway,
        signed_in.caller.tenant(),
        signed_in.sight,
        letter,
    )
    .await?;
    Ok(render(&DeadLetterPage {
        frame: Some(signed_in.frame(NavSection::DeadLetters)),
        letter: document.letter,
        place: document.source_partition.zip(document.source_offset),
        written_at: document.source_timestamp,
        headers: document.headers.unwrap_or_default(),
        hidden: document.hidden,
        value: document.value.map(readable),
    }))
}

/// JSON with line breaks, other text as it is, anything else as base64.
fn readable(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Err(error) => Value::Binary(STANDARD.encode(error.as_bytes())),
        Ok(text) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(json) => Value::Text(format!("{json:#}")),
            Err(_) => Value::Text(text),
        },
    }
}
