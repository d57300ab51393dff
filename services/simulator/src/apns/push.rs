//! `POST /3/device/{token}`.
//!
//! Device tokens that fail: those that begin with `dead` (unregistered), `bad` (of another environment), `c0ffee` (of
//! another app) or `feed` (sent too many messages).

use std::collections::BTreeMap;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Apns;
use crate::clock;
use crate::faults;
use crate::http::send::Accepted;
use crate::{Channel, Message, Provider};

const MAX_PAYLOAD: usize = 4_096;
const MAX_COLLAPSE_ID: usize = 64;
const DELIVERY_KEY: &str = "carillon_delivery_id";
const EVENT_KEY: &str = "carillon_event_id";
const PUSH_TYPES: [&str; 9] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "voip",
];

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(super) status: u16,
    /// The `apns-id`.
    pub(super) id: String,
    pub(super) reason: Option<String>,
    pub(super) retry_after: Option<String>,
}

impl Answered {
    /// Empty for an accepted message.
    pub(super) fn body(&self) -> String {
        let Some(reason) = &self.reason else {
            return String::new();
        };
        let mut body = Map::from_iter([("reason".to_owned(), Value::from(&**reason))]);
        if self.status == 410 {
            body.insert("timestamp".to_owned(), clock::now().timestamp_millis().into());
        }
        Value::from(body).to_string()
    }
}

/// The device of a path.
pub(super) fn device(path: &str) -> Option<&str> {
    path.strip_prefix("/3/device/")
        .filter(|token| !token.is_empty() && !token.contains('/'))
}

/// The answer of a fault script.
pub(super) fn scripted(answer: &faults::Answer) -> Answered {
    let usual = match answer.status {
        400 => "BadMessageId",
        403 => "InvalidProviderToken",
        404 => "BadPath",
        405 => "MethodNotAllowed",
        410 => "Unregistered",
        413 => "PayloadTooLarge",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalServerError",
    };
    Answered {
        status: answer.status,
        id: Uuid::now_v7().to_string(),
        reason: Some(answer.code.clone().unwrap_or_else(|| usual.to_owned())),
        retry_after: answer.retry_after.clone(),
    }
}

/// Accepts a request, or refuses it as APNs does.
pub(super) fn judge(apns: &Apns, head: &Parts, body: &[u8]) -> Result<Accepted<Answered>, Answered> {
    let id = header(&head.headers, "apns-id").unwrap_or_default();
    let id = match id {
        "" => Uuid::now_v7().to_string(),
        id => id.to_owned(),
    };
    let answered = |status, reason: Option<&str>| Answered {
        status,
        id: id.clone(),
        reason: reason.map(str::to_owned),
        retry_after: None,
    };
    let payload = check(apns, head, body).map_err(|(status, reason)| answered(status, Some(reason)))?;
    Ok(Accepted {
        messages: vec![message(head, payload, id.clone())],
        answer: answered(200, None),
    })
}

fn check(apns: &Apns, head: &Parts, body: &[u8]) -> Result<Map<String, Value>, (u16, &'static str)> {
    if head.method != Method::POST {
        return Err((405, "MethodNotAllowed"));
    }
    let Some(device) = device(head.uri.path()) else {
        let is_missing = head.uri.path() == "/3/device/";
        return Err(if is_missing {
            (400, "MissingDeviceToken")
        } else {
            (404, "BadPath")
        });
    };
    apns.tokens.admit(&head.headers)?;
    let get = |name| header(&head.headers, name);
    match get("apns-topic") {
        None => return Err((400, "MissingTopic")),
        Some(topic) if topic != apns.topic => return Err((400, "TopicDisallowed")),
        Some(_) => {}
    }
    if get("apns-push-type").is_none_or(|kind| !PUSH_TYPES.contains(&kind)) {
        return Err((400, "InvalidPushType"));
    }
    if get("apns-id").is_some_and(|id| Uuid::parse_str(id).is_err()) {
        return Err((400, "BadMessageId"));
    }
    if get("apns-priority").is_some_and(|priority| !["1", "5", "10"].contains(&priority)) {
        return Err((400, "BadPriority"));
    }
    if get("apns-expiration").is_some_and(|at| at.parse::<u64>().is_err()) {
        return Err((400, "BadExpirationDate"));
    }
    if get("apns-collapse-id").is_some_and(|id| id.len() > MAX_COLLAPSE_ID) {
        return Err((400, "BadCollapseId"));
    }
    if body.len() > MAX_PAYLOAD {
        return Err((413, "PayloadTooLarge"));
    }
    let payload = match serde_json::from_slice(body) {
        Ok(Value::Object(payload)) if payload.contains_key("aps") => payload,
        _ => return Err((400, "PayloadEmpty")),
    };
    fate_of(device).map_or(Ok(payload), Err)
}

/// The refusal of a token with one of the failing beginnings, or of a text that is not a token; `None` for all others.
fn fate_of(device: &str) -> Option<(u16, &'static str)> {
    const FATES: [(&str, u16, &str); 4] = [
        ("dead", 410, "Unregistered"),
        ("bad", 400, "BadDeviceToken"),
        ("c0ffee", 400, "DeviceTokenNotForTopic"),
        ("feed", 429, "TooManyRequests"),
    ];
    if !device.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some((400, "BadDeviceToken"));
    }
    let fate = FATES
        .into_iter()
        .find(|(beginning, ..)| device.starts_with(beginning));
    fate.map(|(_, status, reason)| (status, reason))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn message(head: &Parts, mut payload: Map<String, Value>, id: String) -> Message {
    let alert = payload.remove("aps").unwrap_or_default();
    let text = |key: &str| match &alert["alert"] {
        Value::String(body) if key == "body" => Some(body.clone()),
        alert => alert[key].as_str().map(str::to_owned),
    };
    let datum = |key: &str| payload.get(key).and_then(Value::as_str).map(str::to_owned);
    let of_apns = head
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("apns-"));
    let headers: BTreeMap<String, String> = of_apns
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    Message {
        provider: Provider::Apns,
        channel: Channel::Push,
        to: device(head.uri.path()).unwrap_or_default().to_owned(),
        delivery_id: datum(DELIVERY_KEY),
        event_id: datum(EVENT_KEY),
        subject: text("title"),
        text: text("body"),
        html: None,
        data: payload,
        headers,
        received_at: clock::now(),
        provider_message_id: id,
    }
}
