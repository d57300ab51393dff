//! Values that have no text, no length or no time of day.

use serde_json::json;

use super::*;

#[test]
fn an_object_has_no_text_and_the_error_points_at_it() {
    let data = json!({"name": {"first": "Ada"}, "list": ["a", {"x": 1}], "deep": [["b", [{}]]], "n": 1});
    for (template, pointer) in [
        ("{{name}}", "/data/name"),
        ("{{data.name}}", "/data/name"),
        ("{{list}}", "/data/list/1"),
        ("{{deep}}", "/data/deep/0/1/0"),
        ("{{#each list}}{{this}}{{/each}}", "/data/list/1"),
        ("{{encode name}}", "/data/name"),
        ("{{lookup list 1}}", "/data/list/1"),
        ("{{t \"k\" n=name}}", "/data/name"),
        ("{{t \"k\" n=list}}", "/data/list/1"),
        ("{{user}}{{n}}", "/parts/text"),
    ] {
        let set = with_texts(template, &[("en", "k = { $n }\n")]);
        let error = render(&set, &data.to_string()).unwrap_err();
        assert_eq!(
            (error.code(), &*error.pointer()),
            ("template-bad-value", pointer),
            "{template}"
        );
        let says = "to be a text, a number, true or false, or a list of these, not an object";
        assert!(error.to_string().ends_with(says), "{template}: {error}");
    }
    assert_eq!(
        sms(
            "{{list}} {{n}} {{none}}.",
            &json!({"list": [1, null, ["x"]], "n": true, "none": null})
        )
        .unwrap(),
        "[1, , [x]] true ."
    );
}

