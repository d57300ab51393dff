//! What the schema of an event type says of a variable before there is data.

use std::sync::LazyLock;

use carillon_domain::field_error::echo;
use serde_json::{Value, json};

/// How many references of a schema are followed in a row.
const MAX_REFERENCES: usize = 16;
/// The most field names that a sentence lists.
const MAX_LISTED: usize = 12;

/// The schema of Carillon's own variables, as `context::build` makes them.
static OWN: LazyLock<Value> = LazyLock::new(|| {
    let text = json!({"type": "string"});
    let closed =
        |fields: Value| json!({"type": "object", "properties": fields, "additionalProperties": false});
    json!({
        "event": closed(json!({"id": text, "type": text, "source": text, "time": text})),
        "delivery": closed(json!({"id": text})),
        "user": closed(json!({"id": text})),
        "locale": text,
        "timezone": text,
        "unsubscribe_url": text,
    })
});
/// The schema of the data of a type that has none: an object of which nothing else is known.
pub(super) static ANY: LazyLock<Value> = LazyLock::new(|| json!({"type": "object"}));

/// The value of a variable, as far as the schema tells.
#[derive(Debug, Clone)]
pub(super) enum Seen<'s> {
    /// It may be anything, or absent.
    Unknown,
    /// It is absent, or fits this schema.
    Fits(&'s Value),
    /// No data gives it a value.
    Never(Never),
}

/// The reason for which a variable never has a value.
#[derive(Debug, Clone)]
pub(super) struct Never {
    /// The reason, as the end of a sentence.
    pub(super) why: String,
    /// Whether Carillon itself makes the variable, or would, so that no data and no schema changes it.
    pub(super) is_own: bool,
}

impl<'s> Seen<'s> {
    pub(super) fn schema(&self) -> Option<&'s Value> {
        match self {
            Self::Fits(schema) => Some(schema),
            Self::Unknown | Self::Never(_) => None,
        }
    }
}

/// The schema of an event type's data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'e> {
    pub(super) root: &'e Value,
    /// The event type that has a schema, for sentences.
    pub(super) event_type: Option<&'e str>,
}

