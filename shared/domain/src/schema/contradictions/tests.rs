use serde_json::{Value, json};

use super::contradictions;

/// The errors of a schema, each as its pointer and sentence.
fn found(schema: &Value) -> Vec<(String, String)> {
    let errors = contradictions(schema).errors.into_iter();
    errors.map(|error| (error.pointer, error.message)).collect()
}

/// Checks that a schema has one contradiction, wherever a value has to fit it, and that it is a warning elsewhere.
fn contradicts(schema: &Value, pointer: &str, says: &str) {
    let expected = |at: &str| vec![(format!("{at}{pointer}"), says.to_owned())];
    assert_eq!(
        found(&json!({"required": ["x"], "properties": {"x": schema}})),
        expected("/properties/x"),
        "{schema}"
    );
    let list = json!({"type": "array", "minItems": 1, "items": schema});
    assert_eq!(
        found(&json!({"required": ["x"], "properties": {"x": list}})),
        expected("/properties/x/items"),
        "{schema}"
    );
    let by_reference =
        json!({"$defs": {"a/b": schema}, "required": ["x"], "properties": {"x": {"$ref": "#/$defs/a~1b"}}});
    assert_eq!(found(&by_reference), expected("/$defs/a~1b"), "{schema}");
    let optional = contradictions(&json!({"properties": {"x": schema}}));
    assert_eq!(optional.errors, [], "{schema}");
    let warnings = optional.warnings.into_iter();
    assert_eq!(
        warnings.map(|it| (it.pointer, it.message)).collect::<Vec<_>>(),
        expected("/properties/x"),
        "{schema}"
    );
}

#[test]
fn bounds_that_exclude_each_other_are_refused_at_the_upper_one() {
    for (schema, pointer, says) in [
        (
            json!({"type": "integer", "minimum": 5, "maximum": 3}),
            "/maximum",
            "expected maximum of at least 5, not 3",
        ),
        (
            json!({"type": "number", "minimum": 5, "maximum": 3}),
            "/maximum",
            "expected maximum of at least 5, not 3",
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 3, "maximum": 3}),
            "/maximum",
            "expected maximum of more than 3, not 3",
        ),
        (
            json!({"type": "number", "minimum": 3, "maximum": 3, "exclusiveMaximum": true}),
            "/maximum",
            "expected maximum of more than 3, not 3",
        ),
        (
            json!({"type": "integer", "minimum": 1.2, "maximum": 1.8}),
            "/maximum",
            "expected a whole number between 1.2 and 1.8: there is none",
        ),
        (
            json!({"type": "number", "multipleOf": 5, "minimum": 1, "maximum": 4}),
            "/maximum",
            "expected a multiple of 5 between 1 and 4: there is none",
        ),
        (
            json!({"type": "string", "minLength": 3, "maxLength": 2}),
            "/maxLength",
            "expected at least 3, which is minLength, not 2",
        ),
        (
            json!({"type": "array", "minItems": 1, "maxItems": 0}),
            "/maxItems",
            "expected at least 1, which is minItems, not 0",
        ),
        (
            json!({"type": "object", "minProperties": 2, "maxProperties": 1}),
            "/maxProperties",
            "expected at least 2, which is minProperties, not 1",
        ),
        (
            json!({"type": "array", "prefixItems": [{}], "items": false, "minItems": 2}),
            "/minItems",
            "expected at most 1, as many items as the schema permits, not 2",
        ),
    ] {
        contradicts(&schema, pointer, says);
    }
}

