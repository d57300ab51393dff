//! The cost of a template is bounded: every template ends, with the same answer each time.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::collections::BTreeMap;

use carillon_domain::Channel;
use carillon_render::{Content, Engine, PartialDef, Parts, RenderError, TemplateDef, TemplateSet};
use serde_json::{Value, json};
use support::request;

fn sms(text: &str) -> TemplateSet {
    TemplateSet {
        templates: vec![TemplateDef {
            event_type: "A".to_owned(),
            channel: Channel::Sms,
            locale: None,
            version: 1,
            parts: Parts::from([("text".to_owned(), text.to_owned())]),
        }],
        ..TemplateSet::default()
    }
}

fn partials(set: TemplateSet, partials: &[(&str, String)]) -> TemplateSet {
    let def = |(name, text): &(&str, String)| PartialDef {
        name: (*name).to_owned(),
        parts: Parts::from([("text".to_owned(), text.clone())]),
    };
    TemplateSet {
        partials: partials.iter().map(def).collect(),
        ..set
    }
}

fn texts(set: TemplateSet, ftl: String) -> TemplateSet {
    TemplateSet {
        locales: BTreeMap::from([("en".to_owned(), ftl)]),
        ..set
    }
}

fn outcome(set: &TemplateSet, data: &Value) -> Result<String, RenderError> {
    let engine = Engine::compile(set);
    assert_eq!(engine.issues(), []);
    engine
        .render(&request(Channel::Sms, &data.to_string()))
        .map(|rendered| match rendered.content {
            Content::Sms { text } => text,
            other => panic!("{other:?}"),
        })
}

fn code(set: &TemplateSet, data: &Value) -> &'static str {
    outcome(set, data).map_or_else(|error| error.code(), |_| "ok")
}

fn list() -> Value {
    json!({ "a": vec![1; 4_000], "s": "x".repeat(200_000), "i": 0, "o": {"k": vec!["y".repeat(1_000); 200]} })
}

#[test]
fn loops_in_loops_end_with_the_code_template_budget_even_if_they_write_nothing() {
    for body in [
        "",
        "x",
        "{{#if this}}{{/if}}",
        "{{!-- nothing --}}",
        "{{#with this}}{{/with}}",
    ] {
        let nested = format!(
            "{{{{#each a}}}}{{{{#each ../a}}}}{{{{#each ../../a}}}}{body}{{{{/each}}}}{{{{/each}}}}{{{{/each}}}}x"
        );
        let error = outcome(&sms(&nested), &list()).unwrap_err();
        assert_eq!(error.code(), "template-budget", "{body}: {error}");
        assert!(!error.is_retriable());
        assert_eq!(
            outcome(&sms(&nested), &list()),
            Err(error.clone()),
            "the same each time"
        );
        let sentence = error.to_string();
        assert!(
            sentence.contains("A/sms (text line 1)") && sentence.contains("steps"),
            "{sentence}"
        );
    }
    let over_fields = "{{#each o}}{{#each @root.a}}{{#each @root.a}}{{/each}}{{/each}}{{/each}}";
    assert_eq!(code(&sms(over_fields), &list()), "template-budget");
}

#[test]
fn a_loop_of_the_size_of_a_newsletter_is_rendered() {
    let deals = json!({ "deals": vec![json!({"name": "n", "price": "1.10", "url": "https://x"}); 1_000] });
    let template = "{{#each deals}}{{#if (gt @index 998)}}{{name}} {{money price \"EUR\"}} {{url url}} {{@key}}{{/if}}{{/each}}";
    let template = template.replace(" {{@key}}", "");
    assert_eq!(outcome(&sms(&template), &deals).unwrap(), "n €1.10 https://x");
}

