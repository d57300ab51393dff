//! serde's sentences about wrong values, in the terms of JSON instead of Rust's.

use super::problem::{MAX_ECHO, MAX_TEXT, cut};

/// serde's sentence about a wrong value, with at most a hundred characters of the value. The line and column are left
/// out, because a pointer names the place.
#[must_use]
pub fn serde_sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    // serde names the value first and then what it expects, so the value may hold the same words.
    let Some((found, expected)) = text.rsplit_once(", expected ") else {
        return cut(text.to_owned(), MAX_TEXT);
    };
    let wrong = ["invalid type: ", "invalid value: "];
    let sentence = match wrong.iter().find_map(|prefix| found.strip_prefix(prefix)) {
        Some(value) => format!("expected {}, not {}", in_json(expected), shown(value)),
        // serde reads a list as a structure's fields, in their order.
        None if found.starts_with("invalid length ") && expected.starts_with("struct ") => {
            "expected an object, not a list".to_owned()
        }
        None => format!("{}, expected {expected}", cut(found.to_owned(), MAX_ECHO)),
    };
    cut(sentence, MAX_TEXT)
}

/// What serde expects, for readers who know JSON.
fn in_json(expected: &str) -> &str {
    match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        "a borrowed string" | "string" | "str" => "a string",
        "a boolean" | "bool" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            "a whole number that is not negative and not too large"
        }
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "unit" => "null",
        other if other.starts_with("struct ") || other.contains("tagged enum ") => "an object",
        other if other.starts_with("enum ") => "one of the known names",
        other if other.starts_with("tuple ") || other.starts_with("a tuple ") => "a list",
        other => other,
    }
}

/// A value as serde names it: a kind, or a kind and the value itself.
fn shown(value: &str) -> String {
    let literal = ["integer `", "floating point `", "boolean `", "character `"];
    let plain = match value {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" | "Option value" => "null",
        _ => literal
            .iter()
            .find_map(|kind| value.strip_prefix(kind)?.strip_suffix('`'))
            .or_else(|| value.strip_prefix("string "))
            .unwrap_or(value),
    };
    cut(plain.to_owned(), MAX_ECHO)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is read only")]
    struct Closed {
        known: Option<u32>,
        list: Option<Vec<bool>>,
        map: Option<BTreeMap<String, String>>,
        inner: Option<Box<Closed>>,
    }

    fn sentence(json: &str) -> String {
        serde_sentence(&serde_json::from_str::<Closed>(json).unwrap_err())
    }

    #[test]
    fn a_sentence_names_kinds_of_json_and_no_types_of_rust() {
        for (json, expected) in [
            ("7", "expected an object, not 7"),
            ("\"x\"", "expected an object, not \"x\""),
            (r#"{"inner":[]}"#, "expected an object, not a list"),
            (r#"{"inner":true}"#, "expected an object, not true"),
            (r#"{"list":{}}"#, "expected a list, not an object"),
            (r#"{"list":[null]}"#, "expected true or false, not null"),
            (r#"{"map":[]}"#, "expected an object, not a list"),
            (r#"{"map":{"a":1.5}}"#, "expected a string, not 1.5"),
            (
                r#"{"known":-1}"#,
                "expected a whole number that is not negative and not too large, not -1",
            ),
            (
                r#"{"other":1}"#,
                "unknown field `other`, expected one of `known`, `list`, `map`, `inner`",
            ),
        ] {
            let said = sentence(json);
            assert!(said.starts_with(expected), "{json}: {said}");
            assert!(
                !said.contains("struct") && !said.contains("sequence"),
                "{json}: {said}"
            );
        }
    }

    #[test]
    fn a_sentence_keeps_what_was_expected_and_a_hundred_characters_of_the_value() {
        let long = "a".repeat(50_000);
        let known = "expected a whole number that is not negative and not too large, not ";
        let said = sentence(&format!("{{\"known\": \"{long}\"}}"));
        assert!(
            said.starts_with(known) && said.len() <= known.len() + MAX_ECHO + 4,
            "{said}"
        );
        let said = sentence(&format!("{{\"known\": \"{long}, expected {long}\"}}"));
        assert!(
            said.starts_with(known) && said.len() <= known.len() + MAX_ECHO + 4,
            "{said}"
        );
        let said = sentence(&format!("{{\"{long}\": 1}}"));
        assert!(
            said.ends_with(", expected one of `known`, `list`, `map`, `inner`"),
            "{said}"
        );
        assert!(said.chars().count() <= 200, "{said}");
    }
}
