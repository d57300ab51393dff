//! Requests to APNs.

use std::{borrow::Cow, collections::BTreeMap};

use carillon_domain::{Content, Timestamp};
use http::{
    HeaderName, HeaderValue, Method, Request, Uri,
    header::AUTHORIZATION,
    uri::{Authority, PathAndQuery, Scheme},
};
use serde::Serialize;
use uuid::Uuid;

use super::config::ApnsConfig;
use crate::{
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope, SendOutcome},
    setting::SettingError,
};

/// The largest payload, in bytes.
const MAX_PAYLOAD: usize = 4_096;
/// The longest `apns-collapse-id`, in bytes.
const MAX_COLLAPSE_ID: usize = 64;
/// The longest time for which APNs stores a notification.
const LONGEST_STORED_SECONDS: i64 = 30 * 24 * 3_600;
/// The longest device token that is put into a path. Apple's have 64 to 200 hexadecimal digits, and may grow.
const LONGEST_TOKEN: usize = 1_024;

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");
const EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const TOPIC: HeaderName = HeaderName::from_static("apns-topic");

#[derive(Serialize)]
struct Payload<'a> {
    aps: Aps<'a>,
    #[serde(flatten)]
    data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Aps<'a> {
    alert: Alert<'a>,
    sound: &'static str,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

/// The id of a request: the same for one attempt wherever it is made, another for the next attempt.
#[must_use]
pub fn apns_id(message: &OutgoingMessage) -> Uuid {
    let mut attempt = [0; 8];
    attempt[..4].copy_from_slice(&message.generation.to_be_bytes());
    attempt[4..].copy_from_slice(&message.attempt.to_be_bytes());
    Uuid::new_v5(&message.delivery_id.0, &attempt)
}

/// The requests of one account.
pub struct ApnsRequests {
    authority: Authority,
    topic: HeaderValue,
}

impl ApnsRequests {
    /// Reads the server and the topic.
    pub fn new(config: &ApnsConfig) -> Result<Self, SettingError> {
        let authority = Authority::try_from(config.origin().authority());
        let topic = HeaderValue::from_str(config.topic.as_str());
        Ok(Self {
            authority: authority.map_err(|_| SettingError::new("base_url", "expected a host and a port"))?,
            topic: topic.map_err(|_| SettingError::new("topic", "expected a bundle id"))?,
        })
    }

    /// The request that sends a push. The error is the outcome of a message that Apple would refuse.
    pub fn build(
        &self,
        message: &OutgoingMessage,
        authorization: HeaderValue,
        now: Timestamp,
    ) -> Result<Request<Vec<u8>>, SendOutcome> {
        let terminal =
            |scope, code: &str, detail: String| SendOutcome::Terminal(Refusal::new(scope, code, detail));
        let Content::Push {
            title,
            body,
            data,
            collapse,
        } = &message.content
        else {
            return Err(SendOutcome::Terminal(wrong_content("a push message")));
        };
        if !is_device_token(&message.to) {
            // The token is another service's. Many of them in a row are the operator's fault.
            let detail = "the device token is not hexadecimal, as APNs hands tokens out".to_owned();
            return Err(terminal(Scope::Address, "not-an-apns-token", detail));
        }
        if data.contains_key("aps") {
            let detail = "the data has the key aps, which is Apple's".to_owned();
            return Err(terminal(Scope::Message, "reserved-data-key", detail));
        }
        let delivery_id = message.delivery_id.to_string();
        let mut data: BTreeMap<&str, &str> = data.iter().map(|(key, value)| (&**key, &**value)).collect();
        data.insert("carillon_delivery_id", &delivery_id);
        data.insert("carillon_event_id", message.event_id.as_str());
        let payload = Payload {
            aps: Aps {
                alert: Alert { title, body },
                sound: "default",
            },
            data,
        };
        let payload = serde_json::to_vec(&payload)
            .map_err(|_| terminal(Scope::Message, "json", "the message has no JSON form".to_owned()))?;
        if payload.len() > MAX_PAYLOAD {
            let detail = format!(
                "the payload has {} bytes; APNs takes {MAX_PAYLOAD}",
                payload.len()
            );
            return Err(terminal(Scope::Message, "PayloadTooLarge", detail));
        }
        // Without a key of its own, a message replaces a second copy of itself on the device.
        let collapse_id = collapse
            .as_deref()
            .map_or(Cow::Borrowed(&*delivery_id), collapse_id);
        let longest = now.timestamp().saturating_add(LONGEST_STORED_SECONDS);
        let expiration = message
            .expires_at
            .map_or(longest, |at| at.timestamp().min(longest));
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| terminal(Scope::Message, "header", "a header has no text form".to_owned()))
        };
        let mut request = Request::new(payload);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(&message.to).ok_or_else(|| {
            terminal(
                Scope::Address,
                "not-an-apns-token",
                "the token fits no path".to_owned(),
            )
        })?;
        let headers = request.headers_mut();
        headers.reserve(8);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(APNS_ID, value(&apns_id(message).hyphenated().to_string())?);
        headers.insert(COLLAPSE_ID, value(&collapse_id)?);
        headers.insert(EXPIRATION, HeaderValue::from(expiration.max(0)));
        headers.insert(PRIORITY, HeaderValue::from_static("10"));
        headers.insert(PUSH_TYPE, HeaderValue::from_static("alert"));
        headers.insert(TOPIC, self.topic.clone());
        Ok(request)
    }

    fn uri(&self, token: &str) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(format!("/3/device/{token}")).ok()?);
        Uri::from_parts(parts).ok()
    }
}

