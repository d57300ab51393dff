//! Schemas that no value fits: bounds that exclude each other, values that the rest of the schema rules out, properties
//! that are required and forbidden. Only what is certain is refused. `false` and `{"not": {}}` are the words for
//! "nothing" and are permitted, except where a value has to be.

mod bounds;
mod facts;

use std::collections::HashSet;

use serde_json::{Map, Value};

use self::facts::{Part, is_nothing, kinds};
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

/// The contradictions of the schema of an event's data, which is an object. Errors point into the schema, which has
/// been compiled.
pub(crate) fn contradictions(schema: &Value) -> Vec<FieldError> {
    let mut search = Search {
        root: schema,
        seen: HashSet::new(),
        errors: Vec::new(),
    };
    search.of_data();
    search.visit(schema, "");
    search.errors
}

/// The kinds of values that a schema takes.
enum Taken<'s> {
    /// The schema does not say.
    Unsaid,
    Kinds(Vec<&'s str>),
    Nothing,
}

struct Search<'s> {
    root: &'s Value,
    /// The pointers of the schemas that were visited.
    seen: HashSet<String>,
    errors: Vec<FieldError>,
}

impl<'s> Search<'s> {
    fn find(&mut self, pointer: String, sentence: String) {
        let error = FieldError::new(pointer, "impossible", sentence);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// The data of an event is an object, so a schema that takes none takes no event.
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

    fn visit(&mut self, schema: &'s Value, at: &str) {
        let Value::Object(keywords) = schema else { return };
        if !self.seen.insert(at.to_owned()) {
            return;
        }
        self.judge(schema, at);
        for (keyword, value) in keywords {
            let below = format!("{at}/{}", escape_token(keyword));
            match (keyword.as_str(), value) {
                (keyword, Value::Object(schemas)) if BY_NAME.contains(&keyword) => {
                    for (name, schema) in schemas {
                        self.visit(schema, &format!("{below}/{}", escape_token(name)));
                    }
                }
                (keyword, Value::Array(schemas)) if IN_LIST.contains(&keyword) || keyword == "items" => {
                    for (index, schema) in schemas.iter().enumerate() {
                        self.visit(schema, &format!("{below}/{index}"));
                    }
                }
                (keyword, schema) if SINGLE.contains(&keyword) => self.visit(schema, &below),
                _ => {}
            }
        }
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
        for (pointer, sentence) in bounds::of(&parts, taken.as_deref()) {
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

    /// Refuses alternatives none of which fits the kinds that the schema takes.
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

    /// Refuses a list of values, or a constant, of which none fits the rest of the schema.
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
