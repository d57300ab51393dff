//! JSON that is kept unparsed has to be such that it can be parsed later: `RawValue` also takes numbers that no number
//! type holds and nesting that no parser follows.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Whether every reader can parse it: numbers within 64 bits, at most 127 levels.
pub(super) fn is_sound(json: &RawValue) -> bool {
    serde_json::from_str::<Sound>(json.get()).is_ok()
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
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
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
}
