//! Soundness of JSON that is kept unparsed: all later readers can parse it, and read the same value. `RawValue` also
//! accepts numbers that no number type holds and nesting that no parser follows, and `serde_json::Value` takes an
//! object with one of serde_json's private keys for the JSON inside that key's text.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::field_error::{FieldError, echo, escape_token};

/// The prefix of the keys by which serde_json distinguishes its own types from objects.
const PRIVATE: &str = "$serde_json::private::";

/// Whether all readers can parse it: numbers within 64 bits, at most 127 levels, no private key. `serde_json::Value`
/// can hold all sound JSON.
pub(super) fn is_sound(json: &RawValue) -> bool {
    serde_json::from_str::<Sound>(json.get()).is_ok()
}

/// Whether an object may have this key.
pub(super) fn is_sound_key(key: &str) -> bool {
    !key.starts_with(PRIVATE)
}

/// The error of a value that some parsers cannot read: a number of more than 64 bits, half of a surrogate pair, or
/// nesting that is too deep.
#[must_use]
pub fn unsound(name: &str, json: &RawValue) -> Option<FieldError> {
    if is_sound(json) && is_sound_key(name) {
        return None;
    }
    let (place, expected) = fault(name, json);
    let at = escape_token(name);
    Some(FieldError::new(format!("/{at}{place}"), "unsupported", expected))
}

/// The place of the fault in an unsound value (a JSON pointer), and the expected value.
pub(super) fn fault(name: &str, json: &RawValue) -> (String, String) {
    if !is_sound_key(name) {
        return (
            String::new(),
            format!("expected a name that does not begin with {PRIVATE}"),
        );
    }
    let mut place = String::new();
    let mut json = json;
    for _ in 0..MAX_LEVELS {
        let Some((token, inner)) = unsound_child(json) else {
            break;
        };
        place.push('/');
        place.push_str(&escape_token(&token));
        if !is_sound_key(&token) {
            return (
                place,
                format!("expected a key that does not begin with {PRIVATE}"),
            );
        }
        json = inner;
    }
    let text = json.get();
    let expected = match text.bytes().next() {
        Some(b'[' | b'{') if has_sound_keys(json) => {
            // A value that is nested too deeply is at fault as a whole; the pointer does not name an inner
            // level.
            let end = place
                .bytes()
                .skip(1)
                .position(|byte| byte == b'/')
                .map_or(place.len(), |at| at + 1);
            place.truncate(end);
            format!("expected JSON of at most {MAX_LEVELS} levels")
        }
        Some(b'[' | b'{') => "expected keys of whole Unicode characters".to_owned(),
        Some(b'"') => format!("expected whole Unicode characters, not {}", echo(text)),
        _ => format!("expected a number of at most 64 bits, not {}", echo(text)),
    };
    (place, expected)
}

/// The most levels of lists and objects that parsers follow.
const MAX_LEVELS: usize = 127;

fn has_sound_keys(json: &RawValue) -> bool {
    json.get().starts_with('[') || serde_json::from_str::<BTreeMap<String, &RawValue>>(json.get()).is_ok()
}

/// The first unsound child of a list or an object, and its pointer token.
fn unsound_child(json: &RawValue) -> Option<(String, &RawValue)> {
    if json.get().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json.get()).ok()?;
        let mut items = items.into_iter().enumerate();
        return items.find_map(|(index, item)| (!is_sound(item)).then(|| (index.to_string(), item)));
    }
    if json.get().starts_with('{') {
        let entries: BTreeMap<String, &RawValue> = serde_json::from_str(json.get()).ok()?;
        return entries
            .into_iter()
            .find(|(key, value)| !is_sound_key(key) || !is_sound(value));
    }
    None
}

/// A key of an object.
struct Key;

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self)
    }
}

impl Visitor<'_> for Key {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self, E> {
        if is_sound_key(key) {
            Ok(self)
        } else {
            Err(E::custom("a private key"))
        }
    }
}

/// Parses a value and discards it. (serde's `IgnoredAny` skips values without parsing them.)
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Key, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_no_reader_can_parse_is_not_sound() {
        let sound = |json: &str| is_sound(&RawValue::from_string(json.to_owned()).unwrap());
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(sound(
            r#"{"a":[1,-2,3.5,1e300,18446744073709551615,"text",null,true,{"é":"\u0000"}]}"#
        ));
        assert!(sound(&deep(127)));
        assert!(!sound(&deep(128)));
        assert!(!sound("1e400") && !sound(r#"{"a":[{"b":-1e400}]}"#));
        assert!(!sound(r#""\ud800""#), "half a surrogate pair is no text");
    }

    #[test]
    fn an_object_that_serde_json_takes_for_something_else_is_not_sound() {
        let sound = |json: &str| is_sound(&RawValue::from_string(json.to_owned()).unwrap());
        for json in [
            r#"{"$serde_json::private::RawValue":"not json"}"#,
            r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#,
            r#"{"$serde_json::private::RawValue":1}"#,
            r#"{"\u0024serde_json::private::RawValue":"not json"}"#,
            r#"{"a":[{"$serde_json::private::RawValue":"not json"}]}"#,
            r#"{"a":1,"$serde_json::private::Number":"x"}"#,
        ] {
            assert!(!sound(json), "{json}");
        }
        assert!(sound(r#"{"$serde_json":"$serde_json::private::RawValue"}"#));
    }

    #[test]
    fn a_fault_is_named_by_its_place_and_what_was_expected_there() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for (json, place, expected) in [
            (r#"{"n":1e400}"#, "/n", "64 bits, not 1e400"),
            (
                r#"{"a/b":[{"x":1},{"y~":-1e999}]}"#,
                "/a~1b/1/y~0",
                "64 bits, not -1e999",
            ),
            (r#"{"a":["ok","\ud800"]}"#, "/a/1", "whole Unicode characters"),
            (r#"{"a":{"\ud800":1}}"#, "/a", "keys of whole Unicode characters"),
            (
                r#"{"a":{"$serde_json::private::Number":"x"}}"#,
                "/a/$serde_json::private::Number",
                "does not begin",
            ),
            (&deep, "/a", "127 levels"),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            let (found, text) = fault("data", &raw);
            assert_eq!(found, place, "{json}");
            assert!(text.contains(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sound_can_be_parsed_and_only_private_keys_are_refused_besides(json in any_json()) {
            let raw = RawValue::from_string(json.clone()).unwrap();
            let parses = serde_json::from_str::<serde_json::Value>(&json).is_ok();
            prop_assert_eq!(is_sound(&raw), parses && !json.contains("$serde_json::private"), "{}", json);
        }
    }

    /// JSON that `RawValue` accepts, with parts that later readers cannot parse.
    fn any_json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            4 => Just("null".to_owned()),
            4 => any::<i64>().prop_map(|number| number.to_string()),
            4 => "[a-z ]{0,8}".prop_map(|text| format!("\"{text}\"")),
            1 => Just("1e400".to_owned()),
            1 => Just("123456789012345678901234567890".to_owned()),
            1 => Just(r#""\udc00""#.to_owned()),
            1 => (1..130_usize).prop_map(|levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels))),
        ];
        let key = prop_oneof![
            9 => "[a-z]{0,3}",
            1 => Just("$serde_json::private::RawValue".to_owned()),
            1 => Just("$serde_json::private::Number".to_owned()),
        ];
        scalar.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|entries| {
                    let entries = entries.iter().map(|(key, value)| format!("\"{key}\":{value}"));
                    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }
}
