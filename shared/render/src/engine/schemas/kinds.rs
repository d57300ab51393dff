//! The kinds of values that a schema takes.

use serde_json::Value;

use super::Schema;

/// The most references of a schema that are followed in a row, and the most schemas that are examined for one value.
const MAX_REFERENCES: usize = 16;

impl<'e> Schema<'e> {
    /// The schemas that a value fits all of: the schema itself and the members of its `allOf`, each with its
    /// reference followed.
    pub(in crate::engine) fn conjuncts<'s>(self, schema: &'s Value) -> Vec<&'s Value>
    where
        'e: 's,
    {
        let mut all = Vec::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            let Some(schema) = self.followed(schema) else {
                continue;
            };
            if all.len() == MAX_REFERENCES {
                break;
            }
            all.push(schema);
            open.extend(
                schema
                    .get("allOf")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .rev(),
            );
        }
        all
    }

    /// The schema that a schema refers to, within the same document.
    pub(in crate::engine) fn followed<'s>(self, schema: &'s Value) -> Option<&'s Value>
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
    pub(in crate::engine) fn kinds<'s>(self, schema: &'s Value) -> Option<Vec<&'s str>>
    where
        'e: 's,
    {
        self.kinds_within(schema, MAX_REFERENCES)
    }

    fn kinds_within<'s>(self, schema: &'s Value, depth: usize) -> Option<Vec<&'s str>>
    where
        'e: 's,
    {
        let depth = depth.checked_sub(1)?;
        let mut known: Option<Vec<&'s str>> = None;
        let mut narrow = |kinds: Vec<&'s str>| {
            known = Some(match known.take() {
                None => kinds,
                Some(before) => common(&before, &kinds),
            });
        };
        for part in self.conjuncts(schema) {
            match part.get("type") {
                Some(Value::String(kind)) => narrow(vec![kind]),
                Some(Value::Array(kinds)) => narrow(kinds.iter().filter_map(Value::as_str).collect()),
                _ => {}
            }
            let constant = part.get("const").map(std::slice::from_ref);
            let values = constant.or_else(|| part.get("enum")?.as_array().map(Vec::as_slice));
            if let Some(values) = values {
                narrow(values.iter().map(kind_of).collect());
            }
            for keyword in ["anyOf", "oneOf"] {
                let branches = part.get(keyword).and_then(Value::as_array);
                let branches = branches.filter(|branches| !branches.is_empty());
                let kinds = branches.and_then(|branches| {
                    let mut all = Vec::new();
                    for branch in branches.iter().filter(|branch| **branch != Value::Bool(false)) {
                        all.extend(self.kinds_within(branch, depth)?);
                    }
                    Some(all)
                });
                if let Some(kinds) = kinds {
                    narrow(kinds);
                }
            }
        }
        known.map(|mut kinds| {
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        })
    }

    /// The kinds of a value, if none of these is among them.
    pub(in crate::engine) fn never_one_of<'s>(
        self,
        schema: &'s Value,
        accepted: &[&str],
    ) -> Option<Vec<&'s str>>
    where
        'e: 's,
    {
        let kinds = self.kinds(schema)?;
        let fits = kinds.iter().any(|kind| accepted.contains(kind));
        (!fits && !kinds.is_empty()).then_some(kinds)
    }

    /// Whether a schema is the one of the whole data.
    pub(in crate::engine) fn is_data(self, schema: &Value) -> bool {
        std::ptr::eq(schema, self.root) || std::ptr::eq(schema, self.data)
    }

    /// Whether a schema takes objects only, or objects and null.
    pub(in crate::engine) fn is_object(self, schema: &Value) -> bool {
        self.kinds(schema).is_some_and(|kinds| {
            kinds.contains(&"object") && kinds.iter().all(|kind| matches!(*kind, "object" | "null"))
        })
    }

    /// Whether a schema takes lists only, and these hold objects only.
    pub(in crate::engine) fn is_list_of_objects(self, schema: &Value) -> bool {
        self.is_list_within(schema, MAX_REFERENCES)
    }

    fn is_list_within(self, schema: &Value, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        let may_have_items = self
            .conjuncts(schema)
            .iter()
            .all(|part| part.get("maxItems").and_then(Value::as_u64) != Some(0));
        may_have_items
            && self.kinds(schema).is_some_and(|kinds| kinds == ["array"])
            && self.item(schema).is_some_and(|item| {
                self.kinds(item).is_some_and(|kinds| kinds == ["object"])
                    || (self.has_items(item) && self.is_list_within(item, depth))
            })
    }

    /// Whether a list has an item at least.
    fn has_items(self, schema: &Value) -> bool {
        self.conjuncts(schema).iter().any(|part| {
            part.get("minItems")
                .and_then(Value::as_u64)
                .is_some_and(|least| least > 0)
        })
    }
}

/// The kinds that two sets share. An integer is a number.
fn common<'s>(some: &[&'s str], others: &[&'s str]) -> Vec<&'s str> {
    let integers = |kinds: &[&'s str], others: &[&str]| {
        let is_shared = |kind: &&str| **kind == *"integer" && others.contains(&"number");
        kinds
            .iter()
            .copied()
            .filter(|kind| is_shared(kind))
            .collect::<Vec<_>>()
    };
    let mut shared: Vec<&str> = some
        .iter()
        .copied()
        .filter(|kind| others.contains(kind))
        .collect();
    shared.extend(integers(some, others));
    shared.extend(integers(others, some));
    shared
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
pub(in crate::engine) fn shown(kinds: &[&str]) -> String {
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
