//! The facts that single schemas state about a value.

use serde_json::{Map, Number, Value};

/// The most schemas that are examined for one value.
const MAX_PARTS: usize = 64;

/// One of the schemas that a value has to fit at once, and its pointer.
#[derive(Debug, Clone)]
pub(super) struct Part<'s> {
    pub(super) schema: &'s Map<String, Value>,
    pub(super) at: String,
}

/// A schema, the members of its `allOf`, and the targets of their references. Keywords beside a reference are left out,
/// because some drafts ignore them.
pub(super) fn parts<'s>(schema: &'s Value, at: &str, root: &'s Value) -> Vec<Part<'s>> {
    let mut found: Vec<Part<'s>> = Vec::new();
    let mut open = vec![(schema, at.to_owned())];
    while let Some((schema, at)) = open.pop() {
        let Value::Object(keywords) = schema else { continue };
        if found.len() == MAX_PARTS || found.iter().any(|part| part.at == at) {
            continue;
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| {
                let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
                Some((root.pointer(&pointer)?, pointer.into_owned()))
            });
            open.extend(target);
            continue;
        }
        let all = keywords.get("allOf").and_then(Value::as_array);
        let all = all.map_or(&[][..], Vec::as_slice).iter().enumerate().rev();
        open.extend(all.map(|(index, schema)| (schema, format!("{at}/allOf/{index}"))));
        found.push(Part { schema: keywords, at });
    }
    found
}

/// Whether a schema is `false` or the negation of a schema that every value fits.
pub(super) fn is_nothing(schema: &Value) -> bool {
    let negated = schema.as_object().filter(|keywords| keywords.len() == 1);
    match negated.and_then(|keywords| keywords.get("not")) {
        Some(Value::Bool(all)) => *all,
        Some(Value::Object(keywords)) => keywords.is_empty(),
        _ => *schema == Value::Bool(false),
    }
}

/// The kinds of values that a schema takes by its own `type`, `const` or `enum`; `None` if it says nothing of them.
pub(super) fn kinds(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type") {
        Some(Value::String(kind)) => return Some(vec![kind]),
        Some(Value::Array(kinds)) => return Some(kinds.iter().filter_map(Value::as_str).collect()),
        _ => {}
    }
    let constant = schema.get("const").map(std::slice::from_ref);
    let values = constant.or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))?;
    let mut kinds: Vec<&str> = values.iter().map(kind_of).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Some(kinds)
}

/// The kinds that two sets share. An integer is a number.
pub(super) fn common<'s>(some: &[&'s str], others: &[&'s str]) -> Vec<&'s str> {
    let within = |kind: &str, others: &[&str]| {
        others.contains(&kind) || (kind == "integer" && others.contains(&"number"))
    };
    let mut shared: Vec<&str> = some.iter().copied().filter(|kind| within(kind, others)).collect();
    let rest = others.iter().copied().filter(|kind| within(kind, some));
    shared.extend(rest);
    // A number of an enumeration may be an integer, which `kind_of` does not tell apart.
    if shared.is_empty() && [some, others].iter().all(|kinds| kinds.contains(&"number")) {
        shared.push("number");
    }
    shared.sort_unstable();
    shared.dedup();
    shared
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_integer(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Whether a value fits all parts, as far as this module can tell.
pub(super) fn fits(value: &Value, parts: &[Part<'_>]) -> bool {
    parts.iter().all(|part| fits_one(value, part.schema))
}

fn fits_one(value: &Value, schema: &Map<String, Value>) -> bool {
    let kind = kind_of(value);
    let takes = |kinds: &[&str]| kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"));
    let is_kind = match schema.get("type") {
        Some(Value::String(one)) => takes(&[one]),
        Some(Value::Array(many)) => takes(&many.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
        _ => true,
    };
    let is_listed = schema
        .get("enum")
        .and_then(Value::as_array)
        .is_none_or(|values| values.iter().any(|listed| same(listed, value)));
    let is_constant = schema.get("const").is_none_or(|constant| same(constant, value));
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let within = |size: f64, least: &str, most: &str| {
        bound(least).is_none_or(|least| size >= least) && bound(most).is_none_or(|most| size <= most)
    };
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let is_within = match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| {
            within(number, "minimum", "maximum")
                && bound("exclusiveMinimum").is_none_or(|least| number > least)
                && bound("exclusiveMaximum").is_none_or(|most| number < most)
        }),
        Value::String(text) => within(text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(items) => within(items.len() as f64, "minItems", "maxItems"),
        Value::Object(fields) => {
            within(fields.len() as f64, "minProperties", "maxProperties")
                && schema
                    .get("required")
                    .and_then(Value::as_array)
                    .is_none_or(|names| {
                        let names = names.iter().filter_map(Value::as_str);
                        { names }.all(|name| fields.contains_key(name))
                    })
        }
        _ => true,
    };
    is_kind && is_listed && is_constant && is_within
}

/// Whether JSON Schema takes two values for equal: `1` is `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
