//! Values at the edge of what a template takes: numbers of any size, empty values, HTML that turns out blank, and the
//! variables that stand for all data.

use serde_json::json;

use super::*;

#[test]
fn a_number_within_the_bounds_is_written_and_any_other_is_refused_with_them() {
    let bounds = "a number below 1e30 (without its sign) that is 0 or at least 1e-30";
    for (number, written) in [
        ("0", "0"),
        ("0e999", "0"),
        ("1e3", "1,000"),
        ("-9.5e2", "-950"),
        ("1e-7", "0.0000001"),
        ("9.99e29", "999,000,000,000,000,000,000,000,000,000"),
        ("0.0000001e8", "10"),
    ] {
        let data: Value = serde_json::from_str(&format!(r#"{{"n": {number}}}"#)).unwrap();
        assert_eq!(data["n"].as_f64(), number.parse().ok(), "{number}");
        for as_text in [false, true] {
            let shown = if as_text {
                format!("\"{number}\"")
            } else {
                number.to_owned()
            };
            let set = set(Channel::Sms, &[("text", "{{number n}}|{{money n \"EUR\"}}")]);
            let Content::Sms { text } = render(&set, &format!(r#"{{"n": {shown}}}"#)).unwrap() else {
                panic!("{number}")
            };
            let (number, money) = text.split_once('|').unwrap();
            assert_eq!(number, written);
            assert!(money.contains('€'), "{money}");
        }
    }
    for number in [
        "1e300",
        "-1e300",
        "1e30",
        "1e-300",
        "1e400",
        "1e99999999999999999999",
        &"9".repeat(31),
    ] {
        // A number that is no binary fraction is no JSON that an event may have.
        let values = [number.to_owned(), format!("\"{number}\"")];
        let is_json = number.parse().is_ok_and(f64::is_finite);
        for value in values.iter().skip(usize::from(!is_json)) {
            for template in ["{{number n}}", "{{money n \"EUR\"}}"] {
                let set = set(Channel::Sms, &[("text", template)]);
                let error = render(&set, &format!(r#"{{"n": {value}}}"#)).unwrap_err();
                assert_eq!(error.pointer(), "/data/n", "{value}");
                assert_eq!(
                    error.to_string(),
                    format!("A/sms (text line 1) expects n to be {bounds}"),
                    "{value}"
                );
            }
        }
    }
    let refused = refusals(&set(Channel::Sms, &[("text", "{{number \"1e300\"}}")]));
    assert_eq!(refused[0].message, format!("expected \"1e300\" to be {bounds}"));
    let schema = json!({"properties": {"n": {"const": 1e300}}});
    let engine = Engine::compile(&set(Channel::Sms, &[("text", "{{number n}}")]));
    let found = engine.unfit_parts(&set(Channel::Sms, &[("text", "{{number n}}")]), |_| Some(&schema));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_percentage_is_written_of_every_number_within_the_bounds() {
    let set = with_texts(
        "{{t \"share\" n=n}}",
        &[("en", "share = { NUMBER($n, style: \"percent\") }\n")],
    );
    let engine = Engine::compile(&set);
    let rendered = engine
        .render(&request(Channel::Sms, r#"{"n": 9.99e29}"#))
        .unwrap();
    let Content::Sms { text } = rendered.content else {
        panic!()
    };
    assert_eq!(text, "99,900,000,000,000,000,000,000,000,000,000%");
}

#[test]
fn with_writes_nothing_of_an_empty_value_and_an_absent_one_is_an_error_that_names_it() {
    for empty in [json!(""), json!(null), json!(false), json!([])] {
        let data = json!({"s": empty});
        assert_eq!(sms("a{{#with s}}b{{/with}}", &data).unwrap(), "a", "{data}");
        assert_eq!(
            sms("a{{#with s}}b{{else}}c{{/with}}", &data).unwrap(),
            "ac",
            "{data}"
        );
    }
    assert_eq!(
        sms("a{{#with s}}b{{this}}{{/with}}", &json!({"s": "x"})).unwrap(),
        "abx"
    );
    assert_eq!(sms("a{{#with s}}b{{else}}c{{/with}}", &json!({})).unwrap(), "ac");
    let error = sms("a{{#with s}}b{{/with}}", &json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "A/sms (text line 1) needs the variable s, which the event does not carry"
    );
    for template in ["a{{#with s}}b{{/with}}", "a{{#with \"\"}}b{{/with}}"] {
        let set = set(Channel::Sms, &[("text", template)]);
        assert_eq!(refusals(&set), [], "{template}");
        let schema = json!({"properties": {"s": {"const": ""}}});
        assert_eq!(
            Engine::compile(&set).unfit_parts(&set, |_| Some(&schema)),
            [],
            "{template}"
        );
    }
}

#[test]
fn html_that_turns_out_blank_is_left_out_beside_a_text_and_no_blank_mail_is_sent() {
    let layout = (
        "layout",
        "<html><head><style>p { color: red }</style></head><body>{{> @partial-block}}</body></html>",
    );
    let mail = |text, html, data: &Value| {
        let mut set = set(
            Channel::Email,
            &[("subject", "s"), ("text", text), ("html", html)],
        );
        set.partials.push(PartialDef {
            name: layout.0.to_owned(),
            parts: Parts::from([("html".to_owned(), layout.1.to_owned())]),
        });
        let engine = Engine::compile(&set);
        assert_eq!(engine.issues(), []);
        // Twice, because the second message may rely on results that the first one has cached for the template.
        let both = [(); 2].map(|()| engine.render(&request(Channel::Email, &data.to_string())));
        assert_eq!(both[0], both[1]);
        match both[0].clone() {
            Ok(rendered) => match rendered.content {
                Content::Email { html, .. } => Ok(html),
                other => panic!("{other:?}"),
            },
            Err(error) => Err(error.code()),
        }
    };
    let data = json!({"note": "", "name": "Ada", "list": [], "yes": true});
    for (html, is_sent) in [
        ("<p>{{note}}</p>", false),
        ("<p>{{name}}</p>", true),
        ("<p>{{#if note}}x{{/if}}</p>", false),
        ("<p {{#if note}}hidden{{/if}}>x</p>", true),
        ("<p {{#if name}}hidden{{/if}}>x</p>", false),
        ("{{#if yes}}<div hidden>{{/if}}x", false),
        ("{{#each list}}x{{/each}}", false),
        ("{{#each list}}x{{else}}y{{/each}}", true),
        ("{{#with name}}<b>{{this}}</b>{{/with}}", true),
        ("{{#> layout}}<p>{{note}}</p>{{/layout}}", false),
        ("{{#> layout}}<p>Hello {{note}}</p>{{/layout}}", true),
        (
            "{{#> layout}}{{#if note}}<p>{{note}}</p>{{/if}}Hello{{/layout}}",
            true,
        ),
        ("<img src=\"https://example.com/a.png\" alt=\"{{note}}\">", true),
    ] {
        assert_eq!(
            mail("text", html, &data).map(|html| html.is_some()),
            Ok(is_sent),
            "{html}"
        );
        let alone = if is_sent { Ok(true) } else { Err("template-blank") };
        assert_eq!(
            mail("{{note}}", html, &data).map(|html| html.is_some()),
            alone,
            "{html}"
        );
    }
}

#[test]
fn root_alone_is_the_whole_data() {
    let data = json!({"a": "x", "list": [1, 2]});
    assert_eq!(sms("{{#with @root}}{{a}}{{/with}}", &data).unwrap(), "x");
    assert_eq!(
        sms("{{#each list}}{{lookup @root \"a\"}}{{/each}}", &data).unwrap(),
        "xx"
    );
    let engine = Engine::compile(&set(Channel::Sms, &[("text", "{{@root}}")]));
    let found = engine.unfit_parts(&set(Channel::Sms, &[("text", "{{@root}}")]), |_| None);
    let said: Vec<_> = found.iter().map(|it| (it.code, it.message.as_str())).collect();
    assert_eq!(
        said,
        [("object-as-text", "@root is an object: expected one of its fields")]
    );
    assert_eq!(
        sms("{{@root}}", &data).unwrap_err().to_string(),
        "A/sms (text line 1) expects @root to be a text, a number, true or false, or a list of these, not an object"
    );
}

#[test]
fn a_key_of_no_text_is_named_by_its_variable_and_its_value_is_not_repeated() {
    let engine = Engine::compile(&with_texts("{{t s}}", &[("en", "hello = Hello\n")]));
    let said = |data: &str| {
        engine
            .render(&request(Channel::Sms, data))
            .map(|_| ())
            .unwrap_err()
    };
    let error = said(r#"{"s": "secret"}"#);
    assert_eq!(error.pointer(), "/data/s");
    assert_eq!(
        error.to_string(),
        "A/sms (text line 1) expects s to be the key of a text in locales/"
    );
    let error = said(r#"{"s": 5}"#);
    assert_eq!(
        error.to_string(),
        "A/sms (text line 1) expects s to be the key of a text"
    );
    assert!(engine.render(&request(Channel::Sms, r#"{"s": "hello"}"#)).is_ok());
}
