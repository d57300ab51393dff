//! JSON Schema's errors in a form that may be answered: few, short, and found in bounded time.

use std::fmt::Write as _;

use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use crate::{
    field_error::{FieldError, MAX_ECHO, bounded, echo, end_at_first, quoted},
    mask::place::HIDDEN,
};

/// The largest JSON, in bytes, for which all errors are collected. Larger values are checked up to their
/// first error only: the validator finds either one error or all, and a large value may have as many errors
/// as values.
const ALL_ERRORS_UP_TO: usize = 16 << 10;

/// The most alternatives that a sentence names.
const MAX_ALTERNATIVES: usize = 5;

/// The errors of a value whose JSON has `bytes`; pointers begin with `at`. With `hides`, the value holds
/// secrets, so no part of it is repeated in dead letters, answers and logs.
pub(crate) fn of(
    validator: &Validator,
    value: &Value,
    bytes: usize,
    at: &str,
    hides: bool,
) -> Vec<FieldError> {
    if validator.is_valid(value) {
        return Vec::new();
    }
    let read = |error: &ValidationError<'_>| read(error, at, hides);
    if bytes <= ALL_ERRORS_UP_TO {
        return bounded(validator.iter_errors(value).map(|error| read(&error)).collect());
    }
    let mut errors: Vec<FieldError> = validator.validate(value).err().iter().map(read).collect();
    let why =
        format!("all errors are listed for at most {ALL_ERRORS_UP_TO} bytes of data, and these are {bytes}");
    end_at_first(&mut errors, &why);
    errors
}

/// The errors of a value that may be incomplete: those about properties that are missing, and all others. See [`of`].
pub(crate) fn of_incomplete(
    validator: &Validator,
    value: &Value,
    bytes: usize,
    at: &str,
    hides: bool,
) -> (Vec<FieldError>, Vec<FieldError>) {
    let most = if bytes <= ALL_ERRORS_UP_TO { usize::MAX } else { 1 };
    let errors = validator.iter_errors(value).take(most);
    let (missing, wrong): (Vec<_>, Vec<_>) =
        errors.partition(|error| matches!(error.kind(), ValidationErrorKind::Required { .. }));
    let read = |errors: Vec<ValidationError<'_>>| {
        bounded(errors.iter().map(|error| read(error, at, hides)).collect())
    };
    (read(missing), read(wrong))
}

fn read(error: &ValidationError<'_>, at: &str, hides: bool) -> FieldError {
    FieldError::new(
        format!("{at}{}", error.instance_path()),
        "schema",
        if hides { hidden(error) } else { sentence(error) },
    )
}

/// The sentence about a value, with at most a hundred characters of it.
pub(crate) fn sentence(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            format!("expected no other properties, got {}", names(unexpected))
        }
        ValidationErrorKind::PropertyNames { error } => {
            format!("a property has a wrong name: {}", sentence(error))
        }
        kind => match expected(kind, error.instance_path().as_str()) {
            Some(expected) if matches!(kind, ValidationErrorKind::Required { .. }) => {
                format!("expected {expected}")
            }
            Some(expected) => format!("expected {expected}, not {}", echo(&**error.instance())),
            None => error.masked_with(echo(&**error.instance())).to_string(),
        },
    }
}

/// The sentence about a value without any of it.
fn hidden(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. } => "expected no other properties".to_owned(),
        ValidationErrorKind::PropertyNames { .. } => "a property has a wrong name".to_owned(),
        kind => match expected(kind, error.instance_path().as_str()) {
            Some(expected) => format!("expected {expected}"),
            None => error.masked_with(HIDDEN).to_string(),
        },
    }
}

