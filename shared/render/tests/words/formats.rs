//! Fluent's options of numbers and dates.

use super::*;

/// The text of a placeable for a reader of each locale, for `n` and `at`.
fn written(placeable: &str, data: &str, tags: &[&str]) -> Vec<String> {
    let text = format!("k = {{ {placeable} }}\n");
    let mut locales: Vec<(&str, &str)> = tags.iter().map(|tag| (*tag, text.as_str())).collect();
    locales.push(("en", &text));
    let set = with_texts("{{t \"k\" n=n at=at}}.", &locales);
    assert_eq!(refusals(&set), [], "{placeable}");
    let engine = Engine::compile(&set);
    let read = |tag: &&str| {
        let request = carillon_render::RenderRequest {
            locale: Some((*tag).into()),
            timezone: Some("Europe/Berlin".into()),
            ..request(Channel::Sms, data)
        };
        match engine.render(&request).unwrap().content {
            Content::Sms { text } => text.trim_end_matches('.').replace(['\u{a0}', '\u{202f}'], " "),
            other => panic!("{other:?}"),
        }
    };
    tags.iter().map(read).collect()
}

const AT: &str = r#"{"n": 0.256, "at": "2026-03-05T13:07:09Z"}"#;

#[test]
fn datetime_writes_single_fields_as_each_language_does() {
    for (options, expected) in [
        ("month: \"long\"", ["March", "mars", "März", "marzo", "3月"]),
        ("month: \"2-digit\"", ["03", "03", "03", "03", "03月"]),
        ("year: \"numeric\"", ["2026", "2026", "2026", "2026", "2026年"]),
        ("day: \"numeric\"", ["5", "5", "5", "5", "5日"]),
        (
            "weekday: \"long\"",
            ["Thursday", "jeudi", "Donnerstag", "jueves", "木曜日"],
        ),
        ("weekday: \"short\"", ["Thu", "jeu", "Do", "jue", "木"]),
        (
            "month: \"long\", day: \"numeric\"",
            ["March 5", "5 mars", "5. März", "5 de marzo", "3月5日"],
        ),
        (
            "month: \"long\", year: \"numeric\"",
            [
                "March 2026",
                "mars 2026",
                "März 2026",
                "marzo de 2026",
                "2026年3月",
            ],
        ),
        (
            "month: \"2-digit\", day: \"2-digit\", year: \"numeric\"",
            [
                "03/05/2026",
                "05/03/2026",
                "05.03.2026",
                "05/03/2026",
                "2026/03/05",
            ],
        ),
        (
            "weekday: \"long\", month: \"long\", day: \"numeric\", year: \"numeric\"",
            [
                "Thursday, March 5, 2026",
                "jeudi 5 mars 2026",
                "Donnerstag, 5. März 2026",
                "jueves, 5 de marzo de 2026",
                "2026年3月5日木曜日",
            ],
        ),
        ("hour: \"numeric\"", ["2 PM", "14", "14 Uhr", "14", "14時"]),
        (
            "hour: \"2-digit\", minute: \"2-digit\"",
            ["02:07 PM", "14:07", "14:07", "14:07", "14:07"],
        ),
        (
            "hour: \"numeric\", minute: \"numeric\", second: \"numeric\", hour12: \"false\"",
            ["14:07:09", "14:07:09", "14:07:09", "14:07:09", "14:07:09"],
        ),
        (
            "month: \"long\", day: \"numeric\", year: \"numeric\", hour: \"numeric\", minute: \"2-digit\"",
            [
                "March 5, 2026 at 2:07 PM",
                "5 mars 2026 à 14:07",
                "5. März 2026 um 14:07",
                "5 de marzo de 2026 a las 14:07",
                "2026年3月5日 14:07",
            ],
        ),
    ] {
        let placeable = format!("DATETIME($at, {options})");
        assert_eq!(
            written(&placeable, AT, &["en", "fr", "de", "es", "ja"]),
            expected,
            "{options}"
        );
    }
}

#[test]
fn number_writes_percentages_and_the_digits_that_are_asked_for() {
    for (options, expected) in [
        ("style: \"percent\"", ["26%", "26 %", "26 %", "26 %"]),
        (
            "style: \"percent\", minimumFractionDigits: 2",
            ["25.60%", "25,60 %", "25,60 %", "25,60 %"],
        ),
        (
            "minimumIntegerDigits: 3",
            ["000.256", "000,256", "000,256", "000,256"],
        ),
        ("maximumSignificantDigits: 2", ["0.26", "0,26", "0,26", "0,26"]),
        (
            "minimumSignificantDigits: 5",
            ["0.25600", "0,25600", "0,25600", "0,25600"],
        ),
        (
            "style: \"currency\", currency: \"EUR\", currencyDisplay: \"code\"",
            ["EUR 0.26", "0,26 EUR", "0,26 EUR", "0,26 EUR"],
        ),
    ] {
        let placeable = format!("NUMBER($n, {options})");
        assert_eq!(
            written(&placeable, AT, &["en", "fr", "de", "es"]),
            expected,
            "{options}"
        );
    }
    let many = r#"{"n": 12345.678, "at": ""}"#;
    assert_eq!(
        written("NUMBER($n, style: \"percent\")", many, &["en"]),
        ["1,234,568%"]
    );
    assert_eq!(
        written("NUMBER($n, maximumSignificantDigits: 2)", many, &["en"]),
        ["12,000"]
    );
}

