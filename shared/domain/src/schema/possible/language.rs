//! The keywords of JSON Schema's drafts.

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::{
    schema::vocabulary::{SOME, is_constraint, is_plain},
    text::is_blank,
};

/// The format of a text with a visible character, in a [`Language::Wish`].
pub const VISIBLE: &str = "carillon-visible";

/// The keywords that a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::schema) enum Language {
    Draft4,
    Draft6,
    Draft7,
    Draft2019,
    Draft2020,
    /// Draft 2020-12 with [`VISIBLE`] and [`SOME`].
    Wish,
}

impl Language {
    /// The draft that a document names.
    pub(in crate::schema) fn of(root: &Value) -> Self {
        match root.get("$schema").and_then(Value::as_str) {
            Some(named) if named.contains("draft-04") => Self::Draft4,
            Some(named) if named.contains("draft-06") => Self::Draft6,
            Some(named) if named.contains("draft-07") => Self::Draft7,
            Some(named) if named.contains("2019-09") => Self::Draft2019,
            _ => Self::Draft2020,
        }
    }

    fn uri(self) -> &'static str {
        match self {
            Self::Draft4 => "http://json-schema.org/draft-04/schema#",
            Self::Draft6 => "http://json-schema.org/draft-06/schema#",
            Self::Draft7 => "http://json-schema.org/draft-07/schema#",
            Self::Draft2019 => "https://json-schema.org/draft/2019-09/schema",
            Self::Draft2020 | Self::Wish => "https://json-schema.org/draft/2020-12/schema",
        }
    }

    /// Whether the check of a value evaluates this keyword.
    pub(in crate::schema) fn has(self, keyword: &str) -> bool {
        match keyword {
            "const" | "contains" | "propertyNames" => self >= Self::Draft6,
            "if" | "then" | "else" => self >= Self::Draft7,
            "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedProperties"
            | "unevaluatedItems"
            | "minContains"
            | "maxContains" => self >= Self::Draft2019,
            "dependencies" => self <= Self::Draft7,
            "prefixItems" => self >= Self::Draft2020,
            "additionalItems" => self <= Self::Draft2019,
            SOME => self == Self::Wish,
            _ => true,
        }
    }

    /// Whether the keywords beside a `$ref` count.
    pub(super) fn reads_beside_reference(self) -> bool {
        self >= Self::Draft2019
    }

    /// The check of a schema's own constraints, those with subschemas left out.
    pub(super) fn plain(self, schema: &Map<String, Value>) -> Option<Validator> {
        let mut own: Map<String, Value> = schema
            .iter()
            .filter(|(keyword, _)| is_plain(keyword))
            .map(|(keyword, value)| (keyword.clone(), value.clone()))
            .collect();
        own.insert("$schema".to_owned(), self.uri().into());
        let options = super::super::options();
        let options = if self == Self::Wish {
            options.with_format(VISIBLE, |text: &str| !is_blank(text))
        } else {
            options
        };
        options.build(&Value::Object(own)).ok()
    }
}

/// The keywords of a schema that rule out values.
pub(super) fn constraints(schema: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let all = schema.iter().map(|(keyword, value)| (keyword.as_str(), value));
    all.filter(|(keyword, _)| is_constraint(keyword))
}

/// Sets of kinds of values, as bits.
pub(super) mod kinds {
    use serde_json::Value;

    pub(in super::super) const NULL: u8 = 1;
    pub(in super::super) const BOOLEAN: u8 = 2;
    pub(in super::super) const INTEGER: u8 = 4;
    /// Numbers that are not integers.
    pub(in super::super) const FRACTION: u8 = 8;
    pub(in super::super) const STRING: u8 = 16;
    pub(in super::super) const ARRAY: u8 = 32;
    pub(in super::super) const OBJECT: u8 = 64;
    pub(in super::super) const ALL: u8 = 127;

    /// The kinds that a `type` takes.
    pub(in super::super) fn of_type(value: &Value) -> u8 {
        match value {
            Value::String(kind) => match kind.as_str() {
                "null" => NULL,
                "boolean" => BOOLEAN,
                "integer" => INTEGER,
                "number" => INTEGER | FRACTION,
                "string" => STRING,
                "array" => ARRAY,
                "object" => OBJECT,
                _ => ALL,
            },
            Value::Array(all) => all.iter().map(of_type).fold(0, |all, kind| all | kind),
            _ => ALL,
        }
    }
}
