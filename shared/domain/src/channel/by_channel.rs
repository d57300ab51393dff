//! Reading objects whose names are channels. The error of an unknown channel has the place of that channel, not of the object
//! around it.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::Channel;
use crate::field_error::quoted;

/// An object whose names are channels.
pub(crate) struct ByChannel<T>(pub(crate) BTreeMap<Channel, T>);

/// Reads values by channel.
pub(crate) fn by_channel<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Channel, T>, D::Error> {
    ByChannel::deserialize(deserializer).map(|values| values.0)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByChannel<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = ByChannel<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(name) = map.next_key()? {
                    match name {
                        Name::Known(channel) => {
                            values.insert(channel, map.next_value()?);
                        }
                        Name::Unknown(name) => map.next_value_seed(Refused(name))?,
                    }
                }
                Ok(ByChannel(values))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
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
