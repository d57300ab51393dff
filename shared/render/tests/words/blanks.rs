//! Parts that no data makes visible: the gate refuses them by the schema, the conditions and the values of the template.

use serde_json::{Value, json};

use super::*;

fn schema() -> Value {
    json!({
        "type": "object",
        "$defs": {"blank": {"enum": ["", " ", "\u{200b}"]}},
        "properties": {
            "empty": {"const": ""},
            "blanks": {"$ref": "#/$defs/blank"},
            "either": {"anyOf": [{"const": ""}, {"type": "null"}]},
            "nothing": {"type": "null"},
            "short": {"type": "string", "maxLength": 0},
            "no": {"const": false},
            "yes": {"const": true},
            "zero": {"const": 0},
            "none": {"type": "array", "maxItems": 0},
            "closed": {"type": "array", "items": false},
            "bare": {"type": "object", "maxProperties": 0},
            "empties": {"type": "array", "items": {"const": ""}},
            "rows": {"type": "array", "items": {"type": "object", "properties": {"note": {"type": "null"}, "sku": {}}}},
            "status": {"enum": ["new", "sent"]},
            "text": {"type": "string"},
            "maybe": {"type": ["string", "null"]},
            "list": {"type": "array"},
            "count": {"type": "integer"},
            "box": {"type": "object", "properties": {"a": {"const": ""}}},
        },
    })
}

/// The gate's findings about the variables and parts of a template.
fn found(channel: Channel, parts: &[(&str, &str)], schema: &Value) -> Vec<(String, &'static str, String)> {
    let mut set = set(channel, parts);
    let block = (
        "text".to_owned(),
        "{{#if shown}}{{text}}{{> @partial-block}}{{/if}}".to_owned(),
    );
    set.partials.push(PartialDef {
        name: "if".to_owned(),
        parts: Parts::from([block]),
    });
    let engine = Engine::compile(&set);
    assert_eq!(engine.issues(), [], "{parts:?}");
    let issues = engine.unfit_parts(&set, |_| Some(schema)).into_iter();
    issues.map(|it| (it.part, it.code, it.message)).collect()
}

#[test]
fn a_text_message_that_no_data_of_its_schema_makes_visible_is_refused() {
    let schema = schema();
    for template in [
        "{{empty}}",
        "{{blanks}}",
        "{{either}} {{nothing}}",
        "{{short}}",
        "{{box.a}}",
        "{{lookup box \"a\"}}",
        "{{encode empty}}",
        "{{data.empty}}{{@root.empty}}{{#with this}}{{/with}}",
        "{{#each none}}x{{/each}}",
        "{{#each closed}}x{{/each}}",
        "{{#each bare}}x{{/each}}",
        "{{#each empties}}{{this}}{{/each}}",
        "{{#each empties as |one|}}{{one}}{{/each}}",
        "{{#each rows}}{{note}}{{/each}}",
        "{{#each rows}}{{#each ../none}}x{{/each}}{{/each}}",
        "{{#each rows}}{{#if note}}x{{/if}}{{/each}}",
        "{{#if false}}x{{/if}}",
        "{{#if \"\"}}x{{/if}}",
        "{{#if 0}}x{{/if}}",
        "{{#if null}}x{{/if}}",
        "{{#if (not true)}}x{{/if}}",
        "{{#if (eq 1 2)}}x{{/if}}",
        "{{#unless true}}x{{/unless}}",
        "{{#if true}}{{else}}x{{/if}}",
        "{{#if no}}x{{/if}}",
        "{{#if zero}}x{{/if}}",
        "{{#if short}}x{{/if}}",
        "{{#if nothing}}x{{/if}}",
        "{{#if none}}x{{/if}}",
        "{{#if bare}}x{{/if}}",
        "{{#if empty includeZero=true}}x{{/if}}",
        "{{#if (and text no)}}x{{/if}}",
        "{{#if (or empty no)}}x{{/if}}",
        "{{#if (not (or text (not no)))}}x{{/if}}",
        "{{#if (eq status \"gone\")}}x{{/if}}",
        "{{#eq status \"gone\"}}x{{/eq}}",
        "{{#if text}}{{#unless text}}x{{/unless}}{{/if}}",
        "{{#if text}}{{else}}{{text}}{{/if}}",
        "{{#if (eq status \"new\")}}{{#if (eq status \"sent\")}}x{{/if}}{{/if}}",
        "{{#with empty}}x{{/with}}",
        "{{#with box}}{{a}}{{#if ../no}}x{{/if}}{{/with}}",
        "{{#with text}}{{else}}{{#if text}}x{{/if}}{{/with}}",
        "{{#if unsubscribe_url}}Read on: {{unsubscribe_url}}{{/if}}",
        "{{#> if shown=no}}x{{/if}}",
        "{{#> if shown=\"\"}}x{{/if}}",
    ] {
        let said = (
            "text".to_owned(),
            "blank",
            "it is always blank: expected at least one visible character".to_owned(),
        );
        assert_eq!(
            found(Channel::Sms, &[("text", template)], &schema),
            [said],
            "{template}"
        );
    }
}

