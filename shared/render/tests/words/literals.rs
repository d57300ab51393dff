//! Templates that fail with any data, which the publish gate refuses.

use super::*;

/// The refusals of a text message: code, pointer, line and sentence.
fn refused(template: &str) -> Vec<(&'static str, String, Option<usize>, String)> {
    let set = set(Channel::Sms, &[("text", template)]);
    let issues = refusals(&set).into_iter();
    issues
        .map(|issue| (issue.code, issue.pointer(), issue.line, issue.message))
        .collect()
}

#[test]
fn a_literal_that_always_fails_is_refused_with_part_line_and_the_expected_value() {
    for (call, sentence) in [
        (
            "{{date \"2026-02-30\"}}",
            "expected \"2026-02-30\" to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{date 5}}",
            "expected 5 to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{date \"2026-01-01\" \"time\"}}",
            "expected \"2026-01-01\" to be a date with its time (2026-11-24T10:00:00Z), because the time is written",
        ),
        (
            "{{date \"2026-01-01\" \"wide\"}}",
            "expected \"wide\" to be a date style: short, long, full, time or datetime",
        ),
        (
            "{{money 5 \"E\"}}",
            "expected \"E\" to be an ISO 4217 code such as EUR",
        ),
        (
            "{{money \"five\" \"EUR\"}}",
            "expected \"five\" to be an amount such as 129.90",
        ),
        ("{{number \"abc\"}}", "expected \"abc\" to be a number"),
        ("{{number true}}", "expected true to be a number"),
        (
            "{{url \"javascript:x\"}}",
            "expected \"javascript:x\" to be a link that begins with https://, http://, mailto: or tel:",
        ),
        (
            "{{len 5}}",
            "expected 5 to be a list, an object or a text, which have a length",
        ),
        ("{{t 5}}", "expected 5 to be the key of a text"),
        ("{{#each 5}}x{{/each}}", "expected 5 to be a list or an object"),
        (
            "{{lookup \"abc\" 7}}",
            "expected lookup \"abc\" 7 to find a value",
        ),
        (
            "{{number (len 5)}}",
            "expected 5 to be a list, an object or a text, which have a length",
        ),
        (
            "{{number (encode \"a b\")}}",
            "expected encode \"a b\" to be a number",
        ),
    ] {
        let expected = (
            "bad-literal",
            "/parts/text".to_owned(),
            Some(2),
            sentence.to_owned(),
        );
        assert_eq!(refused(&format!("Hello\n{call}")), [expected], "{call}");
    }
}

#[test]
fn a_literal_beside_a_variable_is_judged_too() {
    for (call, says) in [
        ("{{money price \"E\"}}", "expected \"E\" to be an ISO 4217 code"),
        ("{{money \"five\" currency}}", "expected \"five\" to be an amount"),
        ("{{date at \"wide\"}}", "expected \"wide\" to be a date style"),
        ("{{date at 7}}", "expected 7 to be a date style"),
        (
            "{{date \"2026-13-01\" style}}",
            "expected \"2026-13-01\" to be a date",
        ),
        (
            "{{#if x}}{{number \"abc\"}}{{/if}}",
            "expected \"abc\" to be a number",
        ),
        (
            "{{#each x}}{{else}}{{number \"abc\"}}{{/each}}",
            "expected \"abc\" to be a number",
        ),
        ("{{#if (gt (len 5) x)}}x{{/if}}", "expected 5 to be a list"),
        (
            "{{t \"k\" n=(number \"abc\")}}",
            "expected \"abc\" to be a number",
        ),
    ] {
        let set = with_texts(&format!("Hello {call}"), &[("en", "k = { $n }\n")]);
        let refusals = refusals(&set);
        assert_eq!(refusals.len(), 1, "{call}: {refusals:?}");
        assert!(refusals[0].message.starts_with(says), "{call}: {refusals:?}");
        assert_eq!((refusals[0].code, refusals[0].line), ("bad-literal", Some(1)));
    }
}

