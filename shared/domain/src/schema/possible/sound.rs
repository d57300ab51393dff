//! The answer "none fits" is never wrong: random schemas are compared with the validator.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Values of few kinds with few names, so that they often fit.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4).prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!("")),
        Just(json!("a")),
        Just(json!("abc")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(ToOwned::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    })
}

fn any_schema() -> impl Strategy<Value = Value> {
    let names = || {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..3).prop_map(|it| json!(it))
    };
    let kind = prop_oneof![
        Just("null"),
        Just("boolean"),
        Just("integer"),
        Just("number"),
        Just("string"),
        Just("array"),
        Just("object"),
    ];
    let bound = || (0..4).prop_map(Value::from);
    let of = |keyword: &'static str| move |value: Value| json!({keyword: value});
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(json!({})),
        proptest::collection::vec(kind, 1..3).prop_map(|mut kinds| {
            kinds.sort_unstable();
            kinds.dedup();
            json!({"type": kinds})
        }),
        any_value().prop_map(of("const")),
        proptest::collection::vec(any_value(), 1..3).prop_map(|it| json!({"enum": it})),
        bound().prop_map(of("minimum")),
        bound().prop_map(of("exclusiveMaximum")),
        bound().prop_map(of("maxLength")),
        bound().prop_map(of("minLength")),
        bound().prop_map(of("minItems")),
        bound().prop_map(of("maxItems")),
        bound().prop_map(of("minProperties")),
        bound().prop_map(of("maxProperties")),
        Just(json!({"pattern": "^a"})),
        Just(json!({"multipleOf": 2})),
        Just(json!({"uniqueItems": true})),
        names().prop_map(|it| {
            let mut it = it.as_array().cloned().unwrap_or_default();
            it.dedup();
            if it.first() == it.last() {
                it.truncate(1);
            }
            json!({"required": it})
        }),
        Just(json!({"dependentRequired": {"a": ["b"]}})),
        Just(json!({"$ref": "#/$defs/d"})),
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let some = || proptest::collection::vec(inner.clone(), 1..3).prop_map(|it| json!(it));
        let one = || inner.clone();
        let merged = |(a, b): (Value, Value)| match (a, b) {
            (Value::Object(mut a), Value::Object(b)) => {
                a.extend(b);
                Value::Object(a)
            }
            (_, b) => b,
        };
        prop_oneof![
            (one(), one()).prop_map(merged),
            (one(), one()).prop_map(merged),
            some().prop_map(of("allOf")),
            some().prop_map(of("anyOf")),
            some().prop_map(of("oneOf")),
            one().prop_map(of("not")),
            one().prop_map(of("items")),
            one().prop_map(of("contains")),
            some().prop_map(of("prefixItems")),
            one().prop_map(of("propertyNames")),
            one().prop_map(of("additionalProperties")),
            one().prop_map(of("unevaluatedProperties")),
            one().prop_map(|it| json!({"properties": {"a": it}})),
            (one(), one()).prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}, "required": ["a"]})),
            one().prop_map(|it| json!({"patternProperties": {"^[ab]": it}})),
            one().prop_map(|it| json!({"dependentSchemas": {"a": it}})),
            (one(), one(), one()).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_schema_that_a_value_fits_is_ever_said_to_fit_none(
        schema in any_schema(), definition in any_schema(), wish in any_schema(), values in proptest::collection::vec(any_value(), 30),
    ) {
        let root = json!({"$defs": {"d": definition}, "allOf": [schema]});
        // Some references are refused, such as those that lead back for the same value.
        if let Ok(compiled) = crate::schema::compile(&root) {
            let possible = Possible::new(&root);
            let fitting: Vec<_> = values.iter().filter(|value| compiled.validator().is_valid(value)).collect();
            if let Some(value) = fitting.first() {
                prop_assert!(possible.may_fit(&[&root], &[]), "{root} takes {value}");
            }
            if !wish.to_string().contains("$ref")
                && let Ok(wished) = crate::schema::compile(&wish)
                && let Some(value) = fitting.iter().find(|value| wished.validator().is_valid(value))
            {
                prop_assert!(possible.may_fit(&[&root], &[&wish]), "{root} and {wish} take {value}");
            }
            // A value that does not fit is never said to fit.
            for value in &values {
                possible.steps.set(STEPS);
                let verdict = possible.verdict(value, &root, Language::Draft2020, 0);
                prop_assert!(verdict.is_none_or(|fits| fits == compiled.validator().is_valid(value)), "{root} and {value}");
            }
        }
    }
}
