//! A user's effective choices, and their changes.

use std::collections::BTreeSet;

use carillon_domain::{Catalog, Channel, EventTypeDef, Preferences, catalog::DefaultChoice};

/// The name of an event type that no catalog has, so that only the choices of its category and channel apply.
const NO_TYPE: &str = "";

/// The channels of a category's types that a person may refuse, in the order of [`Channel`].
pub(super) fn channels(catalog: &Catalog, category: &str) -> BTreeSet<Channel> {
    let types = optional_types(catalog, category);
    types
        .flat_map(|(_, def)| def.channels.order.iter().copied())
        .collect()
}

/// Whether the user gets the category's messages on the channel.
pub(super) fn is_wanted(
    preferences: &Preferences,
    catalog: &Catalog,
    category: &str,
    channel: Channel,
) -> bool {
    let by_default = catalog.categories.get(category).map(|category| category.default);
    let choice = preferences.choice(NO_TYPE, category, channel);
    choice.map_or(by_default != Some(DefaultChoice::OptOut), |(_, wanted)| wanted)
}

/// Sets the user's choice for a category and channel. Choices for single types of the category that contradict it end.
pub(super) fn set(
    preferences: &mut Preferences,
    catalog: Option<&Catalog>,
    category: &str,
    channel: Channel,
    wanted: bool,
) {
    let choices = preferences.categories.entry(category.to_owned()).or_default();
    choices.insert(channel, wanted);
    let types = catalog
        .into_iter()
        .flat_map(|catalog| optional_types(catalog, category));
    for (name, _) in types {
        if let Some(choices) = preferences.types.get_mut(name)
            && choices.get(&channel) == Some(&!wanted)
        {
            choices.remove(&channel);
            if choices.is_empty() {
                preferences.types.remove(name);
            }
        }
    }
}

/// The category's types that a person may refuse.
fn optional_types<'c>(
    catalog: &'c Catalog,
    category: &str,
) -> impl Iterator<Item = (&'c String, &'c EventTypeDef)> {
    let types = catalog.types.iter();
    types.filter(move |(_, def)| def.category == category && !def.critical)
}
