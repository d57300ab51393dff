//! The guarantees of the engine for all templates.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::Channel;
use carillon_render::{
    Content, Engine, PartialDef, Parts, RenderError, RenderRequest, Rendered, TemplateDef, TemplateSet,
    limits,
};
use serde_json::{Value, json, value::RawValue};

fn def(channel: Channel, parts: &[(&str, &str)]) -> TemplateDef {
    TemplateDef {
        event_type: "A".to_owned(),
        channel,
        locale: None,
        version: 3,
        parts: parts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    }
}

fn email(parts: &[(&str, &str)]) -> TemplateSet {
    let mut all = vec![("subject", "s"), ("text", "t")];
    all.retain(|(name, _)| !parts.iter().any(|(given, _)| given == name));
    all.extend(parts);
    TemplateSet {
        templates: vec![def(Channel::Email, &all)],
        ..TemplateSet::default()
    }
}

fn sms(text: &str) -> TemplateSet {
    TemplateSet {
        templates: vec![def(Channel::Sms, &[("text", text)])],
        ..TemplateSet::default()
    }
}

fn request(channel: Channel, locale: Option<&str>, data: &Value) -> RenderRequest {
    let mut request = support::request(channel, &data.to_string());
    request.locale = locale.map(Arc::from);
    request.context.user_id = Some("u-1".into());
    request
}

fn render(set: &TemplateSet, data: &Value) -> Result<Rendered, RenderError> {
    Engine::compile(set).render(&request(set.templates[0].channel, None, data))
}

fn text(set: &TemplateSet, data: &Value) -> String {
    match render(set, data).unwrap().content {
        Content::Sms { text } | Content::Email { text, .. } => text,
        Content::Push { body, .. } | Content::Webhook { body } => body,
    }
}

fn codes(set: &TemplateSet) -> Vec<&'static str> {
    Engine::validate(set)
        .errors
        .iter()
        .map(|issue| issue.code)
        .collect()
}

#[test]
fn a_variable_that_is_not_there_is_named_and_an_optional_one_may_be_missing() {
    let set = sms("{{order.id}}{{#if link}} {{link}}{{/if}}");
    assert_eq!(text(&set, &json!({"order": {"id": 5}})), "5");
    let error = render(&set, &json!({"order": {}})).unwrap_err();
    assert_eq!(
        error,
        RenderError::MissingVariable {
            template: "A/sms".into(),
            place: "text line 1".into(),
            variable: "order.id".into(),
            why: "which the event does not carry".into(),
            pointer: "/data/order/id".into(),
        }
    );
    assert_eq!(
        (error.code(), error.is_retriable()),
        ("template-missing-variable", false)
    );
    for wrong in [
        "{{money total currency}}",
        "{{date at}}",
        "{{encode x}}",
        "{{#each items}}x{{/each}}",
    ] {
        let error = render(&sms(wrong), &json!({})).unwrap_err();
        assert!(
            matches!(error, RenderError::MissingVariable { .. }),
            "{wrong}: {error:?}"
        );
    }
}

