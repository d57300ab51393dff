//! `POST /v3/mail/send`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::SendGrid;
use super::body::{self, Body, Personalization};
use super::error::{SendGridError, scripted};
use super::rules;
use crate::clock;
use crate::http::connection::Connection;
use crate::http::send::Accepted;
use crate::mail::{DELIVERY_HEADER, EVENT_HEADER, decoded};
use crate::{Channel, Message, Provider};

/// The custom argument with Carillon's delivery id.
const DELIVERY_ARGUMENT: &str = "carillon_delivery_id";

pub(super) async fn send(
    State(sendgrid): State<SendGrid>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let recipients = body.as_deref().map(body::recipients).unwrap_or_default();
    let to: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let judge = || judge(&sendgrid, &headers, body);
    crate::http::send::send(
        &sendgrid.context,
        &connection,
        Provider::SendGrid,
        &to,
        judge,
        scripted,
    )
    .await
}

fn judge(
    sendgrid: &SendGrid,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Accepted, SendGridError> {
    sendgrid.admit(headers)?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let media = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    if media.map(str::trim) != Some("application/json") {
        let message = "Content-Type should be application/json.";
        return Err(SendGridError::new(415, None, message));
    }
    let json = body.map_err(|_| SendGridError::new(413, None, "Request Entity Too Large"))?;
    let mail = Body::parse(&json)?;
    rules::check(&mail)?;
    if mail.is_of_the_sandbox() {
        return Ok(Accepted {
            messages: Vec::new(),
            answer: StatusCode::OK.into_response(),
        });
    }
    let id = URL_SAFE_NO_PAD.encode(Uuid::now_v7().as_bytes());
    let mut answer = StatusCode::ACCEPTED.into_response();
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert("x-message-id", value);
    }
    let all = mail.personalizations.iter();
    Ok(Accepted {
        messages: all.flat_map(|one| messages(&mail, one, &id)).collect(),
        answer,
    })
}

/// The mail as each receiver of a personalization gets it.
fn messages(mail: &Body, to: &Personalization, id: &str) -> Vec<Message> {
    // The values of a personalization replace those of the mail.
    let merged = |of_all: &BTreeMap<String, String>, own: &BTreeMap<String, String>| {
        let mut merged = of_all.clone();
        merged.extend(own.clone());
        merged
    };
    let custom_args = merged(&mail.custom_args, &to.custom_args);
    let headers = merged(&mail.headers, &to.headers);
    let header = |wanted: &str| {
        let mut known = headers.iter();
        let found = known.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| decoded(value))
    };
    let content = |kind: &str| {
        let part = mail.content.iter().find(|part| part.kind == kind);
        part.map(|part| part.value.clone())
    };
    let from = to.from.as_ref().or(mail.from.as_ref());
    let mut data = Map::new();
    if let Some(from) = from {
        data.insert("from".to_owned(), Value::from(from.shown()));
    }
    if !mail.categories.is_empty() {
        data.insert("categories".to_owned(), Value::from(mail.categories.clone()));
    }
    let delivery_id = custom_args.get(DELIVERY_ARGUMENT).cloned();
    let arguments = custom_args
        .into_iter()
        .map(|(name, value)| (name, Value::from(value)));
    data.insert("custom_args".to_owned(), Value::Object(arguments.collect()));
    let message = Message {
        provider: Provider::SendGrid,
        channel: Channel::Email,
        to: String::new(),
        delivery_id: delivery_id.or_else(|| header(DELIVERY_HEADER)),
        event_id: header(EVENT_HEADER),
        subject: to.subject.clone().or_else(|| mail.subject.clone()),
        text: content("text/plain"),
        html: content("text/html"),
        data,
        headers,
        received_at: clock::now(),
        provider_message_id: id.to_owned(),
    };
    to.receivers()
        .map(|(_, _, address)| Message {
            to: address.email.clone(),
            ..message.clone()
        })
        .collect()
}
