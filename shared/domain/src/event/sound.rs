//! JSON that is kept unparsed has to be such that every later reader can parse it, and reads what stands there:
//! `RawValue` also takes numbers that no number type holds and nesting that no parser follows, and `serde_json::Value`
//! takes an object with one of serde_json's private keys for the JSON inside that key's text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// What the keys begin with by which serde_json tells its own types from objects.
const PRIVATE: &str = "$serde_json::private::";

/// Whether every reader can parse it: numbers within 64 bits, at most 127 levels, no private key. What is sound,
/// `serde_json::Value` can hold.
pub(super) fn is_sound(json: &RawValue) -> bool {
    serde_json::from_str::<Sound>(json.get()).is_ok()
}

/// Whether an object may have this key.
pub(super) fn is_sound_key(key: &str) -> bool {
    !key.starts_with(PRIVATE)
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

/// Parses everything and keeps nothing. (serde's `IgnoredAny` skips values without parsing them.)
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

    proptest! {
        #[test]
        fn what_is_sound_can_be_parsed_and_only_private_keys_are_refused_besides(json in any_json()) {
            let raw = RawValue::from_string(json.clone()).unwrap();
            let parses = serde_json::from_str::<serde_json::Value>(&json).is_ok();
            prop_assert_eq!(is_sound(&raw), parses && !json.contains("$serde_json::private"), "{}", json);
        }
    }

    /// JSON as `RawValue` takes it, with things that later readers would stumble over.
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
