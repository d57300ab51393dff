//! The digests of a catalog's categories: the rules that involve several of its parts, and the content of a digest's
//! events.

use super::{Catalog, CategoryDef, Overflow};
use crate::field_error::{FieldError, quoted};

/// Checks the digest of a category, and that its type and its overflow fit.
pub(super) fn validate(
    catalog: &Catalog,
    name: &str,
    def: &CategoryDef,
    at: &str,
    errors: &mut Vec<FieldError>,
) {
    let Some(digest) = &def.digest else {
        if def.overflow == Overflow::Digest {
            let expected = "expected a digest in the category, because its overflow is digest";
            errors.push(FieldError::new(format!("{at}/digest"), "required", expected));
        }
        return;
    };
    digest.validate(&format!("{at}/digest"), errors);
    let of_type = catalog.types.get(&digest.event_type);
    let Some(of_type) = of_type.filter(|of_type| of_type.category == name && !of_type.critical) else {
        let expected = format!(
            "expected an event type of the category {} that is not critical, not {}",
            quoted(name),
            quoted(&digest.event_type)
        );
        errors.push(FieldError::new(format!("{at}/digest/type"), "unknown", expected));
        return;
    };
    if def.overflow != Overflow::Digest {
        return;
    }
    for (index, limit) in def.limits.iter().enumerate() {
        if !of_type.channels.order.contains(&limit.channel) {
            let expected = format!(
                "expected a channel of the digest type {}, not {}, because the overflow is digest",
                quoted(&digest.event_type),
                limit.channel
            );
            let at = format!("{at}/limits/{index}/channel");
            errors.push(FieldError::new(at, "digest", expected));
        }
    }
}

/// Places in the events of a type.
#[derive(Debug, Default)]
pub(crate) struct ItemPlaces {
    /// Those of secrets.
    pub(crate) sensitive: Vec<String>,
    /// Those of recipients.
    pub(crate) recipients: Vec<String>,
}

impl Catalog {
    /// The places at which the events of a digest's type contain secrets and recipients of its members. Empty for other
    /// types.
    pub(crate) fn item_places(&self, event_type: &str) -> ItemPlaces {
        let mut places = ItemPlaces::default();
        let is_digest = |def: &CategoryDef| {
            let digest = def.digest.as_ref();
            digest.is_some_and(|digest| digest.event_type == event_type)
        };
        let Some((category, _)) = self.categories.iter().find(|(_, def)| is_digest(def)) else {
            return places;
        };
        for (name, member) in self.types.iter().filter(|(_, def)| def.category == *category) {
            if name == event_type {
                continue;
            }
            let in_item = |pointer: &String| {
                let is_of_data = pointer.starts_with("/data/");
                is_of_data.then(|| format!("/data/items/*{pointer}"))
            };
            places
                .sensitive
                .extend(member.sensitive.iter().filter_map(in_item));
            places
                .recipients
                .extend(member.recipients_from.iter().filter_map(in_item));
            places.recipients.push("/data/items/*/data/recipients".to_owned());
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn catalog(category: &Value) -> Catalog {
        let of = |category: &str, order: &[&str]| json!({"category": category, "channels": {"order": order}});
        let mut offer = of("offers", &["email", "push"]);
        offer["sensitive"] = json!(["/data/code", "/carrier"]);
        offer["recipients_from"] = json!(["/data/customer"]);
        let mut critical = of("offers", &["email"]);
        critical["critical"] = json!(true);
        serde_json::from_value(json!({
            "types": {"Offer": offer, "Digest": of("offers", &["email"]), "Critical": critical, "Other": of("others", &["email"])},
            "categories": {"offers": category, "others": {}},
        }))
        .unwrap()
    }

    #[test]
    fn a_digest_has_a_type_of_its_category_and_an_overflow_into_it_fits_its_channels() {
        let digest = |event_type: &str| json!({"digest": {"type": event_type, "every": "1h"}});
        let limited = |channel: &str| {
            let mut category = digest("Digest");
            category["overflow"] = json!("digest");
            category["limits"] = json!([{"channel": channel, "max": 1, "per": "1h"}]);
            category
        };
        for fine in [digest("Digest"), limited("email")] {
            assert_eq!(catalog(&fine).validate(), []);
        }
        for (category, expected) in [
            (
                digest("Other"),
                "/categories/offers/digest/type: expected an event type of the category \"offers\" that is not critical, not \"Other\"",
            ),
            (
                digest("Nothing"),
                "/categories/offers/digest/type: expected an event type of the category \"offers\" that is not critical, not \"Nothing\"",
            ),
            (
                digest("Critical"),
                "/categories/offers/digest/type: expected an event type of the category \"offers\" that is not critical, not \"Critical\"",
            ),
            (
                json!({"overflow": "digest"}),
                "/categories/offers/digest: expected a digest in the category, because its overflow is digest",
            ),
            (
                limited("push"),
                "/categories/offers/limits/0/channel: expected a channel of the digest type \"Digest\", not push, because the overflow is digest",
            ),
        ] {
            let errors: Vec<String> = catalog(&category)
                .validate()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(errors, [expected]);
        }
    }

    #[test]
    fn the_events_of_a_digest_have_the_secrets_of_its_members() {
        let catalog = catalog(&json!({"digest": {"type": "Digest", "every": "1h"}}));
        let places = catalog.item_places("Digest");
        assert_eq!(places.sensitive, ["/data/items/*/data/code"]);
        assert!(
            places
                .recipients
                .contains(&"/data/items/*/data/customer".to_owned())
        );
        assert!(catalog.item_places("Offer").sensitive.is_empty());
    }
}
