//! Doubtful places of a catalog, which do not keep it from being applied.

use serde_json::Value;

use super::{Catalog, EventTypeDef};
use crate::{
    field_error::{FieldError, bounded, escape_token, quoted},
    mask::place,
    schema,
};

impl Catalog {
    /// Warnings for the author, up to the number that an answer lists: schemas of optional values that no value fits,
    /// and keywords that are probably misspelt. Pointers are into the catalog document. A schema that
    /// [`Catalog::validate`] refuses has no warnings.
    #[must_use]
    pub fn warnings(&self) -> Vec<FieldError> {
        let mut warnings = Vec::new();
        for (name, def) in &self.types {
            warnings.extend(useless_secrets(name, def));
            let Some(schema) = def.schema.as_ref().filter(|it| schema::compile(it).is_ok()) else {
                continue;
            };
            let found = schema::contradictions(schema);
            if !found.errors.is_empty() {
                continue;
            }
            let at = format!("/types/{}/schema", escape_token(name));
            let all = schema::unknown_keywords(schema).into_iter().chain(found.warnings);
            warnings.extend(all.map(|warning| FieldError {
                pointer: format!("{at}{}", warning.pointer),
                ..warning
            }));
        }
        bounded(warnings)
    }
}

/// Warnings about pointers of `sensitive` that can point to nothing: their values would be shown.
fn useless_secrets(name: &str, def: &EventTypeDef) -> impl Iterator<Item = FieldError> {
    let at = format!("/types/{}/sensitive", escape_token(name));
    def.sensitive
        .iter()
        .enumerate()
        .filter_map(move |(index, pointer)| {
            let lacks = |what: &str| {
                let message = format!(
                    "expected a pointer to a value of the event, not {}: {what}",
                    quoted(pointer)
                );
                Some(FieldError::new(format!("{at}/{index}"), "no-such-value", message))
            };
            let tokens = place::parse(pointer).ok()?;
            let (first, below) = tokens.split_first()?;
            match first.as_str() {
                "data" => {}
                "recipients" => return lacks("secrets lie below /data"),
                // An extension.
                _ => return None,
            }
            let mut schema = def.schema.as_ref()?;
            for token in below {
                let is_closed = schema["additionalProperties"] == Value::Bool(false)
                    && schema.get("patternProperties").is_none();
                schema = match (schema["properties"].get(token), is_closed) {
                    (Some(below), _) => below,
                    (None, true) if token != "*" => {
                        return lacks(&format!("the schema allows no property {}", quoted(token)));
                    }
                    (None, _) => return None,
                };
            }
            None
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog(schema: &Value) -> Catalog {
        let document = json!({"categories": {"c": {}},
            "types": {"T": {"category": "c", "channels": {"order": ["sms"]}, "schema": schema}}});
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_schema_that_no_value_fits_is_an_error_if_required_and_a_warning_if_optional() {
        let never = json!({"type": "string", "minLength": 3, "maxLength": 1});
        let optional = catalog(&json!({"properties": {"x": never}}));
        assert_eq!(optional.validate(), []);
        let warnings = optional.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].pointer, "/types/T/schema/properties/x/maxLength");
        let required = catalog(&json!({"properties": {"x": never}, "required": ["x"]}));
        assert_eq!(required.validate().len(), 1);
        assert_eq!(required.warnings(), []);
    }

    #[test]
    fn a_secret_that_can_never_be_there_is_warned_of() {
        let schema = json!({"properties": {"code": {}, "card": {"properties": {"pin": {}}}}, "additionalProperties": false});
        let mut catalog = catalog(&schema);
        let set = |catalog: &mut Catalog, pointers: &[&str]| {
            let def = catalog.types.get_mut("T").unwrap();
            def.sensitive = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
        };
        set(
            &mut catalog,
            &[
                "/data/code",
                "/data/card/pin",
                "/data/card/other",
                "/data/cod",
                "/recipients",
            ],
        );
        let warnings = catalog.warnings();
        let found: Vec<_> = warnings.iter().map(|it| (&*it.pointer, &*it.message)).collect();
        assert_eq!(
            found,
            [
                (
                    "/types/T/sensitive/3",
                    "expected a pointer to a value of the event, not \"/data/cod\": the schema allows no property \"cod\""
                ),
                (
                    "/types/T/sensitive/4",
                    "expected a pointer to a value of the event, not \"/recipients\": secrets lie below /data"
                ),
            ]
        );
    }

    #[test]
    fn a_misspelt_keyword_and_one_that_the_draft_does_not_have_are_warned_of() {
        for (schema, pointer, says) in [
            (
                json!({"requird": ["a"]}),
                "/requird",
                "expected required, not requird, which no draft of JSON Schema has: it is not checked",
            ),
            (
                json!({"properties": {"a": {"maxlength": 3}}}),
                "/properties/a/maxlength",
                "expected maxLength, not maxlength, which no draft of JSON Schema has: it is not checked",
            ),
            (
                json!({"properties": {"a": {"format": "emial"}}}),
                "/properties/a/format",
                "expected email, not emial, which no draft of JSON Schema has: it is not checked",
            ),
            (
                json!({"additional_properties": false}),
                "/additional_properties",
                "expected additionalProperties, not additional_properties, which no draft of JSON Schema has: it is not checked",
            ),
            (
                json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependentRequired": {"a": ["b"]}}),
                "/dependentRequired",
                "expected another keyword than dependentRequired, which the schema's draft does not have: it is not checked",
            ),
        ] {
            let catalog = catalog(&schema);
            assert_eq!(catalog.validate(), [], "{schema}");
            let warnings = catalog.warnings();
            let found: Vec<_> = warnings
                .iter()
                .map(|it| (&*it.pointer, &*it.code, &*it.message))
                .collect();
            let pointer = format!("/types/T/schema{pointer}");
            assert_eq!(found, [(&*pointer, "unknown-keyword", says)], "{schema}");
        }
        for fine in [
            json!({"x-note": 1, "example": {"requird": 1}, "javaType": "A", "properties": {"requird": {"const": {"maxlength": 1}}}}),
            json!({"title": "A", "deprecated": true, "$comment": "c", "$defs": {"typ": {}}, "enum": [{"typ": 1}]}),
        ] {
            assert_eq!(catalog(&fine).warnings(), [], "{fine}");
        }
    }
}