#[test]
fn an_unsupported_option_is_refused_with_its_name_its_value_and_the_supported_ones() {
    for (call, sentence) in [
        (
            "DATETIME($x, era: \"long\")",
            "DATETIME has no option era (\"long\"): expected one of dateStyle, timeStyle, weekday, year, month, day, hour, minute, \
             second, hour12 or hourCycle",
        ),
        (
            "DATETIME($x, month: \"narrow\")",
            "DATETIME does not take month: \"narrow\": expected \"long\", \"short\", \"numeric\" or \"2-digit\"",
        ),
        (
            "DATETIME($x, year: \"2-digit\")",
            "DATETIME does not take year: \"2-digit\": expected \"numeric\"",
        ),
        (
            "DATETIME($x, weekday: \"narrow\")",
            "DATETIME does not take weekday: \"narrow\": expected \"long\" or \"short\"",
        ),
        (
            "DATETIME($x, minute: \"numeric\")",
            "expected DATETIME with hour, hour and minute, or hour, minute and second",
        ),
        (
            "DATETIME($x, year: \"numeric\", day: \"numeric\")",
            "expected DATETIME with year, month and day, month and day, year and month, or one of them; weekday alone, or beside \
             day, month and day, or all three",
        ),
        (
            "DATETIME($x, dateStyle: \"long\", hour: \"numeric\")",
            "expected DATETIME with either dateStyle and timeStyle, or single fields such as month and day",
        ),
        (
            "DATETIME($x, weekday: \"long\", month: \"short\", day: \"numeric\")",
            "expected DATETIME with month: \"long\" beside weekday: \"long\"",
        ),
        (
            "DATETIME($x, weekday: \"long\", hour: \"numeric\", minute: \"2-digit\")",
            "expected DATETIME with month beside day or weekday, where hour and minute stand beside them",
        ),
        (
            "DATETIME($x, month: \"long\", hour: \"numeric\")",
            "expected DATETIME with month and day beside hour and minute",
        ),
        (
            "DATETIME($x, hour12: \"true\")",
            "expected DATETIME with hour beside hour12 or hourCycle",
        ),
        (
            "NUMBER($x, unit: \"litre\")",
            "NUMBER has no option unit (\"litre\"): expected one of style, currency, currencyDisplay, useGrouping, \
             minimumIntegerDigits, minimumFractionDigits, maximumFractionDigits, minimumSignificantDigits, \
             maximumSignificantDigits or type",
        ),
        (
            "NUMBER($x, style: \"unit\")",
            "NUMBER does not take style: \"unit\": expected \"decimal\", \"percent\" or \"currency\"",
        ),
        (
            "NUMBER($x, minimumIntegerDigits: 0)",
            "NUMBER does not take minimumIntegerDigits: \"0\": expected 1 to 20",
        ),
        (
            "NUMBER($x, currencyDisplay: \"name\")",
            "NUMBER does not take currencyDisplay: \"name\": expected \"symbol\" or \"code\"",
        ),
        (
            "NUMBER($x, style: \"percent\", currency: \"EUR\")",
            "expected NUMBER with style: \"currency\" beside currency and currencyDisplay",
        ),
        (
            "NUMBER($x, minimumSignificantDigits: 3, maximumSignificantDigits: 2)",
            "expected NUMBER with maximumSignificantDigits of at least minimumSignificantDigits",
        ),
    ] {
        let refused = refusals(&with_texts("x", &[("en", &format!("k = {{ {call} }}\n"))]));
        let said: Vec<_> = refused
            .iter()
            .map(|it| (it.code, it.message.as_str(), it.line))
            .collect();
        assert_eq!(said, [("unknown-option", sentence, Some(1))], "{call}");
    }
}

#[test]
fn a_field_of_the_time_of_day_needs_one() {
    let set = with_texts(
        "{{t \"k\" at=at}}",
        &[("en", "k = { DATETIME($at, hour: \"numeric\") }\n")],
    );
    let error = render(&set, r#"{"at": "2026-03-05"}"#).unwrap_err();
    assert_eq!(error.pointer(), "/data/at");
    let set = with_texts(
        "{{t \"k\" at=at}}",
        &[("en", "k = { DATETIME($at, month: \"long\") }\n")],
    );
    let said = render(&set, r#"{"at": "2026-03-05"}"#).unwrap();
    assert_eq!(
        said,
        Content::Sms {
            text: "March".to_owned()
        }
    );
}
