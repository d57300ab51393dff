//! serde's sentences about wrong values, in the terms of JSON instead of Rust's.

use super::problem::{MAX_ECHO, MAX_TEXT, cut};
use crate::quoted::{json_escapes, quoted};

/// serde's sentence about a wrong value, with at most a hundred characters of the value. The line and column are left
/// out, because a pointer names the place.
#[must_use]
pub fn serde_sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    // serde quotes texts as Rust does.
    let text = &*json_escapes(text);
    if let Some(sentence) = of_name(text) {
        return cut(sentence, MAX_TEXT);
    }
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
        None => match found.strip_prefix("invalid length ") {
            Some(length) => format!("expected {}, not {length} items", in_json(expected)),
            None => format!("{}, expected {expected}", cut(found.to_owned(), MAX_ECHO)),
        },
    };
    cut(sentence, MAX_TEXT)
}

/// A stable code for serde's error: `unknown-field`, `required`, `duplicate`, or `type` for a value that is not as
/// expected. serde has no codes, so they are read from the beginnings of its sentences.
#[must_use]
pub fn serde_code(error: &impl std::fmt::Display) -> &'static str {
    let text = error.to_string();
    let codes = [
        ("unknown field `", "unknown-field"),
        ("missing field `", "required"),
        ("duplicate field `", "duplicate"),
    ];
    let found = codes.into_iter().find(|(start, _)| text.starts_with(start));
    found.map_or("type", |(_, code)| code)
}

/// serde's sentence about a name: of a field, or of one of several known words. `None` for any other sentence.
fn of_name(text: &str) -> Option<String> {
    if let Some(name) = text.strip_prefix("missing field `") {
        return Some(format!("expected the field {}", name.trim_end_matches('`')));
    }
    if let Some(name) = text.strip_prefix("duplicate field `") {
        return Some(format!("expected the field {} once", name.trim_end_matches('`')));
    }
    if text.starts_with("data did not match any variant") {
        return Some("expected a value of another form".to_owned());
    }
    if let Some(rest) = text.strip_prefix("unknown variant `") {
        let (name, known) = named(rest);
        let name = quoted(&cut(name.to_owned(), MAX_ECHO));
        return Some(match known.as_slice() {
            [] => format!("expected no name here, not {name}"),
            [known @ .., last] if !known.is_empty() => {
                format!("expected {} or {last}, not {name}", known.join(", "))
            }
            known => format!("expected {}, not {name}", known.join(", ")),
        });
    }
    let (name, known) = named(text.strip_prefix("unknown field `")?);
    let name = cut(name.to_owned(), MAX_ECHO);
    Some(match known.as_slice() {
        [] => format!("there is no field {name}; expected no fields"),
        known => format!("there is no field {name}; expected only {}", known.join(", ")),
    })
}

/// The names that serde's sentence about an unknown variant lists.
#[must_use]
pub fn known_names(text: &str) -> Vec<&str> {
    text.strip_prefix("unknown variant `")
        .map_or_else(Vec::new, |rest| named(rest).1)
}

/// An unknown name, and the known ones. serde lists these in backquotes behind the name, which may hold anything.
pub(super) fn named(rest: &str) -> (&str, Vec<&str>) {
    for separator in ["`, expected ", "`, there are no "] {
        if let Some((name, known)) = rest.rsplit_once(separator) {
            return (name, known.split('`').skip(1).step_by(2).collect());
        }
    }
    (rest.trim_end_matches('`'), Vec::new())
}

/// serde's name of an expected type, in the words of JSON.
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
        "string or map" => "one of the known names",
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
                "there is no field other; expected only known, list, map, inner",
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
    fn an_error_about_a_name_has_a_code_of_its_own() {
        for (json, code) in [
            (r#"{"other":1}"#, "unknown-field"),
            (r#"{"known":1,"known":2}"#, "duplicate"),
            (r#"{"known":"unknown field `x`"}"#, "type"),
        ] {
            let error = serde_json::from_str::<Closed>(json).unwrap_err();
            assert_eq!(serde_code(&error), code, "{json}");
        }
    }

    #[test]
    fn a_sentence_keeps_the_expectation_and_a_hundred_characters_of_the_value() {
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
            said.ends_with("; expected only known, list, map, inner"),
            "{said}"
        );
        assert!(said.chars().count() <= 200, "{said}");
    }

    #[test]
    fn a_sentence_about_a_name_lists_the_known_ones_without_serdes_words() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        #[expect(dead_code, reason = "it is read only")]
        struct Key {
            name: String,
            role: Role,
            only: Option<Only>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Role {
            Viewer,
            Operator,
            Admin,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Only {
            One,
        }
        for (json, expected) in [
            (r#"{"name":"x"}"#, "expected the field role"),
            (
                r#"{"name":"x","role":"root"}"#,
                "expected viewer, operator or admin, not \"root\"",
            ),
            (
                r#"{"name":"x","role":"viewer","only":"two"}"#,
                "expected one, not \"two\"",
            ),
            (r#"{"name":"x","name":"y"}"#, "expected the field name once"),
            (
                r#"{"nmae":"x"}"#,
                "there is no field nmae; expected only name, role, only",
            ),
        ] {
            let said = serde_sentence(&serde_json::from_str::<Key>(json).unwrap_err());
            assert_eq!(said, expected, "{json}");
        }
    }
}
