//! Numbers and numeric texts in conditions.

use super::*;

/// The conditions that hold for `a` and `b`, which are JSON.
fn holding(a: &str, b: &str) -> String {
    let template = "is:{{#if (lt a b)}} lt{{/if}}{{#if (lte a b)}} lte{{/if}}{{#if (eq a b)}} eq{{/if}}\
                    {{#if (gte a b)}} gte{{/if}}{{#if (gt a b)}} gt{{/if}}{{#if (ne a b)}} ne{{/if}}";
    let data = format!("{{\"a\":{a},\"b\":{b}}}");
    match render(&set(Channel::Sms, &[("text", template)]), &data).unwrap() {
        Content::Sms { text } => text.trim_start_matches("is:").trim().to_owned(),
        other => panic!("{other:?}"),
    }
}

const LESS: &str = "lt lte ne";
const EQUAL: &str = "lte eq gte";
const GREATER: &str = "gte gt ne";
const NONE: &str = "ne";

#[test]
fn a_number_and_a_numeric_text_are_compared_by_value_in_any_spelling() {
    for (a, b, expected) in [
        ("10", "9", GREATER),
        ("\"10\"", "9", GREATER),
        ("10", "\"9\"", GREATER),
        ("\"10\"", "\"9\"", GREATER),
        ("\"10\"", "10", EQUAL),
        ("10", "\"10\"", EQUAL),
        ("\"10.0\"", "10", EQUAL),
        ("\"1e2\"", "100", EQUAL),
        ("\"1e2\"", "99", GREATER),
        ("\"007\"", "7", EQUAL),
        ("\"010\"", "\"9\"", GREATER),
        ("\" 9\"", "9", EQUAL),
        ("\"-1\"", "0", LESS),
        ("\"-0\"", "0", EQUAL),
        ("\"1e400\"", "5", GREATER),
        ("\"0.1\"", "0.10", EQUAL),
        ("\"9007199254740993\"", "9007199254740992", GREATER),
        (
            "\"123456789012345678901235\"",
            "123456789012345678901234",
            GREATER,
        ),
        ("\"123456789012345678901234\"", "123456789012345678901234", EQUAL),
        ("\"0.1000000000000000055\"", "0.1000000000000000056", LESS),
    ] {
        assert_eq!(holding(a, b), expected, "{a} {b}");
    }
}

#[test]
fn a_condition_with_a_literal_holds_for_a_number_and_for_its_text_alike() {
    for n in ["10", "\"10\""] {
        for condition in [
            "gt n 9",
            "gt n \"9\"",
            "lt 9 n",
            "lt \"9\" n",
            "eq n 10",
            "ne n 9",
            "gte n 10",
            "lte n 10",
        ] {
            let template = format!("{{{{#if ({condition})}}}}yes{{{{else}}}}no{{{{/if}}}}");
            let data = format!("{{\"n\":{n}}}");
            let content = render(&set(Channel::Sms, &[("text", &template)]), &data).unwrap();
            assert_eq!(
                content,
                Content::Sms {
                    text: "yes".to_owned()
                },
                "{condition} for {n}"
            );
        }
    }
}

#[test]
fn two_texts_are_equal_only_if_they_are_the_same_text() {
    for (a, b) in [("007", "7"), ("10", "10.0"), ("1e2", "100"), (" 9", "9")] {
        let [one, other] = [a, b].map(|text| format!("\"{text}\""));
        assert!(holding(&one, &other).ends_with("ne"), "{a} {b}");
    }
    assert_eq!(holding("\"007\"", "\"007\""), EQUAL);
}

#[test]
fn a_value_that_is_not_a_number_has_no_order_with_one() {
    for a in [
        "\"\"",
        "\" \"",
        "\"x\"",
        "\"+9\"",
        "\"9 €\"",
        "\"1,5\"",
        "null",
        "true",
        "[9]",
        "{}",
    ] {
        assert_eq!(holding(a, "9"), NONE, "{a}");
        assert_eq!(holding("9", a), NONE, "{a}");
    }
    assert_eq!(holding("null", "0"), NONE);
    assert_eq!(holding("null", "\"\""), NONE);
    assert_eq!(holding("true", "1"), NONE);
    assert_eq!(holding("true", "\"true\""), NONE);
    assert_eq!(holding("false", "true"), LESS);
    assert_eq!(holding("\"a10\"", "\"a9\""), LESS);
    assert_eq!(holding("\"10\"", "\"a9\""), LESS);
}
