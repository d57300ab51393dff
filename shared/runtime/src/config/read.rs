//! Reading merged layers. In each section, `kind` is read before the other settings, so that it can choose their types.

use std::vec::IntoIter;

use figment::{Error, Figment, value::Value};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
    value::MapAccessDeserializer,
};

use super::repair::{KIND, Repairs};

/// Reads all settings, with the repairs of unreadable ones. An error has the path of its setting, and the source of the setting if it is a file.
#[expect(
    clippy::result_large_err,
    reason = "figment's error, which its deserializers return"
)]
pub(super) fn read<T: DeserializeOwned>(layers: &Figment, repairs: &Repairs) -> Result<T, Error> {
    let value = repairs.apply(layers.find_value("")?);
    T::deserialize(MergedValue {
        layers,
        value: &value,
    })
}

/// One setting, or one section.
#[derive(Clone, Copy)]
struct MergedValue<'a> {
    layers: &'a Figment,
    value: &'a Value,
}

impl<'a> MergedValue<'a> {
    fn of(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    /// The settings of a section, `kind` first.
    fn section(self, dict: &'a figment::value::Dict) -> MergedSection<'a> {
        let mut entries: Vec<_> = dict.iter().collect();
        entries.sort_by_key(|(key, _)| *key != KIND);
        MergedSection {
            setting: self,
            entries: entries.into_iter(),
            current: None,
        }
    }

    /// Notes the source of the setting that an error is about.
    fn placed(self, mut error: Error) -> Error {
        if error.metadata.is_none() {
            error.metadata = self.layers.get_metadata(self.value.tag()).cloned();
        }
        error
    }
}

impl<'de> Deserializer<'de> for MergedValue<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = match self.value {
            Value::Dict(_, dict) => visitor.visit_map(self.section(dict)),
            Value::Array(_, items) => visitor.visit_seq(MergedList {
                setting: self,
                items: items.iter().enumerate(),
            }),
            scalar => scalar.deserialize_any(visitor),
        };
        read.map_err(|error| self.placed(error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Empty(..) => self.value.deserialize_option(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let read = match self.value {
            Value::Dict(_, dict) => visitor.visit_enum(MapAccessDeserializer::new(self.section(dict))),
            scalar => scalar.deserialize_enum(name, variants, visitor),
        };
        read.map_err(|error| self.placed(error))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The settings of a section.
struct MergedSection<'a> {
    setting: MergedValue<'a>,
    entries: IntoIter<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
}

/// An error at this key of a section or list.
fn at(key: &str, mut error: Error) -> Error {
    error.path.insert(0, key.to_owned());
    error
}

impl<'de> MapAccess<'de> for MergedSection<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.next();
        let Some((key, value)) = self.current else {
            return Ok(None);
        };
        let read = seed.deserialize(key.as_str().into_deserializer());
        read.map(Some)
            .map_err(|error| at(key, self.setting.of(value).placed(error)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, value)) = self.current.take() else {
            return Err(Error::from("a value was read before its key".to_owned()));
        };
        seed.deserialize(self.setting.of(value))
            .map_err(|error| at(key, error))
    }
}

/// The items of a list.
struct MergedList<'a> {
    setting: MergedValue<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'de> SeqAccess<'de> for MergedList<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, value)) = self.items.next() else {
            return Ok(None);
        };
        let read = seed.deserialize(self.setting.of(value));
        read.map(Some).map_err(|error| at(&index.to_string(), error))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt};

    use figment::providers::{Format as _, Toml};
    use serde::Deserialize;

    use super::*;

    /// The keys of a section, in the order in which they are read.
    #[derive(Debug)]
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Keys;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a section")
                }
                fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Keys, M::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, u16>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }

    fn layers(text: &str) -> Figment {
        Figment::from(Toml::string(text))
    }

    #[test]
    fn the_kind_of_a_section_is_read_before_its_other_settings() {
        let sections: BTreeMap<String, Keys> = read(
            &layers("[a]\nb = 1\nkind = 2\nz = 3\n[c]\nz = 1\nb = 2"),
            &Repairs::default(),
        )
        .unwrap();
        assert_eq!(sections["a"].0, ["kind", "b", "z"]);
        assert_eq!(sections["c"].0, ["b", "z"]);
    }

    #[test]
    fn an_error_has_the_path_of_its_setting() {
        let path = |text: &str| {
            let error = read::<BTreeMap<String, Keys>>(&layers(text), &Repairs::default()).unwrap_err();
            error.path.join(".")
        };
        assert_eq!(path("[a]\nkind = 1\nb = 'x'"), "a.b");
        assert_eq!(path("[a]\nkind = 'x'"), "a.kind");
        assert_eq!(path("a = 'x'"), "a");
        let error =
            read::<BTreeMap<String, Vec<u16>>>(&layers("a = [1, 'x']"), &Repairs::default()).unwrap_err();
        assert_eq!(error.path, ["a", "1"]);
    }
}
