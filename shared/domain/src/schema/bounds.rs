//! Bounds on the cost of a schema. A check visits each value of the data once for each subschema that applies
//! to it. Subschemas are therefore counted as they apply: a definition counts at each of its uses.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    cost::{CheckWork, Kind, SchemaPlaces},
    pattern,
};
use crate::field_error::{FieldError, escape_token};

/// The longest schema, in bytes of JSON.
const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting of a schema.
const MAX_DEPTH: usize = 64;
/// The most subschemas that may apply; each use of a definition counts.
const MAX_APPLIED: usize = 5_000;
/// Keywords whose subschemas apply to the same value as the schema that holds them.
const IN_PLACE: [&str; 10] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
];
/// The most regular expressions of a schema, and the most characters of each.
const MAX_PATTERNS: usize = 200;
const MAX_PATTERN: usize = 1_000;
/// The most values or names that a keyword may list (`enum`, `required`).
const MAX_LISTED: usize = 1_000;

/// The work of a check. A schema that could multiply the work is refused; errors point into the schema.
pub(super) fn check(schema: &Value) -> Result<CheckWork, Vec<FieldError>> {
    let refuse = |code: &str, sentence: String| Err(vec![FieldError::new("", code, sentence)]);
    if depth(schema, 0) > MAX_DEPTH {
        return refuse(
            "too-deep",
            format!("expected a schema nested at most {MAX_DEPTH} deep"),
        );
    }
    if schema.to_string().len() > MAX_BYTES {
        return refuse(
            "too-large",
            format!("expected a schema of at most {MAX_BYTES} bytes"),
        );
    }
    let mut walk = Walk {
        root: schema,
        applied: 0,
        patterns: 0,
        open: Vec::new(),
        path: Vec::new(),
        places: SchemaPlaces::new(),
        recursive: HashSet::new(),
    };
    walk.refer("#", "").map_err(|error| vec![error])?;
    Ok(walk.places.work(walk.recursive.len()))
}

/// The nesting depth of a value, counted up to the bound.
fn depth(value: &Value, above: usize) -> usize {
    if above > MAX_DEPTH {
        return above;
    }
    let deepest = match value {
        Value::Array(list) => list.iter().map(|item| depth(item, above + 1)).max(),
        Value::Object(fields) => fields.values().map(|field| depth(field, above + 1)).max(),
        _ => None,
    };
    deepest.unwrap_or(above)
}

/// The part of a value to which a subschema applies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// The pointer of the schema that has the subschema.
    schema: String,
    kind: Kind,
}

impl Part {
    /// Whether both may be the same part of a value.
    fn meets(&self, other: &Self) -> bool {
        let of_one = self.schema == other.schema;
        match (&self.kind, &other.kind) {
            (Kind::Field(a), Kind::Field(b)) => a == b,
            (Kind::Item(a), Kind::Item(b)) => a == b,
            (Kind::Field(_) | Kind::Matching, Kind::OtherFields)
            | (Kind::OtherFields, Kind::Field(_) | Kind::Matching)
            | (Kind::Item(_), Kind::OtherItems)
            | (Kind::OtherItems, Kind::Item(_)) => !of_one,
            (a, b) => a.is_field() == b.is_field(),
        }
    }
}

/// A definition that is being visited.
struct Open {
    pointer: String,
    /// The length of the path at its beginning.
    from: usize,
    /// The parts of its value to which it applies again.
    again: Vec<Vec<Part>>,
}

struct Walk<'s> {
    root: &'s Value,
    applied: usize,
    patterns: usize,
    open: Vec<Open>,
    /// The parts from the data down to the value to which the present subschema applies.
    path: Vec<Part>,
    places: SchemaPlaces,
    /// Definitions that apply to parts of the values to which they apply.
    recursive: HashSet<String>,
}

impl<'s> Walk<'s> {
    /// Visits the target of a reference; `at` is the pointer of the reference.
    fn refer(&mut self, reference: &str, at: &str) -> Result<(), FieldError> {
        let refuse = |sentence: &str| Err(FieldError::new(at, "reference", sentence));
        let Some(pointer) = reference.strip_prefix('#') else {
            return refuse("expected a reference into this schema, such as #/$defs/address");
        };
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        let root = self.root;
        let Some(target) = root.pointer(&pointer) else {
            return refuse("expected a reference to a part of this schema, such as #/$defs/address");
        };
        if let Some(open) = self.open.iter_mut().find(|open| open.pointer == pointer) {
            let path = &self.path[open.from..];
            if path.is_empty() {
                return refuse("expected no reference that leads back to itself for the same value");
            }
            let meets = |other: &Vec<Part>| other.iter().zip(path).all(|(a, b)| a.meets(b));
            if open.again.iter().any(meets) {
                return refuse(
                    "expected a recursive reference to apply to each part of a value once: the work would multiply \
                     with every level of the data",
                );
            }
            open.again.push(path.to_vec());
            self.recursive.insert(pointer.to_string());
            return Ok(());
        }
        self.open.push(Open {
            pointer: pointer.to_string(),
            from: self.path.len(),
            again: Vec::new(),
        });
        self.apply(target, &pointer)?;
        self.open.pop();
        Ok(())
    }

