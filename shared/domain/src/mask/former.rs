//! The places that former versions of a catalog covered. A new version of a type uncovers nothing: events that were
//! accepted while a value was sensitive stay masked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, EventTypeDef};

/// The most bytes of pointers and names that are remembered for a tenant. Beyond it each event is masked as a whole,
/// so that no number of versions can uncover a value.
const MAX_BYTES: usize = 1 << 20;

/// The places that former versions of a tenant's catalog covered, by event type: by the name of each type, and
/// by each further text that it matched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Former {
    /// Whether there were too many places to remember.
    pub(super) everything: bool,
    types: BTreeMap<String, TypePlaces>,
}

/// The places of an event type, in the spelling of its definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TypePlaces {
    pub(super) sensitive: BTreeSet<String>,
    pub(super) recipients_from: BTreeSet<String>,
}

impl Former {
    /// Adds the places that a catalog covers, before it is replaced.
    pub fn add(&mut self, catalog: &Catalog) {
        if self.everything {
            return;
        }
        let covers = |definition: &EventTypeDef| {
            !definition.sensitive.is_empty() || !definition.recipients_from.is_empty()
        };
        for (name, definition) in catalog.types.iter().filter(|(_, definition)| covers(definition)) {
            for text in std::iter::once(name).chain(&definition.matches) {
                let places = self.types.entry(text.clone()).or_default();
                places.sensitive.extend(definition.sensitive.iter().cloned());
                places
                    .recipients_from
                    .extend(definition.recipients_from.iter().cloned());
            }
        }
        for digest in catalog.categories.values().filter_map(|def| def.digest.as_ref()) {
            let items = catalog.item_places(&digest.event_type);
            let places = self.types.entry(digest.event_type.clone()).or_default();
            places.sensitive.extend(items.sensitive);
            places.recipients_from.extend(items.recipients);
        }
        if self.bytes() > MAX_BYTES {
            *self = Self {
                everything: true,
                types: BTreeMap::new(),
            };
        }
    }

    /// Whether a former version of a type marked any place `sensitive`.
    #[must_use]
    pub fn has_secrets(&self, event_type: &str) -> bool {
        self.everything
            || self
                .types
                .get(event_type)
                .is_some_and(|places| !places.sensitive.is_empty())
    }

    pub(super) fn places(&self, event_type: &str) -> Option<&TypePlaces> {
        self.types.get(event_type)
    }

    fn bytes(&self) -> usize {
        let of_set = |set: &BTreeSet<String>| set.iter().map(String::len).sum::<usize>();
        let of_type = |(name, places): (&String, &TypePlaces)| {
            name.len() + of_set(&places.sensitive) + of_set(&places.recipients_from)
        };
        self.types.iter().map(of_type).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(name: &str, pointer: &str) -> Catalog {
        serde_json::from_value(serde_json::json!({"categories": {"c": {}}, "types": {name: {
            "category": "c", "channels": {"order": ["sms"]}, "sensitive": [pointer], "match": ["x/y"],
        }}}))
        .unwrap()
    }

    #[test]
    fn places_are_remembered_by_name_and_by_each_text_that_was_matched() {
        let mut former = Former::default();
        former.add(&catalog("A", "/data/code"));
        former.add(&catalog("B", "/data/link"));
        former.add(&Catalog::default());
        let read: Former = serde_json::from_str(&serde_json::to_string(&former).unwrap()).unwrap();
        assert_eq!(read, former);
        let of = |name: &str| {
            former
                .places(name)
                .unwrap()
                .sensitive
                .iter()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(of("A"), ["/data/code"]);
        assert_eq!(of("x/y"), ["/data/code", "/data/link"]);
        assert!(former.has_secrets("B") && !former.has_secrets("C"));
        assert_eq!(serde_json::from_str::<Former>("{}").unwrap(), Former::default());
    }

    #[test]
    fn places_in_the_items_of_a_digest_are_remembered_for_its_type() {
        let mut former = Former::default();
        let catalog = serde_json::from_value(serde_json::json!({
            "categories": {"c": {"digest": {"type": "D", "every": "1h"}}},
            "types": {"D": {"category": "c", "channels": {"order": ["email"]}},
                "A": {"category": "c", "channels": {"order": ["email"]}, "sensitive": ["/data/code"]}},
        }));
        former.add(&catalog.unwrap());
        let places = former.places("D").unwrap();
        assert!(places.sensitive.contains("/data/items/*/data/code"), "{places:?}");
    }

    #[test]
    fn more_places_than_are_remembered_cover_everything() {
        let mut former = Former::default();
        former.add(&catalog("A", &format!("/data/{}", "x".repeat(MAX_BYTES))));
        assert!(former.has_secrets("C") && former.places("A").is_none());
    }
}
