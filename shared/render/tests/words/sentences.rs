//! Sentences about files of texts that cannot be read, and about helpers with a wrong number of parameters.

use super::*;

/// The only issue of a file of texts: line, code and sentence.
fn issue(ftl: &str) -> (Option<usize>, &'static str, String) {
    let set = with_texts("x", &[("en", ftl)]);
    let mut found = refusals(&set);
    assert_eq!(found.len(), 1, "{ftl}: {found:?}");
    let issue = found.remove(0);
    (issue.line, issue.code, issue.message)
}

#[test]
fn an_unreadable_entry_is_named_with_the_expected_syntax_and_without_the_parsers_words() {
    for (ftl, says) in [
        (
            "hello Hello\n",
            "expected = behind the key of a text (here hello Hello)",
        ),
        (
            "hello = { $name\n",
            "expected } after the text that begins with { (here hello = { $name)",
        ),
        (
            "hello =\n",
            "expected a text or an attribute behind hello = (here hello =)",
        ),
        ("-shop =\n", "expected a text behind -shop = (here -shop =)"),
        (
            "hello = { name() }\n",
            "expected the name of a function in capital letters, such as NUMBER, before ( (here hello = { name() })",
        ),
        (
            "hello = { $n ->\n    [one] x\n    [other] y\n }\n",
            "expected one variant with * before it, such as *[other] (here hello = { $n ->)",
        ),
        (
            "hello = { $n ->\n   *[one] x\n   *[other] y\n }\n",
            "expected only one variant with * before it (here hello = { $n ->)",
        ),
        (
            "hello = { other ->\n   *[a] x\n }\n",
            "expected a variable such as $count before ->, not another text (here hello = { other ->)",
        ),
        (
            "hello = { -shop ->\n   *[a] x\n }\n",
            "expected a variable or a term's attribute before ->, not a term (here hello = { -shop ->)",
        ),
        (
            "hello = { \"x }\n",
            "expected \" at the end of a quoted text, in the same line (here hello = { \"x })",
        ),
        (
            "hello = { NUMBER(style: \"percent\", $n) }\n",
            "expected the value of a function before its options, such as NUMBER($n, style: \"percent\") (here hello = { NUMBER(style: \"percent\", $n) })",
        ),
        (
            "hello = { NUMBER($n, a: 1, a: 2) }\n",
            "expected the option a once (here hello = { NUMBER($n, a: 1, a: 2) })",
        ),
        ("hello = x }\n", "expected { before } (here hello = x })"),
        (
            "hello = { }\n",
            "expected a variable ($name), a key, a quoted text, a number or a function between { and } (here hello = { })",
        ),
        (
            "hello = { NUMBER($n, style: $s) }\n",
            "expected a quoted text or a number as the value of an option (here hello = { NUMBER($n, style: $s) })",
        ),
        ("%\n", "expected a key or name that begins with a letter (here %)"),
    ] {
        let (line, code, sentence) = issue(ftl);
        assert_eq!((line, code, &*sentence), (Some(1), "syntax", says), "{ftl}");
    }
    let (_, _, sentence) = issue("hello =\n\tHello\n");
    assert_eq!(
        sentence,
        "expected spaces at the beginning of a line, not a tab (here hello =)"
    );
    let long = format!("hello = {{ $name {}\n", "x".repeat(5_000));
    assert!(issue(&long).2.chars().count() < 200);
    let (_, _, sentence) = issue("hello = { \u{202e}$name }\n");
    assert!(
        !sentence.contains('\u{202e}') && sentence.contains("\\u202e"),
        "{sentence}"
    );
    let (line, code, sentence) = issue("a = 1\na = 2\n");
    assert_eq!(
        (line, code, &*sentence),
        (Some(2), "duplicate-key", "expected the key a once")
    );
}

#[test]
fn a_file_with_an_entry_that_cannot_be_read_has_no_issue_at_the_places_that_may_use_it() {
    for broken in [
        "hello Hello\n",
        "{\"hello\": \"Hello\", \"bye\": \"Bye\"}\n",
        "hello.short=Hello\n",
        "hello: Hello\n",
    ] {
        let template = "{{t \"hello\" name=x}} {{t \"bye\"}} {{t \"again\"}}";
        for locales in [
            [
                ("en", broken),
                ("fr", "hello = { $name }\nbye = { again }\nagain = { -shop }\n"),
            ],
            [("en", "hello = Hi\nbye = Bye\nagain = Again\n"), ("fr", broken)],
        ] {
            let set = with_texts(template, &locales);
            let file = locales.iter().find(|(_, ftl)| *ftl == broken).unwrap().0;
            let found = refusals(&set);
            let places: Vec<_> = found.iter().map(|it| it.template.as_str()).collect();
            assert_eq!(places, [format!("locales/{file}")], "{found:?}");
        }
    }
}

#[test]
fn a_wrong_number_of_parameters_is_answered_with_the_right_one_and_an_example() {
    for (template, says) in [
        (
            "{{money total}}",
            "the helper money takes 2 parameters, such as {{money total \"EUR\"}}, not 1",
        ),
        (
            "{{date a \"long\" 3}}",
            "the helper date takes 1 or 2 parameters, such as {{date at \"long\"}}, not 3",
        ),
        (
            "{{lookup list}}",
            "the helper lookup takes 2 parameters, such as {{lookup items 0}}, not 1",
        ),
        (
            "{{#if (gte a)}}x{{/if}}",
            "the helper gte takes 2 parameters, such as {{#if (gte a b)}}…{{/if}}, not 1",
        ),
        (
            "{{#if}}x{{/if}}",
            "the helper if takes 1 parameter, such as {{#if gift}}…{{/if}}, not 0",
        ),
        (
            "{{#each a b}}x{{/each}}",
            "the helper each takes 1 parameter, such as {{#each items}}…{{/each}}, not 2",
        ),
        (
            "{{t n=1}}",
            "the helper t takes 1 parameter besides named ones, such as {{t \"key\" name=customer.name}}, not 0",
        ),
    ] {
        let found = refusals(&with_texts(template, &[("en", "key = { $name }\n")]));
        let said: Vec<_> = found.iter().map(|it| (it.code, &*it.message)).collect();
        assert_eq!(said, [("misused-helper", says)], "{template}");
    }
}
