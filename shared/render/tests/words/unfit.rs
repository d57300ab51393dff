//! Variables that no data makes right at their place, which the publish gate refuses.

use serde_json::{Value, json};

use super::*;

/// The gate's findings about the variables of a text message, with or without a schema of its type.
fn unfit(template: &str, schema: Option<&Value>) -> Vec<(&'static str, String)> {
    let mut set = with_texts(template, &[("en", "k = { $n }\n")]);
    for (name, text) in [("row", "{{@index}}"), ("around", "{{> @partial-block}}")] {
        set.partials.push(PartialDef {
            name: name.to_owned(),
            parts: Parts::from([("text".to_owned(), text.to_owned())]),
        });
    }
    let issues = Engine::compile(&set).unfit_parts(&set, |_| schema);
    issues.into_iter().map(|it| (it.code, it.message)).collect()
}

#[test]
fn a_variable_of_carillon_that_does_not_exist_is_refused_with_those_that_do() {
    let hint = |raw: &str| format!("; write data.{raw} for a field of the event's data");
    for (template, raw, why) in [
        ("{{user.name}}", "user.name", "user has only the fields id"),
        ("{{@root.user.name}}", "user.name", "user has only the fields id"),
        (
            "{{#if user.name}}x{{/if}}",
            "user.name",
            "user has only the fields id",
        ),
        (
            "{{#each list}}{{../user.name}}{{/each}}",
            "user.name",
            "user has only the fields id",
        ),
        (
            "{{event.tiem}}",
            "event.tiem",
            "event has only the fields id, source, time, type",
        ),
        (
            "{{t \"k\" n=delivery.number}}",
            "delivery.number",
            "delivery has only the fields id",
        ),
        (
            "{{locale.tag}}",
            "locale.tag",
            "locale is a text, which has no field tag",
        ),
        (
            "{{lookup event.id \"x\"}}",
            "",
            "event.id is a text, which has no fields by name",
        ),
    ] {
        let found = unfit(template, None);
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        let (code, sentence) = &found[0];
        assert_eq!(*code, "unknown-variable");
        assert!(sentence.contains(" never has a value: "), "{sentence}");
        let end = if raw.is_empty() { String::new() } else { hint(raw) };
        assert!(
            sentence.ends_with(&format!("{why}{end}")),
            "{template}: {sentence}"
        );
    }
    for object in ["event", "user", "delivery", "data", "this", "@root.event"] {
        let expected = format!("{object} is an object: expected one of its fields");
        assert_eq!(
            unfit(&format!("{{{{{object}}}}}"), None),
            [("object-as-text", expected)]
        );
    }
    for fine in [
        "{{event.id}} {{event.time}} {{user.id}} {{delivery.id}} {{locale}} {{timezone}} {{#if unsubscribe_url}}{{unsubscribe_url}}{{/if}}",
        "{{data.user.name}} {{carrier.x}} {{this.order}} {{#each list}}{{user.name}}{{/each}}",
        "{{#with customer}}{{event.name}}{{/with}}{{> row}}{{#if user}}{{user.id}}{{/if}}",
    ] {
        let found = unfit(&fine.replace("{{> row}}", ""), None);
        assert_eq!(found, [], "{fine}");
    }
}

#[test]
fn a_variable_of_a_loop_is_refused_outside_of_loops() {
    let each = "it is set only inside {{#each}}";
    for (template, raw, why) in [
        ("{{@index}}", "@index", each),
        ("{{@first}}", "@first", each),
        ("{{#if @last}}x{{/if}}", "@last", each),
        ("{{#each list}}x{{else}}{{@index}}{{/each}}", "@index", each),
        ("{{#with a}}{{@index}}{{/with}}", "@index", each),
        ("{{> row}}", "@index", each),
        ("{{@key}}", "@key", "it is set only in a loop over an object"),
        (
            "{{#each list}}{{@number}}{{/each}}",
            "@number",
            "it is not a variable of a loop: those are @index, @first, @last and @key",
        ),
    ] {
        let sentence = format!("{raw} never has a value: {why}");
        assert_eq!(
            unfit(template, None),
            [("unknown-variable", sentence)],
            "{template}"
        );
    }
    let schema =
        json!({"type": "object", "properties": {"list": {"type": "array"}, "fields": {"type": "object"}}});
    let in_list = unfit("{{#each list}}{{@key}}{{/each}}", Some(&schema));
    assert_eq!(in_list.len(), 1, "{in_list:?}");
    for fine in [
        "{{#each list}}{{@index}}{{#if @first}}x{{/if}}{{#with a}}{{@last}}{{/with}}{{/each}}",
        "{{#each fields}}{{@key}}{{#each this}}{{@../key}}{{/each}}{{/each}}",
        "{{#each other}}{{@key}}{{> row}}{{#> around}}{{@index}}{{/around}}{{/each}}",
    ] {
        assert_eq!(unfit(fine, Some(&schema)), [], "{fine}");
        assert_eq!(unfit(fine, None), [], "{fine}");
    }
}

/// A schema that names all fields of the data.
fn closed() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "carrier": {"type": "string"},
            "status": {"enum": ["new", "sent"]},
            "count": {"type": "integer"},
            "gift": {"type": "boolean"},
            "lines": {"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": false, "properties": {"sku": {"type": "string"}}}},
            "open": {"type": "object", "properties": {"a": {"type": "string"}}},
            "maybe": {"type": ["string", "object"]},
            "named": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    })
}

