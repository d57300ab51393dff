//! Bounds on the cost of a schema. A check visits each value of the data once for each subschema that applies
//! to it. Subschemas are therefore counted as they apply: a definition counts at each of its uses.

use serde_json::{Map, Value};

use crate::field_error::{FieldError, escape_token};

/// The longest schema, in bytes of JSON.
const MAX_BYTES: usize = 256 * 1024;
/// How deep a schema may be nested.
const MAX_DEPTH: usize = 64;
/// How many subschemas may apply, uses of definitions counted one by one.
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
/// How many regular expressions a schema may have, and how long each may be, in characters.
const MAX_PATTERNS: usize = 200;
const MAX_PATTERN: usize = 1_000;
/// How many values or names a keyword may list (`enum`, `required`).
const MAX_LISTED: usize = 1_000;

/// Refuses a schema that could multiply the work of a check. Errors point into the schema.
pub(super) fn check(schema: &Value) -> Result<(), Vec<FieldError>> {
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
    };
    walk.refer("#", "").map_err(|error| vec![error])
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

/// Which part of a value a subschema applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// The pointer of the schema that has the subschema.
    schema: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Field(String),
    /// Fields whose names match.
    Matching,
    /// Fields that the same schema names nowhere else.
    OtherFields,
    Item(usize),
    /// Items behind those that the same schema counts.
    OtherItems,
    AnyItem,
}

impl Part {
    /// Whether both may be the same part of one value.
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

impl Kind {
    fn is_field(&self) -> bool {
        matches!(self, Self::Field(_) | Self::Matching | Self::OtherFields)
    }
}

/// A definition that is being walked through.
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
    /// From the data to the value that the present subschema applies to.
    path: Vec<Part>,
}

impl<'s> Walk<'s> {
    /// Walks through the target of a reference; `at` is the reference's own pointer.
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

    /// Walks through a subschema that applies to the present value.
    fn apply(&mut self, schema: &'s Value, at: &str) -> Result<(), FieldError> {
        self.count(1, at)?;
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
        // `unevaluated…` evaluates the subschemas beside it a second time to learn which members they cover.
        if keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems") {
            self.count(beside, at)?;
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
                    self.pattern(pattern, &format!("{below}/{}", escape_token(pattern)))?;
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
            "pattern" => value
                .as_str()
                .map_or(Ok(()), |pattern| self.pattern(pattern, below)),
            "enum" | "required" => {
                let listed = value.as_array().map_or(0, Vec::len);
                if listed > MAX_LISTED {
                    let sentence = format!("expected at most {MAX_LISTED} in a list, not {listed}");
                    return Err(FieldError::new(below, "too-large", sentence));
                }
                Ok(())
            }
            // Definitions count where they are used; other keywords hold no schemas.
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

    /// Walks through a subschema that applies to a part of the present value.
    fn part(&mut self, schema: &'s Value, at: &str, owner: &str, kind: Kind) -> Result<(), FieldError> {
        self.path.push(Part {
            schema: owner.to_owned(),
            kind,
        });
        self.apply(schema, at)?;
        self.path.pop();
        Ok(())
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> Result<(), FieldError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let sentence = format!("expected at most {MAX_PATTERNS} regular expressions, each use counted");
            return Err(FieldError::new(at, "too-large", sentence));
        }
        if pattern.chars().count() > MAX_PATTERN {
            let sentence = format!("expected a regular expression of at most {MAX_PATTERN} characters");
            return Err(FieldError::new(at, "too-large", sentence));
        }
        Ok(())
    }
}

fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> String {
        let errors = check(schema).expect_err("it should be refused");
        errors[0].code.clone()
    }

    #[test]
    fn definitions_that_multiply_each_other_are_refused() {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let mut defs = Map::new();
            for level in 0..40 {
                let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
                defs.insert(format!("d{level}"), json!({keyword: [next, next]}));
            }
            defs.insert("d40".to_owned(), json!({"type": "object"}));
            let schema = json!({"$defs": defs, "$ref": "#/$defs/d0"});
            assert_eq!(refusal(&schema), "too-large", "{keyword}");
        }
        let mut deep = json!({"type": "object"});
        for _ in 0..200 {
            deep = json!({"allOf": [deep]});
        }
        assert_eq!(refusal(&deep), "too-deep");
    }

    #[test]
    fn unevaluated_properties_inside_of_one_another_are_refused_because_each_doubles_the_work_below_it() {
        for (keyword, unevaluated) in [("anyOf", "unevaluatedProperties"), ("allOf", "unevaluatedItems")] {
            let nested = |levels: usize| {
                let mut schema = json!({"properties": {"q": {}}});
                for _ in 0..levels {
                    schema = json!({keyword: [schema], unevaluated: false});
                }
                schema
            };
            assert!(check(&nested(4)).is_ok());
            assert_eq!(refusal(&nested(15)), "too-large");
        }
    }

    #[test]
    fn a_recursive_schema_may_visit_each_part_of_a_value_once() {
        let thread = json!({"properties": {"text": {}, "replies": {"items": {"$ref": "#"}}}});
        let tree = json!({"$defs": {"node": {"properties": {"left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}},
            "additionalProperties": {"$ref": "#/$defs/node"}}}, "$ref": "#/$defs/node"});
        let pair = json!({"prefixItems": [{"$ref": "#"}, {"$ref": "#"}], "items": {"$ref": "#"}});
        let json_value = json!({"$defs": {"v": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/v"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/v"}}]}}, "properties": {"a": {"$ref": "#/$defs/v"}, "b": {"$ref": "#/$defs/v"}}});
        for schema in [thread, tree, pair, json_value] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
        let itself = json!({"$ref": "#"});
        let round = json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"});
        let twice =
            json!({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
        let overlap =
            json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"additionalProperties": {"$ref": "#"}}]});
        let fibonacci =
            json!({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"properties": {"a": {"$ref": "#"}}}]}}});
        let mutual = json!({"$defs": {"x": {"properties": {"a": {"$ref": "#/$defs/y"}}},
            "y": {"allOf": [{"items": {"$ref": "#/$defs/x"}}, {"contains": {"$ref": "#/$defs/x"}}]}}, "$ref": "#/$defs/x"});
        for schema in [itself, round, twice, overlap, fibonacci, mutual] {
            assert_eq!(refusal(&schema), "reference", "{schema}");
        }
    }

    #[test]
    fn large_lists_and_many_patterns_are_refused() {
        let values: Vec<usize> = (0..=MAX_LISTED).collect();
        assert_eq!(refusal(&json!({ "enum": values })), "too-large");
        let names: Vec<String> = values.iter().map(ToString::to_string).collect();
        assert_eq!(refusal(&json!({ "required": names })), "too-large");
        let patterns: Map<String, Value> = (0..=MAX_PATTERNS)
            .map(|n| (format!("^a{n}"), json!({})))
            .collect();
        assert_eq!(refusal(&json!({ "patternProperties": patterns })), "too-large");
        assert_eq!(
            refusal(&json!({ "pattern": "a".repeat(MAX_PATTERN + 1) })),
            "too-large"
        );
        assert_eq!(
            refusal(&json!({ "description": "x".repeat(MAX_BYTES) })),
            "too-large"
        );
    }

    #[test]
    fn a_large_schema_of_the_usual_kind_is_taken() {
        let address =
            json!({"type": "object", "required": ["street"], "properties": {"street": {"type": "string"}}});
        let fields: Map<String, Value> = (0..500)
            .map(|n| {
                (
                    format!("f{n}"),
                    json!({"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]}),
                )
            })
            .collect();
        let schema = json!({"$id": "https://shop.example/order.json", "$defs": {"address": address}, "properties": fields});
        assert_eq!(check(&schema), Ok(()));
    }
}