#[test]
fn a_literal_that_works_passes_the_gate() {
    for call in [
        "{{date \"2026-02-28\"}}",
        "{{date \"2026-02-28T10:00:00Z\" \"time\"}}",
        "{{date at}}",
        "{{date at style}}",
        "{{money 5 \"EUR\"}}",
        "{{money \"129.90\" currency}}",
        "{{number \"1e3\"}}",
        "{{url \"https://shop.example\"}}",
        "{{len \"abc\"}}",
        "{{#each x}}{{lookup ../y \"z\"}}{{/each}}",
        "{{#if (lookup \"abc\" 7)}}x{{/if}}",
        "{{#if (eq (len x) 0)}}x{{/if}}",
        "{{#with \"\"}}x{{else}}y{{/with}}",
    ] {
        assert_eq!(refused(&format!("Hello {call}")), [], "{call}");
    }
}

#[test]
fn a_wrong_literal_of_a_partial_is_refused_where_it_stands() {
    let mut set = set(Channel::Sms, &[("text", "Hello {{> row}}")]);
    set.partials.push(PartialDef {
        name: "row".to_owned(),
        parts: Parts::from([("text".to_owned(), "\n{{number \"abc\"}}".to_owned())]),
    });
    let refusals = refusals(&set);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(
        refusals[0].to_string(),
        "partials/row text line 2: expected \"abc\" to be a number"
    );
}

#[test]
fn a_part_that_is_blank_with_any_data_is_refused() {
    for blank in [
        "",
        " \n\t ",
        "\u{a0}\u{200b}",
        "{{! a remark }} ",
        "{{#if x}} {{else}}\n{{/if}}",
        "{{#each list}} {{/each}}",
        "{{#with x}}{{else}} {{/with}}",
        "{{encode \"\"}}",
        "{{t \"nothing\"}}",
        "{{> blank}}",
        "{{#> around}} {{/around}}",
    ] {
        let mut set = with_texts(blank, &[("en", "nothing = {\"\"}\n")]);
        for (name, text) in [
            ("blank", " {{#if x}} {{/if}}"),
            ("around", " {{> @partial-block}}"),
        ] {
            set.partials.push(PartialDef {
                name: name.to_owned(),
                parts: Parts::from([("text".to_owned(), text.to_owned())]),
            });
        }
        let refusals = refusals(&set);
        assert_eq!(refusals.len(), 1, "{blank:?}: {refusals:?}");
        assert_eq!(
            (refusals[0].code, &*refusals[0].pointer()),
            ("blank", "/parts/text")
        );
        assert_eq!(
            refusals[0].to_string(),
            "A/sms text: it is always blank: expected at least one visible character"
        );
    }
    let mail = set(Channel::Email, &[("subject", " "), ("text", "x")]);
    let refusals = refusals(&mail);
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].pointer(), "/parts/subject");
}

#[test]
fn a_part_that_shows_something_with_some_data_passes_the_gate() {
    for text in [
        "{{x}}",
        " {{#if x}}{{else}}y{{/if}}",
        "{{#each list}}.{{/each}}",
        "{{t \"some\"}}",
        "{{t \"named\" name=x}}",
        "{{#> around}}x{{/around}}",
    ] {
        let mut set = with_texts(text, &[("en", "some = text\nnamed = { $name }\n")]);
        set.partials.push(PartialDef {
            name: "around".to_owned(),
            parts: Parts::from([("text".to_owned(), " {{> @partial-block}}".to_owned())]),
        });
        assert_eq!(refusals(&set), [], "{text}");
    }
}