#[test]
fn data_cannot_become_html_and_is_not_escaped_elsewhere() {
    let set = email(&[
        ("subject", "{{name}}"),
        ("text", "{{name}}"),
        ("html", r#"<p title="{{name}}">{{name}}</p>"#),
    ]);
    let attack = "<script>alert(\"x\")</script> & 'co'";
    let Content::Email { subject, text, html } = render(&set, &json!({ "name": attack })).unwrap().content
    else {
        panic!("no e-mail")
    };
    assert_eq!((subject.as_str(), text.as_str()), (attack, attack));
    let escaped = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;co&#39;";
    assert_eq!(html.unwrap(), format!("<p title=\"{escaped}\">{escaped}</p>"));
}

#[test]
fn a_link_that_is_not_safe_to_follow_is_refused() {
    let set = email(&[("html", r#"<a href="{{url link}}">x</a>"#)]);
    let error = render(&set, &json!({"link": "javascript:alert(1)"})).unwrap_err();
    assert!(
        matches!(&error, RenderError::BadValue { variable, .. } if variable == "link"),
        "{error:?}"
    );
    assert!(render(&set, &json!({"link": "https://x.example"})).is_ok());
}

#[test]
fn a_subject_cannot_begin_a_second_header() {
    let set = email(&[("subject", "Order {{id}}\n")]);
    let Content::Email { subject, .. } =
        render(&set, &json!({"id": "7\r\nBcc: eve@example.com\r\n\r\nbody"}))
            .unwrap()
            .content
    else {
        panic!("no e-mail")
    };
    assert_eq!(subject, "Order 7 Bcc: eve@example.com body");
    assert!(matches!(
        render(&set, &json!({"id": "x".repeat(1_000)})),
        Err(RenderError::TooLong {
            limit: limits::SUBJECT_BYTES,
            ..
        })
    ));
}

#[test]
fn a_message_beyond_the_limits_of_its_channel_is_refused() {
    let data = |length| json!({"x": "é".repeat(length)});
    assert!(render(&sms("{{x}}"), &data(1_600)).is_ok());
    let error = render(&sms("{{x}}"), &data(1_601)).unwrap_err();
    assert!(
        matches!(
            error,
            RenderError::TooLong {
                limit: 1_600,
                actual: 1_601,
                ..
            }
        ),
        "{error:?}"
    );
    let push = TemplateSet {
        templates: vec![def(
            Channel::Push,
            &[("title", "t"), ("body", "{{x}}"), ("data.url", "{{x}}")],
        )],
        ..TemplateSet::default()
    };
    assert!(render(&push, &data(800)).is_ok());
    assert!(matches!(
        render(&push, &data(900)),
        Err(RenderError::TooLong { .. })
    ));
}

#[test]
fn a_loop_cannot_fill_the_memory() {
    let nested = "{{#each a}}{{#each ../a}}{{#each ../../a}}0123456789{{/each}}{{/each}}{{/each}}";
    let error = render(&email(&[("text", nested)]), &json!({"a": vec![1; 500]})).unwrap_err();
    assert!(
        matches!(
            error,
            RenderError::TooLong {
                limit: limits::PART_BYTES,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn carillons_own_variables_come_before_fields_of_their_names() {
    let set = sms(
        "{{event.id}} {{event.type}} {{user.id}} {{data.user}} {{locale}} {{#if unsubscribe_url}}!{{/if}}",
    );
    let data = json!({"user": "Ada", "event": "x", "locale": "x", "unsubscribe_url": "https://eve.example"});
    assert_eq!(text(&set, &data), "e-1 A u-1 Ada en");
}

fn translated() -> TemplateSet {
    TemplateSet {
        locales: BTreeMap::from([
            (
                "en".to_owned(),
                "hi = Hello { $name }\nonly = English only\n".to_owned(),
            ),
            ("fr".to_owned(), "hi = Bonjour { $name }\n".to_owned()),
            ("fr-CA".to_owned(), "hi = Salut { $name }\n".to_owned()),
        ]),
        ..sms(r#"{{t "hi" name=name}} {{t "only"}}"#)
    }
}

#[test]
fn a_text_comes_from_the_locale_then_its_language_then_the_default() {
    let engine = Engine::compile(&translated());
    let say = |locale| {
        let rendered = engine
            .render(&request(Channel::Sms, locale, &json!({"name": "Ada"})))
            .unwrap();
        let Content::Sms { text } = rendered.content else {
            panic!("no text message")
        };
        (rendered.template.locale.to_string(), text)
    };
    assert_eq!(
        say(Some("fr-CA")),
        ("fr-CA".into(), "Salut Ada English only".into())
    );
    assert_eq!(
        say(Some("fr-BE")),
        ("fr".into(), "Bonjour Ada English only".into())
    );
    assert_eq!(say(Some("ja")), ("en".into(), "Hello Ada English only".into()));
    assert_eq!(say(None), ("en".into(), "Hello Ada English only".into()));
}

#[test]
fn a_template_of_one_locale_serves_it_and_those_below_it() {
    let mut set = translated();
    for (tag, version) in [("fr-CA", 8), ("fr", 9), ("en", 7)] {
        let own = TemplateDef {
            locale: Some(tag.into()),
            version,
            ..def(Channel::Sms, &[("text", "à part")])
        };
        set.templates.insert(0, own);
    }
    set.locales.insert("en-GB".into(), String::new());
    set.locales.insert("fr-BE".into(), String::new());
    let engine = Engine::compile(&set);
    let version = |locale| {
        let request = request(Channel::Sms, Some(locale), &json!({"name": "Ada"}));
        engine.render(&request).unwrap().template.version
    };
    assert_eq!(
        ["fr-CA", "fr", "fr-BE", "en-GB", "en"].map(version),
        [8, 9, 9, 7, 7]
    );
    set.locales.insert("de".into(), String::new());
    let engine = Engine::compile(&set);
    let german = engine
        .render(&request(Channel::Sms, Some("de"), &json!({"name": "Ada"})))
        .unwrap();
    assert_eq!(
        german.template.version, 3,
        "another language has no part in English's own template"
    );
}

#[test]
fn the_publish_gate_names_each_mistake_by_its_code() {
    let with_html = |html: &str| email(&[("html", &format!("one {html}"))]);
    assert_eq!(codes(&sms("{{#if x}}")), ["syntax"]);
    assert_eq!(codes(&sms("{{shout x}}")), ["unknown-helper"]);
    assert_eq!(codes(&sms("{{> none}}")), ["unknown-partial"]);
    assert_eq!(codes(&sms("{{url}}")), ["helper-as-variable"]);
    assert_eq!(codes(&sms(r#"{{t "none"}}"#)), ["unknown-key"]);
    assert_eq!(codes(&with_html("<p>{{{x}}}</p>")), ["unescaped"]);
    assert_eq!(codes(&with_html(r#"<a href="{{x}}">"#)), ["unsafe-link"]);
    assert_eq!(
        codes(&with_html(r#"<a href="https://s.example/{{x}}">"#)),
        ["unsafe-link"]
    );
    assert_eq!(
        codes(&with_html(r#"<a href="{{#if x}}{{x}}{{/if}}">"#)),
        ["unsafe-link"]
    );
    assert_eq!(codes(&with_html("<a title={{x}}>")), ["unquoted"]);
    assert_eq!(codes(&with_html(r#"<a onclick="f({{x}})">"#)), ["unsafe-script"]);
    assert_eq!(
        codes(&with_html(r#"<a href="{{url x}}" title="{{y}}">{{z}}</a>"#)),
        [""; 0]
    );
    assert_eq!(
        codes(&with_html(
            r#"<a href="https://s.example/{{encode x}}?y={{encode y}}">"#
        )),
        [""; 0]
    );
    let missing = TemplateSet {
        templates: vec![def(Channel::Push, &[("title", "t"), ("html", "x")])],
        ..sms("")
    };
    assert_eq!(codes(&missing), ["required", "unknown-part"]);
}

#[test]
fn a_text_without_its_variables_is_an_error_and_an_untranslated_one_a_warning() {
    let mut set = translated();
    assert_eq!(codes(&set), [""; 0]);
    let warnings = Engine::validate(&set).warnings;
    assert_eq!(
        warnings.iter().map(|it| it.code).collect::<Vec<_>>(),
        ["missing-translation"]
    );
    assert!(
        warnings[0].message.contains("only") && warnings[0].message.contains("fr"),
        "{}",
        warnings[0]
    );
    set.templates[0]
        .parts
        .insert("text".into(), r#"{{t "hi"}}"#.into());
    assert_eq!(codes(&set), ["missing-argument"; 3]);
}

#[test]
fn partials_that_include_each_other_are_refused_and_others_still_work() {
    let partial = |name: &str, text: &str| PartialDef {
        name: name.to_owned(),
        parts: Parts::from([("text".to_owned(), text.to_owned())]),
    };
    let mut set = sms("{{> a}}");
    set.partials = vec![
        partial("a", "{{> b}}"),
        partial("b", "{{> a}}"),
        partial("c", "fine"),
    ];
    set.templates.push(TemplateDef {
        event_type: "B".into(),
        ..def(Channel::Sms, &[("text", "{{> c}}")])
    });
    assert_eq!(codes(&set), ["recursive-partial"]);
    let engine = Engine::compile(&set);
    assert!(matches!(
        engine.render(&request(Channel::Sms, None, &json!({}))),
        Err(RenderError::Invalid { .. })
    ));
    let good = RenderRequest {
        event_type: "B".into(),
        ..request(Channel::Sms, None, &json!({}))
    };
    assert_eq!(
        engine.render(&good).unwrap().content,
        Content::Sms { text: "fine".into() }
    );
}

#[test]
fn an_unpublished_template_is_missing_and_data_must_be_an_object() {
    let set = sms("x");
    let error = Engine::compile(&set)
        .render(&request(Channel::Push, None, &json!({})))
        .unwrap_err();
    assert_eq!(
        error,
        RenderError::MissingTemplate {
            template: "A/push".into()
        }
    );
    assert!(matches!(
        render(&set, &json!([1])),
        Err(RenderError::BadValue { .. })
    ));
}

#[test]
fn push_messages_replace_one_another_only_where_the_template_has_a_key() {
    let collapse = |part: Option<&str>, data: &Value| {
        let mut parts = vec![("title", "t"), ("body", "b")];
        parts.extend(part.map(|part| ("collapse", part)));
        let set = TemplateSet {
            templates: vec![def(Channel::Push, &parts)],
            ..TemplateSet::default()
        };
        match render(&set, data).map(|rendered| rendered.content) {
            Ok(Content::Push { collapse, .. }) => Ok(collapse),
            Ok(_) => unreachable!(),
            Err(error) => Err(error.code()),
        }
    };
    let game = json!({"game": "7"});
    assert_eq!(collapse(None, &game), Ok(None));
    assert_eq!(
        collapse(Some("score-{{game}}"), &game),
        Ok(Some("score-7".to_owned()))
    );
    assert_eq!(collapse(Some(" "), &game), Ok(None));
    assert_eq!(
        collapse(Some("score-{{game}}"), &json!({"game": "7".repeat(60)})),
        Err("template-too-long")
    );
}

#[test]
fn numbers_of_the_event_are_shown_with_the_digits_in_which_they_came() {
    let shown = |template: &str, data: &str| {
        let set = sms(template);
        let mut request = request(Channel::Sms, None, &json!({}));
        request.context.data = Arc::from(RawValue::from_string(data.to_owned()).unwrap());
        match Engine::compile(&set).render(&request).unwrap().content {
            Content::Sms { text } => text,
            other => panic!("{other:?}"),
        }
    };
    for number in [
        "123456789012345678901234",
        "-123456789012345678901234",
        "-0",
        "1E3",
        "1e+3",
        "1.10",
        "1.0",
        "0.1",
        "1e-7",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "9007199254740993",
        "100",
    ] {
        let data =
            format!(r#"{{"n":{number},"list":[{number},"x"],"deep":{{"n":{number}}},"text":"{number}"}}"#);
        let template =
            "{{n}} {{data.n}} {{deep.n}} {{text}} {{#each list}}{{this}} {{/each}}{{list}} {{encode n}}";
        let encoded = number.replace('+', "%2B");
        assert_eq!(
            shown(template, &data),
            format!("{number} {number} {number} {number} {number} x [{number}, x] {encoded}")
        );
    }
    // Conditions and helpers use the value of a number.
    let data = r#"{"zero":0.00,"minus":-0,"price":1.10,"thousand":1E3,"big":123456789012345678901234}"#;
    for (template, expected) in [
        (
            "{{#if zero}}yes{{else}}no{{/if}}{{#if minus}}yes{{else}}no{{/if}}{{#if price}}yes{{/if}}",
            "nonoyes",
        ),
        ("{{#if (eq thousand 1000)}}same{{/if}}", "same"),
        (
            "{{#if (gt price 1)}}more{{/if}} {{#if (lt price \"1.2\")}}less{{/if}}",
            "more less",
        ),
        ("{{#if (gt big \"123456789012345678901233\")}}more{{/if}}", "more"),
        (
            "{{number thousand}} {{number big}}",
            "1,000 123,456,789,012,345,678,901,234",
        ),
        (
            "{{money price \"EUR\"}} {{money thousand \"EUR\"}} {{money minus \"EUR\"}}",
            "€1.10 €1,000.00 €0.00",
        ),
    ] {
        assert_eq!(shown(template, data), expected, "{template}");
    }
}

fn webhook(body: &str) -> TemplateSet {
    TemplateSet {
        templates: vec![def(Channel::Webhook, &[("body", body)])],
        ..TemplateSet::default()
    }
}

#[test]
fn a_webhook_is_the_json_of_its_template_and_no_value_ends_the_string_that_it_stands_in() {
    let set = webhook(r#"{"text": "Only {{left}} of {{product}}", "left": {{left}}}"#);
    let data = json!({"product": "\"desk\" \\ \n\u{1}", "left": 3});
    let body: Value = serde_json::from_str(&text(&set, &data)).unwrap();
    assert_eq!(body, json!({"text": "Only 3 of \"desk\" \\ \n\u{1}", "left": 3}));
    let sly = json!({"product": "\",\"admin\":true,\"x\":\"", "left": 3});
    let body: Value = serde_json::from_str(&text(&set, &sly)).unwrap();
    assert!(body.get("admin").is_none(), "{body}");
}

#[test]
fn a_webhook_that_is_no_json_is_refused() {
    for (body, data) in [
        ("Only {{left}}", json!({"left": 3})),
        (r#"{"left": {{left}}}"#, json!({"left": "three"})),
        ("", json!({})),
    ] {
        let error = render(&webhook(body), &data).unwrap_err();
        assert_eq!(error.code(), "template-invalid");
        assert!(
            error.to_string().contains("expected the body to be JSON"),
            "{error}"
        );
        assert_eq!(error.pointer(), "/parts/body");
    }
}

#[test]
fn an_endpoint_without_a_template_gets_the_event_and_its_data_unchanged() {
    let engine = Engine::compile(&TemplateSet::default());
    let rendered = engine
        .render(&request(
            Channel::Webhook,
            Some("de"),
            &json!({"a": 1.50, "b": [null]}),
        ))
        .unwrap();
    assert_eq!(
        (&*rendered.template.id, rendered.template.version),
        ("A/webhook", 0)
    );
    let Content::Webhook { body } = rendered.content else {
        panic!("a webhook")
    };
    let read: Value = serde_json::from_str(&body).unwrap();
    let members: Vec<&String> = read.as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 5, "{body}");
    assert_eq!(read["type"], "A");
    assert_eq!(read["data"], json!({"a": 1.5, "b": [null]}));
    let none = engine.render(&request(Channel::Sms, None, &json!({})));
    assert_eq!(none.unwrap_err().code(), "template-missing");
}
