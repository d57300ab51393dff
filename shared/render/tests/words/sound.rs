//! The gate never refuses a template that works with some data that fit the schema.

use carillon_domain::{Catalog, compiled::CompiledCatalog};
use serde_json::{Value, json, value::RawValue};

use super::*;

/// Schemas of a single variable, `a`.
fn schemas() -> Vec<Value> {
    let of = [
        json!(true),
        json!(false),
        json!({"type": "null"}),
        json!({"const": ""}),
        json!({"const": 0}),
        json!({"enum": ["", " ", "x", 1]}),
        json!({"type": "string", "maxLength": 1}),
        json!({"type": ["string", "null"]}),
        json!({"type": "boolean"}),
        json!({"type": "integer", "minimum": 0}),
        json!({"type": "array", "maxItems": 1}),
        json!({"type": "array", "items": {"enum": ["", {"b": "x"}]}}),
        json!({"type": "array", "prefixItems": [{"const": ""}]}),
        json!({"type": "array", "contains": {"const": "x"}}),
        json!({"type": "object", "maxProperties": 1}),
        json!({"type": "object", "patternProperties": {"^b": {"type": "string"}}, "additionalProperties": false}),
        json!({"type": "object", "propertyNames": {"const": "b"}}),
        json!({"type": "object", "additionalProperties": {"type": "object"}}),
        json!({"anyOf": [{"const": "x"}, {"type": "array"}]}),
        json!({"oneOf": [{"type": "string"}, {"const": "x"}, {"type": "object", "required": ["b"]}]}),
        json!({"not": {"type": "string"}}),
        json!({"if": {"type": "object"}, "then": {"unevaluatedProperties": false, "properties": {"b": {}}}}),
    ];
    let within = |schema: &Value| {
        [
            json!({"properties": {"a": schema}}),
            json!({"required": ["a"], "properties": {"a": schema}}),
            json!({"anyOf": [{"properties": {"a": schema}}, {"required": ["c"]}]}),
        ]
    };
    let open = [
        json!({"maxProperties": 0}),
        json!({"not": {"required": ["a"]}}),
        json!({"dependentRequired": {"a": ["c"]}, "maxProperties": 1}),
        json!({"patternProperties": {"^a$": {"type": "string"}}}),
    ];
    of.iter().flat_map(within).chain(open).collect()
}

const TEMPLATES: [&str; 40] = [
    "{{a}}",
    "x{{a}}",
    "{{a.b}}",
    "{{a.0}}",
    "{{a.0.b}}",
    "{{data.a}}",
    "{{@root.a}}",
    "{{encode a}}",
    "{{number a}}",
    "{{lookup a 0}}",
    "{{lookup a \"b\"}}",
    "{{len a}}",
    "{{#if a}}x{{/if}}",
    "{{#unless a}}x{{/unless}}",
    "{{#if a includeZero=true}}x{{/if}}",
    "{{#if a}}{{a}}{{/if}}",
    "{{#if a.b}}{{a.b}}{{/if}}",
    "{{#if (not a)}}x{{/if}}",
    "{{#if (and a c)}}x{{/if}}",
    "{{#if (or a c)}}x{{/if}}",
    "{{#if (eq a \"x\")}}x{{/if}}",
    "{{#if (ne a \"x\")}}x{{/if}}",
    "{{#if (eq a 1)}}x{{/if}}",
    "{{#if (ne a 1)}}x{{/if}}",
    "{{#if (eq a null)}}x{{/if}}",
    "{{#if (ne a null)}}x{{/if}}",
    "{{#if (eq a true)}}x{{/if}}",
    "{{#if (ne a true)}}x{{/if}}",
    "{{#if (eq a.b \"x\")}}x{{/if}}",
    "{{#if (gt (len a) 0)}}x{{/if}}",
    "{{#if a}}{{#unless c}}x{{/unless}}{{/if}}",
    "{{#unless a}}{{#if c}}x{{/if}}{{/unless}}",
    "{{#each a}}{{this}}{{/each}}",
    "{{#each a}}{{b}}{{/each}}",
    "{{#each a}}{{else}}x{{/each}}",
    "{{#each a as |v k|}}{{k}}{{/each}}",
    "{{#each a}}{{#if this}}{{@index}}{{/if}}{{/each}}",
    "{{#with a}}{{b}}{{/with}}",
    "{{#with a}}{{this}}{{else}}x{{/with}}",
    "{{#with a as |v|}}{{#if v.b}}x{{/if}}{{/with}}",
];

fn data() -> Vec<Value> {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.5),
        json!(""),
        json!(" "),
        json!("x"),
        json!("1"),
        json!([]),
        json!([""]),
        json!(["x"]),
        json!(["", "x"]),
        json!([{"b": "x"}]),
        json!([{"b": ""}, 1]),
        json!({}),
        json!({"b": ""}),
        json!({"b": "x"}),
        json!({"b": 0}),
        json!({"d": "x"}),
        json!({"b": {"b": "x"}}),
    ];
    let with = |value: &Value| [json!({"a": value}), json!({"a": value, "c": "x"})];
    let absent = [json!({}), json!({"c": "x"})];
    values.iter().flat_map(with).chain(absent).collect()
}

#[test]
fn no_template_that_works_with_some_data_is_refused() {
    let data = data();
    let raw = |value: &Value| RawValue::from_string(value.to_string()).unwrap();
    let texts: Vec<_> = data.iter().map(raw).collect();
    let engines = TEMPLATES.map(|template| {
        let set = set(Channel::Sms, &[("text", template)]);
        let engine = Engine::compile(&set);
        let works: Vec<bool> = data
            .iter()
            .map(|value| engine.render(&request(Channel::Sms, &value.to_string())).is_ok())
            .collect();
        (template, set, engine, works)
    });
    let mut refused = 0;
    for schema in schemas() {
        let catalog: Catalog = serde_json::from_value(json!({"categories": {"c": {}}, "types": {"A": {
            "category": "c", "channels": {"order": ["sms"]}, "schema": schema}}}))
        .unwrap();
        let compiled = CompiledCatalog::new(catalog);
        let fits: Vec<bool> = texts
            .iter()
            .map(|text| compiled.validate_data("A", text).is_empty())
            .collect();
        for (template, set, engine, works) in &engines {
            let found = engine.unfit_parts(set, |_| Some(&schema));
            let working = (0..data.len()).find(|index| fits[*index] && works[*index]);
            match working {
                // A variable in a block is refused if it fails whenever the block runs.
                Some(_) if template.contains("{{#") && found.iter().all(|it| it.code != "blank") => {}
                Some(index) => assert_eq!(found, [], "{template} works with {} by {schema}", data[index]),
                None => refused += usize::from(!found.is_empty()),
            }
        }
    }
    // Most of those that work with none of these data are refused.
    assert!(refused > 300, "{refused}");
}