#[test]
fn a_mail_with_a_blank_text_and_blank_html_and_a_push_with_neither_title_nor_body_are_refused() {
    let mail = |text, html| {
        set(
            Channel::Email,
            &[("subject", "s"), ("text", text), ("html", html)],
        )
    };
    let push = |title, body| {
        set(
            Channel::Push,
            &[("title", title), ("body", body), ("data.x", "y")],
        )
    };
    let of_html = "it is always blank: expected at least one visible character, or an image";
    let both = "text and html are always blank: expected at least one visible character in one of them";
    for (set, pointer, sentence) in [
        (
            set(Channel::Email, &[("subject", "s"), ("text", " ")]),
            "/parts/text",
            "it is always blank: expected at least one visible character",
        ),
        (mail(" ", " "), "/parts/text", both),
        (
            mail("{{! }}", "<html><body>\n<p> </p></body></html>"),
            "/parts/text",
            both,
        ),
        (mail("", "{{#if x}}<p>{{else}}<div>{{/if}}"), "/parts/text", both),
        (
            mail("x", "<style>p { color: red }</style><p>&nbsp;</p>"),
            "/parts/html",
            of_html,
        ),
        (
            mail("x", "<title>{{x}}</title>{{#each a}}<br>{{/each}}"),
            "/parts/html",
            of_html,
        ),
        (
            mail("x", "<div style=\"display:none\">{{x}}</div>"),
            "/parts/html",
            of_html,
        ),
        (
            push(" ", "\n"),
            "/parts/body",
            "title and body are always blank: expected at least one visible character in one of them",
        ),
    ] {
        let refusals = refusals(&set);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(
            (refusals[0].code, &*refusals[0].pointer(), &*refusals[0].message),
            ("blank", pointer, sentence)
        );
    }
    for fine in [
        mail(" ", "<p>x</p>"),
        mail(" ", "<p>{{x}}</p>"),
        mail(" ", "<img src=\"https://shop.example/a.png\" alt=\"\">"),
        mail(" ", "1 < 2"),
        push("x", ""),
        push("", "{{x}}"),
    ] {
        assert_eq!(refusals(&fine), []);
    }
}

#[test]
fn a_part_whose_own_text_is_too_long_is_refused_with_any_variables() {
    let push =
        |body: &str, data: &str| set(Channel::Push, &[("title", "t"), ("body", body), ("data.x", data)]);
    let (long, half) = ("a".repeat(4_000), "a".repeat(1_900));
    let sms = format!("{{{{#if x}}}}{half}{{{{else}}}}{half}b{{{{/if}}}} {{{{name}}}}");
    for (set, pointer, sentence) in [
        (
            push(&long, "x"),
            "/parts/body",
            "title, body and data always have 4015 bytes: expected at most 3584",
        ),
        (
            push(&half, &half),
            "/parts/body",
            "title, body and data always have 3814 bytes: expected at most 3584",
        ),
        (
            push(&format!("{long}{{{{name}}}}"), "x"),
            "/parts/body",
            "title, body and data have at least 4015 bytes: expected at most 3584",
        ),
        (
            set(Channel::Sms, &[("text", &sms)]),
            "/parts/text",
            "it has at least 1900 characters: expected at most 1600",
        ),
        (
            set(
                Channel::Email,
                &[("subject", &format!("{half} {{{{x}}}}")), ("text", "t")],
            ),
            "/parts/subject",
            "it has at least 1900 bytes: expected at most 998",
        ),
    ] {
        let refusals = refusals(&set);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(
            (refusals[0].code, &*refusals[0].pointer(), &*refusals[0].message),
            ("too-long", pointer, sentence)
        );
    }
    for text in [
        format!("x{{{{#if x}}}}{half}{{{{/if}}}}"),
        format!("x{{{{#each list}}}}{half}{{{{/each}}}}"),
        format!("x{{{{! {half} }}}}"),
    ] {
        assert_eq!(refusals(&set(Channel::Sms, &[("text", &text)])), [], "{text:.40}");
    }
    assert_eq!(
        refusals(&push(&half, &format!("{{{{#if x}}}}{half}{{{{/if}}}}"))),
        []
    );
}

