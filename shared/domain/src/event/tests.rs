use sha2::{Digest as _, Sha256};

use super::{fingerprint::hash_value, *};
use crate::{ids::TenantId, json};

mod producers;

fn defaults() -> Defaults<'static> {
    Defaults::at("2026-11-24T10:00:00Z".parse().unwrap())
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
fn a_cloudevent_may_name_recipients_in_an_extension_and_the_plain_form_may_not() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"u-1","data":{}}"#;
    let event = Event::from_cloudevent(event.as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients.len(), 1);
    let plain = r#"{"type":"T","recipient":"u-1","recipients":["u-2"],"data":{}}"#;
    assert_eq!(
        pointers(Event::from_plain(plain.as_bytes(), defaults())),
        [("/recipient".to_owned(), "unknown-field".to_owned())]
    );
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
fn recipients_are_found_beside_the_deepest_accepted_nesting() {
    // The object of `data` is the first of 127 levels.
    let deep = format!("{}1{}", "[".repeat(126), "]".repeat(126));
    let event = |deep: &str| {
        let json = format!(r#"{{"type":"T","data":{{"to":"u-42","deep":{deep}}}}}"#);
        Event::from_plain(json.as_bytes(), defaults())
    };
    let mut deepest = event(&deep).unwrap();
    deepest.resolve_recipients(&["/data/to".to_owned()]).unwrap();
    assert_eq!(deepest.recipients, [Recipient::user("u-42")]);
    assert!(event(&format!("[{deep}]")).is_err());
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
fn a_repeat_with_another_trace_is_the_same_event() {
    let event = |trace: &str| {
        let json = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"u","traceparent":"{trace}","data":{{}}}}"#
        );
        Event::from_cloudevent(json.as_bytes(), defaults()).unwrap()
    };
    assert_eq!(event("00-a-b-01").fingerprint(), event("00-c-d-01").fingerprint());
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

/// The fingerprint computed from the parsed wire form, as an independent reference.
fn fingerprint_of_wire(event: &Event) -> [u8; 32] {
    let wire = String::from_utf8(event.to_wire()).unwrap();
    let mut object = json::object(&wire).unwrap();
    for name in event.extensions.keys() {
        let value = object.get_mut(name).unwrap();
        if matches!(value, json::Value::Number(_) | json::Value::Bool(_)) {
            *value = value.to_string().into();
        }
    }
    for attribute in ["id", "source", "time", "traceparent", "tracestate"] {
        object.remove(attribute);
    }
    let wire = json::Value::Object(object);
    let mut hasher = Sha256::new();
    hash_value(&wire, &mut hasher);
    hasher.finalize().into()
}

