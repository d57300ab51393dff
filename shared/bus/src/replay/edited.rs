//! Putting a dead letter back with an edit. A delivery gets other data, an event is published as structured JSON.

use std::collections::BTreeMap;

use carillon_domain::{
    Delivery, Timestamp,
    dead_letter::SkipReason,
    edit::{Document, Edit},
    event::without_mark,
    stored_letter::StoredLetter,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Original as _, Replay, replay};
use crate::{headers, topics::Topics};

/// The media type of an event in structured mode.
const STRUCTURED: &str = "application/cloudevents+json";

/// The part of a dead letter that can be edited: the whole event, or only `data` of a delivery. It is null if the
/// record cannot be read.
#[must_use]
pub fn document(letter: StoredLetter<'_>) -> Document {
    let text = if letter.channel.is_some() {
        data_of(&letter)
    } else if letter.is_binary() {
        let attributes = letter.headers.iter();
        let attributes =
            attributes.filter_map(|(name, value)| Some((name.strip_prefix("ce_")?, value.clone())));
        std::str::from_utf8(letter.value)
            .ok()
            .and_then(|data| event_document(attributes, data))
    } else {
        std::str::from_utf8(without_mark(letter.value))
            .ok()
            .map(str::to_owned)
    };
    text.and_then(|text| Document::parse(&text))
        .unwrap_or_else(Document::null)
}

/// The structured form of an event in binary mode; `None` if its data is not JSON.
#[must_use]
pub fn event_document<'a>(attributes: impl Iterator<Item = (&'a str, String)>, data: &str) -> Option<String> {
    let mut members: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    for (name, text) in attributes {
        let json = serde_json::Value::from(text).to_string();
        members.insert(name, RawValue::from_string(json).ok()?);
    }
    if !data.is_empty() {
        members.insert("data", RawValue::from_string(data.to_owned()).ok()?);
    }
    serde_json::to_string(&members).ok()
}

fn data_of(letter: &StoredLetter<'_>) -> Option<String> {
    let delivery = Delivery::parse(letter.value).ok()?;
    Some(format!("{{\"data\":{}}}", delivery.data.get()))
}

/// The record by which a job puts a dead letter back with an edit, or the reason for which that is not possible.
pub fn replay_edited(
    topics: &Topics,
    letter: StoredLetter<'_>,
    edit: &Edit,
    job: Uuid,
    now: Timestamp,
) -> Result<Replay, SkipReason> {
    let edited = edit
        .apply(&document(letter))
        .map_err(|_| SkipReason::Unreadable)?;
    let value = match letter.channel {
        Some(_) => with_data(letter.value, &edited).ok_or(SkipReason::Unreadable)?,
        None if edited.is_object() => edited.text().into_bytes(),
        None => return Err(SkipReason::Unreadable),
    };
    let mut own: Vec<(String, String)> = letter.headers.to_vec();
    if letter.channel.is_none() {
        // No gateway has checked this event, and its attributes are in its value. It is whole, even if only the beginning of
        // the former value was kept.
        own.retain(|(name, _)| {
            !name.starts_with("ce_")
                && ![headers::VIA, headers::CONTENT_TYPE, headers::TRUNCATED].contains(&name.as_str())
        });
        own.push((headers::CONTENT_TYPE.to_owned(), STRUCTURED.to_owned()));
    }
    let letter = StoredLetter {
        headers: &own,
        value: &value,
        ..letter
    };
    replay(topics, letter, job, now)
}

