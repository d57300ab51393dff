//! Files of texts in people's languages.

use std::{fmt::Write as _, time::Instant};

use serde_json::json;

use super::*;

#[test]
fn a_literal_with_which_a_text_always_fails_is_refused_with_its_line() {
    for (ftl, sentence) in [
        (
            "k = { NUMBER(\"abc\") }\n",
            "k (en): expected \"abc\" to be a number",
        ),
        (
            "k =\n    .a = { DATETIME(\"2026-02-30\") }\n",
            "k.a (en): expected \"2026-02-30\" to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "k = { DATETIME(5) }\n",
            "k (en): expected \"5\" to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "k = { DATETIME(NUMBER($n)) }\n",
            "k (en): DATETIME takes no result of NUMBER: expected a variable or a literal",
        ),
        (
            "k = { NUMBER(DATETIME($n)) }\n",
            "k (en): NUMBER takes no result of DATETIME: expected a variable or a literal",
        ),
        (
            "-t = { NUMBER($n) }\nk = { -t(n: \"abc\") }\n",
            "k (en): expected $n to be a number",
        ),
        (
            "k = { NUMBER(\"abc\") ->\n    *[other] x\n }\n",
            "k (en): expected \"abc\" to be a number",
        ),
    ] {
        let refusals = refusals(&with_texts("x", &[("en", ftl)]));
        let said: Vec<_> = refusals.iter().map(|it| (it.code, it.message.as_str())).collect();
        assert_eq!(said, [("bad-literal", sentence)], "{ftl}");
        assert_eq!(refusals[0].template, "locales/en");
        assert!(refusals[0].line.is_some());
    }
    let fine = "k = { NUMBER(\"5\") } { NUMBER(NUMBER($n)) } { DATETIME(\"2026-01-01\") }\n\
                -t = { NUMBER($n) }\nl = { -t(n: 5) }\n";
    assert_eq!(refusals(&with_texts("x", &[("en", fine)])), []);
}

#[test]
fn a_wrong_value_of_a_text_has_the_pointer_of_the_value_in_the_event() {
    let texts = "k = { NUMBER($n) }\nd = { DATETIME($n, dateStyle: \"long\") }\n";
    for template in ["{{t \"k\" n=order.n}}", "{{t \"d\" n=order.n}}"] {
        let set = with_texts(template, &[("en", texts)]);
        let error = render(&set, r#"{"order": {"n": "many"}}"#).unwrap_err();
        assert_eq!(error.pointer(), "/data/order/n", "{error}");
    }
}

#[test]
fn a_text_that_cannot_be_read_is_named_once() {
    for ftl in [
        "k = { $x\nother = fine\n",
        "k = { UPPER($x) }\n",
        "k = { NUMBER($x, unit: \"litre\") }\n",
        "k = { $x ->\n    [one] x\n }\n",
        "k = { $x\n    .short = short\n",
        "k = { $x\nuser = { k } { k.short }\n",
        "k = { $x\n-t = { k }\nuser = { -t }\n",
    ] {
        for template in ["{{t \"k\" x=x}}", "Hello {{t \"k.short\" x=x}}"] {
            if template.contains("short") && !ftl.contains("$x\n") {
                continue;
            }
            let locales = [("en", ftl), ("de", "other = gut\n"), ("fr", ftl)];
            let refusals = refusals(&with_texts(template, &locales));
            let places: Vec<_> = refusals.iter().map(|it| (&*it.template, it.line)).collect();
            assert_eq!(
                places,
                [("locales/en", Some(1)), ("locales/fr", Some(1))],
                "{ftl} {template}: {refusals:?}"
            );
        }
    }
    let refused = refusals(&with_texts(
        "{{t \"k\"}}",
        &[("en", &format!("k = {}", "{".repeat(9_000)))],
    ));
    assert_eq!(refused.len(), 1, "{refused:?}");
    // A text that is not defined at all is still reported.
    let missing = refusals(&with_texts("{{t \"gone\"}}", &[("en", "k = { $x\n")]));
    let codes: Vec<_> = missing.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["syntax", "unknown-key"]);
}

#[test]
fn every_error_of_a_file_has_its_line() {
    let ftl = "a = 1\n\n# remark\nb = { $x\n\nc = 3\nd = {}\ne = { F($x) }\na = 2\n";
    let refusals = refusals(&with_texts("x", &[("en", ftl)]));
    let lines: Vec<_> = refusals.iter().filter_map(|it| it.line).collect();
    assert_eq!(lines, [4, 7, 8, 9], "{refusals:?}");
}