fn is_device_token(token: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The key of messages that replace one another, as a header can carry it: a key that is too long or not plain ASCII is
/// replaced by a hash of it.
fn collapse_id(key: &str) -> Cow<'_, str> {
    let fits =
        key.len() <= MAX_COLLAPSE_ID && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if fits {
        return Cow::Borrowed(key);
    }
    Cow::Owned(Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use carillon_domain::{DeliveryId, EventId, Platform};
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-24T10:00:00Z";

    fn requests() -> ApnsRequests {
        let json = r#"{"team_id":"TEAM000001","key_id":"KEY0000001","topic":"com.example.shop"}"#;
        ApnsRequests::new(&serde_json::from_str(json).unwrap()).unwrap()
    }

    fn message(data: &[(&str, &str)], collapse: Option<&str>) -> OutgoingMessage {
        OutgoingMessage {
            tenant: carillon_domain::TenantId::default(),
            reference_key: crate::ReferenceKey::of(&carillon_domain::contact::AddressKey::new([7; 32])),
            delivery_id: DeliveryId(Uuid::from_u128(7)),
            event_id: EventId::from("order-1001"),
            accepted_at: "2026-11-24T10:00:00Z".parse().unwrap(),
            generation: 0,
            attempt: 1,
            to: "00fc13adff78".to_owned(),
            platform: Some(Platform::Ios),
            content: Content::Push {
                title: "Your parcel".to_owned(),
                body: "is on its way".to_owned(),
                data: data
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
                collapse: collapse.map(str::to_owned),
            },
            expires_at: None,
            unsubscribe_url: None,
            secrets: Vec::new(),
        }
    }

    fn build(message: &OutgoingMessage) -> Result<Request<Vec<u8>>, SendOutcome> {
        let now = NOW.parse().unwrap();
        requests().build(message, HeaderValue::from_static("bearer x"), now)
    }

    fn header(request: &Request<Vec<u8>>, name: &str) -> String {
        request.headers()[name].to_str().unwrap().to_owned()
    }

    fn code(outcome: SendOutcome) -> (Scope, String) {
        let SendOutcome::Terminal(refusal) = outcome else {
            panic!("{outcome:?}")
        };
        (refusal.scope, refusal.code)
    }

    #[test]
    fn a_request_names_device_topic_and_attempt_and_carries_the_ids_beside_the_alert() {
        let request = build(&message(&[("url", "https://shop.example/1")], None)).unwrap();
        assert_eq!(
            request.uri(),
            "https://api.push.apple.com:443/3/device/00fc13adff78"
        );
        let delivery = "00000000-0000-0000-0000-000000000007";
        for (name, expected) in [
            ("authorization", "bearer x"),
            ("apns-topic", "com.example.shop"),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-collapse-id", delivery),
            ("apns-expiration", "1798106400"),
        ] {
            assert_eq!(header(&request, name), expected, "{name}");
        }
        let payload: Value = serde_json::from_slice(request.body()).unwrap();
        let expected = json!({
            "aps": {"alert": {"title": "Your parcel", "body": "is on its way"}, "sound": "default"},
            "url": "https://shop.example/1",
            "carillon_delivery_id": delivery, "carillon_event_id": "order-1001",
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn each_attempt_has_an_id_of_its_own_which_is_the_same_wherever_it_is_made() {
        let first = message(&[], None);
        let ids: Vec<Uuid> = [(0, 1), (0, 2), (1, 1)]
            .map(|(generation, attempt)| {
                apns_id(&OutgoingMessage {
                    generation,
                    attempt,
                    ..first.clone()
                })
            })
            .into();
        assert_eq!(ids[0], apns_id(&first));
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert_eq!(header(&build(&first).unwrap(), "apns-id"), ids[0].to_string());
    }

    #[test]
    fn a_message_expires_when_its_event_does_and_within_thirty_days() {
        let now: Timestamp = NOW.parse().unwrap();
        for (expires_at, expected) in [
            (Some(now + chrono::TimeDelta::seconds(90)), now.timestamp() + 90),
            (
                Some("9999-12-31T23:59:59Z".parse().unwrap()),
                now.timestamp() + 2_592_000,
            ),
            (Some(chrono::DateTime::<chrono::Utc>::MIN_UTC), 0),
            (None, now.timestamp() + 2_592_000),
        ] {
            let message = OutgoingMessage {
                expires_at,
                ..message(&[], None)
            };
            assert_eq!(
                header(&build(&message).unwrap(), "apns-expiration"),
                expected.to_string()
            );
        }
    }

    #[test]
    fn a_collapse_key_that_no_header_can_carry_is_hashed_and_stays_one_key() {
        assert_eq!(
            header(
                &build(&message(&[], Some("score 7"))).unwrap(),
                "apns-collapse-id"
            ),
            "score 7"
        );
        for key in ["é".to_owned(), "k".repeat(65), "a\nb".to_owned()] {
            let ids = [0, 1].map(|_| header(&build(&message(&[], Some(&key))).unwrap(), "apns-collapse-id"));
            assert_eq!(ids[0], ids[1]);
            assert_eq!(ids[0].len(), 36, "{key}");
        }
    }

    #[test]
    fn the_payload_is_measured_as_it_is_sent() {
        let with = |length: usize| message(&[("x", &"\u{1}".repeat(length))], None);
        let size = build(&with(1)).unwrap().body().len();
        // A control character takes six bytes in JSON.
        let fits = (MAX_PAYLOAD - size) / 6 + 1;
        assert!(build(&with(fits)).unwrap().body().len() <= MAX_PAYLOAD);
        let (scope, code) = code(build(&with(fits + 1)).unwrap_err());
        assert_eq!((scope, &*code), (Scope::Message, "PayloadTooLarge"));
    }

    #[test]
    fn content_tokens_and_keys_that_apple_refuses_are_not_sent() {
        let mut text = message(&[], None);
        text.content = Content::Sms { text: "x".to_owned() };
        assert_eq!(code(build(&text).unwrap_err()).1, "wrong-content");
        for to in ["", "dGhp:APA91b", "00fc/..", "00 fc"] {
            let other = OutgoingMessage {
                to: to.to_owned(),
                ..message(&[], None)
            };
            assert_eq!(
                code(build(&other).unwrap_err()),
                (Scope::Address, "not-an-apns-token".to_owned())
            );
        }
        let reserved = message(&[("aps", "1")], None);
        assert_eq!(code(build(&reserved).unwrap_err()).1, "reserved-data-key");
    }
}
