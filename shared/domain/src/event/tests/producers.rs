//! Events in the form of standard producers.

use super::*;

#[test]
fn integers_and_booleans_are_attributes_and_read_by_their_text() {
    let json = r#"{"specversion":"1.0","id":17,"source":"/s","type":"T","recipient":42,"sequence":7,"test":true,
        "data":{"n":1}}"#;
    let structured = Event::from_cloudevent(json.as_bytes(), defaults()).unwrap();
    assert_eq!(structured.recipients, [Recipient::user("42")]);
    assert_eq!(structured.id.as_str(), "17");
    let headers = binary(&[
        ("id", "17"),
        ("recipient", "42"),
        ("sequence", "7"),
        ("test", "true"),
    ]);
    let binary = Event::from_binary(&headers, br#"{"n":1}"#, defaults()).unwrap();
    assert_eq!(binary.fingerprint(), structured.fingerprint());

    let priority = json.replace("\"sequence\":7", "\"priority\":1");
    let errors = Event::from_cloudevent(priority.as_bytes(), defaults()).unwrap_err();
    assert_eq!(errors[0].message, "expected high, normal or bulk, not 1");
    for id in ["1.5", "1e3", "[1]", "{}"] {
        let json = json.replace("\"id\":17", &format!("\"id\":{id}"));
        let found = pointers(Event::from_cloudevent(json.as_bytes(), defaults()));
        assert_eq!(found, [("/id".into(), "type".into())], "{id}");
    }
    // The plain form is Carillon's own: its texts are strings.
    let plain = PLAIN.replace("\"o-1\"", "17");
    let found = pointers(Event::from_plain(plain.as_bytes(), defaults()));
    assert_eq!(found, [("/id".into(), "type".into())]);
}

/// The headers of a binary event with additional attributes.
fn binary(attributes: &[(&str, &str)]) -> BinaryHeaders {
    let fixed = [("specversion", "1.0"), ("source", "/s"), ("type", "T")];
    let all = fixed.iter().chain(attributes);
    BinaryHeaders {
        attributes: all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        content_type: None,
    }
}

#[test]
fn data_is_optional_in_every_mode() {
    let structured = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"u"}"#;
    let structured = Event::from_cloudevent(structured.as_bytes(), defaults()).unwrap();
    let headers = binary(&[("id", "1"), ("recipient", "u")]);
    for body in ["", "null", "\u{feff}"] {
        let event = Event::from_binary(&headers, body.as_bytes(), defaults()).unwrap();
        assert_eq!(event.data.get(), "{}");
        assert_eq!(event.fingerprint(), structured.fingerprint());
    }
    let text = BinaryHeaders {
        content_type: Some("text/plain".to_owned()),
        ..headers
    };
    assert!(Event::from_binary(&text, b"", defaults()).is_ok());
}

fn encoded(members: &str) -> Result<Event, Vec<crate::FieldError>> {
    let json =
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"u",{members}}}"#);
    Event::from_cloudevent(json.as_bytes(), defaults())
}

