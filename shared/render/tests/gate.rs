//! Refusals of the publish gate, and the guarantees for published templates and texts.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::{Channel, TenantId};
use carillon_render::{
    Content, Engine, InProcess, PartialDef, Parts, RenderError, RenderRequest, Renderer as _, TemplateDef,
    TemplateIssue, TemplateSet, load_folder,
};
use serde_json::{Value, json};

fn set(channel: Channel, parts: &[(&str, &str)], locales: &[(&str, &str)]) -> TemplateSet {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    TemplateSet {
        templates: vec![TemplateDef {
            event_type: "A".to_owned(),
            channel,
            locale: None,
            version: 1,
            parts: parts.iter().map(owned).collect(),
        }],
        locales: locales.iter().map(owned).collect::<BTreeMap<_, _>>(),
        ..TemplateSet::default()
    }
}

fn sms(text: &str) -> TemplateSet {
    set(Channel::Sms, &[("text", text)], &[])
}

fn request(locale: &str, data: &Value) -> RenderRequest {
    RenderRequest {
        locale: Some(locale.into()),
        timezone: Some("Europe/Berlin".into()),
        ..support::request(Channel::Sms, &data.to_string())
    }
}

fn render(set: &TemplateSet, locale: &str, data: &Value) -> Result<String, RenderError> {
    let rendered = Engine::compile(set).render(&request(locale, data))?;
    match rendered.content {
        Content::Sms { text } => Ok(text),
        other => panic!("{other:?}"),
    }
}

fn errors(set: &TemplateSet) -> Vec<TemplateIssue> {
    Engine::validate(set).errors
}

#[test]
fn an_absent_variable_compares_as_absent() {
    for (condition, expected) in [
        ("(eq tier \"gold\")", false),
        ("(eq \"gold\" tier)", false),
        ("(ne tier \"gold\")", true),
        ("(eq tier other)", true),
        ("(eq tier nothing)", true),
        ("(gt tier 1)", false),
        ("(gte tier 1)", false),
        ("(lt tier 1)", false),
        ("(lte 1 tier)", false),
        ("(not tier)", true),
        ("(len tier)", false),
        ("(eq (len tier) 0)", true),
        ("(and present tier)", false),
        ("(or tier present)", true),
        ("(lookup present \"x\")", false),
        ("(eq customer.tier.name 1)", false),
    ] {
        let template = sms(&format!("{{{{#if {condition}}}}}yes{{{{else}}}}no{{{{/if}}}}"));
        assert_eq!(errors(&template), [], "{condition}");
        let said = render(&template, "en", &json!({"present": true, "nothing": null}));
        assert_eq!(said.unwrap(), if expected { "yes" } else { "no" }, "{condition}");
    }
    let block = "{{#eq tier \"gold\"}}yes{{else}}no{{/eq}}";
    assert_eq!(render(&sms(block), "en", &json!({})).unwrap(), "no");
}

#[test]
fn an_error_names_the_variable_and_the_line_of_the_template_or_partial() {
    let sentence = |set: &TemplateSet| render(set, "en", &json!({"here": "x"})).unwrap_err().to_string();
    let at_line_2 = sentence(&sms("{{here}}\n{{date there}}"));
    assert!(
        at_line_2.contains("A/sms (text line 2) needs the variable there"),
        "{at_line_2}"
    );
    let looked_up = sentence(&sms("{{lookup here there}}"));
    assert!(looked_up.contains("lookup here there"), "{looked_up}");
    let text = set(
        Channel::Sms,
        &[("text", "\n\n{{t \"m\" name=there}}")],
        &[("en", "m = { $name }\n")],
    );
    assert!(
        sentence(&text).contains("text line 3) needs the variable there"),
        "{}",
        sentence(&text)
    );
    let mut including = sms("one\n{{> row value=there}}");
    including.partials.push(PartialDef {
        name: "row".to_owned(),
        parts: Parts::from([("text".to_owned(), "\n\n\n{{value}}".to_owned())]),
    });
    let inside = sentence(&including);
    assert!(
        inside.contains("partials/row in text line 4") && inside.contains("variable there"),
        "{inside}"
    );
    let bad = sentence(&sms("{{date here}}"));
    assert!(
        bad.contains("A/sms (text line 1) expects here to be a date"),
        "{bad}"
    );
}

