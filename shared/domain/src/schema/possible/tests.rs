use serde_json::{Value, json};

use super::*;

fn may_fit(schema: &Value) -> bool {
    Possible::new(schema).may_fit(&[schema], &[])
}

/// Whether data with this schema may have this property.
fn may_have(schema: &Value, name: &str) -> bool {
    Possible::new(schema).may_fit(&[schema], &[&json!({"type": "object", "required": [name]})])
}

#[test]
fn a_schema_that_no_value_fits_is_found_in_every_kind_of_contradiction() {
    for schema in [
        json!(false),
        json!({"allOf": [{"type": "string"}, {"type": "number"}]}),
        json!({"allOf": [{"$ref": "#/$defs/s"}, {"type": "number"}], "$defs": {"s": {"type": "string"}}}),
        json!({"format": "date", "const": "2026-02-30"}),
        json!({"pattern": "^a+$", "const": "b"}),
        json!({"pattern": "^a+$", "enum": ["b", "c"]}),
        json!({"type": "string", "format": "date", "maxLength": 5}),
        json!({"multipleOf": 5, "const": 7}),
        json!({"oneOf": [true, true]}),
        json!({"oneOf": [{}, {"title": "all"}]}),
        json!({"oneOf": [{"type": "string"}, {"type": "string"}]}),
        json!({"oneOf": [{"const": 1}, {"const": 1}]}),
        json!({"oneOf": [{"enum": ["a"]}, {"type": "string"}], "type": "string", "const": "a"}),
        json!({"anyOf": [{"type": "string"}, {"const": 5}], "type": "boolean"}),
        json!({"type": "string", "not": {"type": "string"}}),
        json!({"type": "string", "not": {"type": ["string", "null"]}}),
        json!({"not": {}}),
        json!({"not": {"not": false}}),
        json!({"not": {"anyOf": [{"type": "object"}, {"type": ["array", "string", "number", "boolean", "null"]}]}}),
        json!({"enum": [1, 2], "not": {"enum": [2, 1, 3]}}),
        json!({"type": "boolean", "not": {"enum": [true, false]}}),
        json!({"if": true, "then": false}),
        json!({"type": "string", "if": {"type": "string"}, "then": {"maxLength": 1}, "minLength": 2}),
        json!({"type": "object", "required": ["a"], "patternProperties": {"^a": false}}),
        json!({"type": "object", "required": ["a"], "patternProperties": {"^a": {"type": "string"}}, "properties": {"a": {"type": "number"}}}),
        json!({"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"]}, "properties": {"b": false}}),
        json!({"type": "object", "required": ["a"], "dependentSchemas": {"a": {"required": ["b"]}}, "properties": {"b": false}}),
        json!({"type": "object", "required": ["a"], "dependentSchemas": {"a": false}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["a"], "dependencies": {"a": {"$ref": "#/definitions/n"}}, "definitions": {"n": {"maxProperties": 0}}}),
        json!({"type": "object", "required": ["a"], "not": {"required": ["a"]}}),
        json!({"type": "object", "required": ["a"], "propertyNames": {"maxLength": 0}}),
        json!({"type": "object", "minProperties": 1, "propertyNames": false}),
        json!({"type": "object", "required": ["a"], "maxProperties": 0}),
        json!({"type": "object", "required": ["a"], "unevaluatedProperties": false}),
        json!({"type": "object", "required": ["a"], "allOf": [{"properties": {"b": {}}}], "unevaluatedProperties": false}),
        json!({"$defs": {"n": {"type": "object", "required": ["n"], "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}),
        json!({"$defs": {"a": {"type": "object", "required": ["n"], "properties": {"n": {"$ref": "#/$defs/b"}}},
            "b": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
        json!({"type": "array", "contains": false}),
        json!({"type": "array", "contains": {"type": "string"}, "items": {"type": "number"}}),
        json!({"type": "array", "contains": true, "maxItems": 0}),
        json!({"type": "array", "contains": {}, "minContains": 3, "maxItems": 2}),
        json!({"type": "array", "contains": {}, "minContains": 3, "maxContains": 2}),
        json!({"type": "array", "uniqueItems": true, "minItems": 3, "items": {"type": "boolean"}}),
        json!({"type": "array", "uniqueItems": true, "minItems": 3, "items": {"enum": ["a", "b"]}}),
        json!({"type": "array", "uniqueItems": true, "minItems": 3, "items": {"anyOf": [{"const": "a"}, {"const": "b"}]}}),
        json!({"type": "array", "minItems": 2, "prefixItems": [{}, false]}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "minItems": 2, "items": [{}, {"type": []}]}),
    ] {
        assert!(!may_fit(&schema), "{schema}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a_schema_that_some_value_fits_is_never_taken_for_a_contradiction() {
    for (schema, value) in [
        (json!({"minLength": 3, "maxLength": 1}), json!(5)),
        (
            json!({"type": ["integer", "string"], "minimum": 5, "maximum": 3}),
            json!("a"),
        ),
        (
            json!({"type": ["integer", "string"], "minLength": 5, "maxLength": 3}),
            json!(1),
        ),
        (json!({"type": "integer", "const": 1.0}), json!(1)),
        (json!({"type": "number", "enum": [[1], 1.5]}), json!(1.5)),
        (json!({"const": [1.0], "enum": [[1]]}), json!([1])),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            json!(1.5),
        ),
        (json!({"oneOf": [{"minimum": 1}, {"maximum": 5}]}), json!(7)),
        (
            json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": 1}),
        ),
        (json!({"not": {"type": "integer"}, "type": "number"}), json!(0.5)),
        (json!({"not": {"required": ["a"]}}), json!({})),
        (
            json!({"not": {"properties": {"a": {"type": "string"}}}}),
            json!({"a": 1}),
        ),
        (
            json!({"not": {"allOf": [{"type": "string"}, {"maxLength": 3}]}, "type": "string"}),
            json!("long"),
        ),
        (json!({"not": {"x-note": 1, "type": "string"}}), json!(1)),
        (json!({"if": {"type": "string"}, "then": false}), json!(1)),
        (json!({"if": false, "then": false}), json!(1)),
        (json!({"if": {"type": "string"}}), json!(1)),
        (
            json!({"type": "object", "required": ["a"], "patternProperties": {"^b": false}}),
            json!({"a": 1}),
        ),
        (
            json!({"type": "object", "required": ["ab"], "additionalProperties": false, "patternProperties": {"^a": {}}}),
            json!({"ab": 1}),
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}, "properties": {"b": false}}),
            json!({}),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "required": ["a"], "dependentRequired": {"a": ["b"]}, "properties": {"b": false}, "type": "object"}),
            json!({"a": 1}),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/s", "type": "number", "definitions": {"s": {"type": "string"}}}),
            json!("a"),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1, "type": "string"}),
            json!("a"),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "minItems": 1, "prefixItems": [false]}),
            json!([1]),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "contains": {}, "minContains": 0, "minItems": 1}),
            json!([1]),
        ),
        (
            json!({"type": "array", "contains": false, "minContains": 0}),
            json!([]),
        ),
        (json!({"contains": false}), json!(1)),
        (json!({"minContains": 3, "maxContains": 1}), json!([])),
        (
            json!({"type": "array", "uniqueItems": true, "minItems": 2, "items": {"type": "boolean"}}),
            json!([true, false]),
        ),
        (
            json!({"type": "array", "uniqueItems": true, "minItems": 3, "prefixItems": [{"type": "string"}], "items": {"type": "boolean"}}),
            json!(["a", true, false]),
        ),
        (json!({"type": "array", "items": false}), json!([])),
        (json!({"type": "array", "prefixItems": [{}, false]}), json!([1])),
        (
            json!({"unevaluatedProperties": false, "anyOf": [{"properties": {"a": {}}}], "required": ["a"], "type": "object"}),
            json!({"a": 1}),
        ),
        (
            json!({"unevaluatedProperties": false, "$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {}}}}, "required": ["a"]}),
            json!({"a": 1}),
        ),
        (
            json!({"type": "object", "propertyNames": {"pattern": "^a"}, "required": ["ab"]}),
            json!({"ab": 1}),
        ),
        (
            json!({"$defs": {"n": {"type": "object", "required": ["v"], "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}),
            json!({"v": 1}),
        ),
        (
            json!({"$defs": {"n": {"type": "object", "required": ["n"], "properties": {"n": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/n"}]}}}}, "$ref": "#/$defs/n"}),
            json!({"n": null}),
        ),
        (
            json!({"$defs": {"n": {"type": "object", "required": ["all"], "properties": {"all": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"}),
            json!({"all": []}),
        ),
        (
            json!({"exclusiveMinimum": 9_007_199_254_740_992_u64, "maximum": 9_007_199_254_740_993_u64, "type": "integer"}),
            json!(9_007_199_254_740_993_u64),
        ),
        (
            json!({"format": "carillon-visible", "const": "", "carillon-some": false}),
            json!(""),
        ),
    ] {
        assert!(
            crate::schema::compile(&schema)
                .unwrap()
                .validator()
                .is_valid(&value),
            "{schema}"
        );
        assert!(may_fit(&schema), "{schema}");
    }
}

#[test]
fn a_property_that_the_schema_rules_out_by_any_keyword_is_known() {
    for schema in [
        json!({"unevaluatedProperties": false, "properties": {"b": {}}}),
        json!({"propertyNames": {"enum": ["b", "c"]}}),
        json!({"propertyNames": {"pattern": "^[b-z]"}}),
        json!({"maxProperties": 0}),
        json!({"not": {"required": ["a"]}}),
        json!({"allOf": [{"not": {"required": ["a"]}}]}),
        json!({"not": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}}),
        json!({"patternProperties": {"^a$": false}}),
        json!({"properties": {"a": {"type": "string", "minLength": 3, "maxLength": 1}}}),
        json!({"anyOf": [{"properties": {"a": false}}, {"maxProperties": 0}]}),
        json!({"required": ["b"], "maxProperties": 1}),
        json!({"dependentRequired": {"a": ["b"]}, "properties": {"b": false}}),
        json!({"if": {"required": ["a"]}, "then": false}),
    ] {
        assert!(!may_have(&schema, "a"), "{schema}");
        assert!(may_fit(&schema), "{schema}");
    }
    for schema in [
        json!({"unevaluatedProperties": false, "patternProperties": {"^a": {}}}),
        json!({"unevaluatedProperties": {"type": "string"}}),
        json!({"propertyNames": {"maxLength": 1}}),
        json!({"maxProperties": 1}),
        json!({"not": {"required": ["a", "b"]}}),
        json!({"anyOf": [{"properties": {"a": false}}, {"maxProperties": 1}]}),
        json!({"additionalProperties": false, "patternProperties": {"a": {"type": "string"}}}),
    ] {
        assert!(may_have(&schema, "a"), "{schema}");
    }
}

#[test]
fn a_question_that_takes_too_much_work_is_answered_with_maybe() {
    let alternatives =
        |n: usize| json!({"anyOf": [{"required": [format!("a{n}")]}, {"required": [format!("b{n}")]}]});
    let all: Vec<Value> = (0..40).map(alternatives).collect();
    let schema = json!({"type": "object", "maxProperties": 39, "allOf": all});
    let possible = Possible::new(&schema);
    for _ in 0..100 {
        assert!(possible.may_fit(&[&schema], &[]));
    }
    assert_eq!(possible.all_steps.get(), 0);
    let mut deep = json!({"type": "string"});
    for _ in 0..500 {
        deep = json!({"type": "object", "required": ["a"], "properties": {"a": deep}});
    }
    assert!(may_fit(&deep));
}

#[test]
fn names_are_matched_with_each_pattern_in_bounded_work() {
    let schema = json!({});
    let possible = Possible::new(&schema);
    assert_eq!(possible.is_match("^a", "ab"), Some(true));
    assert_eq!(possible.is_match("^a", "b"), Some(false));
    assert_eq!(possible.is_match("(?=a)b", "b"), None);
    let before = possible.all_steps.get();
    assert_eq!(possible.is_match("^a", "b"), Some(false));
    assert_eq!(possible.all_steps.get(), before - 1);
    possible.all_steps.set(COMPILING);
    assert_eq!(possible.is_match("never seen", "a"), None);
}

#[test]
fn a_schema_of_thousands_of_members_is_asked_about_in_bounded_work() {
    let all: Vec<Value> = (0..4_000)
        .map(|n| json!({"properties": {format!("p{n}"): {}}}))
        .collect();
    let schema = json!({"allOf": all, "anyOf": [{"maxProperties": 0}, {"required": ["p1"]}]});
    let possible = Possible::new(&schema);
    for _ in 0..=ALL_STEPS / STEPS {
        assert!(possible.may_fit(&[&schema], &[&json!({"required": ["p2"]})]));
    }
    assert_eq!(possible.all_steps.get(), 0);
}