#[test]
fn a_variable_that_the_schema_rules_out_is_refused_with_the_fields_of_the_schema() {
    let schema = closed();
    let by = "by the schema of A";
    for (template, code, sentence) in [
        (
            "{{carrier.x}}",
            "unknown-variable",
            "carrier.x never has a value by the schema of A: carrier is a text, which has no field x",
        ),
        (
            "{{status.x}}",
            "unknown-variable",
            "status is a text, which has no field x",
        ),
        (
            "{{data.carrier.x}}",
            "unknown-variable",
            "data.carrier is a text, which has no field x",
        ),
        (
            "{{named.a.b}}",
            "unknown-variable",
            "named.a is a number, which has no field b",
        ),
        (
            "{{lines.length}}",
            "unknown-variable",
            "lines is a list, which has no field length",
        ),
        (
            "{{carier}}",
            "unknown-variable",
            "the event's data has only the fields carrier, count, gift, lines, maybe, named, open, status",
        ),
        (
            "{{#each lines}}{{skv}}{{/each}}",
            "unknown-variable",
            "an item of lines has only the fields sku",
        ),
        (
            "{{#each lines as |line|}}{{line.skv}}{{/each}}",
            "unknown-variable",
            "line has only the fields sku",
        ),
        (
            "{{#each carier}}x{{/each}}",
            "unknown-variable",
            "carier never has a value",
        ),
        (
            "{{lookup carrier \"x\"}}",
            "unknown-variable",
            "carrier is a text",
        ),
        (
            "{{lines}}",
            "object-as-text",
            "lines is a list of objects by the schema of A: expected {{#each lines}}",
        ),
        (
            "{{#each carrier}}x{{/each}}",
            "wrong-kind",
            "carrier is a text by the schema of A: expected a list or an object",
        ),
        (
            "{{date count}}",
            "wrong-kind",
            "count is a whole number by the schema of A: expected a date",
        ),
        (
            "{{number gift}}",
            "wrong-kind",
            "gift is true or false by the schema of A: expected a number",
        ),
        (
            "{{#if (gt (len count) 1)}}x{{/if}}",
            "wrong-kind",
            "expected a list, an object or a text",
        ),
    ] {
        let found = unfit(template, Some(&schema));
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        assert_eq!(found[0].0, code, "{template}: {found:?}");
        assert!(
            found[0].1.contains(sentence) && found[0].1.contains(by),
            "{template}: {found:?}"
        );
    }
}

#[test]
fn a_variable_of_which_the_schema_leaves_something_open_is_permitted() {
    let schema = closed();
    for fine in [
        "{{open.b}} {{maybe.x}} {{named.a}} {{lines.0.sku}} {{number count}} {{number carrier}} {{date carrier}}",
        "{{#if nickname}}{{nickname}}{{#each nickname}}{{a}}{{/each}}{{else}}x{{/if}}",
        "{{#if (eq nickname 1)}}x{{/if}}{{#each nicknames}}x{{else}}y{{/each}}{{> row nick=nickname}}",
        "{{#with open}}{{b.c}}{{/with}}{{user.id}}{{locale}}",
    ] {
        assert_eq!(
            unfit(
                &fine.replace(
                    "{{> row nick=nickname}}",
                    "{{#> around nick=nickname}}{{/around}}"
                ),
                Some(&schema)
            ),
            [],
            "{fine}"
        );
    }
}

#[test]
fn a_kind_that_the_schema_rules_out_by_any_keyword_is_refused_and_one_that_some_data_has_is_not() {
    let schema = json!({"type": "object", "properties": {
        "quantity": {"not": {"type": ["string", "array", "object"]}},
        "amount": {"allOf": [{"not": {"type": ["array", "object"]}}, {"not": {"type": "string"}}]},
        "either": {"not": {"type": ["array", "object"]}},
        "none": {"type": ["integer", "null"]},
        "count": {"$ref": "#/$defs/count"},
    }, "$defs": {"count": {"anyOf": [{"type": "integer"}, {"minimum": 1, "type": "number"}]}}});
    for (template, sentence) in [
        (
            "{{len quantity}}",
            "quantity is never of that kind by the schema of A: expected a list, an object or a text",
        ),
        (
            "{{number (len amount)}}",
            "amount is never of that kind by the schema of A: expected a list, an object or a text",
        ),
        (
            "{{#each quantity}}x{{/each}}",
            "quantity is never of that kind by the schema of A: expected a list or an object",
        ),
        (
            "{{#if (gt (len count) 1)}}x{{/if}}y",
            "count is a whole number or a number by the schema of A: expected a list",
        ),
        (
            "{{t \"k\" n=(len count)}}",
            "count is a whole number or a number by the schema of A: expected a list",
        ),
        (
            "{{len none}}",
            "none is a whole number or null by the schema of A: expected a list",
        ),
    ] {
        let found = unfit(template, Some(&schema));
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        assert_eq!(found[0].0, "wrong-kind", "{template}: {found:?}");
        assert!(found[0].1.starts_with(sentence), "{template}: {found:?}");
    }
    for fine in [
        "{{len either}}",
        // In a condition, the length of null is 0.
        "{{#if (gt (len none) 1)}}x{{/if}}y",
        "{{#if (gt (len quantity) 1)}}x{{/if}}y",
    ] {
        assert_eq!(unfit(fine, Some(&schema)), [], "{fine}");
    }
}
