//! The schemas of values that Carillon itself makes: its own variables, and the results of helpers and loops.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::program::Expr;

/// Marks the schemas of values that Carillon itself makes, so that sentences do not name an event type's schema.
const OWN: &str = "x-carillon-own";

/// The schemas of Carillon's own variables in a message of this type, as `context::build` makes them.
pub(super) fn own_variables(event_type: &str) -> Value {
    let text = || json!({"type": "string", OWN: true});
    let of = |format: &str| json!({"type": "string", "format": format, OWN: true});
    let closed = |fields: Value| json!({"type": "object", "properties": fields, "additionalProperties": false, OWN: true});
    json!({
        "event": closed(json!({
            "id": text(),
            "type": {"const": event_type, OWN: true},
            "source": text(),
            "time": of("date-time"),
        })),
        "delivery": closed(json!({"id": of("uuid")})),
        "user": closed(json!({"id": text()})),
        "locale": of("carillon-locale"),
        "timezone": of("carillon-timezone"),
        "unsubscribe_url": of("uri"),
    })
}

/// Whether no message has this variable of Carillon's own at present.
pub(super) fn is_never_set(name: &str) -> bool {
    name == "unsubscribe_url"
}

/// The schemas of the values that Carillon makes while a template runs.
static MADE: LazyLock<Value> = LazyLock::new(|| {
    let of = |format: &str| json!({"type": "string", "format": format, OWN: true});
    json!({
        "integer": {"type": "integer", OWN: true},
        "boolean": {"type": "boolean", OWN: true},
        "decimal": {"type": "number", OWN: true},
        "text": {"type": "string", OWN: true},
        "date": of("carillon-date"),
        "number": of("carillon-number"),
        "money": of("carillon-money"),
        "encoded": of("carillon-encoded"),
        "link": of("uri"),
    })
});

/// The schema of a value that a helper or a loop makes.
pub(super) fn made(name: &str) -> Option<&'static Value> {
    MADE.get(name)
}

/// The schema of a literal; `None` for another expression.
pub(super) fn constant(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::Literal(value) => {
            let value: Value = serde_json::from_str(&value.to_string()).ok()?;
            Some(json!({"const": value, OWN: true}))
        }
        _ => None,
    }
}

/// Whether Carillon itself makes the values of a schema.
pub(super) fn is_own(schema: &Value) -> bool {
    schema.get(OWN).is_some()
}

/// The kinds of JSON values.
const KINDS: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// A schema of kinds alone, for each set of kinds: those whose bits are in the index. The second list is for values
/// that Carillon itself makes.
static OF_KINDS: LazyLock<[Vec<Value>; 2]> = LazyLock::new(|| {
    let named = |bits: usize| -> Vec<&str> {
        let kinds = KINDS.iter().enumerate();
        kinds
            .filter(|(bit, _)| bits >> bit & 1 == 1)
            .map(|(_, kind)| *kind)
            .collect()
    };
    let all = 0..1_usize << KINDS.len();
    [
        all.clone().map(|bits| json!({"type": named(bits)})).collect(),
        all.map(|bits| json!({"type": named(bits), OWN: true})).collect(),
    ]
});

/// The schema of values of which only these kinds are known.
pub(super) fn of_kinds(kinds: &[&str], is_own: bool) -> Option<&'static Value> {
    let bit = |kind: &&str| KINDS.iter().position(|known| known == kind);
    let bits = kinds.iter().filter_map(bit).fold(0, |bits, bit| bits | 1 << bit);
    OF_KINDS[usize::from(is_own)].get(bits)
}