#[test]
fn values_and_kinds_that_exclude_each_other_are_refused_at_the_keyword_that_contradicts() {
    for (schema, pointer, says) in [
        (
            json!({"enum": []}),
            "/enum",
            "expected at least one entry in enum: no value fits an empty list",
        ),
        (
            json!({"type": []}),
            "/type",
            "expected at least one entry in type: no value fits an empty list",
        ),
        (
            json!({"type": "integer", "enum": ["a", "b"]}),
            "/enum",
            "expected a value that fits the rest of the schema, not \"a\", \"b\"",
        ),
        (
            json!({"type": "string", "maxLength": 2, "const": "abc"}),
            "/const",
            "expected a value that fits the rest of the schema, not \"abc\"",
        ),
        (
            json!({"const": 1, "enum": [2, 3]}),
            "/const",
            "expected a value that fits the rest of the schema, not 1",
        ),
        (
            json!({"allOf": [{"type": "string"}, {"type": ["integer", "null"]}]}),
            "/allOf/1/type",
            "expected a kind that fits the rest of the schema, which takes string, not integer or null",
        ),
        (
            json!({"type": "string", "allOf": [{"const": 5}]}),
            "/allOf/0/const",
            "expected a kind that fits the rest of the schema, which takes string, not integer",
        ),
        (
            json!({"allOf": [{"type": "number", "minimum": 5}, {"maximum": 3}]}),
            "/allOf/1/maximum",
            "expected maximum of at least 5, not 3",
        ),
        (
            json!({"allOf": [{}, false]}),
            "/allOf/1",
            "expected a schema that some value fits, not false",
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "integer"}, {"type": "null"}]}),
            "/anyOf",
            "expected an alternative that fits the rest of the schema, which takes string",
        ),
        (
            json!({"oneOf": [false, {"not": {}}]}),
            "/oneOf",
            "expected an alternative that some value fits",
        ),
        (
            json!({"type": "object", "required": ["a", "b"], "properties": {"b": false}}),
            "/required/1",
            "expected no required property b: its schema takes no value",
        ),
        (
            json!({"type": "object", "required": ["b"], "allOf": [{"properties": {"b": {"not": {}}}}]}),
            "/required/0",
            "expected no required property b: its schema takes no value",
        ),
        (
            json!({"type": "object", "required": ["b"], "properties": {"a": {}}, "additionalProperties": false}),
            "/required/0",
            "expected no required property b: additionalProperties is false, and properties does not have it",
        ),
        (
            json!({"type": "object", "required": ["a", "b"], "maxProperties": 1}),
            "/maxProperties",
            "expected at least 2, as many as are required, not 1",
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": false}, "additionalProperties": false, "minProperties": 2}),
            "/minProperties",
            "expected at most 1, as many as the schema permits, not 2",
        ),
    ] {
        contradicts(&schema, pointer, says);
    }
}

#[test]
fn a_schema_that_no_object_fits_is_refused() {
    for (schema, pointer) in [
        (json!(false), ""),
        (json!({"not": {}}), ""),
        (json!({"type": "array"}), "/type"),
        (json!({"enum": [1, "a"]}), "/enum"),
        (
            json!({"allOf": [{}, {"type": ["string", "null"]}]}),
            "/allOf/1/type",
        ),
    ] {
        let found = found(&schema);
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
        assert_eq!(found[0].0, pointer, "{schema}: {found:?}");
    }
}

#[test]
fn a_schema_that_some_value_fits_is_accepted() {
    for schema in [
        json!(true),
        json!({}),
        json!({"type": "integer", "minimum": 3, "maximum": 3}),
        json!({"type": "integer", "minimum": 1.2, "maximum": 2}),
        json!({"type": "number", "minimum": 1.2, "maximum": 1.8}),
        json!({"multipleOf": 5, "minimum": 1, "maximum": 5}),
        json!({"multipleOf": 0.1, "minimum": 0.15, "maximum": 0.19}),
        json!({"type": "string", "minimum": 5, "maximum": 3}),
        json!({"type": "integer", "enum": [1.0, "a"]}),
        json!({"type": "number", "enum": [1, 2]}),
        json!({"allOf": [{"type": "number"}, {"type": "integer"}]}),
        json!({"allOf": [{"type": "number"}, {"enum": [1]}]}),
        json!({"properties": {"forbidden": false, "other": {"not": {}}}}),
        json!({"not": {"minimum": 5, "maximum": 3}, "if": {"enum": []}}),
        json!({"required": ["b"], "properties": {"a": {}}, "additionalProperties": false, "patternProperties": {"^b": {}}}),
        json!({"type": "string", "required": ["b"], "properties": {"b": false}}),
        json!({"anyOf": [{"type": "string"}, false], "type": "string"}),
        json!({"type": ["string", "null"], "oneOf": [{"type": "integer"}, {"type": "null"}]}),
        json!({"type": "array", "prefixItems": [{}, {}], "items": false, "minItems": 2}),
        json!({"type": "array", "items": false}),
        json!({"$ref": "#/properties/x"}),
    ] {
        let whole = json!({"properties": {"x": {"type": "object"}, "y": schema}});
        assert_eq!(found(&whole), [], "{schema}");
    }
    let list = json!({"$defs": {"n": {"type": "object", "required": ["v"], "properties": {"v": {}, "next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"});
    assert_eq!(found(&list), []);
}
