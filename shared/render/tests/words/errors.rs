//! An error names its cause.

use serde_json::json;

use super::*;

/// The error of a text message: its pointer and its sentence.
fn error(template: &str, data: &Value) -> (String, String) {
    let error = sms(template, data).unwrap_err();
    (error.pointer().into_owned(), error.to_string())
}

#[test]
fn a_variable_that_is_not_in_the_item_of_a_list_names_the_part_and_its_spelling_further_out() {
    let data = json!({"sku": "S-1", "list": [{"x": 1}], "deep": {"list": [1]}});
    for (template, sentence) in [
        (
            "Hello\n{{#each list}}{{sku}}{{/each}}",
            "A/sms (text line 2) needs the variable sku, which is not in the item of list; write ../sku or @root.sku",
        ),
        (
            "{{#each list}}{{this.sku}}{{/each}}",
            "A/sms (text line 1) needs the variable this.sku, which is not in the item of list; write ../sku or @root.sku",
        ),
        (
            "{{#each list as |item|}}{{item.sku}}{{/each}}",
            "A/sms (text line 1) needs the variable item.sku, which is not in item",
        ),
        (
            "{{#each deep.list}}{{date sku}}{{/each}}",
            "A/sms (text line 1) needs the variable sku, which is not in the item of deep.list; write ../sku or @root.sku",
        ),
        (
            "{{#with deep}}{{#each list}}{{sku}}{{/each}}{{/with}}",
            "A/sms (text line 1) needs the variable sku, which is not in the item of list; write ../../sku or @root.sku",
        ),
        (
            "{{#with deep}}{{#each ../list}}{{list}}{{/each}}{{/with}}",
            "A/sms (text line 1) needs the variable list, which is not in the item of ../list; write ../list",
        ),
        (
            "{{#with deep}}{{sku}}{{/with}}",
            "A/sms (text line 1) needs the variable sku, which is not in deep; write ../sku or @root.sku",
        ),
        (
            "{{#each list}}{{nowhere}}{{/each}}",
            "A/sms (text line 1) needs the variable nowhere, which is not in the item of list",
        ),
    ] {
        assert_eq!(
            error(template, &data),
            ("/parts/text".to_owned(), sentence.to_owned()),
            "{template}"
        );
    }
}

#[test]
fn a_variable_of_a_partial_is_named_as_the_call_of_the_partial_writes_it() {
    let mut set = set(
        Channel::Sms,
        &[("text", "{{#each list}}\n{{> row price=cost}}{{/each}}")],
    );
    for (name, text) in [("row", "{{price}}"), ("open", "{{cost}}")] {
        set.partials.push(PartialDef {
            name: name.to_owned(),
            parts: Parts::from([("text".to_owned(), text.to_owned())]),
        });
    }
    let data = r#"{"cost": 1, "list": [{}]}"#;
    let failed = render(&set, data).unwrap_err();
    assert_eq!(failed.pointer(), "/parts/text");
    assert_eq!(
        failed.to_string(),
        "A/sms (partials/row in text line 1) needs the variable cost, which is not in the item of list; write ../cost or @root.cost"
    );
    set.templates[0]
        .parts
        .insert("text".to_owned(), "{{#each list}}{{> open}}{{/each}}".to_owned());
    let failed = render(&set, data).unwrap_err().to_string();
    assert!(
        failed.ends_with("cost, which is not in the item of list; write ../../cost or @root.cost"),
        "{failed}"
    );
}

#[test]
fn a_pointer_names_the_value_in_the_event_that_is_at_fault() {
    let data = json!({
        "order": {"at": "soon"}, "items": [{"at": "2026-11-24"}, {"at": "never"}], "none": null, "a/b": "x",
    });
    for (template, pointer) in [
        ("{{eta}}", "/data/eta"),
        ("{{@root.order.eta}}", "/data/order/eta"),
        ("{{data.order.eta}}", "/data/order/eta"),
        ("{{date order.at}}", "/data/order/at"),
        ("{{#each items}}{{date at}}{{/each}}", "/data/items/1/at"),
        ("{{#with order as |it|}}{{date it.at}}{{/with}}", "/data/order/at"),
        ("{{date (lookup items.1 \"at\")}}", "/data/items/1/at"),
        ("{{number [a/b]}}", "/data/a~1b"),
        ("{{money 5 order.at}}", "/data/order/at"),
        ("{{#each order.at}}x{{/each}}", "/data/order/at"),
        ("{{#each none}}x{{/each}}", "/data/none"),
    ] {
        assert_eq!(error(template, &data).0, pointer, "{template}");
    }
}

#[test]
fn a_literal_a_helper_and_carillons_own_variables_have_no_pointer_into_the_event() {
    let data = json!({"n": 5, "list": [1], "currency": "EUR"});
    for (template, sentence) in [
        (
            "{{date \"soon\"}}",
            "expects \"soon\" to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{money n \"euro\"}}",
            "expects \"euro\" to be an ISO 4217 code such as EUR",
        ),
        ("{{number (eq n 5)}}", "expects eq n 5 to be a number"),
        (
            "{{lookup list 7}}",
            "needs the variable lookup list 7, which finds nothing",
        ),
        (
            "{{delivery.id}}",
            "needs the variable delivery.id, which this message does not have",
        ),
        (
            "{{unsubscribe_url}}",
            "needs the variable unsubscribe_url, which this message does not have",
        ),
        (
            "{{date event.id}}",
            "expects event.id to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{@index}}",
            "needs the variable @index, which is set only inside {{#each}}",
        ),
        (
            "{{#each list}}{{@key}}{{/each}}",
            "needs the variable @key, which is set only in a loop over an object",
        ),
        (
            "{{../n}}",
            "needs the variable ../n, which reaches further out than the event's data; write fewer ../",
        ),
        ("{{#each 5}}x{{/each}}", "expects 5 to be a list or an object"),
        (
            "{{date \"2026-11-24\" \"wide\"}}",
            "expects \"wide\" to be a date style: short, long, full, time or datetime",
        ),
    ] {
        let (pointer, said) = error(template, &data);
        assert!(said.contains(sentence), "{template}: {said}");
        assert_eq!(pointer, "/parts/text", "{template}");
    }
}

#[test]
fn an_error_repeats_no_endless_name() {
    let name = "x".repeat(5_000);
    for template in [format!("{{{{{name}}}}}"), format!("{{{{date \"{name}\"}}}}")] {
        let (pointer, said) = error(&template, &json!({}));
        assert_eq!(pointer, "/parts/text");
        assert!(said.len() < 300, "{said}");
    }
}
