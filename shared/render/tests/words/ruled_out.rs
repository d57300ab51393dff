//! Variables that the schema rules out by any of its keywords, and the fields and items that its patterns and lists
//! describe.

use serde_json::{Value, json};

use super::*;

fn unfit(template: &str, schema: &Value) -> Vec<(&'static str, String)> {
    let set = set(Channel::Sms, &[("text", template)]);
    let engine = Engine::compile(&set);
    assert_eq!(engine.issues(), [], "{template}");
    let issues = engine.unfit_parts(&set, |_| Some(schema)).into_iter();
    issues.map(|it| (it.code, it.message)).collect()
}

#[test]
fn a_variable_that_its_schema_rules_out_by_any_keyword_is_refused() {
    let no_a = [
        json!({"unevaluatedProperties": false, "properties": {"b": {}}}),
        json!({"unevaluatedProperties": false, "allOf": [{"properties": {"b": {}}}]}),
        json!({"propertyNames": {"enum": ["b"]}}),
        json!({"propertyNames": {"pattern": "^b"}}),
        json!({"maxProperties": 0}),
        json!({"required": ["b"], "maxProperties": 1}),
        json!({"not": {"required": ["a"]}}),
        json!({"patternProperties": {"^a": false}}),
        json!({"properties": {"a": {"type": "string", "minLength": 3, "maxLength": 1}}}),
        json!({"anyOf": [{"properties": {"a": false}}, {"maxProperties": 0}]}),
    ];
    for schema in no_a {
        let of_data = unfit("x {{a}}", &schema);
        assert_eq!(of_data.len(), 1, "{schema}: {of_data:?}");
        assert_eq!(of_data[0].0, "unknown-variable", "{schema}");
        assert!(
            of_data[0]
                .1
                .starts_with("a never has a value by the schema of A: "),
            "{schema}: {of_data:?}"
        );
        let within = json!({"properties": {"box": schema, "list": {"type": "array", "items": schema}}});
        for template in [
            "x {{box.a}}",
            "x {{#with box}}{{a}}{{/with}}",
            "x {{#each list}}{{a}}{{/each}}",
            "x {{lookup box \"a\"}}",
            "x {{list.0.a}}",
        ] {
            let found = unfit(template, &within);
            assert_eq!(found.len(), 1, "{template} {schema}: {found:?}");
            assert_eq!(found[0].0, "unknown-variable", "{template} {schema}: {found:?}");
        }
        assert_eq!(unfit("x {{#if a}}{{a}}{{/if}}", &schema), [], "{schema}");
    }
    for fine in [
        json!({"unevaluatedProperties": false, "anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}),
        json!({"propertyNames": {"maxLength": 3}}),
        json!({"maxProperties": 1}),
        json!({"not": {"required": ["a", "b"]}}),
        json!({"anyOf": [{"properties": {"a": false}}, {"properties": {"b": false}}]}),
        json!({"additionalProperties": false, "patternProperties": {"^[a-c]$": {"type": "string"}}}),
    ] {
        assert_eq!(unfit("x {{a}}", &fine), [], "{fine}");
    }
}

#[test]
fn the_sentence_about_a_variable_that_no_data_has_names_it_and_its_holder() {
    let schema = json!({"properties": {"box": {"type": "object", "maxProperties": 0}}});
    assert_eq!(
        unfit("x {{box.a}}", &schema),
        [(
            "unknown-variable",
            "box.a never has a value by the schema of A: no data with a field a in box fits it".to_owned()
        )]
    );
}

#[test]
fn fields_by_pattern_and_items_by_number_are_judged_by_their_own_schemas() {
    let schema = json!({"properties": {
        "by_name": {
            "type": "object",
            "patternProperties": {"^is_": {"type": "boolean"}, "^at_": {"type": "object", "properties": {"x": {}}}},
            "additionalProperties": {"type": "string"},
        },
        "few": {"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": false},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "object", "properties": {"sku": {}}, "additionalProperties": false}], "items": {"type": "boolean"}},
        "same": {"type": "array", "uniqueItems": true, "items": {"type": "boolean"}},
    }});
    for (template, code, says) in [
        (
            "{{number by_name.is_new}}",
            "wrong-kind",
            "by_name.is_new is true or false by the schema of A: expected a number",
        ),
        (
            "{{by_name.at_home}}",
            "object-as-text",
            "by_name.at_home is an object by the schema of A: expected one of its fields",
        ),
        (
            "{{by_name.other.x}}",
            "unknown-variable",
            "by_name.other is a text, which has no field x",
        ),
        (
            "{{few.b}}",
            "unknown-variable",
            "few has only fields that match ^a",
        ),
        (
            "{{pair.0.x}}",
            "unknown-variable",
            "pair.0 is a text, which has no field x",
        ),
        (
            "{{pair.1}}",
            "object-as-text",
            "pair.1 is an object by the schema of A",
        ),
        (
            "{{pair.1.name}}",
            "unknown-variable",
            "pair.1 has only the fields sku",
        ),
        (
            "{{number pair.7}}",
            "wrong-kind",
            "pair.7 is true or false by the schema of A",
        ),
        ("{{same.2}}", "unknown-variable", "no same with 3 items fits it"),
    ] {
        let found = unfit(&format!("x {template}"), &schema);
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        assert!(
            found[0].0 == code && found[0].1.contains(says),
            "{template}: {found:?}"
        );
    }
    for fine in [
        "{{few.ab}}",
        "{{by_name.is_new}}{{by_name.at_home.x}}{{by_name.other}}",
        "{{pair.0}}{{pair.1.sku}}{{pair.7}}",
        "{{same.1}}",
    ] {
        assert_eq!(unfit(fine, &schema), [], "{fine}");
    }
}
