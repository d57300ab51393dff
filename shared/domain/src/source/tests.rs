//! Records of sources, and the events that the rules of a catalog make of them.

mod outbox;
mod rules;

use serde_json::{Value, json};

use super::*;
use crate::{Catalog, FieldError, Timestamp};

const WRITTEN: &str = "2026-11-24T10:00:05Z";

/// A catalog with these sources, and the types A and B.
fn catalog(sources: &Value) -> Catalog {
    let of_type = json!({"category": "c", "channels": {"order": ["email"]}});
    let document =
        json!({"types": {"A": of_type, "B": of_type}, "categories": {"c": {}}, "sources": sources});
    serde_json::from_value(document).unwrap()
}

fn errors(source: &Value) -> Vec<String> {
    let catalog = catalog(&json!({"t": source}));
    catalog.validate().iter().map(ToString::to_string).collect()
}

fn def(source: &Value) -> SourceDef {
    assert_eq!(errors(source), Vec::<String>::new(), "{source}");
    serde_json::from_value(source.clone()).unwrap()
}

/// A rule of a source with this one.
fn rule(rule: &Value) -> SourceDef {
    def(&json!({"rules": [rule]}))
}

fn record<'a>(value: &'a str, key: Option<&'a str>, headers: &[(&'a str, &'a str)]) -> SourceRecord<'a> {
    SourceRecord {
        topic: "shop.public.orders",
        key: key.map(str::as_bytes),
        value: value.as_bytes(),
        headers: headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect(),
        written_at: Some(WRITTEN.parse::<Timestamp>().unwrap()),
    }
}

fn converted(def: &SourceDef, record: &SourceRecord<'_>) -> (Vec<Value>, Vec<String>) {
    match convert(def, record).unwrap() {
        Conversion::Converted { events, errors } => (
            events
                .iter()
                .map(|sourced| serde_json::from_slice(&sourced.json).unwrap())
                .collect(),
            errors.iter().map(ToString::to_string).collect(),
        ),
        Conversion::Skipped(why) => panic!("skipped: {why:?}"),
    }
}

