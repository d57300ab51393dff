//! `POST /v2/email/outbound-emails`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::{self, SendEmail, Simple, Tag};
use super::error::{SesError, scripted};
use super::{Account, Ses, address, mime, signature};
use crate::clock;
use crate::http::connection::Connection;
use crate::http::send::Accepted;
use crate::mail::{self, DELIVERY_HEADER, EVENT_HEADER, decoded};
use crate::{Channel, Message, Provider};

/// The tag with Carillon's delivery id.
const DELIVERY_TAG: &str = "carillon_delivery_id";

/// A request in the parts that its signature covers.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
}

pub(super) async fn send(
    State(ses): State<Ses>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let recipients = body.as_deref().map(body::recipients).unwrap_or_default();
    let to: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let asked = Asked {
        method,
        uri,
        headers,
        body,
    };
    let judge = || judge(&ses.account, asked);
    crate::http::send::send(&ses.context, &connection, Provider::Ses, &to, judge, scripted).await
}

fn judge(account: &Account, asked: Asked) -> Result<Accepted, SesError> {
    let Asked {
        method,
        uri,
        headers,
        body,
    } = asked;
    let too_big = |_| SesError::new(413, "RequestEntityTooLargeException", "The request is too large.");
    let json = body.map_err(too_big)?;
    signature::verify(account, method.as_str(), &uri, &headers, &json, clock::now())?;
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = media.and_then(|text| text.split(';').next()).map(str::trim);
    if media != Some("application/json") {
        let message = "The content type of a request is application/json.";
        return Err(SesError::new(415, "UnsupportedMediaTypeException", message));
    }
    let request = SendEmail::parse(&json)?;
    request.check()?;
    let id = format!("0107{}-000000", Uuid::now_v7());
    let messages = messages(account, &request, &id)?;
    Ok(Accepted {
        messages,
        answer: Json(json!({ "MessageId": id })).into_response(),
    })
}

/// The mail as each receiver gets it.
fn messages(account: &Account, request: &SendEmail, id: &str) -> Result<Vec<Message>, SesError> {
    let content = request.content.as_ref();
    let raw = content.and_then(|content| content.raw.as_ref());
    let raw = raw.map(|raw| mime::decode(&raw.data)).transpose()?;
    let of_headers = || raw.as_deref().and_then(mime::sender);
    let Some(from) = request.from_email_address.clone().or_else(of_headers) else {
        return Err(SesError::bad_request(
            "FromEmailAddress or a From header must be specified.",
        ));
    };
    let sender = verified(account, &from)?;
    let mut receivers: Vec<String> = request.destination.all().cloned().collect();
    if let Some(raw) = raw.as_deref().filter(|_| receivers.is_empty()) {
        receivers = mime::receivers(raw);
    }
    let receivers = receivers
        .iter()
        .map(|text| receiver(text))
        .collect::<Result<Vec<_>, _>>()?;
    if receivers.is_empty() {
        return Err(SesError::bad_request("There is no recipient."));
    }
    let mut messages = match (&raw, content.and_then(|content| content.simple.as_ref())) {
        (Some(raw), _) => mail::messages(raw, &sender, &receivers, id),
        (None, Some(content)) => simple(content, &from, &receivers, id),
        (None, None) => Vec::new(),
    };
    for message in &mut messages {
        message.provider = Provider::Ses;
        finish(
            message,
            account,
            &request.email_tags,
            request.configuration_set_name.as_ref(),
        );
    }
    Ok(messages)
}

/// Adds the values of SES's own, and replaces `Message-ID` as SES does.
fn finish(message: &mut Message, account: &Account, tags: &[Tag], configuration_set: Option<&String>) {
    let tag = tags.iter().find(|tag| tag.name == DELIVERY_TAG);
    if let Some(tag) = tag {
        message.delivery_id = Some(tag.value.clone());
    }
    let all = tags
        .iter()
        .map(|tag| (tag.name.clone(), Value::from(tag.value.clone())));
    message
        .data
        .insert("tags".to_owned(), Value::Object(all.collect()));
    if let Some(name) = configuration_set {
        message
            .data
            .insert("configuration_set".to_owned(), Value::from(name.clone()));
    }
    message
        .headers
        .retain(|name, _| !name.eq_ignore_ascii_case("message-id"));
    let id = format!(
        "<{}@{}.amazonses.com>",
        message.provider_message_id, account.region
    );
    message.headers.insert("Message-ID".to_owned(), id);
}

fn simple(content: &Simple, from: &str, receivers: &[String], id: &str) -> Vec<Message> {
    let headers = content.headers.iter();
    let headers: BTreeMap<String, String> = headers
        .map(|header| (header.name.clone(), header.value.clone()))
        .collect();
    let header = |wanted: &str| {
        let mut known = headers.iter();
        let found = known.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| decoded(value))
    };
    let (delivery_id, event_id) = (header(DELIVERY_HEADER), header(EVENT_HEADER));
    let one = |to: &String| Message {
        provider: Provider::Ses,
        channel: Channel::Email,
        to: to.clone(),
        delivery_id: delivery_id.clone(),
        event_id: event_id.clone(),
        subject: Some(decoded(&content.subject.data)),
        text: content.body.text.as_ref().map(|text| text.data.clone()),
        html: content.body.html.as_ref().map(|html| html.data.clone()),
        data: Map::from_iter([("from".to_owned(), Value::from(from))]),
        headers: headers.clone(),
        received_at: clock::now(),
        provider_message_id: id.to_owned(),
    };
    receivers.iter().map(one).collect()
}

fn verified(account: &Account, from: &str) -> Result<String, SesError> {
    let Some(sender) = address::bare(from) else {
        return Err(SesError::bad_request("The sender is not an address."));
    };
    if sender.starts_with("unverified") {
        return Err(SesError::rejected(format!(
            "Email address is not verified. The following identities failed the check in region {}: {sender}",
            account.region.to_uppercase()
        )));
    }
    Ok(sender.to_owned())
}

fn receiver(text: &str) -> Result<String, SesError> {
    match address::bare(text) {
        Some(address) if !address.starts_with("invalid") => Ok(address.to_owned()),
        _ => Err(SesError::bad_request("A recipient's address is not valid.")),
    }
}
