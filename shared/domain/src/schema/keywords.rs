//! Keywords that have no effect in a schema: misspelt ones, and those of other drafts.

use serde_json::{Map, Value};

use super::{
    possible::Language,
    vocabulary::{checked, is_checked},
};
use crate::field_error::{FieldError, echo, escape_token};

/// Names of annotations, which may be similar to a keyword.
const ANNOTATIONS: [&str; 20] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "$vocabulary",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "nullable",
    "enumNames",
    "discriminator",
];
/// Keywords whose values are schemas by name.
const BY_NAME: [&str; 6] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "$defs",
    "definitions",
];
/// Keywords whose values are no schemas.
const VALUES: [&str; 6] = ["enum", "const", "default", "example", "examples", "required"];

/// The formats of all drafts.
const FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Warnings about keywords that have no effect.
pub(crate) fn unknown_keywords(schema: &Value) -> Vec<FieldError> {
    let mut search = Search {
        language: Language::of(schema),
        found: Vec::new(),
    };
    search.visit(schema, "");
    search.found
}

struct Search {
    language: Language,
    found: Vec<FieldError>,
}

impl Search {
    fn visit(&mut self, schema: &Value, at: &str) {
        match schema {
            Value::Object(keywords) => self.keywords(keywords, at),
            Value::Array(schemas) => {
                for (index, schema) in schemas.iter().enumerate() {
                    self.visit(schema, &format!("{at}/{index}"));
                }
            }
            _ => {}
        }
    }

    fn keywords(&mut self, keywords: &Map<String, Value>, at: &str) {
        for (keyword, value) in keywords {
            let below = format!("{at}/{}", escape_token(keyword));
            let warning = if is_checked(keyword) {
                (!self.language.has(keyword)).then(|| {
                    format!(
                        "expected another keyword than {keyword}, which the schema's draft does not have: it is not checked"
                    )
                })
            } else {
                meant(keyword).map(|meant| {
                    format!(
                        "expected {meant}, not {}, which no draft of JSON Schema has: it is not checked",
                        echo(keyword)
                    )
                })
            };
            let warning = warning.or_else(|| unknown_format(keyword, value));
            self.found
                .extend(warning.map(|sentence| FieldError::new(&*below, "unknown-keyword", sentence)));
            if BY_NAME.contains(&keyword.as_str()) {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    self.visit(schema, &format!("{below}/{}", escape_token(name)));
                }
            } else if is_checked(keyword) && !VALUES.contains(&keyword.as_str()) {
                self.visit(value, &below);
            }
        }
    }
}

/// The warning about a format that no draft has, if it is similar to one that a draft has.
fn unknown_format(keyword: &str, value: &Value) -> Option<String> {
    let written = value.as_str().filter(|_| keyword == "format")?;
    if FORMATS.contains(&written) {
        return None;
    }
    let bare = written.to_lowercase().replace('_', "-");
    let near = FORMATS
        .iter()
        .find(|known| strsim::osa_distance(&bare, known) <= 1)?;
    Some(format!(
        "expected {near}, not {}, which no draft of JSON Schema has: it is not checked",
        echo(written)
    ))
}

/// The keyword that an unknown one is probably meant to be.
fn meant(unknown: &str) -> Option<&'static str> {
    if ANNOTATIONS.contains(&unknown) || unknown.starts_with("x-") {
        return None;
    }
    let bare = |name: &str| name.replace(['_', '-', '$'], "").to_lowercase();
    let written = bare(unknown);
    let near = checked().map(|known| {
        let known_bare = bare(known);
        // Short names are near to many words, such as `of` to `if`.
        let most = match known_bare.len() {
            0..=3 => 0,
            4..=6 => 1,
            _ => 2,
        };
        (strsim::osa_distance(&written, &known_bare), most, known)
    });
    let near = near.filter(|(distance, most, _)| distance <= most);
    near.min_by_key(|(distance, ..)| *distance)
        .map(|(.., known)| known)
}
