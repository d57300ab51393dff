use super::*;
use crate::ids::TenantId;

fn defaults() -> Defaults {
    Defaults {
        now: "2026-11-24T10:00:00Z".parse().unwrap(),
    }
}

fn pointers(result: Result<Event, Vec<crate::FieldError>>) -> Vec<(String, String)> {
    result
        .unwrap_err()
        .into_iter()
        .map(|error| (error.pointer, error.code))
        .collect()
}

const PLAIN: &str = r#"{"id":"o-1","source":"/shop","type":"OrderShipped","recipients":[{"user_id":"u-42"},
    {"email":"guest@example.com","locale":"fr-CA"}],"priority":"high","channels":["email"],
    "data":{"order_id":"1001","carrier":"DHL"}}"#;

#[test]
fn the_plain_form_is_read_and_survives_the_wire() {
    let event = Event::from_plain(PLAIN.as_bytes(), defaults()).unwrap();
    let again = Event::from_cloudevent(&event.to_wire(), defaults()).unwrap();
    assert_eq!(again.id, event.id);
    assert_eq!(again.recipients, event.recipients);
    assert_eq!(again.channels, [Channel::Email]);
    assert_eq!(again.priority, Some(Priority::High));
    assert_eq!(again.data.get(), event.data.get());
    assert_eq!(again.fingerprint(), event.fingerprint());
}

#[test]
fn every_wrong_field_of_the_plain_form_is_named() {
    let json = r#"{"type":7,"recipients":[{"user_id":"u"},{"emial":"x"},{"email":"nope"},{}],"priority":"urgent",
        "sendat":"tomorrow","data":[],"extra":1}"#;
    let found = pointers(Event::from_plain(json.as_bytes(), defaults()));
    for expected in [
        ("/type", "type"),
        ("/recipients/1/emial", "unknown-field"),
        ("/recipients/2/email", "format"),
        ("/recipients/3", "required"),
        ("/priority", "type"),
        ("/sendat", "type"),
        ("/data", "type"),
        ("/extra", "unknown-field"),
    ] {
        assert!(
            found.contains(&(expected.0.into(), expected.1.into())),
            "{expected:?} in {found:?}"
        );
    }
}

#[test]
fn malformed_json_says_so() {
    assert_eq!(
        pointers(Event::from_plain(b"{\"type\":", defaults())),
        [(String::new(), "malformed-json".into())]
    );
    assert_eq!(
        pointers(Event::from_plain(b"[1]", defaults())),
        [(String::new(), "type".into())]
    );
}

#[test]
fn a_cloudevent_keeps_the_attributes_that_carillon_does_not_know() {
    let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","traceparent":"00-ab","recipient":"u-1, u-2",
        "channels":"email,sms","data":{}}"#;
    let event = Event::from_cloudevent(json.as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients, [Recipient::user("u-1"), Recipient::user("u-2")]);
    assert_eq!(event.channels, [Channel::Email, Channel::Sms]);
    let wire = String::from_utf8(event.to_wire()).unwrap();
    assert!(wire.contains(r#""traceparent":"00-ab""#), "{wire}");
}

#[test]
fn recipients_are_looked_for_in_the_documented_order() {
    let in_data = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","data":{"recipients":["u-9"]}}"#;
    let event = Event::from_cloudevent(in_data.as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients, [Recipient::user("u-9")]);

    let in_catalog = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","data":{"payload":{"after":{"customer":42}}}}"#;
    let mut event = Event::from_cloudevent(in_catalog.as_bytes(), defaults()).unwrap();
    event
        .resolve_recipients(&["/data/payload/after/customer".to_owned()])
        .unwrap();
    assert_eq!(event.recipients, [Recipient::user("42")]);
}

#[test]
fn binary_mode_is_the_same_event_as_structured_mode() {
    let headers = BinaryHeaders {
        attributes: [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/s"),
            ("type", "T"),
            ("recipient", "u"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        content_type: Some("application/json; charset=utf-8".to_owned()),
    };
    let binary = Event::from_binary(&headers, br#"{"a":1}"#, defaults()).unwrap();
    let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"u","data":{"a":1}}"#;
    assert_eq!(
        binary.fingerprint(),
        Event::from_cloudevent(json.as_bytes(), defaults())
            .unwrap()
            .fingerprint()
    );
    assert_eq!(
        pointers(Event::from_binary(&headers, b"nope", defaults())),
        [("/data".into(), "malformed-json".into())]
    );
}

#[test]
fn the_fingerprint_ignores_time_spacing_and_key_order_but_not_content() {
    let base = Event::from_plain(PLAIN.as_bytes(), defaults()).unwrap();
    let later = Event {
        time: "2027-01-01T00:00:00Z".parse().unwrap(),
        ..base.clone()
    };
    assert_eq!(base.fingerprint(), later.fingerprint());
    let reordered = PLAIN.replace(
        r#"{"order_id":"1001","carrier":"DHL"}"#,
        r#"{ "carrier":"DHL", "order_id":"1001" }"#,
    );
    assert_eq!(
        base.fingerprint(),
        Event::from_plain(reordered.as_bytes(), defaults())
            .unwrap()
            .fingerprint()
    );
    let other = PLAIN.replace("DHL", "UPS");
    assert_ne!(
        base.fingerprint(),
        Event::from_plain(other.as_bytes(), defaults())
            .unwrap()
            .fingerprint()
    );
}

#[test]
fn one_known_recipient_gives_the_key_that_keeps_their_order() {
    let tenant = TenantId::default();
    let mut event = Event::from_plain(PLAIN.as_bytes(), defaults()).unwrap();
    assert_eq!(event.record_key(&tenant), "o-1");
    event.recipients.truncate(1);
    assert_eq!(event.record_key(&tenant), "default|u-42");
}

#[test]
fn more_than_a_thousand_recipients_are_too_many() {
    let recipients = vec![r#""u""#; MAX_RECIPIENTS + 1].join(",");
    let json = format!(r#"{{"type":"T","recipients":[{recipients}],"data":{{}}}}"#);
    assert_eq!(
        pointers(Event::from_plain(json.as_bytes(), defaults())),
        [("/recipients".into(), "too-many-recipients".into())]
    );
}