/// The expectation of a schema, in the words of all other errors. `None` for keywords about encodings and references.
fn expected(kind: &ValidationErrorKind, at: &str) -> Option<String> {
    use ValidationErrorKind as K;
    Some(match kind {
        K::Type {
            kind: TypeKind::Single(kind),
        } => named(*kind).to_owned(),
        K::Type {
            kind: TypeKind::Multiple(kinds),
        } => kinds.iter().map(named).collect::<Vec<_>>().join(" or "),
        K::Required { property } => match property.as_str() {
            Some(name) => format!("the property {}", echo(name)),
            None => return None,
        },
        K::Enum { options } => match options.as_array().map(Vec::as_slice) {
            Some([one]) => echo(one),
            Some(many) => {
                let many: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("one of {}", echo(&many.join(", ")))
            }
            None => return None,
        },
        K::Constant { expected_value } => echo(&**expected_value),
        K::Minimum { limit } => format!("at least {limit}"),
        K::ExclusiveMinimum { limit } => format!("more than {limit}"),
        K::Maximum { limit } => format!("at most {limit}"),
        K::ExclusiveMaximum { limit } => format!("less than {limit}"),
        K::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        K::MinLength { limit } => format!("at least {}", counted(*limit, "character", "characters")),
        K::MaxLength { limit } => format!("at most {}", counted(*limit, "character", "characters")),
        K::MinItems { limit } => format!("at least {}", counted(*limit, "item", "items")),
        K::MaxItems { limit } => format!("at most {}", counted(*limit, "item", "items")),
        K::AdditionalItems { limit } => format!("at most {}", counted(*limit as u64, "item", "items")),
        K::MinProperties { limit } => format!("at least {}", counted(*limit, "property", "properties")),
        K::MaxProperties { limit } => format!("at most {}", counted(*limit, "property", "properties")),
        K::Pattern { pattern } => format!("a text that matches {}", echo(pattern)),
        K::Format { format } => format!("a text of the format {}", echo(format)),
        K::UniqueItems => "items that all differ".to_owned(),
        K::Contains => "an item of the form that the schema requires".to_owned(),
        K::FalseSchema => "no value".to_owned(),
        K::Not { .. } => "a value of another form than the one that the schema excludes".to_owned(),
        K::AnyOf { context } | K::OneOfNotValid { context } => alternatives(context, at)
            .unwrap_or_else(|| "a value of one of the forms that the schema permits".to_owned()),
        K::OneOfMultipleValid { .. } => {
            "a value of only one of the forms that the schema permits, not of several".to_owned()
        }
        _ => return None,
    })
}

