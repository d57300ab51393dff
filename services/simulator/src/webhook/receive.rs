//! `POST /webhooks/{endpoint}`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Webhooks;
use crate::clock;
use crate::faults::Answer;
use crate::http::connection::Connection;
use crate::http::send::{Accepted, with_retry_after};
use crate::{Channel, Message, Provider};

/// The beginning of the path of an endpoint that is gone.
const GONE: &str = "/webhooks/gone";

/// A refusal: its status, and the reason as a sentence.
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

pub(super) async fn receive(
    State(webhooks): State<Webhooks>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let to = uri.path().to_owned();
    let judge = || judge(&webhooks, &to, &headers, body);
    crate::http::send::send(
        &webhooks.context,
        &connection,
        Provider::Webhook,
        &[&to],
        judge,
        scripted,
    )
    .await
}

fn judge(
    webhooks: &Webhooks,
    to: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Accepted, Refused> {
    if to.starts_with(GONE) {
        return Err(Refused(StatusCode::GONE, "the endpoint is gone"));
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let media = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    if media.map(str::trim) != Some("application/json") {
        let error = "expected the content type application/json";
        return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let body = body.map_err(|_| Refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too big"))?;
    let id = webhooks
        .key
        .verify(headers, &body, clock::now())
        .map_err(|error| Refused(StatusCode::UNAUTHORIZED, error))?;
    let payload: Value = serde_json::from_slice(&body)
        .map_err(|_| Refused(StatusCode::BAD_REQUEST, "expected a body of JSON"))?;
    let text_of = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let shown = headers.iter().filter_map(|(name, value)| {
        let is_shown = name.as_str().starts_with("webhook-") || *name == header::USER_AGENT;
        Some((name.to_string(), value.to_str().ok()?.to_owned())).filter(|_| is_shown)
    });
    let message = Message {
        provider: Provider::Webhook,
        channel: Channel::Webhook,
        to: to.to_owned(),
        delivery_id: Some(id),
        event_id: text_of("id"),
        subject: text_of("type"),
        text: Some(String::from_utf8_lossy(&body).into_owned()),
        html: None,
        data: match payload {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        },
        headers: shown.collect::<BTreeMap<_, _>>(),
        received_at: clock::now(),
        provider_message_id: Uuid::now_v7().to_string(),
    };
    Ok(Accepted {
        messages: vec![message],
        answer: StatusCode::NO_CONTENT.into_response(),
    })
}

/// The error of a fault script.
fn scripted(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({ "error": answer.code.as_deref().unwrap_or("by fault script") });
    with_retry_after(
        (status, Json(error)).into_response(),
        answer.retry_after.as_deref(),
    )
}