#[test]
fn bytes_of_data_are_decoded_where_they_are_a_json_object() {
    // {"a":"ü"}, with a byte order mark before it, and in white space.
    for base64 in ["eyJhIjoiw7wifQ==", "77u/eyJhIjoiw7wifQ==", "IAp7ImEiOiLDvCJ9Cg=="] {
        let event = encoded(&format!(r#""data_base64":"{base64}""#)).unwrap();
        assert_eq!(event.data.get(), r#"{"a":"ü"}"#);
        let plain = encoded(r#""data":{"a":"ü"}"#).unwrap();
        assert_eq!(event.fingerprint(), plain.fingerprint());
    }
    assert_eq!(encoded(r#""data_base64":"""#).unwrap().data.get(), "{}");
    assert_eq!(
        encoded(r#""data":{},"data_base64":null"#).unwrap().data.get(),
        "{}"
    );
}

#[test]
fn bytes_of_data_that_are_nothing_else_are_named() {
    for (members, code) in [
        (r#""data":{},"data_base64":"e30=""#, "conflict"),
        (r#""data":null,"data_base64":"e30=""#, "conflict"),
        (r#""data_base64":"e30""#, "format"),
        (r#""data_base64":"not base64!""#, "format"),
        (r#""data_base64":{}"#, "type"),
        (r#""data_base64":"WzFd""#, "type"),
        (r#""data_base64":"/wD/""#, "type"),
        (r#""data_base64":"AAAAAAd7fQ==""#, FRAMED),
    ] {
        let found = pointers(encoded(members));
        assert_eq!(found, [("/data_base64".to_owned(), code.to_owned())], "{members}");
    }
}

#[test]
fn a_byte_order_mark_before_a_text_is_ignored_and_other_framing_is_named() {
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(
        Event::from_plain(&marked(PLAIN), defaults()).unwrap().id.as_str(),
        "o-1"
    );
    let headers = binary(&[("id", "1"), ("recipient", "u")]);
    let event = Event::from_binary(&headers, &marked(r#"{"a":1}"#), defaults()).unwrap();
    assert_eq!(event.data.get(), r#"{"a":1}"#);

    let framed = b"\x00\x00\x00\x00\x07{}";
    let errors = Event::from_cloudevent(framed, defaults()).unwrap_err();
    assert_eq!(errors[0].code, FRAMED);
    assert!(
        errors[0].message.contains("framed by a schema registry"),
        "{errors:?}"
    );
    assert!(errors[0].message.contains("schema id 7"), "{errors:?}");
    let found = pointers(Event::from_binary(&headers, framed, defaults()));
    assert_eq!(found, [("/data".into(), FRAMED.into())]);
    let utf16 = Event::from_plain(b"\xff\xfe{\0}\0", defaults()).unwrap_err();
    assert!(utf16[0].message.contains("UTF-16"), "{utf16:?}");
}

#[test]
fn an_error_names_the_field_its_value_and_the_expected_one() {
    for (from, to, message) in [
        (
            "{\"order_id\":\"1001\"",
            "{\"order_id\":1e400",
            "/data/order_id: expected a number between -1.7976931348623157e308 and 1.7976931348623157e308, not 1e400",
        ),
        (
            "\"high\"",
            "\"urgent\"",
            "/priority: expected high, normal or bulk, not \"urgent\"",
        ),
        (
            "[\"email\"]",
            "[\"fax\"]",
            "/channels: expected a list of push, email, sms and webhook, not [\"fax\"]",
        ),
    ] {
        let json = PLAIN.replace(from, to);
        let errors = Event::from_plain(json.as_bytes(), defaults()).unwrap_err();
        assert_eq!(crate::field_error::join(&errors), message);
    }
    let long = PLAIN.replace("\"high\"", &format!("\"{}\"", "x".repeat(500)));
    let errors = Event::from_plain(long.as_bytes(), defaults()).unwrap_err();
    assert!(errors[0].message.len() < 200, "{errors:?}");
    let errors = Event::from_plain(b"[1]", defaults()).unwrap_err();
    assert_eq!(errors[0].message, "expected a JSON object, not a list");
}

#[test]
fn an_invalid_recipient_is_set_aside_with_its_errors() {
    let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","data":{},"recipients":["u-1",
        {"user_id":"u-2","locale":"not a locale"},{"email":"nope"},{"user_id":"u-3","timezone":"Mars/Olympus"},true,
        {"user":"u"},""]}"#;
    let event = Event::from_cloudevent(json.as_bytes(), defaults()).unwrap();
    assert_eq!(event.recipients, [Recipient::user("u-1")]);
    let users: Vec<_> = event
        .unusable
        .iter()
        .map(|unusable| unusable.user_id.clone())
        .collect();
    let user = |id: &str| Some(crate::UserId::from(id));
    assert_eq!(users, [user("u-2"), None, user("u-3"), None, None, None]);
    let errors: Vec<_> = event
        .recipient_errors()
        .into_iter()
        .map(|error| error.pointer)
        .collect();
    assert_eq!(
        errors,
        [
            "/recipients/1/locale",
            "/recipients/2/email",
            "/recipients/3/timezone",
            "/recipients/4",
            "/recipients/5/user",
            "/recipients/6",
        ]
    );
    // Invalid recipients are not part of the wire form, and later places of recipients are not searched.
    let wire = Event::from_cloudevent(&event.to_wire(), defaults()).unwrap();
    assert!(wire.unusable.is_empty());
    let only_bad = json
        .replace("\"u-1\",", "")
        .replace("\"data\":{}", "\"data\":{\"to\":\"u-9\"}");
    let mut event = Event::from_cloudevent(only_bad.as_bytes(), defaults()).unwrap();
    event.resolve_recipients(&["/data/to".to_owned()]).unwrap();
    assert!(event.recipients.is_empty());
}

#[test]
fn user_ids_are_opaque_and_those_with_commas_stand_in_a_json_list() {
    let ids = |recipient: &str| -> Vec<String> {
        let json = serde_json::json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "T",
            "recipient": recipient});
        let event = Event::from_cloudevent(json.to_string().as_bytes(), defaults()).unwrap();
        assert_eq!(event.unusable, []);
        event.recipients.iter().map(Recipient::masked).collect()
    };
    assert_eq!(
        ids("auth0|5f7c8e, a/b%c ,Größe"),
        ["auth0|5f7c8e", "a/b%c", "Größe"]
    );
    assert_eq!(ids(r#"["a,b"," c ","[d]",5]"#), ["a,b", " c ", "[d]", "5"]);
    let longest = "ü".repeat(127) + "x";
    assert_eq!(ids(&longest), [longest.as_str()]);
    let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":"[a,b"}"#;
    let found = pointers(Event::from_cloudevent(json.as_bytes(), defaults()));
    assert_eq!(found, [("/recipient".into(), "format".into())]);
}

#[test]
fn an_event_with_a_repeated_member_is_refused_with_its_name() {
    let twice = pointers(encoded(r#""data":{},"id":"2""#));
    assert_eq!(twice, [("/id".to_owned(), "duplicate".to_owned())]);
    let plain = Event::from_plain(
        br#"{"type":"T","recipients":["u"],"data":{},"data":{"a":1}}"#,
        defaults(),
    );
    assert_eq!(pointers(plain), [("/data".to_owned(), "duplicate".to_owned())]);
}

#[test]
fn errors_about_recipients_point_to_the_place_where_the_producer_wrote_them() {
    let structured = |members: &str| {
        let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"T",{members}}}"#);
        Event::from_cloudevent(json.as_bytes(), defaults())
    };
    let long = "x".repeat(256);
    for (members, places) in [
        (
            r#""recipients":["a",{"user_id":"b"},7]"#,
            &["/recipients/0", "/recipients/1/user_id", "/recipients/2"][..],
        ),
        (r#""recipient":"a, b""#, &["/recipient", "/recipient"]),
        (r#""recipient":42"#, &["/recipient"]),
        (
            r#""data":{"recipients":[{"user_id":"a"},"b"]}"#,
            &["/data/recipients/0/user_id", "/data/recipients/1"],
        ),
    ] {
        let event = structured(members).unwrap();
        let found: Vec<String> = (0..event.recipients.len())
            .map(|index| event.places.user_pointer(index))
            .collect();
        assert_eq!(found, places, "{members}");
    }
    let mut event = structured(r#""data":{"to":{"id":"a"},"more":["b",{"user_id":"c"}]}"#).unwrap();
    let places = ["/data/to/id".to_owned(), "/data/more".to_owned()];
    event.resolve_recipients(&places).unwrap();
    let found: Vec<String> = (0..3).map(|index| event.places.user_pointer(index)).collect();
    assert_eq!(found, ["/data/to/id", "/data/more/0", "/data/more/1/user_id"]);

    for (recipient, pointer) in [
        (format!("\"a,{long}\""), "/recipient"),
        (format!("[\"a\",\"{long}\"]"), "/recipient"),
    ] {
        let event = structured(&format!(r#""recipient":{recipient}"#));
        let errors = event.map_or_else(|errors| errors, |event| event.recipient_errors());
        assert_eq!(errors[0].pointer, pointer, "{recipient}");
    }
    let listed = structured(&format!(r#""recipients":["a","{long}"]"#)).unwrap();
    assert_eq!(listed.recipient_errors()[0].pointer, "/recipients/1");
    let nobody = structured(r#""recipient":" ,""#).unwrap();
    assert_eq!(nobody.no_recipient().pointer, "/recipient");
}

#[test]
fn true_and_false_are_no_recipients_although_they_are_attributes() {
    for (recipient, message) in [
        ("true", "expected user ids, comma-separated, not true"),
        ("false", "expected user ids, comma-separated, not false"),
        ("1.5", "expected user ids, comma-separated, not 1.5"),
        ("{}", "expected user ids, comma-separated, not {}"),
    ] {
        let json =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"T","recipient":{recipient}}}"#);
        let errors = Event::from_cloudevent(json.as_bytes(), defaults()).unwrap_err();
        assert_eq!(
            (&*errors[0].pointer, &*errors[0].code, &*errors[0].message),
            ("/recipient", "type", message)
        );
    }
    // A header has no types: the user may be called so.
    let headers = binary(&[("id", "1"), ("recipient", "true")]);
    let event = Event::from_binary(&headers, b"", defaults()).unwrap();
    assert_eq!(event.recipients, [Recipient::user("true")]);
}
