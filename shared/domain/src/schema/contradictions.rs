//! Schemas that no value fits. [`super::possible`] decides whether there is a contradiction, this module looks for its place
//! and its reason. It is an error if the data of an event cannot fit at all, and a warning elsewhere: a property
//! that no value fits is just never there. `false` and `{"not": {}}` are the words for "nothing" and have no warning.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use serde_json::{Map, Value, json};

use super::{
    facts::{self, Part, is_nothing, kinds},
    possible::Possible,
    ranges,
};
use crate::field_error::{FieldError, echo, escape_token};

/// The keywords whose values are schemas by name, schemas in a list, and single schemas. Those of `not` and `if` are left
/// out: there, a schema that no value fits is as good as another.
const BY_NAME: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];
const IN_LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const SINGLE: [&str; 9] = [
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "then",
    "else",
];

/// The contradictions of a schema. Errors point into the schema, which has been compiled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contradictions {
    /// The reasons for which no event has data that fit; empty if some data may fit.
    pub(crate) errors: Vec<FieldError>,
    /// Contradictions in schemas that the data of an event need not fit.
    pub(crate) warnings: Vec<FieldError>,
}

/// The contradictions of the schema of an event's data, which is an object.
pub(crate) fn contradictions(schema: &Value) -> Contradictions {
    let mut search = Search {
        root: schema,
        possible: Possible::new(schema),
        seen: HashMap::new(),
        errors: Vec::new(),
    };
    let is_possible = search.possible.may_fit(&[schema], &[&AN_OBJECT]);
    if !is_possible {
        search.of_data();
    }
    let has_reason = !search.errors.is_empty();
    let is_explained = search.visit(schema, "");
    if is_possible {
        return Contradictions {
            errors: Vec::new(),
            warnings: search.errors,
        };
    }
    if !has_reason && !is_explained {
        let sentence =
            "expected a schema that some data of an event can fit: its parts contradict each other";
        search.find(String::new(), sentence.to_owned());
    }
    Contradictions {
        errors: search.errors,
        warnings: Vec::new(),
    }
}

static AN_OBJECT: LazyLock<Value> = LazyLock::new(|| json!({"type": "object"}));

/// The kinds of values that a schema takes.
enum Taken<'s> {
    /// The schema does not say.
    Unsaid,
    Kinds(Vec<&'s str>),
    Nothing,
}

struct Search<'s> {
    root: &'s Value,
    possible: Possible<'s>,
    /// The pointers of the schemas that were visited, and whether the reason of a contradiction was found there.
    seen: HashMap<String, bool>,
    errors: Vec<FieldError>,
}

impl<'s> Search<'s> {
    fn find(&mut self, pointer: String, sentence: String) {
        let error = FieldError::new(pointer, "impossible", sentence);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// The data of an event is an object, so a schema that no object fits refuses every event.
    fn of_data(&mut self) {
        if is_nothing(self.root) {
            let sentence = format!(
                "expected a schema that the data of an event can fit, not {}",
                echo(self.root)
            );
            return self.find(String::new(), sentence);
        }
        let parts = facts::parts(self.root, "", self.root);
        for part in &parts {
            if let Some(kinds) = kinds(part.schema)
                && !kinds.is_empty()
                && !kinds.contains(&"object")
            {
                let keyword = ["type", "const", "enum"]
                    .into_iter()
                    .find(|keyword| part.schema.contains_key(*keyword));
                let pointer = format!("{}/{}", part.at, keyword.unwrap_or("type"));
                let sentence =
                    "expected a schema that takes an object, which the data of an event is".to_owned();
                return self.find(pointer, sentence);
            }
        }
    }

    /// Looks for contradictions in a schema and below it. Returns whether it found a contradiction together with its
    /// reason.
    fn visit(&mut self, schema: &'s Value, at: &str) -> bool {
        let Value::Object(keywords) = schema else {
            return false;
        };
        if let Some(is_explained) = self.seen.get(at) {
            return *is_explained;
        }
        self.seen.insert(at.to_owned(), false);
        let wishes: &[&Value] = if at.is_empty() { &[&AN_OBJECT] } else { &[] };
        let is_possible = is_nothing(schema) || self.possible.may_fit(&[schema], wishes);
        let before = self.errors.len();
        if !is_possible {
            self.judge(schema, at);
        }
        let mut is_explained = self.errors.len() > before;
        let mut below = |search: &mut Self, keyword: &str, schema: &'s Value, at: &str| {
            let found = search.visit(schema, at);
            is_explained |= found && is_needed(keywords, keyword, at);
        };
        for (keyword, value) in keywords {
            let at = format!("{at}/{}", escape_token(keyword));
            match (keyword.as_str(), value) {
                (keyword, Value::Object(schemas)) if BY_NAME.contains(&keyword) => {
                    for (name, schema) in schemas {
                        below(self, keyword, schema, &format!("{at}/{}", escape_token(name)));
                    }
                }
                (keyword, Value::Array(schemas)) if IN_LIST.contains(&keyword) || keyword == "items" => {
                    for (index, schema) in schemas.iter().enumerate() {
                        below(self, keyword, schema, &format!("{at}/{index}"));
                    }
                }
                (keyword, schema) if SINGLE.contains(&keyword) => below(self, keyword, schema, &at),
                ("$ref", Value::String(reference)) => {
                    let root = self.root;
                    let target = reference.strip_prefix('#').and_then(|pointer| {
                        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
                        Some((root.pointer(&pointer)?, pointer))
                    });
                    if let Some((schema, at)) = target {
                        below(self, "$ref", schema, &at);
                    }
                }
                _ => {}
            }
        }
        if !is_possible && !is_explained && !at.is_empty() {
            let sentence = "expected a schema that some value fits: its parts contradict each other";
            self.find(at.to_owned(), sentence.to_owned());
            is_explained = true;
        }
        self.seen.insert(at.to_owned(), is_explained);
        is_explained
    }