#[test]
fn keys_that_fcm_and_apns_keep_for_themselves_are_refused_by_name() {
    for key in [
        "from",
        "message_type",
        "collapse_key",
        "notification",
        "google.x",
        "gcm.y",
        "google",
        "gcm",
        "aps",
        "carillon_delivery_id",
    ] {
        let part = format!("data.{key}");
        let push = set(Channel::Push, &[("title", "t"), ("body", "b"), (&part, "x")], &[]);
        let errors = errors(&push);
        assert_eq!(
            errors.iter().map(|issue| issue.code).collect::<Vec<_>>(),
            ["reserved-key"]
        );
        assert!(
            errors[0].message.contains(key) && errors[0].part == part,
            "{}",
            errors[0]
        );
    }
    for key in ["url", "from_name", "googlex", "Notification"] {
        let part = format!("data.{key}");
        assert_eq!(
            errors(&set(
                Channel::Push,
                &[("title", "t"), ("body", "b"), (&part, "x")],
                &[]
            )),
            []
        );
    }
}

#[test]
fn a_byte_order_mark_before_a_file_of_a_folder_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("templates/A/sms.text.hbs", "\u{feff}{{t \"m\"}} {{> p}}"),
        ("partials/p.text.hbs", "\u{feff}p"),
        ("locales/en.ftl", "\u{feff}m = hello\n"),
    ] {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let read = load_folder(folder.path()).unwrap();
    assert_eq!(errors(&read), []);
    assert_eq!(render(&read, "en", &json!({})).unwrap(), "hello p");
    let given = set(
        Channel::Sms,
        &[("text", "\u{feff}{{t \"m\"}}")],
        &[("en", "\u{feff}m = hi\n")],
    );
    assert_eq!(render(&given, "en", &json!({})).unwrap(), "hi");
}

#[test]
fn a_reference_is_found_in_the_fallback_locales() {
    let texts = set(
        Channel::Sms,
        &[("text", "{{t \"m\"}} {{t \"m.short\"}}")],
        &[
            (
                "en",
                "-shop = Oak\nhours =\n    .week = nine to five\nm = { -shop }: { hours.week }\n    .short = { -shop }\n",
            ),
            (
                "fr",
                "m = Chez { -shop } : { hours.week }\n    .short = { -shop }\n",
            ),
            ("fr-CA", "-shop = Chêne\n"),
        ],
    );
    assert_eq!(errors(&texts), []);
    assert_eq!(
        render(&texts, "fr", &json!({})).unwrap(),
        "Chez Oak : nine to five Oak"
    );
}

#[test]
fn a_reference_that_no_locale_has_is_refused_with_locale_message_and_reference() {
    for (reference, name) in [
        ("{ -gone }", "-gone"),
        ("{ gone }", "gone"),
        ("{ ok.gone }", "ok.gone"),
        ("{ -brand.gone ->\n   *[a] x\n }", "-brand.gone"),
    ] {
        let german = format!("m = {reference}\n");
        let english = "ok = fine\n-brand = Oak\nm = english\n";
        let texts = set(
            Channel::Sms,
            &[("text", "{{t \"m\"}}")],
            &[("en", english), ("de", &german)],
        );
        let errors = errors(&texts);
        let codes: Vec<_> = errors.iter().map(|issue| issue.code).collect();
        assert_eq!(codes, ["unknown-reference"], "{errors:?}");
        let sentence = errors[0].to_string();
        assert!(
            sentence.contains("locales/de line 1: m (de)") && sentence.contains(name),
            "{sentence}"
        );
    }
}

