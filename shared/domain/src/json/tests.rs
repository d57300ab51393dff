use super::*;

fn shown(json: &str) -> String {
    let fields = object(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    let numbers = fields.values().map(|value| match value {
        Value::Number(number) => number.to_string(),
        other => format!("{other:?}"),
    });
    numbers.collect::<Vec<_>>().join(" ")
}

#[test]
fn numbers_keep_their_digits() {
    for number in [
        "123456789012345678901234",
        "-123456789012345678901234",
        "-0",
        "0",
        "1E3",
        "1e+3",
        "1.10",
        "0.1",
        "-0.0",
        "1e-7",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "9007199254740993",
        "0.30000000000000004",
        "1.0",
        "100",
        "3.14159265358979323846264338327950288",
    ] {
        assert_eq!(shown(&format!("{{\"a\":{number}}}")), number);
    }
}

#[test]
fn literals_are_found_beside_strings_keys_and_lists() {
    let json =
        r#" { "1.50" : "2.50 \" 3.50 \\" , "b" : [ 4, 5.0, {"6.0": -7.70, "x": "8.80"} ], "c":9.90 } "#;
    let fields = object(json).unwrap();
    assert_eq!(fields["1.50"], Value::from("2.50 \" 3.50 \\"));
    let Value::Array(list) = &fields["b"] else {
        panic!("{fields:?}")
    };
    assert_eq!(list[1], Value::Number(Number::Written("5.0".into())));
    let Value::Object(inner) = &list[2] else {
        panic!("{fields:?}")
    };
    assert_eq!(inner["6.0"], Value::Number(Number::Written("-7.70".into())));
    assert_eq!(fields["c"], Value::Number(Number::Written("9.90".into())));
    // Among fields of the same name, the last one wins.
    assert_eq!(shown(r#"{"a":1.10,"a":2.20,"b":3.30}"#), "2.20 3.30");
}

#[test]
fn numbers_are_ordered_by_their_values_to_the_last_digit() {
    let number = |text: &str| Number::of_text(text).unwrap();
    let ascending = [
        "-1e300",
        "-123456789012345678901235",
        "-123456789012345678901234",
        "-1.5",
        "-1",
        "-1e-400",
        "0",
        "1e-7",
        "0.1",
        "0.11",
        "1",
        "1.09",
        "1.1",
        "9.99",
        "10",
        "999",
        "1e3",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234",
        "123456789012345678901235",
        "1e300",
    ];
    for (one, text) in ascending.iter().enumerate() {
        for (other, with) in ascending.iter().enumerate() {
            assert_eq!(
                number(text).order(&number(with)),
                one.cmp(&other),
                "{text} {with}"
            );
        }
    }
    for (one, other) in [
        ("1E3", "1000"),
        ("1.10", "1.1"),
        ("-0", "0"),
        ("0.00", "0"),
        ("120e-1", "12.0"),
    ] {
        assert_eq!(
            number(one).order(&number(other)),
            Ordering::Equal,
            "{one} {other}"
        );
    }
    for zero in ["0", "-0", "0.00", "0E3", "-0.0e-7"] {
        assert!(number(zero).is_zero(), "{zero}");
    }
    assert!(!number("1e-400").is_zero() && !number("-1").is_zero());
}

#[test]
fn a_numeric_text_is_a_number_with_zeros_before_it_and_white_space_around_it() {
    for (text, same) in [
        ("007", "7"),
        ("-00.50", "-0.5"),
        (" 9\n", "9"),
        ("1e400", "10e399"),
        ("1e+2", "100"),
        ("00000000000000000000001", "1"),
        ("1e99999999999", "2e99999999999"),
    ] {
        let (number, same_number) = (Number::of_text(text).unwrap(), Number::of_text(same).unwrap());
        let expected = if text.ends_with("99999999") {
            Ordering::Less
        } else {
            Ordering::Equal
        };
        assert_eq!(number.order(&same_number), expected, "{text}");
    }
    for text in [
        "",
        " ",
        "-",
        "+1",
        "+4915112345678",
        ".5",
        "1.",
        "1.x",
        "e5",
        "1e",
        "1e+",
        "--1",
        "1 2",
        "NaN",
        "Infinity",
        "0x1",
        "1,5",
        "1_000",
        "\u{664}",
        "true",
        "null",
    ] {
        assert!(Number::of_text(text).is_none(), "{text:?}");
    }
}

#[test]
fn every_way_to_write_a_number_has_one_canonical_text() {
    for (texts, expected) in [
        (&["1000", "1E3", "1000.0", "0.1e4", "10000e-1"][..], "1000"),
        (&["1.1", "1.10", "11e-1"], "0.11e1"),
        (&["0", "-0", "0.00", "0e9"], "0"),
        (&["-5", "-5.0", "-0.5e1"], "-5"),
        (&["123456789012345678901234"], "123456789012345678901234"),
        (&["1e300"], "0.1e301"),
        (&["1e-7", "0.0000001"], "0.1e-6"),
    ] {
        for text in texts {
            let number = Number::of_text(text).unwrap();
            assert_eq!(number.canonical(), expected, "{text}");
        }
    }
}

#[test]
fn json_that_is_not_an_object_is_refused() {
    for json in ["[1]", "1.5", "null", "{", "{\"a\":1} x", "{\"a\":1e400}"] {
        assert!(object(json).is_err(), "{json}");
    }
}
