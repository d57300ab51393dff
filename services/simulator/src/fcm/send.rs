//! `POST /v1/projects/{project}/messages:send`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use super::Fcm;
use super::error::{self, FcmError};
use super::payload::{self, Payload};
use crate::clock;
use crate::http::connection::Connection;
use crate::http::problem::Problem;
use crate::http::send::Accepted;
use crate::{Channel, Message, Provider};

const DELIVERY_KEY: &str = "carillon_delivery_id";
const EVENT_KEY: &str = "carillon_event_id";

/// The error of devices whose token starts with this word; `None` for all other tokens.
pub(super) fn token_fate(token: &str) -> Option<&'static str> {
    const FATES: [(&str, &str); 7] = [
        ("unregistered", "UNREGISTERED"),
        ("invalid", "INVALID_ARGUMENT"),
        ("sender-mismatch", "SENDER_ID_MISMATCH"),
        ("third-party-auth", "THIRD_PARTY_AUTH_ERROR"),
        ("quota", "QUOTA_EXCEEDED"),
        ("unavailable", "UNAVAILABLE"),
        ("internal", "INTERNAL"),
    ];
    FATES
        .into_iter()
        .find(|(prefix, _)| token.starts_with(prefix))
        .map(|(_, code)| code)
}

pub(super) async fn send(
    State(fcm): State<Fcm>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path((project, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method != "messages:send" {
        return Problem::NotFound.into_response();
    }
    let to = payload::token(&body);
    let judge = || judge(&fcm, &project, &headers, &body);
    crate::http::send::send(
        &fcm.context,
        &connection,
        Provider::Fcm,
        to.as_deref().as_slice(),
        judge,
        error::scripted,
    )
    .await
}

fn judge(fcm: &Fcm, project: &str, headers: &HeaderMap, body: &[u8]) -> Result<Accepted, FcmError> {
    if !fcm.tokens.admit(headers) {
        return Err(error::unauthenticated());
    }
    let payload = payload::parse(body).map_err(|invalid| {
        if invalid.by_fcm {
            error::invalid_content(&invalid.message, invalid.field.as_deref())
        } else {
            error::invalid_body(&invalid.message, invalid.field.as_deref().unwrap_or_default())
        }
    })?;
    if let Some(code) = token_fate(&payload.token) {
        // The invalid argument is the token.
        let field = (code == "INVALID_ARGUMENT").then_some("message.token");
        return Err(error::fcm_error(code, field));
    }
    if payload.validate_only {
        let name = format!("projects/{project}/messages/fake_message_id");
        return Ok(Accepted {
            messages: Vec::new(),
            answer: Json(json!({ "name": name })).into_response(),
        });
    }
    let name = format!("projects/{project}/messages/{}", Uuid::now_v7().simple());
    let answer = Json(json!({ "name": name })).into_response();
    Ok(Accepted {
        messages: vec![message(payload, project, name)],
        answer,
    })
}

fn message(payload: Payload, project: &str, name: String) -> Message {
    let datum = |key: &str| {
        payload
            .data
            .get(key)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let mut headers = BTreeMap::from([("project".to_owned(), project.to_owned())]);
    headers.extend(
        payload
            .platforms
            .into_iter()
            .map(|(section, value)| (section.to_owned(), value)),
    );
    Message {
        provider: Provider::Fcm,
        channel: Channel::Push,
        to: payload.token,
        delivery_id: datum(DELIVERY_KEY),
        event_id: datum(EVENT_KEY),
        subject: payload.title,
        text: payload.body,
        html: None,
        data: payload.data,
        headers,
        received_at: clock::now(),
        provider_message_id: name,
    }
}
