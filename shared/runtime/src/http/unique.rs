//! JSON documents in which an object has a member twice. Readers differ in which of the two they take, so such a
//! document is refused.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// Any JSON value without repeated members.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            // Numbers of any precision arrive as a map with a name of serde_json's own, which no document has twice.
            if names.contains(&name) {
                map.next_value::<Repeated>()?;
            }
            map.next_value::<Unique>()?;
            names.insert(name);
        }
        Ok(self)
    }
}

/// Fails where the second of two members stands, so that the error has its path.
struct Repeated;

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("expected the member once"))
    }
}

/// The path of the first member that occurs twice in one object of a JSON document. A text that is not JSON has no such
/// member; callers have parsed it before.
#[must_use]
pub fn repeated_member(json: &[u8]) -> Option<serde_path_to_error::Path> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read: Result<Unique, _> = serde_path_to_error::deserialize(&mut deserializer);
    let error = read.err().filter(|error| error.inner().is_data())?;
    Some(error.path().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_found_at_any_depth() {
        let path = |json: &str| repeated_member(json.as_bytes()).map(|path| path.to_string());
        for json in [
            "{}",
            r#"{"a":1,"b":{"a":[1,1,null,true,1.5,-1,"a"]}}"#,
            r#"[{"a":1},{"a":2}]"#,
            "{",
            "7",
        ] {
            assert_eq!(path(json), None, "{json}");
        }
        assert_eq!(path(r#"{"a":1,"a":1}"#).unwrap(), "a");
        assert_eq!(
            path(r#"{"x":[{"b":1},{"b":{"c":1,"d":2,"c":3}}]}"#).unwrap(),
            "x[1].b.c"
        );
        assert_eq!(
            path(r#"{"a":12345678901234567890123,"\u0061":1e400}"#).unwrap(),
            "a"
        );
    }
}
