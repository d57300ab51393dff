//! Records of sources, and the events that the rules of a catalog make of them.

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

fn outbox() -> SourceDef {
    def(&json!({"format": "outbox", "rules": [{
        "type": {"from": "/headers/eventType", "map": {"order.shipped": "A", "order.lost": "B"}},
        "recipients": ["/payload/customer_id"], "data": "/payload",
    }]}))
}

#[test]
fn a_record_of_the_outbox_event_router_becomes_an_event_in_each_form_of_its_payload() {
    let payload = r#"{"order_id":"1001","customer_id":"u-42","price":1.10}"#;
    let escaped = serde_json::to_string(payload).unwrap();
    let forms = [
        payload.to_owned(),
        escaped.clone(),
        format!(r#"{{"schema":{{"type":"string"}},"payload":{escaped}}}"#),
        format!(r#"{{"schema":{{"type":"struct"}},"payload":{payload}}}"#),
    ];
    let headers = [
        ("id", "4d47e190-0402-4048-bc2c-89dd54343cdc"),
        ("eventType", "order.shipped"),
    ];
    let quoted = [
        ("id", "\"4d47e190-0402-4048-bc2c-89dd54343cdc\""),
        ("eventType", "\"order.shipped\""),
    ];
    for form in &forms {
        for headers in [&headers, &quoted] {
            let (events, errors) = converted(&outbox(), &record(form, Some("1001"), headers));
            assert_eq!(errors, Vec::<String>::new());
            assert_eq!(events[0]["id"], "A:4d47e190-0402-4048-bc2c-89dd54343cdc");
            assert_eq!(events[0]["type"], "A");
            assert_eq!(events[0]["time"], WRITTEN);
            assert_eq!(events[0]["recipients"], json!(["u-42"]));
            assert_eq!(events[0]["data"]["order_id"], "1001");
        }
    }
    // The digits of numbers stay.
    let Conversion::Converted { events, .. } = convert(&outbox(), &record(payload, None, &headers)).unwrap()
    else {
        panic!("it is converted");
    };
    assert!(String::from_utf8_lossy(&events[0].json).contains("1.10"));
}

#[test]
fn an_outbox_skips_other_types_and_tombstones_and_refuses_records_without_id_or_payload() {
    let convert =
        |value: &str, headers: &[(&str, &str)]| convert(&outbox(), &record(value, Some("1"), headers));
    let other = convert("{}", &[("id", "1"), ("eventType", "order.paid")]);
    assert!(matches!(other, Ok(Conversion::Skipped(SkippedRow::NoRule))));
    assert!(matches!(
        convert("", &[]),
        Ok(Conversion::Skipped(SkippedRow::Tombstone))
    ));
    let no_id = r#"{"customer_id":"u"}"#;
    let Ok(Conversion::Converted { errors, .. }) = convert(no_id, &[("eventType", "order.lost")]) else {
        panic!("the rule applies");
    };
    assert_eq!(errors[0].code, "no-id");
    let Ok(Conversion::Converted { errors, .. }) = convert("{}", &[("id", "1")]) else {
        panic!("the type is missing");
    };
    assert!(
        errors[0]
            .to_string()
            .starts_with("/headers/eventType: expected a value"),
        "{errors:?}"
    );
    for (value, says) in [
        ("[]", "not a list"),
        ("\"{\"", "ends too early"),
        ("7", "not a number"),
    ] {
        let error = convert(value, &[("id", "1")]).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn impossible_rules_are_refused_with_field_and_reason() {
    let fine = json!({"type": "A", "recipients": ["/after/user"]});
    let with = |field: &str, value: Value| {
        let mut rule = fine.clone();
        rule[field] = value;
        json!({"rules": [rule]})
    };
    for (source, expected) in [
        (
            json!({"rules": []}),
            "/sources/t/rules: expected at least one rule",
        ),
        (
            with("type", json!("C")),
            "/sources/t/rules/0/type: expected an event type of this catalog, not \"C\"",
        ),
        (
            with("type", json!({"from": "/op", "map": {"c": "A", "u": "C"}})),
            "/sources/t/rules/0/type/map/u: expected an event type of this catalog, not \"C\"",
        ),
        (
            with("type", json!({"from": "/op", "map": {}})),
            "/sources/t/rules/0/type/map: expected at least one value with its event type",
        ),
        (
            with("type", json!({"from": "op", "map": {"c": "A"}})),
            "/sources/t/rules/0/type/from: expected a JSON pointer such as /after/customer_id, not \"op\"",
        ),
        (
            with("id", json!("after/id")),
            "/sources/t/rules/0/id: expected a JSON pointer such as /after/customer_id, not \"after/id\"",
        ),
        (
            with("time", json!("/aftr/at")),
            "/sources/t/rules/0/time: expected a JSON pointer that begins with one of /after, /before, /headers, /key, /op, /source, /ts_ms, /ts_us, /ts_ns, not \"/aftr/at\"",
        ),
        (
            with("data", json!({"a/b": "/after/~2"})),
            "/sources/t/rules/0/data/a~1b: expected a JSON pointer such as /after/customer_id, not \"/after/~2\"",
        ),
        (
            with("data", json!("row")),
            "/sources/t/rules/0/data: expected a JSON pointer such as /after/customer_id, not \"row\"",
        ),
        (
            with("recipients", json!([{"locale": "/after/lang"}])),
            "/sources/t/rules/0/recipients/0: expected a pointer to a user_id, or to an email or phone",
        ),
        (
            with("recipients", json!(["/after/a", {"email": "mail"}])),
            "/sources/t/rules/0/recipients/1/email: expected a JSON pointer such as /after/customer_id, not \"mail\"",
        ),
        (
            with("when", json!({"op": ["update", "update"]})),
            "/sources/t/rules/0/when/op/1: expected each kind of change once, not update again",
        ),
        (
            with("when", json!({"field": "status"})),
            "/sources/t/rules/0/when/field: expected a JSON pointer into the row, such as /status, not \"status\"",
        ),
        (
            with("when", json!({"field": "/after/status"})),
            "/sources/t/rules/0/when/field: expected a JSON pointer into the row, such as /status, without /before or /after, not \"/after/status\"",
        ),
        (
            with("when", json!({"becomes": "shipped"})),
            "/sources/t/rules/0/when/field: expected the field that becomes these values, such as /status",
        ),
        (
            with("when", json!({"field": "/s", "becomes": [{"a": 1}]})),
            "/sources/t/rules/0/when/becomes/0: expected a text, a number, a boolean or null",
        ),
        (
            json!({"rules": [fine, {"type": "A", "data": "/after"}]}),
            "/sources/t/rules/1: expected another type or condition than those of rule 0, which makes an event of the same records",
        ),
        (
            json!({"format": "outbox", "rules": [{"type": "A", "when": {"op": ["create"]}}]}),
            "/sources/t/rules/0/when: expected no condition on rows: an outbox has events, which type.from and type.map select",
        ),
        (
            json!({"format": "outbox", "rules": [{"type": "A", "data": "/after"}]}),
            "/sources/t/rules/0/data: expected a JSON pointer that begins with one of /headers, /key, /payload, not \"/after\"",
        ),
    ] {
        assert_eq!(errors(&source), [expected], "{source}");
    }
    // The same type under another condition, and the same condition for another type, are other events.
    let both = json!({"rules": [fine, {"type": "B"}, {"type": "A", "when": {"field": "/s"}}]});
    assert_eq!(errors(&both), Vec::<String>::new());
}

#[test]
fn a_topic_has_a_name_that_kafka_takes_and_is_none_of_the_installations_own() {
    let rules = json!({"rules": [{"type": "A"}]});
    let wrong = catalog(&json!({"a b": rules, "..": rules, "fine-1.x_y": rules}));
    let errors: Vec<String> = wrong.validate().iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[1].starts_with("/sources/a b: expected the name of a topic"),
        "{errors:?}"
    );
    let own = catalog(&json!({"notifications.events": rules, "notifications2.events": rules}));
    assert_eq!(own.validate(), []);
    let errors = own.check_source_topics("notifications");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].pointer, "/sources/notifications.events");
    assert_eq!(
        errors[0].message,
        "expected a topic of another system, not one of Carillon's own, notifications.…"
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_the_expected_one() {
    let read = |rule: Value| {
        serde_json::from_value::<SourceRule>(rule)
            .unwrap_err()
            .to_string()
    };
    let error = read(json!({"type": 3}));
    assert!(
        error.contains("expected the name of an event type, or an object of from and map"),
        "{error}"
    );
    let error = read(json!({"type": {"from": "/op"}}));
    assert!(error.contains("missing field `map`"), "{error}");
    let error = read(json!({"type": "A", "recipients": [true]}));
    assert!(
        error.contains("expected a JSON pointer such as /after/customer_id, or an object"),
        "{error}"
    );
    let error = read(json!({"type": "A", "recipients": [{"mail": "/after/x"}]}));
    assert!(error.contains("unknown field `mail`"), "{error}");
    let error = read(json!({"type": "A", "data": []}));
    assert!(
        error.contains("expected a JSON pointer to an object such as /after"),
        "{error}"
    );
    let error = read(json!({"type": "A", "when": {"op": ["delete"]}}));
    assert!(error.contains("unknown variant `delete`"), "{error}");
    let error = read(json!({"type": "A", "until": 1}));
    assert!(error.contains("unknown field `until`"), "{error}");
}

#[test]
fn a_catalog_is_written_as_it_was_read() {
    let sources = json!({
        "shop.public.orders": {"rules": [{"type": "A",
            "when": {"op": ["update"], "field": "/status", "becomes": ["shipped"]}, "id": "/after/id",
            "recipients": ["/after/customer_id", {"email": "/after/mail"}], "data": {"order_id": "/after/id"}, "time": "/ts_ms"}]},
        "outbox": {"format": "outbox", "rules": [{"type": {"from": "/headers/type", "map": {"x": "B"}}, "data": "/payload"}]},
    });
    let written = serde_json::to_value(catalog(&sources)).unwrap();
    assert_eq!(written["sources"], sources);
    assert_eq!(
        serde_json::to_value(catalog(&json!({}))).unwrap().get("sources"),
        None
    );
}
