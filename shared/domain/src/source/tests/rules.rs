//! The check of rules.

use serde_json::{Value, json};

use super::{catalog, errors};
use crate::source::SourceRule;

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
    for when in [json!({"op": []}), json!({"field": "/s", "becomes": []})] {
        let error = read(json!({"type": "A", "when": when}));
        assert!(error.contains("expected at least one value"), "{error}");
    }
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