/// A chain of texts that refer to each other.
fn chain(count: usize) -> String {
    let mut ftl = "m0 = end\n".to_owned();
    for n in 1..count {
        writeln!(ftl, "m{n} = {{ m{} }}", n - 1).unwrap();
    }
    ftl
}

#[test]
fn texts_refer_to_each_other_64_deep_and_deeper_ones_are_refused_once() {
    let fine = with_texts("{{t \"m63\"}}", &[("en", &chain(64))]);
    assert_eq!(refusals(&fine), []);
    assert_eq!(
        render(&fine, "{}").unwrap(),
        Content::Sms {
            text: "end".to_owned()
        }
    );
    let deep = refusals(&with_texts("{{t \"m9999\"}}", &[("en", &chain(10_000))]));
    let said: Vec<_> = deep.iter().map(|it| (it.code, it.line)).collect();
    assert_eq!(said, [("deep-reference", Some(65))], "{deep:?}");
    assert!(
        deep[0]
            .message
            .starts_with("m64 (en): expected texts and selections nested at most 64 deep")
    );
    // Selections take levels, too.
    let mut selecting = "m0 = end\n".to_owned();
    for n in 1..40 {
        writeln!(selecting, "m{n} = {{ $x ->\n   *[a] {{ m{} }}\n }}", n - 1).unwrap();
    }
    let codes: Vec<_> = refusals(&with_texts("x", &[("en", &selecting)]))
        .into_iter()
        .map(|it| it.code)
        .collect();
    assert_eq!(codes, ["deep-reference"]);
}

#[test]
fn reading_and_judging_texts_takes_time_in_proportion_to_their_number() {
    let time = |count: usize| {
        let ftl = chain(count);
        let started = Instant::now();
        let refusals = refusals(&with_texts("x", &[("en", &ftl)]));
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        started.elapsed()
    };
    let (few, many) = (time(4_000), time(40_000));
    assert!(many < few * 40, "{few:?} for 4,000 texts and {many:?} for 40,000");
}

#[test]
fn files_of_one_locale_are_refused_and_both_are_named() {
    for (one, other) in [("fr-CA", "fr_CA"), ("he", "iw"), ("fr-CA", "fr-ca")] {
        let set = with_texts("x", &[(one, "k = a\n"), (other, "k = b\n")]);
        let refusals = refusals(&set);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].code, "duplicate-locale");
        for tag in [one, other] {
            assert!(refusals[0].message.contains(tag), "{refusals:?}");
        }
    }
    let mut set = set(Channel::Sms, &[("text", "x")]);
    for tag in ["fr-CA", "fr_CA"] {
        set.templates.push(TemplateDef {
            locale: Some(tag.to_owned()),
            ..set.templates[0].clone()
        });
    }
    let refusals = refusals(&set);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(refusals[0].message.contains("fr-CA and fr_CA"), "{refusals:?}");
    assert_eq!(
        super::refusals(&with_texts("x", &[("fr", "k = a\n"), ("fr-CA", "k = b\n")])),
        []
    );
}

#[test]
fn a_number_with_white_space_around_it_selects_as_a_number_as_it_compares_as_one() {
    let texts = "k = { $n ->\n    [1] exactly\n    [one] one\n   *[other] other\n }, { NUMBER($n) ->\n    [one] one\n   *[other] other\n }\n";
    let set = with_texts(
        "{{t \"k\" n=n}} {{#if (eq n 1)}}equal{{/if}} {{number n}}",
        &[("en", texts)],
    );
    for n in [" 1", "1 ", "1\n", "1"] {
        let said = render(&set, &json!({ "n": n }).to_string()).unwrap();
        assert_eq!(
            said,
            Content::Sms {
                text: "exactly, one equal 1".to_owned()
            },
            "{n:?}"
        );
    }
    for n in ["1 1", " ", "\u{200b}1", "+1"] {
        let set = with_texts(
            "{{t \"k\" n=n}}",
            &[("en", "k = { $n ->\n    [one] one\n   *[other] other\n }\n")],
        );
        let said = render(&set, &json!({ "n": n }).to_string()).unwrap();
        assert_eq!(
            said,
            Content::Sms {
                text: "other".to_owned()
            },
            "{n:?}"
        );
    }
}
