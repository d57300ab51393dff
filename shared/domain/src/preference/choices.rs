//! Reading choices. The error of an unknown channel has the place of that channel, not of the object around it.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::ChannelChoices;
use crate::{channel::Channel, field_error::quoted};

/// Reads the choices of one place.
pub(super) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelChoices, D::Error> {
    Choices::deserialize(deserializer).map(|choices| choices.0)
}

/// Reads choices by the name of a category or an event type.
pub(super) fn by_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, ChannelChoices>, D::Error> {
    struct ByName;

    impl<'de> Visitor<'de> for ByName {
        type Value = BTreeMap<String, ChannelChoices>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some((name, Choices(choices))) = map.next_entry()? {
                found.insert(name, choices);
            }
            Ok(found)
        }
    }

    deserializer.deserialize_map(ByName)
}

struct Choices(ChannelChoices);

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choices, A::Error> {
                let mut choices = ChannelChoices::new();
                while let Some(name) = map.next_key()? {
                    match name {
                        Name::Known(channel) => {
                            choices.insert(channel, map.next_value()?);
                        }
                        Name::Unknown(name) => map.next_value_seed(Refused(name))?,
                    }
                }
                Ok(Choices(choices))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

enum Name {
    Known(Channel),
    Unknown(String),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a channel")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(name
                    .parse()
                    .map_or_else(|_| Name::Unknown(quoted(name)), Name::Known))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Fails where the value of an unknown channel stands, so that the error has its path.
struct Refused(String);

impl<'de> DeserializeSeed<'de> for Refused {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        let text = format!("expected {}, not {}", Channel::names(), self.0);
        Err(D::Error::custom(text))
    }
}