/// A template that does work in a loop in a loop.
fn looped(work: &str) -> TemplateSet {
    let template = format!("{{{{#each a}}}}{{{{#each ../a}}}}{work}{{{{/each}}}}{{{{/each}}}}x");
    let set = texts(sms(&template), "m = { $s } { $s } { $s }\n".to_owned());
    let by_name = [
        ("empty", String::new()),
        ("block", "{{> @partial-block}}".to_owned()),
    ];
    partials(set, &by_name)
}

/// Data for [`looped`]: a list of this length, and texts of this length.
fn sized(items: usize, bytes: usize) -> Value {
    let long = "x".repeat(bytes);
    json!({ "a": vec![1; items], "s": long, "o": {"k": vec![long; 2]}, "n": 1 })
}

#[test]
fn every_kind_of_work_in_a_loop_is_paid_for() {
    let bare = looped("");
    let fits = |items: &usize| code(&bare, &sized(*items, 0)) == "ok";
    // The longest list whose loops alone stay within the budget. Any further step in each round exceeds it.
    let (mut items, mut too_many) = (1, 4_000);
    assert!(fits(&items) && !fits(&too_many));
    while too_many - items > 1 {
        let middle = usize::midpoint(items, too_many);
        if fits(&middle) {
            items = middle;
        } else {
            too_many = middle;
        }
    }
    let data = sized(items, 0);
    for work in [
        "{{#if 1}}{{/if}}",
        "{{#with ../../n as |w|}}{{/with}}",
        "{{> empty}}",
        "{{> empty ../../o s=../../n}}",
        "{{#> block}}{{/block}}",
        "{{../../n}}",
        "{{lookup ../../a 0}}",
        "{{number ../../n}}",
        "{{t \"m\" s=../../n}}",
    ] {
        assert_eq!(code(&looped(work), &data), "template-budget", "{work}");
    }
}

#[test]
fn work_on_texts_is_paid_for_by_their_length() {
    for work in [
        "{{#if (eq ../../o ../../o)}}{{/if}}",
        "{{#if (eq ../../s ../../s)}}{{/if}}",
        "{{#if (lt ../../s ../../s)}}{{/if}}",
        "{{#if (len ../../s)}}{{/if}}",
        "{{#if (encode ../../s)}}{{/if}}",
        "{{#if (encode ../../o.k.[0])}}{{/if}}",
        "{{#if (t \"m\" s=../../s)}}{{/if}}",
    ] {
        let set = looped(work);
        assert_eq!(code(&set, &sized(20, 1)), "ok", "{work} with short texts");
        assert_eq!(code(&set, &sized(20, 200_000)), "template-budget", "{work}");
    }
}

#[test]
fn a_helper_refuses_a_long_text_that_is_none_of_its_values_before_the_budget_is_spent() {
    for work in [
        "{{date ../../s}}",
        "{{number ../../s}}",
        "{{money ../../s \"EUR\"}}",
        "{{url ../../s}}",
    ] {
        let template = format!("{{{{#each a}}}}{{{{#each ../a}}}}{work}{{{{/each}}}}{{{{/each}}}}");
        assert_eq!(code(&sms(&template), &list()), "template-bad-value", "{work}");
    }
}

#[test]
fn partials_that_multiply_each_other_are_stopped() {
    let names = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];
    let including = |call: fn(&str) -> String| {
        let text = |index: usize| match index {
            7 => String::new(),
            _ => call(names[index + 1]).repeat(20),
        };
        names
            .iter()
            .enumerate()
            .map(|(index, name)| (*name, text(index)))
            .collect::<Vec<_>>()
    };
    let plain = including(|name| format!("{{{{> {name}}}}}"));
    assert_eq!(
        code(&partials(sms("{{> p0}}"), &plain), &list()),
        "template-budget"
    );
    let with_data = including(|name| format!("{{{{> {name} @root.o a=a s=s}}}}"));
    assert_eq!(
        code(&partials(sms("{{> p0}}"), &with_data), &list()),
        "template-budget"
    );
    // Each partial runs the block that it is given sixteen times.
    let doubling: Vec<_> = names
        .iter()
        .map(|name| (*name, "{{> @partial-block}}{{> @partial-block}}".repeat(8)))
        .collect();
    let open = names.map(|name| format!("{{{{#> {name}}}}}")).concat();
    let mut names = names;
    names.reverse();
    let close = names.map(|name| format!("{{{{/{name}}}}}")).concat();
    let set = partials(sms(&format!("{open}{close}")), &doubling);
    assert_eq!(code(&set, &list()), "template-budget");
}

