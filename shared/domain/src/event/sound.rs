//! Soundness of JSON that is kept unparsed: all later readers can parse it, and read the same value. `RawValue` accepts
//! more than that. It accepts numbers that no number type holds, and nesting that no parser follows. It accepts objects
//! with serde_json's private keys, of which `serde_json::Value` reads only the JSON inside that key's text. It accepts
//! two members of one name, of which parsers use different ones.

mod names;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use self::names::Names;
use super::members::Members;
use crate::{
    field_error::{FieldError, echo, escape_token},
    json::{MAX_LEVELS, is_deeper},
};

/// The prefix of the keys by which serde_json distinguishes its own types from objects.
const PRIVATE: &str = "$serde_json::private::";

/// Whether all readers can parse it: numbers in the range of binary64, at most 127 levels, no private key, no repeated
/// member. `serde_json::Value` can hold all sound JSON.
pub(super) fn is_sound(json: &RawValue) -> bool {
    serde_json::from_str::<Sound>(json.get()).is_ok()
}

/// Whether an object may have this key.
pub(super) fn is_sound_key(key: &str) -> bool {
    !key.starts_with(PRIVATE)
}

/// The error of a value that parsers read differently or not at all: a number outside the range of binary64, half of a surrogate
/// pair, nesting that is too deep, or a repeated member.
#[must_use]
pub fn unsound(name: &str, json: &RawValue) -> Option<FieldError> {
    if is_sound(json) && is_sound_key(name) {
        return None;
    }
    let (place, code, expected) = fault(name, json);
    let at = escape_token(name);
    Some(FieldError::new(format!("/{at}{place}"), code, expected))
}

/// The place of the fault in an unsound value (a JSON pointer), its code, and the expected value.
fn fault(name: &str, json: &RawValue) -> (String, &'static str, String) {
    const UNSUPPORTED: &str = "unsupported";
    if !is_sound_key(name) {
        let expected = format!("expected a name that does not begin with {PRIVATE}");
        return (String::new(), UNSUPPORTED, expected);
    }
    if is_deeper(json.get(), MAX_LEVELS) {
        // A value that is nested too deeply is at fault as a whole; the pointer does not name an inner level.
        let place = deep_child(json).map_or_else(String::new, |token| format!("/{}", escape_token(&token)));
        let expected = format!("expected JSON of at most {MAX_LEVELS} levels");
        return (place, UNSUPPORTED, expected);
    }
    let mut place = String::new();
    let mut json = json;
    for _ in 0..MAX_LEVELS {
        if let Some(name) = repeated(json) {
            place.push('/');
            place.push_str(&escape_token(&name));
            return (place, "duplicate", "expected the member once".to_owned());
        }
        let Some((token, inner)) = unsound_child(json) else {
            break;
        };
        place.push('/');
        place.push_str(&escape_token(&token));
        if !is_sound_key(&token) {
            let expected = format!("expected a key that does not begin with {PRIVATE}");
            return (place, UNSUPPORTED, expected);
        }
        json = inner;
    }
    let text = json.get();
    let expected = match text.bytes().next() {
        Some(b'[' | b'{') => "expected keys of whole Unicode characters".to_owned(),
        Some(b'"') => format!("expected whole Unicode characters, not {}", echo(text)),
        _ => format!(
            "expected a number between {:e} and {:e}, not {}",
            f64::MIN,
            f64::MAX,
            echo(text)
        ),
    };
    (place, UNSUPPORTED, expected)
}

/// The first name that an object has twice.
fn repeated(json: &RawValue) -> Option<String> {
    let members: Members<'_> = serde_json::from_str(json.get()).ok()?;
    members.repeated.into_iter().next()
}

/// The pointer token of the first child that makes a list or an object too deep.
fn deep_child(json: &RawValue) -> Option<String> {
    let is_deep = |child: &RawValue| is_deeper(child.get(), MAX_LEVELS - 1);
    if json.get().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json.get()).ok()?;
        let index = items.into_iter().position(is_deep)?;
        return Some(index.to_string());
    }
    let members: Members<'_> = serde_json::from_str(json.get()).ok()?;
    let mut members = members.raw.into_iter();
    let (key, _) = members.find(|(_, value)| is_deep(value))?;
    Some(key.into_owned())
}

