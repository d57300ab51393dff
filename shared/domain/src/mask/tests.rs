use serde_json::{Value, json};

use super::*;

fn definition(sensitive: &[&str], recipients_from: &[&str]) -> EventTypeDef {
    serde_json::from_value(json!({
        "category": "c", "channels": {"order": ["email"]},
        "sensitive": sensitive, "recipients_from": recipients_from,
    }))
    .unwrap()
}

/// An event, masked, whose type marks these pointers.
fn seen(sensitive: &[&str], event: &str) -> String {
    let mask = Mask::of(Some(&definition(sensitive, &[])));
    mask.event(event).unwrap().get().to_owned()
}

#[test]
fn a_sensitive_value_is_hidden_wherever_its_pointer_leads() {
    for (pointer, event, expected) in [
        (
            "/data/code",
            r#"{"data":{"code":"s3","a":1.10}}"#,
            r#"{"data":{"code":"•••","a":1.10}}"#,
        ),
        (
            "/data/code",
            r#"{"data":{"code":483920}}"#,
            r#"{"data":{"code":"•••"}}"#,
        ),
        (
            "/data/a~1b~0c",
            r#"{"data":{"a/b~c":"s3"}}"#,
            r#"{"data":{"a/b~c":"•••"}}"#,
        ),
        (
            "/data/items/0",
            r#"{"data":{"items":["s3","b"]}}"#,
            r#"{"data":{"items":["•••","b"]}}"#,
        ),
        (
            "/data/items/*/code",
            r#"{"data":{"items":[{"code":"s3"},{"code":"s4","n":2},{}]}}"#,
            r#"{"data":{"items":[{"code":"•••"},{"code":"•••","n":2},{}]}}"#,
        ),
        (
            "/data/by/*",
            r#"{"data":{"by":{"x":"s3","y":["s3"]}}}"#,
            r#"{"data":{"by":{"x":"•••","y":"•••"}}}"#,
        ),
        (
            "/data/who",
            r#"{"data":{"who":{"s3":["s3",{"s3":1}]}}}"#,
            r#"{"data":{"who":"•••"}}"#,
        ),
        (
            "/data/link",
            r#"{"data":{"link":"https://s3/x"}}"#,
            r#"{"data":{"link":"https://•••"}}"#,
        ),
        ("/data", r#"{"data":{"s3":1}}"#, r#"{"data":"•••"}"#),
        (
            "/subject",
            r#"{"subject":"s3","data":{}}"#,
            r#"{"subject":"•••","data":{}}"#,
        ),
        ("/data/", r#"{"data":{"":"s3"}}"#, r#"{"data":{"":"•••"}}"#),
        (
            "/data/code",
            r#"{"data":{"c\u006fde":"s3"}}"#,
            r#"{"data":{"code":"•••"}}"#,
        ),
    ] {
        assert_eq!(seen(&[pointer], event), expected, "{pointer}");
    }
}

#[test]
fn a_pointer_that_matches_nothing_changes_nothing() {
    let event = r#"{"id":"1","data":{"n":123456789012345678901234,"z":-0,"e":1E3,"t":"é"}}"#;
    for pointer in ["/data/none", "/data/none/deeper", "/other", "/data/none/*/x"] {
        assert_eq!(seen(&[pointer], event), event, "{pointer}");
    }
}

#[test]
fn an_event_of_another_shape_than_the_pointer_expects_hides_more_not_less() {
    for (pointer, event, expected) in [
        (
            "/data/reset/link",
            r#"{"data":{"reset":"s3"}}"#,
            r#"{"data":{"reset":"•••"}}"#,
        ),
        (
            "/data/items/code",
            r#"{"data":{"items":[{"code":"s3"}]}}"#,
            r#"{"data":{"items":"•••"}}"#,
        ),
        (
            "/data/code",
            r#"{"data":"{\"code\":\"s3\"}"}"#,
            r#"{"data":"•••"}"#,
        ),
        (
            "/data/code",
            r#"{"data_base64":"czM="}"#,
            r#"{"data_base64":"•••"}"#,
        ),
        (
            "/data/code",
            r#"{"data":{"code":"s3","code":"s3"}}"#,
            r#"{"data":{"code":"•••","code":"•••"}}"#,
        ),
    ] {
        assert_eq!(seen(&[pointer], event), expected, "{pointer}");
    }
}

#[test]
fn an_event_of_an_unknown_type_shows_only_its_identifying_attributes() {
    let mask = Mask::of(None);
    let seen = mask
        .event(r#"{"id":"1","subject":"s3","recipients":[{"email":"s3"}]}"#)
        .unwrap();
    assert_eq!(seen.get(), r#"{"id":"1","subject":"•••","recipients":"•••"}"#);
    assert_eq!(
        (mask.attribute("id", "1"), mask.attribute("subject", "s3")),
        ("1".to_owned(), HIDDEN.to_owned())
    );
    let seen = mask.event(r#"{"type":"Typo","data":{"code":"s3"}}"#).unwrap();
    assert_eq!(seen.get(), r#"{"type":"Typo","data":"•••"}"#);
    assert_eq!(mask.data(r#"{"code":"s3"}"#).unwrap().get(), r#""•••""#);
}

#[test]
fn addresses_of_guests_are_masked_wherever_an_event_may_name_them() {
    let mask = Mask::of(Some(&definition(&[], &["/data/buyer", "/data/watchers"])));
    let event = json!({
        "id": "ada@example.com", "source": "/a", "type": "T", "recipient": "ada@example.com",
        "recipients": [{"user_id": "u-1"}, {"email": "two words", "phone": "0151 secret"}, {"user_id": "ada@example.com"}],
        "data": {
            "recipients": [{"email": "ada@example.com"}],
            "buyer": {"email": "\"two words\"@example.com", "phone": "0049151"},
            "watchers": [{"phone": "+4915112345678"}, "u-2"],
            "note": "call +49 151 1234-5678 or write to <ada@example.com>, ok?",
        },
    });
    let seen: Value = serde_json::from_str(mask.event(&event.to_string()).unwrap().get()).unwrap();
    assert_eq!(
        seen,
        json!({
            "id": "ada@example.com", "source": "/a", "type": "T", "recipient": "a…@example.com",
            "recipients": [{"user_id": "u-1"}, {"email": "…", "phone": "015…et"}, {"user_id": "ada@example.com"}],
            "data": {
                "recipients": [{"email": "a…@example.com"}],
                "buyer": {"email": "\"…@example.com", "phone": "004…51"},
                "watchers": [{"phone": "+49…78"}, "u-2"],
                "note": "call +49…78 or write to <a…@example.com>, ok?",
            },
        })
    );
}

#[test]
fn addresses_in_text_are_masked_and_other_text_is_left_alone() {
    for (text, expected) in [
        ("ada@example.com", "a…@example.com"),
        ("jörg@bücher.example.", "j…@bücher.example."),
        ("ada@[127.0.0.1] and eve@x.org", "a…@[127.0.0.1] and e…@x.org"),
        (
            "https://x.example/?to=ada%40example.com&p=%2B4915112345678",
            "https://x.example/?to=a…@example.com&p=+49…78",
        ),
        (
            "mailto:ada+tag@example.com?subject=x",
            "mailto:a…@example.com?subject=x",
        ),
        ("+1 (415) 555-2671", "+14…71"),
        (
            "at 2026-11-24T10:00:00+01:00, 1+1, @home, 100 %",
            "at 2026-11-24T10:00:00+01:00, 1+1, @home, 100 %",
        ),
    ] {
        assert_eq!(mask_addresses(text), expected);
    }
}

#[test]
fn only_pointers_that_can_hide_something_are_places() {
    for pointer in [
        "/data/code",
        "/data/a~0b~1c",
        "/data/items/*/code",
        "/subject",
        "/data//x",
    ] {
        assert!(place::parse(pointer).is_ok(), "{pointer}");
    }
    for pointer in [
        "",
        "/",
        "data/code",
        "#/data",
        "/data/a~2",
        "/data/a~",
        "$.data.code",
    ] {
        assert_eq!(place::parse(pointer), Err(PlaceError::Syntax), "{pointer}");
    }
    for pointer in ["/id", "/source", "/type", "/time", "/*/code"] {
        assert_eq!(place::parse(pointer), Err(PlaceError::Shown), "{pointer}");
    }
}

#[test]
fn an_attribute_in_a_header_is_masked_like_the_one_in_the_event() {
    let mask = Mask::of(Some(&definition(&["/subject"], &[])));
    assert_eq!(mask.attribute("subject", "s3"), HIDDEN);
    assert_eq!(mask.attribute("recipient", "ada@example.com"), "a…@example.com");
    assert_eq!(mask.attribute("other", "\"as it is\""), "\"as it is\"");
}

#[test]
fn text_that_is_not_json_has_no_masked_form() {
    for text in [
        "",
        "{",
        "{\"data\":{\"code\":\"s3\"}",
        "{\"data\":tru}",
        "\u{feff}{}",
    ] {
        assert!(Mask::of(None).event(text).is_none(), "{text}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Mask::of(Some(&definition(&[], &[]))).event(&deep).is_none());
}
