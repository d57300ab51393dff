//! Doubtful places of a catalog, which do not keep it from being applied.

use super::Catalog;
use crate::{
    field_error::{FieldError, bounded, escape_token},
    schema,
};

impl Catalog {
    /// Warnings for the author, up to the number that an answer lists: schemas that no value fits where none has to, and
    /// keywords that are probably misspelt. Pointers are into the catalog document. A schema that
    /// [`Catalog::validate`] refuses has no warnings.
    #[must_use]
    pub fn warnings(&self) -> Vec<FieldError> {
        let mut warnings = Vec::new();
        for (name, def) in &self.types {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