/// The first unsound child of a list or an object, and its pointer token.
fn unsound_child(json: &RawValue) -> Option<(String, &RawValue)> {
    if json.get().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json.get()).ok()?;
        let mut items = items.into_iter().enumerate();
        return items.find_map(|(index, item)| (!is_sound(item)).then(|| (index.to_string(), item)));
    }
    if json.get().starts_with('{') {
        let members: Members<'_> = serde_json::from_str(json.get()).ok()?;
        return members
            .raw
            .into_iter()
            .find(|(key, value)| !is_sound_key(key) || !is_sound(value))
            .map(|(key, value)| (key.into_owned(), value));
    }
    None
}

/// A key of an object.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(key))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(key.to_owned()))
            }
        }

        let key = deserializer.deserialize_str(Text)?;
        if is_sound_key(&key) {
            Ok(Self(key))
        } else {
            Err(D::Error::custom("a private key"))
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
        let mut names = Names::default();
        while let Some(Key(name)) = entries.next_key()? {
            if !names.add(name) {
                return Err(A::Error::custom("a repeated member"));
            }
            entries.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_that_a_later_reader_cannot_parse_is_not_sound() {
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
    fn an_object_that_has_a_member_twice_is_not_sound_at_any_depth_and_size() {
        let sound = |json: &str| is_sound(&RawValue::from_string(json.to_owned()).unwrap());
        let wide = |last: &str| {
            let members: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
            format!("{{{},\"{last}\":1}}", members.join(","))
        };
        assert!(sound(r#"[{"a":1},{"a":{"a":[{"a":1}]},"b":1}]"#));
        assert!(sound(&wide("k100")) && sound(&wide(r"\u006b100")));
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"\u0061":1,"a":1}"#,
            r#"{"\u0061":1,"\u0061":1}"#,
            r#"{"":1,"":2}"#,
            r#"{"x":[1,{"b":1,"a":{"c":1,"d":2,"c":3}}]}"#,
            &wide("k0"),
            &wide("k31"),
            &wide("k32"),
            &wide("k99"),
            &wide(r"\u006b7"),
        ] {
            assert!(!sound(twice), "{twice}");
        }
    }

    #[test]
    fn a_fault_has_its_place_and_the_value_expected_there() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for (json, place, expected) in [
            (
                r#"{"a/b":[{"x":1},{"c":1e400,"b":{"k":1,"k":2}}]}"#,
                "/a~1b/1/b/k",
                "the member once",
            ),
            (r#"{"a":{"n":1e400},"b":1,"a":7}"#, "/a", "the member once"),
            (
                r#"{"n":1e400}"#,
                "/n",
                "between -1.7976931348623157e308 and 1.7976931348623157e308, not 1e400",
            ),
            (
                r#"{"a/b":[{"x":1},{"y~":-1e999}]}"#,
                "/a~1b/1/y~0",
                "1.7976931348623157e308, not -1e999",
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
            let (found, _, text) = fault("data", &raw);
            assert_eq!(found, place, "{json}");
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_value_of_120_000_levels_is_found_in_a_few_passes_over_it() {
        let deep = format!("{}1{}", "[".repeat(120_000), "]".repeat(120_000));
        for (json, expected) in [
            (format!("{{\"b\":[1],\"a\":{deep}}}"), "/a"),
            (format!("[[],{deep}]"), "/1"),
            (deep.clone(), "/0"),
            (
                format!("{{\"a\":{}1{}}}", "{\"k\":".repeat(40_000), "}".repeat(40_000)),
                "/a",
            ),
        ] {
            let raw = RawValue::from_string(json).unwrap();
            for _ in 0..30 {
                let (place, _, sentence) = fault("data", &raw);
                assert_eq!(
                    (place.as_str(), sentence.as_str()),
                    (expected, "expected JSON of at most 127 levels")
                );
            }
        }
    }

    proptest! {
        #[test]
        fn sound_json_is_json_that_can_be_parsed_and_has_no_private_keys_of_serde(json in any_json()) {
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
                proptest::collection::btree_map(key.clone(), inner, 0..4).prop_map(|entries| {
                    let entries = entries.iter().map(|(key, value)| format!("\"{key}\":{value}"));
                    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }
}
