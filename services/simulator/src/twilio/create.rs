//! `POST …/Messages.json`.

use std::collections::{BTreeMap, HashMap};

use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::{TwilioError, scripted};
use super::resource::{field, resource};
use super::{Twilio, numbers};
use crate::clock;
use crate::http::connection::Connection;
use crate::http::send::{Accepted, send};
use crate::{Channel, Message, Provider};

const MAX_BODY_CHARACTERS: usize = 1_600;
/// The allowed values of `ValidityPeriod`, in seconds.
const VALIDITY_SECONDS: std::ops::RangeInclusive<u32> = 1..=36_000;

type Fields = HashMap<String, String>;

pub(super) async fn create(
    State(twilio): State<Twilio>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(account): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let fields = form.ok().map(|Form(fields)| fields);
    let to = fields.as_ref().and_then(|fields| fields.get("To")).cloned();
    let judge = || {
        twilio.admit(&account, &headers)?;
        let Some(fields) = fields else {
            return Err(TwilioError::new(400, 21_604, "A 'To' phone number is required."));
        };
        let message = judge(&fields)?;
        let sender = message.datum(field::FROM).or(message.datum(field::SERVICE));
        let replies = &twilio.context.replies;
        if replies.has_stopped(sender.unwrap_or_default(), &message.to) {
            let text = "Attempt to send to unsubscribed recipient";
            return Err(TwilioError::new(400, 21_610, text));
        }
        let answer = (StatusCode::CREATED, Json(resource(&message, &account, true))).into_response();
        Ok(Accepted {
            messages: vec![message],
            answer,
        })
    };
    send(
        &twilio.context,
        &connection,
        Provider::Twilio,
        to.as_deref().as_slice(),
        judge,
        scripted,
    )
    .await
}

fn judge(fields: &Fields) -> Result<Message, TwilioError> {
    let given = |name: &str| {
        fields
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    let to = given("To").ok_or(TwilioError::new(400, 21_604, "A 'To' phone number is required."))?;
    let (from, service) = (given("From"), given("MessagingServiceSid"));
    if from.is_none() && service.is_none() {
        return Err(TwilioError::new(
            400,
            21_603,
            "A 'From' phone number is required.",
        ));
    }
    let body = given("Body").ok_or(TwilioError::new(400, 21_602, "Message body is required."))?;
    if body.chars().count() > MAX_BODY_CHARACTERS {
        let message = "The concatenated message body exceeds the 1600 character limit";
        return Err(TwilioError::new(400, 21_617, message));
    }
    if let Some(validity) = given("ValidityPeriod") {
        let seconds = validity.parse::<u32>().ok();
        if !seconds.is_some_and(|seconds| VALIDITY_SECONDS.contains(&seconds)) {
            return Err(TwilioError::new(400, 21_624, "Invalid validity period value"));
        }
    }
    if from == Some(to) {
        return Err(TwilioError::new(
            400,
            21_266,
            "'To' and 'From' numbers cannot be the same",
        ));
    }
    if let Some(error) = from
        .and_then(numbers::sender_at_fault)
        .or_else(|| numbers::receiver_at_fault(to))
    {
        return Err(error);
    }
    let callback = given("StatusCallback");
    let ids = callback.map(callback_query).transpose()?.unwrap_or_default();
    let mut data = Map::new();
    let kept = [
        (field::FROM, from),
        (field::SERVICE, service),
        (field::CALLBACK, callback),
        (field::VALIDITY, given("ValidityPeriod")),
    ];
    for (key, value) in kept.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        data.insert(key.to_owned(), Value::from(value));
    }
    Ok(Message {
        provider: Provider::Twilio,
        channel: Channel::Sms,
        to: to.to_owned(),
        delivery_id: ids.get("delivery_id").cloned(),
        event_id: ids.get("event_id").cloned(),
        subject: None,
        text: Some(body.to_owned()),
        html: None,
        data,
        headers: BTreeMap::new(),
        received_at: clock::now(),
        provider_message_id: format!("SM{}", Uuid::now_v7().simple()),
    })
}

/// The query parameters of a `StatusCallback`, which must be an absolute HTTP URL.
fn callback_query(url: &str) -> Result<Fields, TwilioError> {
    const INVALID: TwilioError =
        TwilioError::new(400, 21_609, "The 'StatusCallback' URL is not a valid URL.");
    let uri: Uri = url.parse().map_err(|_| INVALID)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(INVALID);
    }
    axum::extract::Query::<Fields>::try_from_uri(&uri)
        .map(|query| query.0)
        .map_err(|_| INVALID)
}