#[test]
fn a_text_message_that_some_data_of_its_schema_makes_visible_is_published() {
    let schema = schema();
    for template in [
        "{{text}}",
        "{{maybe}}",
        "{{zero}}",
        "{{no}}",
        "{{none}}",
        "{{encode blanks}}",
        "{{date text}}{{unknown}}",
        "{{#each list}}{{this}}{{/each}}",
        "{{#each none}}{{else}}x{{/each}}",
        "{{#each empties}}{{@index}}{{/each}}",
        "{{#each rows}}{{sku}}{{/each}}",
        "{{#each bare}}{{else}}{{text}}{{/each}}",
        "{{#each event}}{{this}}{{/each}}",
        "{{#if zero includeZero=true}}x{{/if}}",
        "{{#if zero includeZero=yes}}x{{/if}}",
        "{{#unless no}}x{{/unless}}",
        "{{#unless text}}x{{/unless}}",
        "{{#unless yes}}x{{/unless}}",
        "{{#if (eq status \"new\")}}x{{/if}}",
        "{{#if (ne status \"gone\")}}x{{/if}}",
        "{{#if (eq count \"1\")}}{{#if (eq count 1)}}x{{/if}}{{/if}}",
        "{{#if (eq text 1)}}x{{/if}}",
        "{{#if (gt (len none) 0)}}x{{/if}}",
        "{{#if (eq nothing null)}}x{{/if}}",
        "{{#if (and text maybe)}}{{#if (or no text)}}x{{/if}}{{/if}}",
        "{{#if unknown}}x{{/if}}",
        "{{#if unsubscribe_url}}{{else}}x{{/if}}",
        "{{#if user.id}}x{{/if}}",
        "{{#unless user.id}}x{{/unless}}",
        "{{#with box}}{{#if ../text}}x{{/if}}{{/with}}",
        "{{#with text}}{{else}}x{{/with}}",
        "{{#> if shown=text}}{{/if}}",
        "{{#> if shown=unknown}}x{{/if}}",
        "{{#each list as |text|}}{{text}}{{/each}}",
        "{{#if list.0}}{{list.0}}{{/if}}",
    ] {
        assert_eq!(
            found(Channel::Sms, &[("text", template)], &schema),
            [],
            "{template}"
        );
    }
}

#[test]
fn a_subject_an_html_part_and_a_push_message_are_refused_where_no_data_makes_them_visible() {
    let schema = schema();
    let email = |subject, html| [("subject", subject), ("text", "x"), ("html", html)];
    for (subject, html, part) in [
        ("{{empty}}", "<p>x</p>", "subject"),
        ("{{#if no}}x{{/if}} ", "<p>x</p>", "subject"),
        ("x", "<p>{{empty}}</p>", "html"),
        ("x", "<p>{{#if no}}x{{/if}}</p>", "html"),
        (
            "x",
            "{{#if no}}<img src=\"https://example.com/a.png\">{{/if}}",
            "html",
        ),
        (
            "x",
            "<p {{#if text}}title=\"{{text}}\"{{/if}}>{{#each none}}x{{/each}}</p>",
            "html",
        ),
        ("x", "<p hidden>{{#if yes}}{{text}}{{else}}</p>x{{/if}}", ""),
        (
            "x",
            "{{#if unsubscribe_url}}<a href=\"{{url unsubscribe_url}}\">x</a>{{/if}}",
            "html",
        ),
        (
            "x",
            "{{#if text}}<p>{{/if}}{{#unless no}}{{nothing}}{{/unless}}",
            "html",
        ),
        ("x", "<p>{{text}}</p>", ""),
        ("x", "<p>{{#if no}}{{else}}x{{/if}}</p>", ""),
        (
            "x",
            "{{#if yes}}<style>{{/if}}.a{}{{#if yes}}</style>{{/if}}{{empty}}",
            "",
        ),
    ] {
        let found = found(Channel::Email, &email(subject, html), &schema);
        let parts: Vec<&str> = found.iter().map(|(part, ..)| part.as_str()).collect();
        let expected: &[&str] = if part.is_empty() { &[] } else { &[part] };
        assert_eq!(parts, expected, "{subject} {html}: {found:?}");
    }
    let push = |title, body| found(Channel::Push, &[("title", title), ("body", body)], &schema);
    assert_eq!(push("{{empty}}", "{{#if no}}x{{/if}}").len(), 1);
    assert_eq!(push("{{empty}}", "{{text}}"), []);
}

#[test]
fn a_condition_without_a_parameter_is_refused_with_an_example() {
    for (name, template) in [("and", "{{#if (and)}}x{{/if}}"), ("or", "{{#if (or)}}x{{/if}}")] {
        let found = refusals(&set(Channel::Sms, &[("text", template)]));
        let said: Vec<_> = found.iter().map(|it| (it.code, it.message.clone())).collect();
        let expected = format!(
            "the helper {name} takes 1 parameter or more, such as {{{{#if ({name} gift card)}}}}…{{{{/if}}}}, not 0"
        );
        assert_eq!(said, [("misused-helper", expected)]);
    }
}