/// The alternatives that a schema permits, each by the first thing that it expects of the value at `at`. `None` if one of
/// them expects something of a part of the value, or if there are many.
fn alternatives(context: &[Vec<ValidationError<'_>>], at: &str) -> Option<String> {
    if context.len() > MAX_ALTERNATIVES {
        return None;
    }
    let mut all: Vec<String> = Vec::new();
    for errors in context {
        let first = errors.first()?;
        if first.instance_path().as_str() != at {
            return None;
        }
        let one = expected(first.kind(), at)?;
        if !all.contains(&one) {
            all.push(one);
        }
    }
    (!all.is_empty()).then(|| all.join(" or "))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn named(kind: JsonType) -> &'static str {
    match kind {
        JsonType::String => "a string",
        JsonType::Number => "a number",
        JsonType::Integer => "a whole number",
        JsonType::Boolean => "true or false",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
        JsonType::Null => "null",
    }
}

/// The first names, and the number of the others.
fn names(names: &[String]) -> String {
    let (mut text, mut left) = (String::new(), MAX_ECHO);
    for (index, name) in names.iter().enumerate() {
        let name = quoted(name);
        let length = name.chars().count() - 2;
        if length > left {
            let _ = write!(text, " and {} more", names.len() - index);
            break;
        }
        left -= length;
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(schema: &Value, value: &Value) -> Vec<FieldError> {
        let validator = jsonschema::validator_for(schema).unwrap();
        of(&validator, value, value.to_string().len(), "/data", false)
    }

    #[test]
    fn a_large_value_full_of_errors_is_answered_with_its_first_one_and_the_answer_says_so() {
        let schema = json!({"properties": {"deals": {"items": {"required": ["title", "price"]}}}});
        let value = |count: usize| json!({"deals": vec![json!({}); count]});
        let few = errors(&schema, &value(3));
        assert_eq!(few.len(), 6);
        assert_eq!(few[0].message, "expected the property title");
        let many = errors(&schema, &value(1_000));
        assert_eq!((many.len(), many[20].message.as_str()), (21, "and 1980 more"));
        let huge = errors(&schema, &value(80_000));
        assert_eq!(huge.len(), 2, "{huge:?}");
        assert_eq!((&*huge[0].pointer, &*huge[1].code), ("/data/deals/0", "more"));
        assert_eq!(
            huge[1].message,
            "only the first error is listed: all errors are listed for at most 16384 bytes of data, and these are 240011"
        );
    }

    #[test]
    fn an_error_repeats_a_hundred_characters_of_a_value_or_name_and_still_names_the_expected_value() {
        let long = "a".repeat(10_000);
        for (schema, value, expected) in [
            (
                json!({"properties": {"x": {"type": "number"}}}),
                json!({"x": long}),
                "expected a number, not \"aaa",
            ),
            (
                json!({"properties": {"x": {"maxLength": 3}}}),
                json!({"x": long}),
                "expected at most 3 characters, not \"aaa",
            ),
            (
                json!({"properties": {"x": {}}, "additionalProperties": false}),
                json!({&long: 1, "b": 2}),
                "and 1 more",
            ),
            (
                json!({"properties": {"x": {}}, "unevaluatedProperties": false}),
                json!({&long: 1}),
                "expected no other properties",
            ),
            (
                json!({"propertyNames": {"maxLength": 3}}),
                json!({&long: 1}),
                "expected at most 3 characters, not \"aaa",
            ),
            (
                json!({"additionalProperties": {"type": "string"}}),
                json!({&long: 1}),
                "expected a string, not 1",
            ),
            (
                json!({"properties": {"x": {"uniqueItems": true}}}),
                json!({"x": vec![1; 9_000]}),
                "expected items that all differ, not [1,1,",
            ),
        ] {
            let errors = errors(&schema, &value);
            let text = format!("{}{}", errors[0].pointer, errors[0].message);
            assert!(text.contains(expected), "{text}");
            assert!(
                text.matches('a').count() < 130 && text.chars().count() < 250,
                "{text}"
            );
        }
    }

    #[test]
    fn no_error_of_a_value_with_secrets_repeats_any_of_it() {
        for schema in [
            json!({"properties": {"x": {"type": "number"}}}),
            json!({"properties": {"x": {"enum": [1]}}}),
            json!({"properties": {"x": {"const": 1}}}),
            json!({"properties": {"y": {}}, "additionalProperties": false}),
            json!({"properties": {"y": {}}, "unevaluatedProperties": false}),
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"anyOf": [{"required": ["y"]}, {"maxProperties": 1}]}),
            json!({"not": {}}),
            json!({"properties": {"x": {"pattern": "^[0-9]+$"}}}),
        ] {
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors = of(
                &validator,
                &json!({"x": "S3CR3T", "S3CR3T": 1}),
                30,
                "/data",
                true,
            );
            assert!(!errors.is_empty(), "{schema}");
            for error in errors {
                assert!(!error.message.contains("S3CR3T"), "{schema}: {error:?}");
            }
        }
    }

    #[test]
    fn the_expectation_of_a_schema_is_worded_as_in_all_other_errors() {
        for (schema, value, sentence) in [
            (
                json!({"type": ["string", "null"]}),
                json!(7),
                "expected null or a string, not 7",
            ),
            (
                json!({"type": "integer"}),
                json!(1.5),
                "expected a whole number, not 1.5",
            ),
            (
                json!({"enum": ["a", 1]}),
                json!("b"),
                "expected one of \"a\", 1, not \"b\"",
            ),
            (json!({"const": "a"}), json!("b"), "expected \"a\", not \"b\""),
            (json!({"minimum": 3}), json!(2), "expected at least 3, not 2"),
            (
                json!({"exclusiveMaximum": 3}),
                json!(3),
                "expected less than 3, not 3",
            ),
            (
                json!({"multipleOf": 2}),
                json!(3),
                "expected a multiple of 2, not 3",
            ),
            (
                json!({"minLength": 1}),
                json!(""),
                "expected at least 1 character, not \"\"",
            ),
            (
                json!({"minItems": 1}),
                json!([]),
                "expected at least 1 item, not []",
            ),
            (
                json!({"pattern": "^[0-9]+$"}),
                json!("x"),
                "expected a text that matches ^[0-9]+$, not \"x\"",
            ),
            (
                json!({"anyOf": [{"type": "string"}]}),
                json!(1),
                "expected a string, not 1",
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"minimum": 3}, {"required": ["a"], "type": "object"}]}),
                json!(1),
                "expected a string or at least 3 or an object, not 1",
            ),
            (
                json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({}),
                "expected the property a or the property b, not {}",
            ),
            (
                json!({"anyOf": [{"properties": {"a": {"type": "string"}}}]}),
                json!({"a": 1}),
                "expected a value of one of the forms that the schema permits, not {\"a\":1}",
            ),
            (json!({"required": ["a"]}), json!({}), "expected the property a"),
            (json!(false), json!(1), "expected no value, not 1"),
        ] {
            assert_eq!(errors(&schema, &value)[0].message, sentence, "{schema}");
        }
    }
}
