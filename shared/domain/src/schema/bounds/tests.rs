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
        assert!(check(&schema).is_ok(), "{schema}");
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
fn a_large_schema_of_the_usual_kind_is_accepted() {
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
    assert!(check(&schema).is_ok());
}
