//! Reading choices by the name of a category or an event type.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};

use super::ChannelChoices;
use crate::channel::ByChannel;

/// Reads choices by name.
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
            while let Some((name, ByChannel(choices))) = map.next_entry()? {
                found.insert(name, choices);
            }
            Ok(found)
        }
    }

    deserializer.deserialize_map(ByName)
}
