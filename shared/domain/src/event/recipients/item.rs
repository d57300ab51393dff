//! An item of a list of recipients, as it is parsed.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Map, Value, map::Entry};

/// A JSON value. Of an object, also the first member name that occurs twice: of two members with one name,
/// `serde_json::Value` keeps the last without an error.
pub(super) struct Item {
    value: Value,
    repeated: Option<String>,
}

impl Item {
    pub(super) fn parts(&self) -> (&Value, Option<&str>) {
        (&self.value, self.repeated.as_deref())
    }
}

impl<T: Into<Value>> From<T> for Item {
    fn from(value: T) -> Self {
        Self {
            value: value.into(),
            repeated: None,
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Value::Null.into())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Item, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Item, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Item, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Item, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Item, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Item, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(list)).map(Item::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Item, A::Error> {
        let mut fields = Map::new();
        let mut repeated = None;
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            match fields.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(taken) => repeated = repeated.or_else(|| Some(taken.key().clone())),
            }
        }
        Ok(Item {
            value: fields.into(),
            repeated,
        })
    }
}