/// The bytes of a delivery with other data; all else stays, fields that this code does not know included.
fn with_data(delivery: &[u8], edited: &Document) -> Option<Vec<u8>> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(delivery).ok()?;
    members.insert(
        "data".to_owned(),
        RawValue::from_string(edited.at("/data")?).ok()?,
    );
    serde_json::to_vec(&members).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_domain::{Channel, TenantId};

    use super::*;
    use crate::TopicSettings;

    fn topics() -> Topics {
        Topics::new("n", &[Duration::from_secs(1)], &TopicSettings::default())
    }

    fn now() -> Timestamp {
        "2026-11-24T11:00:00Z".parse().unwrap()
    }

    fn edit(json: &str) -> Edit {
        Edit::parse(json).unwrap()
    }

    fn headers(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let place = [
            ("kafka_dlt-original-partition", "base64:AAAAAQ=="),
            ("kafka_dlt-original-offset", "base64:AAAAAAAAAAc="),
            ("carillon-tenant", "acme"),
        ];
        let all = place.iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn an_edited_delivery_has_other_data_and_all_else_of_the_original() {
        let tenant = TenantId::from("acme");
        let value = br#"{"v":1,"delivery_id":"6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10","of_tomorrow":7,
            "notification_id":"6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a11","tenant":"acme","event_id":"e-1","source":"/shop",
            "type":"OrderShipped","event_time":"2026-11-24T10:00:00Z","category":"c","channel":"sms",
            "target":{"kind":"inline","address":"+4915112345678"},"priority":"normal",
            "accepted_at":"2026-11-24T10:00:00Z","data":{"total":1.50,"carrier":"DLH"}}"#;
        let headers = headers(&[("carillon-generation", "2")]);
        let letter = StoredLetter {
            tenant: &tenant,
            channel: Some(Channel::Sms),
            source_topic: "n.sms",
            headers: &headers,
            key: Some(b"k"),
            value,
        };
        let fixed = edit(r#"[{"op":"replace","path":"/data/carrier","value":"DHL"}]"#);
        let Ok(Replay::Delivery {
            record,
            delivery,
            generation,
        }) = replay_edited(&topics(), letter, &fixed, Uuid::nil(), now())
        else {
            panic!()
        };
        assert_eq!(generation, 3);
        assert_eq!(delivery.data.get(), r#"{"carrier":"DHL","total":1.50}"#);
        let text = String::from_utf8(record.value.to_vec()).unwrap();
        assert!(
            text.contains(r#""of_tomorrow":7"#) && text.contains("+4915112345678"),
            "{text}"
        );
        let outside = edit(r#"[{"op":"add","path":"/target","value":{}},{"op":"remove","path":"/data"}]"#);
        let refused = replay_edited(&topics(), letter, &outside, Uuid::nil(), now()).unwrap_err();
        assert_eq!(refused, SkipReason::Unreadable);
    }

    #[test]
    fn an_edited_event_is_structured_with_its_first_position_and_is_no_gateway_s() {
        let tenant = TenantId::from("acme");
        let headers = headers(&[
            ("ce_type", "OrderShiped"),
            ("ce_id", "e-1"),
            ("ce_source", "/shop"),
            ("ce_specversion", "1.0"),
            ("content-type", "application/json"),
            ("carillon-via", "gateway"),
        ]);
        let letter = StoredLetter {
            tenant: &tenant,
            channel: None,
            source_topic: "n.events",
            headers: &headers,
            key: None,
            value: br#"{"order_id":24000000000000000000000001}"#,
        };
        let fixed = edit(r#"[{"op":"replace","path":"/type","value":"OrderShipped"}]"#);
        let Ok(Replay::Event { record, event }) =
            replay_edited(&topics(), letter, &fixed, Uuid::nil(), now())
        else {
            panic!()
        };
        let text = std::str::from_utf8(&record.value).unwrap();
        assert_eq!(
            text,
            r#"{"data":{"order_id":24000000000000000000000001},"id":"e-1","source":"/shop","specversion":"1.0","type":"OrderShipped"}"#
        );
        assert_eq!(record.headers.get_str("content-type"), Some(STRUCTURED));
        assert_eq!(record.headers.get_str(headers::VIA), None);
        assert_eq!(record.headers.get_str("ce_type"), None);
        assert_eq!(record.headers.get_str(headers::TENANT), Some("acme"));
        assert!(
            record
                .headers
                .get_str(headers::FIRST)
                .unwrap()
                .contains("\"offset\":7")
        );
        assert_eq!(event.unwrap().event_id.as_str(), "e-1");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_replaced_as_a_whole_and_its_event_keeps_its_derived_id() {
        let tenant = TenantId::from("acme");
        let headers = headers(&[("carillon-truncated", "9")]);
        let letter = StoredLetter {
            tenant: &tenant,
            channel: None,
            source_topic: "n.events",
            headers: &headers,
            key: None,
            value: b"{\"type\":",
        };
        let part = edit(r#"[{"op":"add","path":"/type","value":"T"}]"#);
        let refused = replay_edited(&topics(), letter, &part, Uuid::nil(), now()).unwrap_err();
        assert_eq!(refused, SkipReason::Unreadable);
        let whole = edit(
            r#"[{"op":"replace","path":"","value":{"specversion":"1.0","type":"T","source":"/","data":{}}}]"#,
        );
        let once = |letter| match replay_edited(&topics(), letter, &whole, Uuid::nil(), now()) {
            Ok(Replay::Event { record, event }) => (record, event.unwrap().event_id),
            other => panic!("{other:?}"),
        };
        let (record, id) = once(letter);
        // It is rejected once more, elsewhere.
        let mut again: Vec<(String, String)> = headers.clone();
        again[1].1 = "base64:AAAAAAAAAAk=".to_owned();
        let first = record.headers.get_str(headers::FIRST).unwrap();
        again.push((headers::FIRST.to_owned(), first.to_owned()));
        let (_, other) = once(StoredLetter {
            headers: &again,
            ..letter
        });
        assert_eq!(id, other);
    }
}