#[test]
fn a_parameter_that_a_helper_would_ignore_is_refused() {
    for (call, sentence) in [
        (
            "{{number n \"x\"}}",
            "the helper number takes 1 parameter, such as {{number count}}, not 2",
        ),
        (
            "{{date at \"short\" \"long\"}}",
            "the helper date takes 1 or 2 parameters, such as {{date at \"long\"}}, not 3",
        ),
        (
            "{{date at style=\"short\"}}",
            "the helper date takes no parameter style=",
        ),
        (
            "{{money a \"EUR\" \"x\"}}",
            "the helper money takes 2 parameters, such as {{money total \"EUR\"}}, not 3",
        ),
        (
            "{{t \"k\" n}}",
            "the helper t takes 1 parameter besides named ones, such as {{t \"key\" name=customer.name}}, not 2",
        ),
        (
            "{{encode (number n 2)}}",
            "the helper number takes 1 parameter, such as {{number count}}, not 2",
        ),
        (
            "{{#if (eq a b c)}}x{{/if}}",
            "the helper eq takes 2 parameters, such as {{#if (eq a b)}}…{{/if}}, not 3",
        ),
        (
            "{{#if a b}}x{{/if}}",
            "the helper if takes 1 parameter, such as {{#if gift}}…{{/if}}, not 2",
        ),
        (
            "{{#if a includeZeros=true}}x{{/if}}",
            "the helper if takes no parameter includeZeros=",
        ),
        (
            "{{#each a b}}x{{/each}}",
            "the helper each takes 1 parameter, such as {{#each items}}…{{/each}}, not 2",
        ),
        (
            "{{#with a x=b}}x{{/with}}",
            "the helper with takes no parameter x=",
        ),
        (
            "{{> row a b}}",
            "the partial row takes one value and named ones, such as {{> row order size=3}}, not 2 values",
        ),
    ] {
        let mut set = with_texts(&format!("Hello\n{call}"), &[("en", "k = text\n")]);
        set.partials.push(PartialDef {
            name: "row".to_owned(),
            parts: Parts::from([("text".to_owned(), "x".to_owned())]),
        });
        let found: Vec<_> = refusals(&set)
            .into_iter()
            .map(|it| (it.line, it.message))
            .collect();
        assert_eq!(found, [(Some(2), sentence.to_owned())], "{call}");
    }
    for fine in [
        "{{#if (and a b c)}}x{{/if}}{{#if 0 includeZero=true}}x{{/if}}",
        "{{t \"k\" a=b c=d}}{{date at \"short\"}}",
    ] {
        assert_eq!(refusals(&with_texts(fine, &[("en", "k = text\n")])), [], "{fine}");
    }
}

#[test]
fn a_text_that_is_blank_in_one_language_only_is_refused_with_that_language() {
    let set = with_texts("{{t \"k\"}}", &[("en", "k = text\n"), ("fr", "k = {\"\"}\n")]);
    let refusals = refusals(&set);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(
        refusals[0].message.contains("always blank in fr: "),
        "{refusals:?}"
    );
}

#[test]
fn a_constant_part_that_is_too_long_for_its_channel_is_refused() {
    let long = "a".repeat(1_601);
    let refusals = refusals(&set(Channel::Sms, &[("text", &long)]));
    assert_eq!(
        refusals[0].to_string(),
        "A/sms text: it always has 1601 characters: expected at most 1600"
    );
    let push = [("title", "t"), ("body", "b"), ("collapse", &*long)];
    let refused = super::refusals(&set(Channel::Push, &push));
    assert_eq!(
        (refused[0].code, &*refused[0].pointer()),
        ("too-long", "/parts/collapse")
    );
}

#[test]
fn judging_literals_takes_bounded_work() {
    let mut set = set(Channel::Sms, &[("text", "{{> p0}}")]);
    for level in 0..8 {
        let text = match level {
            7 => " ".to_owned(),
            _ => format!("{{{{> p{}}}}}", level + 1).repeat(40),
        };
        set.partials.push(PartialDef {
            name: format!("p{level}"),
            parts: Parts::from([("text".to_owned(), text)]),
        });
    }
    let started = std::time::Instant::now();
    assert_eq!(refusals(&set), []);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