#[test]
fn texts_that_contain_themselves_and_functions_that_are_not_there_are_refused() {
    for (ftl, code) in [
        ("m = { m }\n", "cyclic-reference"),
        (
            "m = { b }\nb = { c.d }\nc =\n    .d = { m }\n",
            "cyclic-reference",
        ),
        ("-a = { -b }\n-b = { -a }\nm = { -a }\n", "cyclic-reference"),
        ("m = { UPPER($x) }\n", "unknown-function"),
        ("m = { NUMBER($x, roundingMode: \"up\") }\n", "unknown-option"),
        (
            "m = { NUMBER($x, minimumFractionDigits: 200) }\n",
            "unknown-option",
        ),
        ("m = { NUMBER($x, style: \"currency\") }\n", "unknown-option"),
        ("m = { DATETIME($x, dateStyle: \"huge\") }\n", "unknown-option"),
        ("-t = { $who }\nm = { -t }\n", "missing-argument"),
    ] {
        let texts = set(Channel::Sms, &[("text", "{{t \"m\" x=x}}")], &[("en", ftl)]);
        let errors = errors(&texts);
        assert!(errors.iter().any(|issue| issue.code == code), "{ftl}: {errors:?}");
    }
}

#[test]
fn number_and_datetime_use_the_formats_of_the_readers_language() {
    let ftl = "m = { NUMBER($n) } { NUMBER($n, minimumFractionDigits: 2) } { NUMBER($n, maximumFractionDigits: 0, useGrouping: \"false\") } \
               { NUMBER($n, style: \"currency\", currency: \"EUR\") } | { DATETIME($at, dateStyle: \"long\") } | { DATETIME($at, timeStyle: \"short\") } | \
               { DATETIME($at, dateStyle: \"full\", timeStyle: \"short\") }\n";
    let template = "{{t \"m\" n=n at=at}}";
    let texts = set(Channel::Sms, &[("text", template)], &[("en", ftl), ("de", ftl)]);
    assert_eq!(errors(&texts), []);
    let data = json!({"n": 1234.5, "at": "2026-11-24T23:30:00Z"});
    assert_eq!(
        render(&texts, "de", &data).unwrap(),
        "1.234,5 1.234,50 1235 1.234,50 € | 25. November 2026 | 00:30 | Mittwoch, 25. November 2026 um 00:30"
    );
    assert_eq!(
        render(&texts, "en", &data).unwrap(),
        "1,234.5 1,234.50 1235 €1,234.50 | November 25, 2026 | 12:30 AM | Wednesday, November 25, 2026 at 12:30 AM"
    );
    let error = render(&texts, "en", &json!({"n": "many", "at": "2026-11-24"})).unwrap_err();
    assert!(error.to_string().contains("expects $n to be a number"), "{error}");
}

#[test]
fn a_number_and_a_numeric_text_select_by_plural_category() {
    let ftl = "m = { $n ->\n    [0] none\n    [one] { $n } item\n   *[other] { $n } items\n }, { NUMBER($n, type: \"ordinal\") ->\n    [one] { $n }st\n    [two] { $n }nd\n   *[other] { $n }th\n }\n";
    let texts = set(Channel::Sms, &[("text", "{{t \"m\" n=n}}")], &[("en", ftl)]);
    for (n, said) in [
        (json!(1), "1 item, 1st"),
        (json!("1"), "1 item, 1st"),
        (json!("0"), "none, 0th"),
        (json!("22"), "22 items, 22nd"),
        (json!(5), "5 items, 5th"),
    ] {
        assert_eq!(render(&texts, "en", &json!({ "n": n })).unwrap(), said);
    }
}

#[tokio::test]
async fn a_template_that_takes_long_does_not_delay_others() {
    let heavy = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}x";
    let template = format!("{{{{#if a}}}}{heavy}{{{{else}}}}quick{{{{/if}}}}");
    let renderer = Arc::new(InProcess::new(Arc::new(sms(&template))));
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let renderer = Arc::clone(&renderer);
            tokio::spawn(async move {
                let request = request("en", &json!({ "a": vec![1; 4_000] }));
                renderer.render(vec![request]).await.pop().unwrap()
            })
        })
        .collect();
    // The request is built before the slow tasks run, so that it waits for rendering only.
    let quick = RenderRequest {
        tenant: TenantId::from("other"),
        ..request("en", &json!({}))
    };
    assert!(renderer.render(vec![quick.clone()]).await[0].is_ok());
    assert!(slow.iter().any(|task| !task.is_finished()));
    for task in slow {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.is_retriable()), ("template-budget", false));
    }
}