#[test]
fn texts_that_multiply_each_other_are_stopped() {
    let levels = |prefix: &str, call: &str| {
        let line = |level: usize| match level {
            0 => format!("{prefix}l0 = ha\n"),
            _ => format!(
                "{prefix}l{level} = {}\n",
                format!("{{ {prefix}l{}{call} }}", level - 1).repeat(10)
            ),
        };
        (0..10).map(line).collect::<Vec<_>>().concat()
    };
    assert_eq!(
        code(&texts(sms("{{t \"l9\"}}"), levels("", "")), &json!({})),
        "template-budget"
    );
    let terms = format!("{}m = {{ -l9 }}\n", levels("-", "(a: \"b\")"));
    assert_eq!(
        code(&texts(sms("{{t \"m\"}}"), terms), &json!({})),
        "template-budget"
    );
    let variants = (0..5_000)
        .map(|n| format!("    [{n}] {n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let select = format!("m = {{ $n ->\n{variants}   *[other] x\n }}\n");
    let looped = "{{#each a}}{{#if (t \"m\" n=\"7000\")}}{{/if}}{{/each}}";
    assert_eq!(code(&texts(sms(looped), select), &list()), "template-budget");
}

#[test]
fn a_text_of_the_greatest_length_and_100_000_keys_are_accepted() {
    let wide: serde_json::Map<_, _> = (0..100_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let data = Value::Object(wide);
    assert_eq!(
        outcome(&sms("{{k99999}} {{len this}}"), &data).unwrap(),
        "99999 100002"
    );
    let counted = "{{#each this}}{{#if @last}}{{@index}}{{/if}}{{/each}}";
    assert_eq!(code(&sms(counted), &data), "ok");
    let deep = (0..100).fold(json!("end"), |inner, _| json!([inner]));
    assert!(
        outcome(&sms("{{x}}"), &json!({ "x": deep }))
            .unwrap()
            .contains("end")
    );
}

#[test]
fn a_template_of_ten_megabytes_or_with_ten_thousand_blocks_is_refused_when_it_is_published() {
    for text in [
        "x".repeat(10 * 1024 * 1024),
        "{{#if a}}".repeat(10_000),
        format!("{}{}", "{{#if a}}".repeat(500), "{{/if}}".repeat(500)),
        format!("{{{{t {}x{}}}}}", "(t ".repeat(900), ")".repeat(900)),
    ] {
        let errors = Engine::validate(&sms(&text)).errors;
        assert_eq!(errors[0].code, "syntax");
    }
}

/// Renders a template over data of 4,000 items, a text of 200,000 bytes, and the given fields.
fn outcome_of_large(template: &str, fields: &str) -> Result<String, RenderError> {
    let set = texts(sms(template), "m = { $s }\n".to_owned());
    let engine = Engine::compile(&set);
    assert_eq!(engine.issues(), []);
    let (items, text) = (vec!["1"; 4_000].join(","), "x".repeat(200_000));
    let data = format!("{{\"a\":[{items}],\"s\":\"{text}\",\"u\":\"{text}\",{fields}}}");
    let rendered = engine.render(&request(Channel::Sms, &data))?;
    match rendered.content {
        Content::Sms { text } => Ok(text),
        other => panic!("{other:?}"),
    }
}

fn assert_ends_by_its_steps(template: &str, fields: &str) {
    let error = outcome_of_large(template, fields).unwrap_err();
    assert_eq!(error.code(), "template-budget", "{template}: {error}");
    assert!(error.to_string().contains(" steps"), "{template}: {error}");
}

#[test]
fn comparing_long_numbers_costs_steps_in_proportion_to_their_digits() {
    let (b, c) = ("7".repeat(115_000), format!("{}8", "7".repeat(114_999)));
    let texts = format!("\"b\":\"{b}\",\"c\":\"{c}\"");
    let fractions = format!("\"b\":0.{b},\"c\":0.{c}");
    for fields in [&texts, &fractions] {
        for helper in ["gt", "gte", "lt", "lte", "eq", "ne"] {
            let template =
                format!("{{{{#each a}}}}{{{{#if ({helper} ../b ../c)}}}}y{{{{/if}}}}{{{{/each}}}}x");
            assert_ends_by_its_steps(&template, fields);
        }
    }
    // The same work is within the budget if it is done once.
    for fields in [&texts, &fractions] {
        assert_eq!(
            outcome_of_large("{{#if (lt b c)}}less{{/if}}", fields).unwrap(),
            "less"
        );
    }
}

#[test]
fn each_helper_pays_for_the_size_of_its_inputs() {
    let digits = "0".repeat(100_000);
    let key = "k".repeat(100_000);
    let fields = format!(
        "\"n\":0.{digits}1,\"z\":0.{digits},\"l\":[0.{digits}1],\"k\":\"{key}\",\"o\":{{\"{key}\":1}},\
         \"link\":\"https://x/{key}\",\"w\":\"{}1\"",
        " ".repeat(100_000)
    );
    for work in [
        "(eq ../s ../u)",
        "(ne ../s ../u)",
        "(lt ../s ../u)",
        "(gt ../s 1)",
        "(eq ../w 2)",
        "(eq ../n 1)",
        "(eq ../l ../l)",
        "(eq ../o ../o)",
        "(gte ../n 1)",
        "../n",
        "(not ../z)",
        "(and ../n 0)",
        "(or ../z 1)",
        "(len ../s)",
        "(encode ../s)",
        "(encode ../n)",
        "(encode ../l)",
        "(url ../link)",
        "(lookup ../o ../k)",
        "(number ../w)",
        "(money ../w \"EUR\")",
        "(t \"m\" s=../s)",
        "(t \"m\" s=../n)",
        "(t \"m\" s=../l)",
    ] {
        assert_ends_by_its_steps(
            &format!("{{{{#each a}}}}{{{{#if {work}}}}}{{{{/if}}}}{{{{/each}}}}x"),
            &fields,
        );
    }
    assert_ends_by_its_steps("{{#each a}}{{#with ../n}}{{/with}}{{/each}}x", &fields);
    assert_ends_by_its_steps("{{#each a}}{{#each ../o}}{{/each}}{{/each}}x", &fields);
    assert_ends_by_its_steps(
        "{{#each o}}{{#each @root.a}}{{#if @../key}}{{/if}}{{/each}}{{/each}}x",
        &fields,
    );
    // A text that is no date, and a number that is too long, end the message at once.
    for (work, expected) in [
        ("{{date s}}", "a date"),
        ("{{number n}}", "a number of at most 1000 characters"),
        ("{{number z}}", "a number of at most 1000 characters"),
        ("{{money n \"EUR\"}}", "a number of at most 1000 characters"),
    ] {
        let error = outcome_of_large(work, &fields).unwrap_err();
        assert_eq!(error.code(), "template-bad-value", "{work}");
        assert!(error.to_string().contains(expected), "{work}: {error}");
    }
}

#[test]
fn a_text_of_more_than_1_000_characters_is_not_numeric() {
    let of = |length: usize| format!("\"n\":\"{}7\"", "0".repeat(length - 1));
    let template = "{{#if (eq n 7)}}seven{{else}}text{{/if}}";
    assert_eq!(outcome_of_large(template, &of(1_000)).unwrap(), "seven");
    assert_eq!(outcome_of_large(template, &of(1_001)).unwrap(), "text");
}