#[test]
fn the_length_of_an_absent_variable_is_an_error_that_names_it() {
    for template in [
        "{{len absent}}",
        "{{number (len absent)}}",
        "{{t \"k\" n=(len absent)}}",
        "{{len name.absent}}",
    ] {
        let set = with_texts(template, &[("en", "k = { $n }\n")]);
        let error = render(&set, r#"{"name": {}}"#).unwrap_err();
        assert_eq!(error.code(), "template-missing-variable", "{template}");
        assert!(error.pointer().ends_with("/absent"), "{template}: {error}");
    }
}

#[test]
fn a_value_without_a_length_is_refused_and_an_absent_length_is_0_in_a_condition() {
    for value in [json!(5), json!(true), json!(null)] {
        let error = sms("{{len x}}", &json!({ "x": value })).unwrap_err();
        assert_eq!(
            (error.code(), &*error.pointer()),
            ("template-bad-value", "/data/x")
        );
    }
    for (condition, holds) in [
        ("(len x)", false),
        ("(eq (len x) 0)", true),
        ("(gt (len x) 0)", false),
        ("(lt (len x) 1)", true),
        ("(not (len x))", true),
        ("(or (len x) y)", true),
    ] {
        let template = format!("{{{{#if {condition}}}}}yes{{{{else}}}}no{{{{/if}}}}");
        for data in [
            json!({"y": 1}),
            json!({"x": null, "y": 1}),
            json!({"x": [], "y": 1}),
        ] {
            let said = sms(&template, &data).unwrap();
            assert_eq!(said, if holds { "yes" } else { "no" }, "{condition} {data}");
        }
    }
    assert_eq!(sms("{{len x}}", &json!({"x": "été"})).unwrap(), "3");
}

#[test]
fn a_date_without_a_time_of_day_is_refused_where_the_time_is_written() {
    let data = json!({"day": "2026-01-01", "at": "2026-01-01T10:00:00Z"});
    for template in [
        "{{date day \"time\"}}",
        "{{date day \"datetime\"}}",
        "{{t \"time\" at=day}}",
        "{{t \"both\" at=day}}",
    ] {
        let texts = "time = { DATETIME($at, timeStyle: \"short\") }\n\
                     both = { DATETIME($at, dateStyle: \"long\", timeStyle: \"short\") }\n";
        let set = with_texts(template, &[("en", texts)]);
        let error = render(&set, &data.to_string()).unwrap_err();
        assert_eq!(
            (error.code(), &*error.pointer()),
            ("template-bad-value", "/data/day"),
            "{template}"
        );
        assert!(error.to_string().contains("a date with its time"), "{error}");
    }
    assert_eq!(
        sms("{{date day}}, {{date at \"time\"}}", &data).unwrap(),
        "January 1, 2026, 10:00 AM"
    );
}

#[test]
fn the_style_of_a_date_is_one_of_the_five_and_never_ignored() {
    let data = json!({"at": "2026-01-01", "style": "long", "n": 5, "wide": "wide"});
    assert_eq!(sms("{{date at style}}", &data).unwrap(), "January 1, 2026");
    for (template, pointer) in [
        ("{{date at n}}", "/data/n"),
        ("{{date at wide}}", "/data/wide"),
        ("{{date at absent}}", "/data/absent"),
    ] {
        assert_eq!(sms(template, &data).unwrap_err().pointer(), pointer, "{template}");
    }
}

#[test]
fn a_variable_that_is_an_object_by_the_schema_is_refused_where_it_is_written() {
    let schema = json!({
        "type": "object",
        "$defs": {"person": {"type": "object", "properties": {"first": {"type": "string"}}}},
        "properties": {
            "name": {"type": "object", "properties": {"first": {"type": "string"}}},
            "maybe": {"type": ["object", "null"]},
            "either": {"type": ["object", "string"]},
            "by": {"$ref": "#/$defs/person"},
            "text": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "object"}, "text": {"type": "string"}}}},
        },
    });
    let objects = |template: &str| -> Vec<(Option<usize>, String)> {
        let mut set = with_texts(template, &[("en", "k = { $n }\n")]);
        for (name, text) in [
            ("row", "\n{{name}}"),
            ("shown", "{{value}}"),
            ("around", "{{> @partial-block}}"),
        ] {
            set.partials.push(PartialDef {
                name: name.to_owned(),
                parts: Parts::from([("text".to_owned(), text.to_owned())]),
            });
        }
        let issues = Engine::compile(&set).unfit_parts(&set, |name| (name == "A").then_some(&schema));
        assert!(
            issues
                .iter()
                .all(|it| it.code == "object-as-text" && it.pointer() == "/parts/text")
        );
        issues.into_iter().map(|it| (it.line, it.message)).collect()
    };
    for (template, variable) in [
        ("{{name}}", "name"),
        ("{{data.name}}", "data.name"),
        ("{{@root.name}}", "@root.name"),
        ("{{data}}", "data"),
        ("{{maybe}}", "maybe"),
        ("{{by}}", "by"),
        ("{{list.0}}", "list.0"),
        ("{{#if name}}{{name}}{{/if}}", "name"),
        ("{{#each list}}{{this}}{{/each}}", "this"),
        ("{{#each list}}{{at}}{{/each}}", "at"),
        ("{{#each list as |item|}}{{item.at}}{{/each}}", "item.at"),
        ("{{#each list}}{{../name}}{{/each}}", "../name"),
        ("{{#with by as |who|}}{{who}}{{/with}}", "who"),
        ("{{encode name}}", "name"),
        ("{{t \"k\" n=name}}", "name"),
        ("{{> row}}", "name"),
        ("{{> shown value=by}}", "value"),
        ("{{#> around}}{{name}}{{/around}}", "name"),
    ] {
        let sentence = format!("{variable} is an object by the schema of A: expected one of its fields");
        assert_eq!(objects(template), [(Some(1), sentence)], "{template}");
    }
    for fine in [
        "{{name.first}} {{by.first}} {{text}} {{either}} {{unknown}} {{len list}} {{len name}}",
        "{{#each list}}{{text}}{{/each}}{{#with name}}{{first}}{{/with}}",
        "{{#each name}}{{this}}{{/each}}{{#if name}}x{{/if}}{{lookup name \"first\"}}",
        "{{> row name=text}}{{#each list as |name|}}{{name.text}}{{/each}}",
    ] {
        assert_eq!(objects(fine), [], "{fine}");
    }
}
