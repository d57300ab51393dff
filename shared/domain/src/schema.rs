//! JSON Schemas of event types. Regular expressions run in time linear in the data, and bounds on the schema
//! limit the work of checking an event.

mod bounds;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::{field_error::FieldError, schema_errors};

/// The most memory of one compiled regular expression, in bytes; its size bounds the time per character of data.
const PATTERN_BYTES: usize = 128 * 1024;

/// Compiles a schema. Errors point into the schema.
pub(crate) fn compile(schema: &Value) -> Result<Validator, Vec<FieldError>> {
    bounds::check(schema)?;
    jsonschema::options()
        // Look-around and backreferences need a backtracking engine. This engine has neither, so it never
        // backtracks.
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(8 * PATTERN_BYTES),
        )
        // Drafts differ in whether `format` is a check or a remark; here it is a check under each of them.
        .should_validate_formats(true)
        .offline()
        .build(schema)
        .map_err(|error| {
            let sentence = format!("expected a JSON Schema: {}", schema_errors::sentence(&error));
            vec![FieldError::new(
                error.instance_path().as_str(),
                "schema",
                sentence,
            )]
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> (String, String) {
        let errors = compile(schema).expect_err(&schema.to_string());
        (errors[0].pointer.clone(), errors[0].message.clone())
    }

    #[test]
    fn a_pattern_that_would_backtrack_is_refused_with_its_place() {
        for pattern in [
            "(?<=a+)b",
            "(?=a)b",
            "(?!a)b",
            "(?<!a)b",
            r"(a)\1",
            r"(?<n>a)\k<n>",
            "(?>a)b",
            "a{1000}{1000}",
            "(",
        ] {
            let schema = json!({"properties": {"x": {"type": "string", "pattern": pattern}}});
            let (pointer, message) = refusal(&schema);
            assert_eq!(pointer, "/properties/x/pattern", "{pattern}: {message}");
            let by_name = json!({"patternProperties": {pattern: {}}});
            assert!(refusal(&by_name).0.starts_with("/patternProperties"), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_is_linear_in_the_text() {
        let schema = json!({"properties": {"x": {"pattern": "^(a+)+$"}}});
        let validator = compile(&schema).unwrap();
        assert!(validator.is_valid(&json!({ "x": "a".repeat(200_000) })));
        assert!(!validator.is_valid(&json!({ "x": format!("{}b", "a".repeat(200_000)) })));
    }

    #[test]
    fn a_format_is_a_check_under_every_draft() {
        let drafts = [
            None,
            Some("http://json-schema.org/draft-04/schema#"),
            Some("http://json-schema.org/draft-06/schema#"),
            Some("http://json-schema.org/draft-07/schema#"),
            Some("https://json-schema.org/draft/2019-09/schema"),
            Some("https://json-schema.org/draft/2020-12/schema"),
        ];
        for draft in drafts {
            for (format, good, bad) in [
                ("date", "2026-02-28", "2026-02-30"),
                ("date-time", "2026-02-28T10:00:00Z", "2026-02-28 10:00"),
                ("email", "ada@example.com", "ada"),
                ("uri", "https://example.com/a", "no link"),
                ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ] {
                let mut schema = json!({"properties": {"x": {"format": format}}});
                if let Some(draft) = draft {
                    schema["$schema"] = draft.into();
                }
                let validator = compile(&schema).unwrap();
                assert!(validator.is_valid(&json!({ "x": good })), "{draft:?} {format}");
                let known_later = format == "uuid" && draft.is_some_and(|draft| draft.contains("draft-0"));
                assert!(
                    known_later || !validator.is_valid(&json!({ "x": bad })),
                    "{draft:?} {format}"
                );
            }
        }
    }

    #[test]
    fn a_schema_that_goes_elsewhere_is_refused() {
        for reference in [
            "https://example.com/x.json",
            "file:///etc/passwd",
            "other.json#/a",
            "http://json-schema.org/draft-07/schema#",
        ] {
            let (pointer, message) = refusal(&json!({"properties": {"x": {"$ref": reference}}}));
            assert_eq!(pointer, "/properties/x/$ref", "{message}");
        }
        assert_eq!(refusal(&json!({"$ref": "#/none"})).0, "/$ref");
    }
}