/// The events of an envelope with the key `{"id":1}`.
fn of_row(def: &SourceDef, envelope: &Value) -> (Vec<Value>, Vec<String>) {
    converted(def, &record(&envelope.to_string(), Some(r#"{"id":1}"#), &[]))
}

fn skipped(def: &SourceDef, value: &str) -> SkippedRow {
    match convert(def, &record(value, None, &[])).unwrap() {
        Conversion::Skipped(why) => why,
        other @ Conversion::Converted { .. } => panic!("{other:?}"),
    }
}

fn position() -> Value {
    json!({"connector": "postgresql", "db": "shop", "schema": "public", "table": "orders", "lsn": 24_023_128, "txId": 555,
        "ts_ms": 1_795_514_400_000_u64})
}

/// The update of an order from one status to another.
fn update(from: &str, to: &str) -> Value {
    json!({
        "before": {"id": 1, "status": from, "customer_id": 42},
        "after": {"id": 1, "status": to, "customer_id": 42, "carrier": "DHL", "note": null},
        "op": "u", "ts_ms": 1_795_514_401_000_u64, "source": position(),
    })
}

fn shipped() -> SourceDef {
    rule(&json!({
        "type": "A", "when": {"op": ["update"], "field": "/status", "becomes": "shipped"},
        "recipients": ["/after/customer_id"], "data": {"order_id": "/after/id", "carrier": "/after/carrier"},
    }))
}

#[test]
fn a_second_rule_that_makes_an_event_of_the_same_id_is_an_error_and_not_a_silent_repetition() {
    let def = def(&json!({"rules": [
        {"type": "A", "when": {"op": ["update"]}, "recipients": ["/after/customer_id"]},
        {"type": "A", "when": {"op": ["create", "update"]}, "recipients": ["/after/carrier"]},
    ]}));
    let (events, errors) = of_row(&def, &update("paid", "shipped"));
    assert_eq!(events.len(), 1, "{events:?}");
    let id = events[0]["id"].as_str().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains(&format!("two rules make an event with the id \"{id}\"")),
        "{errors:?}"
    );
}

#[test]
fn an_update_becomes_an_event_with_and_without_a_schema_beside_it() {
    let plain = update("paid", "shipped");
    let forms = [
        plain.clone(),
        json!({"payload": plain}),
        json!({"schema": {"type": "struct", "fields": []}, "payload": plain}),
    ];
    let mut ids = Vec::new();
    for envelope in forms {
        let (events, errors) = of_row(&shipped(), &envelope);
        assert_eq!(errors, Vec::<String>::new());
        let [event] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(event["type"], "A");
        assert_eq!(event["source"], "/sources/shop.public.orders");
        assert_eq!(event["time"], "2026-11-24T10:00:00Z");
        assert_eq!(event["recipients"], json!(["42"]));
        assert_eq!(event["data"], json!({"order_id": 1, "carrier": "DHL"}));
        ids.push(event["id"].as_str().unwrap().to_owned());
    }
    assert!(
        ids[0].starts_with("A:") && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
}

#[test]
fn tombstones_deletes_and_what_no_rule_applies_to_are_skipped_with_the_reason() {
    let def = shipped();
    for (value, why) in [
        (String::new(), SkippedRow::Tombstone),
        ("null".to_owned(), SkippedRow::Tombstone),
        (
            r#"{"schema":null,"payload":null}"#.to_owned(),
            SkippedRow::Tombstone,
        ),
        (
            json!({"before": {"id": 1}, "after": null, "op": "d"}).to_string(),
            SkippedRow::DeletedRow,
        ),
        (
            json!({"schema": {}, "payload": {"before": {"id": 1}, "after": null, "op": "d"}}).to_string(),
            SkippedRow::DeletedRow,
        ),
        (
            json!({"op": "t", "source": {"table": "orders"}}).to_string(),
            SkippedRow::DeletedRow,
        ),
        (
            json!({"op": "m", "message": {"prefix": "p"}}).to_string(),
            SkippedRow::NoRule,
        ),
        (update("shipped", "shipped").to_string(), SkippedRow::NoRule),
        (update("paid", "packed").to_string(), SkippedRow::NoRule),
    ] {
        assert_eq!(skipped(&def, &value), why, "{value}");
    }
}

#[test]
fn a_condition_is_about_the_kind_of_change_and_about_a_field_that_changed() {
    let changes = [
        (
            "create",
            json!({"before": null, "after": {"s": "x"}, "op": "c", "source": position()}),
        ),
        (
            "read",
            json!({"before": null, "after": {"s": "x"}, "op": "r", "source": position()}),
        ),
        (
            "same",
            json!({"before": {"s": "x"}, "after": {"s": "x"}, "op": "u", "source": position()}),
        ),
        (
            "other",
            json!({"before": {"s": "w"}, "after": {"s": "x"}, "op": "u", "source": position()}),
        ),
        (
            "null",
            json!({"before": {"s": "w"}, "after": {"s": null}, "op": "u", "source": position()}),
        ),
        (
            "number",
            json!({"before": {"s": 1}, "after": {"s": 2.0}, "op": "u", "source": position()}),
        ),
        (
            "equal",
            json!({"before": {"s": 2}, "after": {"s": 2.0}, "op": "u", "source": position()}),
        ),
    ];
    for (when, applies) in [
        (
            json!({}),
            &["create", "same", "other", "null", "number", "equal"][..],
        ),
        (json!({"op": ["read"]}), &["read"][..]),
        (json!({"op": ["create", "read"]}), &["create", "read"][..]),
        (json!({"field": "/s"}), &["create", "other", "null", "number"][..]),
        (json!({"field": "/s", "becomes": "x"}), &["create", "other"][..]),
        (
            json!({"field": "/s", "becomes": ["x", null]}),
            &["create", "other", "null"][..],
        ),
        (
            json!({"op": ["update"], "field": "/s", "becomes": 2}),
            &["number"][..],
        ),
    ] {
        let def = rule(&json!({"type": "A", "when": when}));
        let found: Vec<&str> = changes
            .iter()
            .filter(|(_, envelope)| {
                let value = envelope.to_string();
                let conversion = convert(&def, &record(&value, Some("1"), &[])).unwrap();
                matches!(conversion, Conversion::Converted { errors, .. } if errors.is_empty())
            })
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(found, applies, "{when}");
    }
}

#[test]
fn without_the_row_before_an_update_that_may_be_the_wanted_change_is_an_error_and_no_event() {
    let mut change = update("paid", "shipped");
    change["before"] = Value::Null;
    let (events, errors) = of_row(&shipped(), &change);
    assert_eq!(events, Vec::<Value>::new());
    assert!(
        errors[0].starts_with("/before: expected the row before the change")
            && errors[0].contains("REPLICA IDENTITY FULL"),
        "{errors:?}"
    );
    change["after"]["status"] = json!("packed");
    assert_eq!(skipped(&shipped(), &change.to_string()), SkippedRow::NoRule);
}

#[test]
fn the_same_change_has_the_same_id_and_another_change_another() {
    let def = rule(&json!({"type": "A", "data": {}}));
    let id = |key: Option<&str>, envelope: &Value| {
        let (events, errors) = converted(&def, &record(&envelope.to_string(), key, &[]));
        assert_eq!(errors, Vec::<String>::new());
        events[0]["id"].as_str().unwrap().to_owned()
    };
    let with = |field: &str, value: Value| {
        let mut change = update("paid", "shipped");
        change["source"][field] = value;
        change
    };
    let first = id(Some("{\"id\":1}"), &update("paid", "shipped"));
    // A connector that reports a change again may do so later, in another batch and with a schema beside the key.
    let mut again = with("ts_ms", json!(1));
    again["ts_ms"] = json!(2);
    again["source"]["sequence"] = json!("[\"1\",\"2\"]");
    assert_eq!(id(Some(r#"{"schema":{},"payload":{"id":1}}"#), &again), first);
    for other in [
        id(Some("{\"id\":2}"), &update("paid", "shipped")),
        id(Some("{\"id\":1}"), &with("lsn", json!(24_023_129))),
        id(Some("{\"id\":1}"), &with("db", json!("other"))),
        id(None, &update("paid", "shipped")),
    ] {
        assert_ne!(other, first);
    }
    // Of MySQL.
    let mysql = |pos: u64| json!({"after": {"id": 1}, "op": "c", "source": {"file": "b.1", "pos": pos, "row": 0, "db": "shop"}});
    assert_ne!(id(Some("1"), &mysql(4)), id(Some("1"), &mysql(5)));
    // Without a position there is no id that survives a repetition.
    let mut lacking = update("paid", "shipped");
    lacking["source"] = json!({"db": "shop", "ts_ms": 1});
    let (_, errors) = of_row(&def, &lacking);
    assert!(
        errors[0].starts_with("/source: expected a position in the database's log"),
        "{errors:?}"
    );
}

#[test]
fn a_rule_may_name_the_id_the_time_and_several_recipients() {
    let of = json!({
        "type": "A", "id": "/after/id", "time": "/after/at",
        "recipients": ["/after/user", {"email": "/after/mail", "locale": "/after/lang"}, "/after/others"],
    });
    let change = |row: Value| json!({"after": row, "op": "c", "source": {}});
    let full = json!({"id": "o-1", "at": "2026-11-24T09:00:00Z", "user": "u-1", "mail": "a@b.example", "lang": "de",
        "others": ["u-2", {"phone": "+4915112345678"}, null]});
    let (events, errors) = of_row(&rule(&of), &change(full));
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(events[0]["id"], "A:o-1");
    assert_eq!(events[0]["time"], "2026-11-24T09:00:00Z");
    assert_eq!(
        events[0]["recipients"],
        json!(["u-1", {"email": "a@b.example", "locale": "de"}, "u-2", {"phone": "+4915112345678"}])
    );
    // A null is no recipient; without any, the type says where they are.
    let empty = json!({"id": "o-1", "at": null, "user": null, "mail": null, "lang": "de", "others": null});
    let (events, errors) = of_row(&rule(&of), &change(empty));
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(events[0].get("recipients"), None);
    assert_eq!(events[0]["time"], WRITTEN);
    for (at, time) in [
        (json!(1_795_514_400_u64), "2026-11-24T10:00:00Z"),
        (json!(1_795_514_400_123_u64), "2026-11-24T10:00:00.123Z"),
        (json!(1_795_514_400_123_456_u64), "2026-11-24T10:00:00.123456Z"),
        (
            json!(1_795_514_400_123_456_000_u64),
            "2026-11-24T10:00:00.123456Z",
        ),
    ] {
        let row = json!({"id": 1, "at": at, "user": "u", "mail": null, "lang": null, "others": []});
        let (events, errors) = of_row(&rule(&of), &change(row));
        assert_eq!((&events[0]["time"], errors.len()), (&json!(time), 0), "{at}");
    }
}

#[test]
fn what_a_rule_cannot_make_is_told_with_its_place_and_the_other_rules_make_their_events() {
    let def = def(&json!({"rules": [
        {"type": "A", "recipients": ["/after/customer_id"]},
        {"type": "B", "id": "/after/number", "time": "/after/status", "recipients": ["/after/user/id"],
            "data": {"carrier": "/after/carrier", "text": "/after/large"}},
    ]}));
    let mut change = update("paid", "shipped");
    change["after"]["large"] = json!("__debezium_unavailable_value");
    let (events, errors) = of_row(&def, &change);
    assert_eq!(events, Vec::<Value>::new());
    let starts = [
        "/after/large: expected a value, not \"__debezium_unavailable_value\"",
        "/after/number: expected a value, to which a rule of the catalog points, not nothing",
        "/after/user/id: expected a value",
        "/after/large: expected a value, not \"__debezium_unavailable_value\"",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
    change["after"].as_object_mut().unwrap().remove("large");
    let (events, errors) = of_row(&def, &change);
    assert_eq!((events.len(), events[0]["type"].as_str()), (1, Some("A")));
    assert_eq!(
        events[0]["data"],
        json!({"id": 1, "status": "shipped", "customer_id": 42, "carrier": "DHL"})
    );
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn an_event_that_breaks_a_rule_of_events_is_told_with_the_place_in_the_event() {
    let of = rule(&json!({"type": "A", "id": "/after/id", "time": "/after/at"}));
    let change = |row: Value| json!({"after": row, "op": "c", "source": {}});
    for (row, start) in [
        (
            json!({"id": "x".repeat(300), "at": WRITTEN}),
            "(document): the event A: /id: expected 1 to 256 bytes",
        ),
        (
            json!({"id": "", "at": WRITTEN}),
            "/after/id: expected a text or a number, not an empty one",
        ),
        (
            json!({"id": true, "at": WRITTEN}),
            "/after/id: expected a text or a number, not a boolean",
        ),
        (
            json!({"id": "1", "at": "yesterday"}),
            "(document): the event A: /time: expected",
        ),
        (
            json!({"id": "1", "at": 12}),
            "/after/at: expected a time between 2000 and 2100",
        ),
        (
            json!({"id": "1", "at": WRITTEN, "x": "y".repeat(300_000)}),
            "(document): expected a row of which the event has at most 256 KiB",
        ),
    ] {
        let (events, errors) = of_row(&of, &change(row));
        assert_eq!(events.len(), 0);
        let tail = start.trim_start_matches("(document): ");
        assert!(errors[0].contains(tail), "{errors:?}, expected {start}");
    }
}

#[test]
fn records_of_another_form_are_refused_with_the_expected_one() {
    let def = shipped();
    for (value, code, says) in [
        ("{", "malformed-json", "expected JSON: the text ends too early"),
        (
            "\0\0\0\0\x07{}",
            "schema-registry-framed",
            "framed by a schema registry",
        ),
        (
            "[1]",
            "type",
            "expected a Debezium envelope, an object, not a list",
        ),
        (
            r#"{"id":1,"status":"shipped"}"#,
            "required",
            "ExtractNewRecordState",
        ),
        (
            r#"{"op":"x","after":{}}"#,
            "unknown",
            "expected c, u, r, d, t or m, not \"x\"",
        ),
        (
            r#"{"op":"c","after":null}"#,
            "type",
            "expected the row, an object, not nothing",
        ),
        (
            r#"{"op":"c","after":"{}"}"#,
            "type",
            "expected the row, an object, not a string",
        ),
        (
            r#"{"op":"u","after":{},"before":3}"#,
            "type",
            "expected the row, an object, not a number",
        ),
    ] {
        let FieldError {
            code: found, message, ..
        } = convert(&def, &record(value, None, &[])).unwrap_err();
        assert_eq!(found, code, "{value}: {message}");
        assert!(message.contains(says), "{value}: {message}");
    }
    let error = convert(
        &def,
        &SourceRecord {
            value: b"\"\xff\"",
            ..record("", None, &[])
        },
    )
    .unwrap_err();
    assert_eq!(error.code, "malformed-json");
}