    /// Visits a subschema that applies to the present value.
    fn apply(&mut self, schema: &'s Value, at: &str) -> Result<(), FieldError> {
        self.count(1, at)?;
        self.places.apply(schema);
        let Value::Object(keywords) = schema else {
            // `true`, `false`, or a value that the compiler refuses.
            return Ok(());
        };
        let mut beside = 0;
        for (keyword, value) in keywords {
            let below = format!("{at}/{}", escape_token(keyword));
            let before = self.applied;
            self.keyword(keyword, value, at, &below)?;
            if IN_PLACE.contains(&keyword.as_str()) {
                beside += self.applied - before;
            }
        }
        // `unevaluated…` evaluates the adjacent subschemas a second time to find the members that they cover.
        if keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems") {
            self.count(beside, at)?;
            self.places.unevaluated(beside);
        }
        Ok(())
    }

    /// Counts uses of subschemas.
    fn count(&mut self, uses: usize, at: &str) -> Result<(), FieldError> {
        self.applied += uses;
        if self.applied <= MAX_APPLIED && self.path.len() + self.open.len() <= 4 * MAX_DEPTH {
            return Ok(());
        }
        let sentence = format!("expected at most {MAX_APPLIED} subschemas, each use of a definition counted");
        Err(FieldError::new(at, "too-large", sentence))
    }

    fn keyword(&mut self, keyword: &str, value: &'s Value, at: &str, below: &str) -> Result<(), FieldError> {
        match keyword {
            "$ref" => value.as_str().map_or(Ok(()), |to| self.refer(to, below)),
            "$dynamicRef" | "$recursiveRef" => Err(FieldError::new(
                below,
                "reference",
                "expected $ref: references that depend on the caller are not taken",
            )),
            "$id" | "id" if !at.is_empty() && value.is_string() => Err(FieldError::new(
                below,
                "reference",
                "expected no schema with an id of its own inside of a schema",
            )),
            "allOf" | "anyOf" | "oneOf" => self.all(value, below, |_| None),
            "not" | "if" | "then" | "else" => self.apply(value, below),
            "dependentSchemas" | "dependencies" => self.each(value, below, |_| None),
            "properties" => self.each(value, below, |name| Some(Kind::Field(name.to_owned()))),
            "patternProperties" => {
                for pattern in value.as_object().into_iter().flat_map(Map::keys) {
                    let matching = self.pattern(pattern, &format!("{below}/{}", escape_token(pattern)))?;
                    self.places.name_pattern(matching);
                }
                self.each(value, below, |_| Some(Kind::Matching))
            }
            "additionalProperties" | "unevaluatedProperties" => {
                self.part(value, below, at, Kind::OtherFields)
            }
            "propertyNames" => self.part(value, below, at, Kind::Matching),
            "prefixItems" => self.all(value, below, |index| Some(Kind::Item(index))),
            "items" if value.is_array() => self.all(value, below, |index| Some(Kind::Item(index))),
            "items" | "additionalItems" => self.part(value, below, at, Kind::OtherItems),
            "unevaluatedItems" | "contains" => self.part(value, below, at, Kind::AnyItem),
            "pattern" => {
                if let Some(pattern) = value.as_str() {
                    let matching = self.pattern(pattern, below)?;
                    self.places.pattern(matching);
                }
                Ok(())
            }
            "enum" | "required" => {
                let listed = value.as_array().map_or(0, Vec::len);
                if listed > MAX_LISTED {
                    let sentence = format!("expected at most {MAX_LISTED} in a list, not {listed}");
                    return Err(FieldError::new(below, "too-large", sentence));
                }
                Ok(())
            }
            // Definitions count where they are used; other keywords contain no schemas.
            _ => Ok(()),
        }
    }

    fn all(
        &mut self,
        value: &'s Value,
        at: &str,
        kind: impl Fn(usize) -> Option<Kind>,
    ) -> Result<(), FieldError> {
        let owner = parent(at);
        for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
            let below = format!("{at}/{index}");
            match kind(index) {
                Some(kind) => self.part(schema, &below, owner, kind)?,
                None => self.apply(schema, &below)?,
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        value: &'s Value,
        at: &str,
        kind: impl Fn(&str) -> Option<Kind>,
    ) -> Result<(), FieldError> {
        let owner = parent(at);
        for (name, schema) in value.as_object().into_iter().flatten() {
            let below = format!("{at}/{}", escape_token(name));
            match kind(name) {
                Some(kind) => self.part(schema, &below, owner, kind)?,
                None => self.apply(schema, &below)?,
            }
        }
        Ok(())
    }

    /// Visits a subschema that applies to a part of the present value.
    fn part(&mut self, schema: &'s Value, at: &str, owner: &str, kind: Kind) -> Result<(), FieldError> {
        self.places.enter(&kind);
        self.path.push(Part {
            schema: owner.to_owned(),
            kind,
        });
        self.apply(schema, at)?;
        self.path.pop();
        self.places.leave();
        Ok(())
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> Result<pattern::Matching, FieldError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let sentence = format!("expected at most {MAX_PATTERNS} regular expressions, each use counted");
            return Err(FieldError::new(at, "too-large", sentence));
        }
        if pattern.chars().count() > MAX_PATTERN {
            let sentence = format!("expected a regular expression of at most {MAX_PATTERN} characters");
            return Err(FieldError::new(at, "too-large", sentence));
        }
        pattern::matching(pattern).map_err(|sentence| FieldError::new(at, "schema", sentence))
    }
}

fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests;