impl<'e> Schema<'e> {
    /// A variable of the whole data, where Carillon's own variables come first.
    pub(super) fn of_root(self, names: &[String]) -> Seen<'e> {
        match names.split_first() {
            Some((first, rest)) if first == "data" => self.dig(Seen::Fits(self.root), "data", rest),
            Some((first, rest)) => match OWN.get(first) {
                Some(own) => match self.dig(Seen::Fits(own), first, rest) {
                    Seen::Never(never) => Seen::Never(Never {
                        why: format!(
                            "{}; write data.{} for a field of the event's data",
                            never.why,
                            echo(&names.join("."))
                        ),
                        is_own: true,
                    }),
                    seen => seen,
                },
                None => self.dig(Seen::Fits(self.root), "the event's data", names),
            },
            None => Seen::Fits(self.root),
        }
    }

    /// The variable that these names lead to, from a holder with this name.
    pub(super) fn dig<'s>(self, holder: Seen<'s>, label: &str, names: &[String]) -> Seen<'s>
    where
        'e: 's,
    {
        let mut seen = holder;
        for (index, name) in names.iter().enumerate() {
            let Seen::Fits(schema) = seen else {
                return seen;
            };
            let holder = || match (index, label) {
                (0, _) => echo(label),
                (_, "the event's data") => echo(&names[..index].join(".")),
                _ => echo(&format!("{label}.{}", names[..index].join("."))),
            };
            seen = self.field(schema, name, holder);
        }
        seen
    }

    fn field<'s>(self, schema: &'s Value, name: &str, holder: impl Fn() -> String) -> Seen<'s>
    where
        'e: 's,
    {
        let Some(schema) = self.followed(schema) else {
            return Seen::Unknown;
        };
        let fields = schema.get("properties").and_then(Value::as_object);
        if let Some(field) = fields.and_then(|fields| fields.get(name)) {
            return Seen::Fits(field);
        }
        let kinds = self.kinds(schema);
        let may_be = |kind: &str| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        if may_be("array") && name.parse::<usize>().is_ok() {
            return match schema.get("items") {
                Some(items) if schema.get("prefixItems").is_none() => Seen::Fits(items),
                _ => Seen::Unknown,
            };
        }
        let never = |why: String| Seen::Never(Never { why, is_own: false });
        if !may_be("object") {
            let kinds = kinds.unwrap_or_default();
            return never(format!(
                "{} is {}, which has no field {}",
                holder(),
                shown(&kinds),
                echo(&name)
            ));
        }
        if schema.get("patternProperties").is_some() {
            return Seen::Unknown;
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                let names: Vec<&str> = fields
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect();
                never(match names.as_slice() {
                    [] => format!("{} has no fields", holder()),
                    names => format!("{} has only the fields {}", holder(), listed(names)),
                })
            }
            Some(other @ Value::Object(_)) => Seen::Fits(other),
            _ => Seen::Unknown,
        }
    }

    /// An item of a list, or the value of a field of an object.
    pub(super) fn item<'s>(self, list: &'s Value) -> Option<&'s Value>
    where
        'e: 's,
    {
        let list = self.followed(list)?;
        match list.get("items") {
            Some(items) if list.get("prefixItems").is_none() => Some(items),
            Some(_) => None,
            None if list.get("properties").is_some() || list.get("patternProperties").is_some() => None,
            None => list.get("additionalProperties"),
        }
    }

    /// The schema that a schema refers to, within the same document.
    pub(super) fn followed<'s>(self, schema: &'s Value) -> Option<&'s Value>
    where
        'e: 's,
    {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            match schema.get("$ref").and_then(Value::as_str) {
                Some(reference) => schema = self.root.pointer(reference.strip_prefix('#')?)?,
                None => return Some(schema),
            }
        }
        None
    }

    /// The JSON types that a schema takes, as JSON Schema names them; `None` if it does not say.
    pub(super) fn kinds<'s>(self, schema: &'s Value) -> Option<Vec<&'s str>>
    where
        'e: 's,
    {
        let schema = self.followed(schema)?;
        match schema.get("type") {
            Some(Value::String(kind)) => return Some(vec![kind]),
            Some(Value::Array(kinds)) => return kinds.iter().map(Value::as_str).collect(),
            _ => {}
        }
        let constant = schema.get("const").map(std::slice::from_ref);
        let values = constant.or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))?;
        let mut kinds: Vec<&str> = values.iter().map(kind_of).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Some(kinds)
    }

    /// The kinds of a value, if none of these is among them.
    pub(super) fn never_one_of<'s>(self, schema: &'s Value, accepted: &[&str]) -> Option<Vec<&'s str>>
    where
        'e: 's,
    {
        let kinds = self.kinds(schema)?;
        let fits = kinds.iter().any(|kind| accepted.contains(kind));
        (!fits && !kinds.is_empty()).then_some(kinds)
    }

    /// Whether a schema takes objects only, or objects and null.
    pub(super) fn is_object(self, schema: &Value) -> bool {
        self.kinds(schema).is_some_and(|kinds| {
            kinds.contains(&"object") && kinds.iter().all(|kind| matches!(*kind, "object" | "null"))
        })
    }

    /// Whether a schema takes lists only, which have items, and these are objects.
    pub(super) fn is_list_of_objects(self, schema: &Value) -> bool {
        let Some(schema) = self.followed(schema) else {
            return false;
        };
        let has_items = schema
            .get("minItems")
            .and_then(Value::as_u64)
            .is_some_and(|least| least > 0);
        has_items
            && self.kinds(schema).is_some_and(|kinds| kinds == ["array"])
            && self
                .item(schema)
                .is_some_and(|item| self.kinds(item).is_some_and(|kinds| kinds == ["object"]))
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Kinds of values in the words of the template's authors.
pub(super) fn shown(kinds: &[&str]) -> String {
    let words = kinds.iter().map(|kind| match *kind {
        "string" => "a text",
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn listed(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(MAX_LISTED).map(echo).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