#[test]
fn the_fingerprint_tells_numbers_apart_to_the_last_digit_and_not_by_their_spelling() {
    let of = |number: &str| {
        let json = format!(r#"{{"id":"1","type":"T","recipients":["u"],"data":{{"n":{number}}}}}"#);
        Event::from_plain(json.as_bytes(), defaults())
            .unwrap()
            .fingerprint()
    };
    assert_ne!(of("123456789012345678901234"), of("123456789012345678901235"));
    assert_ne!(of("18446744073709551616"), of("18446744073709551617"));
    assert_ne!(of("1"), of("\"1\""));
    assert_eq!(of("1.10"), of("1.1"));
    assert_eq!(of("1E3"), of("1000"));
}

#[test]
fn a_number_keeps_its_digits_on_the_wire_and_names_a_user_only_if_it_is_whole() {
    let data = r#"{"order":123456789012345678901234,"minus":-0,"exp":1E3,"price":1.10}"#;
    let json = format!(r#"{{"id":"1","type":"T","recipients":[42],"data":{data}}}"#);
    let event = Event::from_plain(json.as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients[0].user_id.as_ref().unwrap().as_str(), "42");
    let again = Event::from_cloudevent(&event.to_wire(), defaults()).unwrap();
    assert_eq!((event.data.get(), again.data.get()), (data, data));
    for number in ["123456789012345678901234", "1.0", "1E3", "-0"] {
        let json = format!(r#"{{"id":"1","type":"T","recipients":[{number}],"data":{{}}}}"#);
        let event = Event::from_plain(json.as_bytes(), defaults()).unwrap();
        assert_eq!((event.recipients.len(), event.unusable.len()), (0, 1), "{number}");
        assert_eq!(event.unusable[0].errors[0].pointer, "/recipients/0");
    }
}

#[test]
fn the_fingerprint_is_that_of_the_wire_form() {
    let full = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","time":"2026-11-24T10:00:00Z","priority":"bulk",
        "sendat":"2026-11-24T10:00:00.5Z","expiresat":"2026-11-25T10:00:00+02:00","channels":"sms,email","recipient":"a,b",
        "traceparent":"00-ab","zz":{"b":[1,2.5,null],"a":{"é":true}},"aa":-7,"data":{"x":{"y":1e3},"w":"\u00e9"}}"#;
    let bare = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T"}"#;
    for json in [full, bare] {
        let event = Event::from_cloudevent(json.as_bytes(), defaults()).unwrap();
        assert_eq!(event.fingerprint(), fingerprint_of_wire(&event), "{json}");
    }
    let event = Event::from_plain(PLAIN.as_bytes(), defaults()).unwrap();
    assert_eq!(event.fingerprint(), fingerprint_of_wire(&event));
}

#[test]
fn a_private_key_of_serde_json_is_refused_at_any_place_and_never_a_panic() {
    let key = "$serde_json::private::RawValue";
    let extension = format!(r#""data":{{}},"ext":{{"{key}":"not json"}}"#);
    let data = format!(r#""data":{{"a":[{{"{key}":"not json"}}]}}"#);
    let name = format!(r#""data":{{}},"{key}":"not json""#);
    for (place, pointer) in [
        (extension, "/ext/$serde_json::private::RawValue"),
        (data, "/data/a/0/$serde_json::private::RawValue"),
        (name, "/$serde_json::private::RawValue"),
    ] {
        let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"T",{place}}}"#);
        let found = pointers(Event::from_cloudevent(json.as_bytes(), defaults()));
        assert_eq!(found, [(pointer.to_owned(), "unsupported".to_owned())], "{json}");
    }
    // An event that was not built by a parser has a fingerprint too.
    let unsound = serde_json::value::RawValue::from_string(format!(r#"{{"{key}":"not json"}}"#)).unwrap();
    let mut event = Event::from_plain(PLAIN.as_bytes(), defaults()).unwrap();
    let sound = event.fingerprint();
    event.data = unsound.into();
    assert_ne!(event.fingerprint(), sound);
}

#[test]
fn a_time_has_a_year_of_four_digits() {
    for time in ["+10000-01-01T00:00:00Z", "0000-01-01T00:00:00+23:00"] {
        let json = PLAIN.replace(r#""priority":"high""#, &format!(r#""expiresat":"{time}""#));
        let found = pointers(Event::from_plain(json.as_bytes(), defaults()));
        assert_eq!(found, [("/expiresat".to_owned(), "range".to_owned())], "{time}");
    }
}

#[test]
fn the_places_that_a_catalog_names_together_give_no_more_recipients_than_an_event_may_have() {
    let users = vec![r#""u""#; 600].join(",");
    let json = format!(r#"{{"type":"T","data":{{"a":[{users}],"b":[{users}]}}}}"#);
    let mut event = Event::from_plain(json.as_bytes(), defaults()).unwrap();
    let places = ["/data/a".to_owned(), "/data/b".to_owned()];
    let errors = event.clone().resolve_recipients(&places).unwrap_err();
    assert_eq!(errors[0].code, "too-many-recipients");
    event.resolve_recipients(&places[..1]).unwrap();
    assert_eq!(event.recipients.len(), 600);
}

mod properties {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// The router accepts all events that the gateway accepts, and recognises them.
        #[test]
        fn the_wire_form_of_every_accepted_event_is_accepted_as_the_same_event(
            mut document in document(),
            cloudevent in any::<bool>(),
        ) {
            if cloudevent {
                document.insert("specversion".to_owned(), "1.0".into());
            }
            let json = Value::Object(document).to_string();
            let parsed = if cloudevent {
                Event::from_cloudevent(json.as_bytes(), defaults())
            } else {
                Event::from_plain(json.as_bytes(), defaults())
            };
            let Ok(mut event) = parsed else { return Ok(()) };
            let places = ["/data/b".to_owned(), "/data/c".to_owned()];
            if event.resolve_recipients(&places).is_err() || event.recipients.is_empty() {
                return Ok(());
            }
            let wire = event.to_wire();
            let again = Event::from_cloudevent(&wire, defaults());
            let again = match again {
                Ok(again) => again,
                Err(errors) => return Err(TestCaseError::fail(format!("{errors:?} of {json}"))),
            };
            prop_assert_eq!(again.fingerprint(), event.fingerprint(), "{}", json);
            prop_assert_eq!((&again.id, &again.source, again.time), (&event.id, &event.source, event.time));
            prop_assert_eq!(again.to_wire(), wire);
        }
    }

    /// Objects that are events, or almost.
    fn document() -> impl Strategy<Value = Map<String, Value>> {
        let entry = prop_oneof![
            2 => (Just("id"), text()),
            2 => (Just("source"), text()),
            2 => (Just("time"), time()),
            2 => (Just("sendat"), time()),
            2 => (Just("expiresat"), time()),
            2 => (Just("priority"), prop_oneof![Just(json!("high")), Just(json!("bulk")), Just(json!("odd"))]),
            2 => (Just("channels"), prop_oneof![
                Just(json!(["email", "sms", "email"])), Just(json!("sms, push,")), Just(json!([])), Just(json!("")),
            ]),
            4 => (Just("recipients"), recipients()),
            1 => (Just("recipient"), prop_oneof![Just(json!("a, b,")), Just(json!("a|b")), Just(json!(""))]),
            1 => (Just("ext"), value()),
            1 => (Just(""), value()),
            1 => (Just("datacontenttype"), Just(json!("application/x+json; charset=utf-8"))),
        ];
        let data = proptest::collection::btree_map("[a-c]|recipients", value(), 0..4);
        (proptest::collection::vec(entry, 0..8), data, recipients()).prop_map(
            |(entries, data, recipients)| {
                let mut document: Map<String, Value> = Map::new();
                document.insert("type".to_owned(), "T".into());
                document.insert("recipients".to_owned(), recipients);
                document.insert("data".to_owned(), data.into_iter().collect::<Map<_, _>>().into());
                document.extend(entries.into_iter().map(|(name, value)| (name.to_owned(), value)));
                document
            },
        )
    }

    fn text() -> impl Strategy<Value = Value> {
        prop_oneof![
            8 => "[a-z/é\\\\\"]{1,12}".prop_map(Value::from),
            1 => Just(json!("tab\there")),
            1 => Just(json!("")),
            1 => Just(json!(7)),
            1 => Just(json!("x".repeat(257))),
        ]
    }

    fn time() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!("2026-11-24T10:00:00Z")),
            Just(json!("2026-11-24T10:00:00.123456789+05:30")),
            Just(json!("2026-11-25 10:00:00Z")),
            Just(json!("2016-12-31T23:59:60Z")),
            Just(json!("0000-01-01T00:00:00+23:59")),
            Just(json!("9999-12-31T23:59:59-23:59")),
            Just(json!("+10000-01-01T00:00:00Z")),
            Just(json!("tomorrow")),
        ]
    }

    fn recipients() -> impl Strategy<Value = Value> {
        let one = prop_oneof![
            4 => "[a-zé]{1,8}".prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => any::<f64>().prop_map(Value::from),
            2 => Just(json!({"user_id": "u", "locale": "fr-CA", "timezone": null})),
            2 => Just(json!({"email": "guest@example.com", "phone": "+15145550142", "timezone": "Europe/Berlin"})),
            1 => Just(json!({"email": "nope"})),
            1 => Just(json!(null)),
        ];
        proptest::collection::vec(one, 0..4).prop_map(Value::from)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            4 => any::<i64>().prop_map(Value::from),
            4 => any::<f64>().prop_map(Value::from),
            4 => "[a-zé\n\u{0}]{0,8}".prop_map(Value::from),
            2 => Just(Value::Null),
            2 => recipients(),
            1 => (100..130_usize).prop_map(|levels| (0..levels).fold(json!("u"), |inner, _| json!([inner]))),
            1 => Just(json!({"$serde_json::private::RawValue": "not json"})),
            1 => Just(json!({"$serde_json::private::RawValue": "\"u\""})),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]|recipients", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }
}

#[test]
fn an_empty_list_of_channels_is_not_all_of_them() {
    let json = br#"{"type":"T","recipients":[{"user_id":"u"}],"channels":[],"data":{}}"#;
    let errors = Event::from_plain(json, Defaults::at(Timestamp::UNIX_EPOCH)).unwrap_err();
    let told: Vec<_> = errors
        .iter()
        .map(|error| (&*error.pointer, &*error.code))
        .collect();
    assert_eq!(told, [("/channels", "empty")]);
}

#[test]
fn a_recipient_with_a_repeated_member_is_invalid_and_data_with_one_is_refused() {
    let plain =
        |recipients: &str, data: &str| format!(r#"{{"type":"T","recipients":{recipients},"data":{data}}}"#);
    let twice = r#"[{"user_id":"u-1"},{"user_id":"u-42","user_id":"u-7"}]"#;
    let event = Event::from_plain(plain(twice, "{}").as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients, [Recipient::user("u-1")]);
    let wrong = event.recipient_errors();
    assert_eq!(
        (&*wrong[0].pointer, &*wrong[0].code),
        ("/recipients/1/user_id", "duplicate")
    );
    let escaped = r#"[{"user_id":"u-42","user\u005fid":"u-42"}]"#;
    let event = Event::from_plain(plain(escaped, "{}").as_bytes(), defaults()).unwrap();
    assert!(event.recipients.is_empty() && event.unusable.len() == 1);
    let extension = serde_json::json!({"specversion": "1.0", "type": "T", "id": "1", "source": "/s",
        "recipient": twice, "data": {}});
    let event = Event::from_cloudevent(extension.to_string().as_bytes(), defaults()).unwrap();
    assert_eq!(&*event.recipient_errors()[0].pointer, "/recipient/1/user_id");

    for (data, pointer) in [
        (r#"{"order_id":"1","order_id":"2"}"#, "/data/order_id"),
        (r#"{"lines":[{"n":1},{"n":1,"m":2,"n":1}]}"#, "/data/lines/1/n"),
    ] {
        let errors = Event::from_plain(plain(r#"["u-1"]"#, data).as_bytes(), defaults()).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!((&*errors[0].pointer, &*errors[0].code), (pointer, "duplicate"));
    }
}