    /// Judges a schema together with those that apply beside it.
    fn judge(&mut self, schema: &'s Value, at: &str) {
        let parts = facts::parts(schema, at, self.root);
        for part in &parts {
            for keyword in ["type", "enum"] {
                if part
                    .schema
                    .get(keyword)
                    .and_then(Value::as_array)
                    .is_some_and(Vec::is_empty)
                {
                    let sentence =
                        format!("expected at least one entry in {keyword}: no value fits an empty list");
                    return self.find(format!("{}/{keyword}", part.at), sentence);
                }
            }
        }
        if let Some((pointer, sentence)) = nothing_beside(schema, at) {
            return self.find(pointer, sentence);
        }
        let taken = match self.kinds_of(&parts) {
            Taken::Nothing => return,
            Taken::Unsaid => None,
            Taken::Kinds(kinds) => Some(kinds),
        };
        self.branches(&parts, taken.as_deref());
        let may_be = |kind: &str| taken.as_ref().is_none_or(|taken| taken.contains(&kind));
        for (pointer, sentence) in ranges::of(&parts, taken.as_deref()) {
            self.find(pointer, sentence);
        }
        if may_be("object") {
            self.properties(&parts);
        }
        self.values(&parts);
    }

    /// The kinds that all parts take. If there are none, that is reported.
    fn kinds_of(&mut self, parts: &[Part<'s>]) -> Taken<'s> {
        let mut taken: Option<Vec<&str>> = None;
        for part in parts {
            let Some(own) = kinds(part.schema) else { continue };
            let Some(before) = taken.take() else {
                taken = Some(own);
                continue;
            };
            let shared = facts::common(&before, &own);
            if shared.is_empty() {
                let keyword = ["type", "const", "enum"]
                    .into_iter()
                    .find(|keyword| part.schema.contains_key(*keyword));
                let sentence = format!(
                    "expected a kind that fits the rest of the schema, which takes {}, not {}",
                    before.join(" or "),
                    own.join(" or ")
                );
                self.find(format!("{}/{}", part.at, keyword.unwrap_or("type")), sentence);
                return Taken::Nothing;
            }
            taken = Some(shared);
        }
        taken.map_or(Taken::Unsaid, Taken::Kinds)
    }

    /// Refuses alternatives if none of them fits the kinds that the schema takes.
    fn branches(&mut self, parts: &[Part<'s>], taken: Option<&[&str]>) {
        for part in parts {
            for keyword in ["anyOf", "oneOf"] {
                let Some(branches) = part.schema.get(keyword).and_then(Value::as_array) else {
                    continue;
                };
                let is_out = |branch: &Value| {
                    is_nothing(branch)
                        || branch.as_object().and_then(kinds).is_some_and(|kinds| {
                            taken.is_some_and(|taken| facts::common(taken, &kinds).is_empty())
                        })
                };
                if !branches.is_empty() && branches.iter().all(is_out) {
                    let sentence = match taken {
                        Some(taken) => format!(
                            "expected an alternative that fits the rest of the schema, which takes {}",
                            taken.join(" or ")
                        ),
                        None => "expected an alternative that some value fits".to_owned(),
                    };
                    self.find(format!("{}/{keyword}", part.at), sentence);
                }
            }
        }
    }

    /// Refuses properties that are required and forbidden.
    fn properties(&mut self, parts: &[Part<'s>]) {
        let mut required = HashSet::new();
        for part in parts {
            let names = part.schema.get("required").and_then(Value::as_array);
            for (index, name) in names.into_iter().flatten().enumerate() {
                let Some(name) = name.as_str() else { continue };
                required.insert(name);
                if let Some(why) = parts.iter().find_map(|part| ruled_out(part.schema, name)) {
                    let sentence = format!("expected no required property {}: {why}", echo(name));
                    self.find(format!("{}/required/{index}", part.at), sentence);
                }
            }
        }
        for part in parts {
            let bound = |keyword: &str| part.schema.get(keyword).and_then(Value::as_u64);
            if let Some(most) = bound("maxProperties").filter(|most| (required.len() as u64) > *most) {
                let sentence = format!(
                    "expected at least {}, as many as are required, not {most}",
                    required.len()
                );
                self.find(format!("{}/maxProperties", part.at), sentence);
            }
            let closed = parts.iter().find(|part| is_closed(part.schema));
            let names = closed.map(|part| part.schema.get("properties").and_then(Value::as_object));
            let names = names.map(|names| {
                let may_be = |(_, schema): &(&String, &Value)| !is_nothing(schema);
                names.into_iter().flatten().filter(may_be).count() as u64
            });
            if let (Some(least), Some(names)) = (bound("minProperties"), names)
                && least > names
            {
                let sentence =
                    format!("expected at most {names}, as many as the schema permits, not {least}");
                self.find(format!("{}/minProperties", part.at), sentence);
            }
        }
    }

    /// Refuses a list of values, or a constant, if none of its values fits the rest of the schema.
    fn values(&mut self, parts: &[Part<'s>]) {
        for part in parts {
            let constant = part.schema.get("const").map(std::slice::from_ref);
            let listed = || Some(part.schema.get("enum")?.as_array()?.as_slice());
            let Some(values) = constant.or_else(listed) else {
                continue;
            };
            if values.is_empty() || values.iter().any(|value| facts::fits(value, parts)) {
                continue;
            }
            let keyword = if constant.is_some() { "const" } else { "enum" };
            let shown = values.iter().take(3).map(echo).collect::<Vec<_>>().join(", ");
            let more = if values.len() > 3 { ", …" } else { "" };
            let sentence = format!("expected a value that fits the rest of the schema, not {shown}{more}");
            return self.find(format!("{}/{keyword}", part.at), sentence);
        }
    }
}

/// Whether each value has to fit the subschema at a pointer, if it fits the schema that has it by this keyword.
fn is_needed(schema: &Map<String, Value>, keyword: &str, at: &str) -> bool {
    let has = |keyword: &str| {
        schema
            .get(keyword)
            .and_then(Value::as_u64)
            .is_some_and(|least| least > 0)
    };
    match keyword {
        "$ref" | "allOf" | "anyOf" | "oneOf" | "contains" => true,
        "properties" => {
            let names = schema.get("required").and_then(Value::as_array);
            let mut names = names.into_iter().flatten().filter_map(Value::as_str);
            names.any(|name| at.ends_with(&format!("/properties/{}", escape_token(name))))
        }
        "items" | "prefixItems" => has("minItems"),
        _ => false,
    }
}

/// A member of `allOf` that no value fits.
fn nothing_beside(schema: &Value, at: &str) -> Option<(String, String)> {
    let all = schema.get("allOf").and_then(Value::as_array)?;
    let index = all.iter().position(is_nothing)?;
    let sentence = format!(
        "expected a schema that some value fits, not {}",
        echo(&all[index])
    );
    Some((format!("{at}/allOf/{index}"), sentence))
}

/// Why a schema rules out a property.
fn ruled_out(schema: &Map<String, Value>, name: &str) -> Option<String> {
    let own = schema.get("properties").and_then(|fields| fields.get(name));
    match own {
        Some(own) if is_nothing(own) => Some("its schema takes no value".to_owned()),
        None if is_closed(schema) => {
            Some("additionalProperties is false, and properties does not have it".to_owned())
        }
        _ => None,
    }
}

/// Whether a schema permits only the properties that it names.
fn is_closed(schema: &Map<String, Value>) -> bool {
    let has_patterns = schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .is_some_and(|patterns| !patterns.is_empty());
    schema.get("additionalProperties") == Some(&Value::Bool(false)) && !has_patterns
}

#[cfg(test)]
mod tests;
