//! A user's preferences. The most specific choice wins: type, then category, then channel (global).

mod choices;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    catalog::Catalog,
    channel::{Channel, by_channel},
    field_error::{FieldError, escape_token, is_full, quoted},
    quiet_hours::{self, QuietHours},
};

/// A choice for each channel that has one.
pub type ChannelChoices = BTreeMap<Channel, bool>;

/// A user's preferences. Absent choices are inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    /// Choices for all categories and types.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "by_channel")]
    pub global: ChannelChoices,
    /// Choices by category.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "choices::by_name"
    )]
    pub categories: BTreeMap<String, ChannelChoices>,
    /// Choices by event type.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "choices::by_name"
    )]
    pub types: BTreeMap<String, ChannelChoices>,
    /// Windows in which messages wait, in the user's timezone. `None` inherits those of the catalog, an empty list means
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<Vec<QuietHours>>,
}

/// The level at which a choice was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The user's choice for the event type.
    Type,
    /// The user's choice for the category.
    Category,
    /// The user's choice for the channel.
    Global,
    /// The catalog's default of the category.
    Default,
}

impl Preferences {
    /// The user's most specific choice, if there is one.
    #[must_use]
    pub fn choice(&self, event_type: &str, category: &str, channel: Channel) -> Option<(Level, bool)> {
        let of =
            |choices: Option<&ChannelChoices>| choices.and_then(|choices| choices.get(&channel).copied());
        of(self.types.get(event_type))
            .map(|choice| (Level::Type, choice))
            .or_else(|| of(self.categories.get(category)).map(|choice| (Level::Category, choice)))
            .or_else(|| of(Some(&self.global)).map(|choice| (Level::Global, choice)))
    }

    /// An error for each category and event type that is neither in the catalog nor in the preferences of before.
    /// The error lists at most twenty known names.
    #[must_use]
    pub fn unknown_names(&self, catalog: Option<&Catalog>, before: &Self) -> Vec<FieldError> {
        fn check<'a, T>(
            place: &str,
            said: &BTreeMap<String, T>,
            before: &BTreeMap<String, T>,
            known: &(impl Iterator<Item = &'a String> + Clone),
            errors: &mut Vec<FieldError>,
        ) {
            let is_unknown =
                |name: &&String| !before.contains_key(*name) && !known.clone().any(|known| known == *name);
            for name in said.keys().filter(is_unknown) {
                if is_full(errors) {
                    return;
                }
                let listed: Vec<&str> = known.clone().take(20).map(String::as_str).collect();
                let expected = match listed.as_slice() {
                    [] => "expected a name in the catalog, which has none".to_owned(),
                    listed => format!("expected a name in the catalog ({})", listed.join(", ")),
                };
                errors.push(FieldError::new(
                    format!("/{place}/{}", escape_token(name)),
                    "unknown",
                    format!("{expected}, not {}", quoted(name)),
                ));
            }
        }
        let mut errors = Vec::new();
        let categories = catalog.into_iter().flat_map(|catalog| catalog.categories.keys());
        check(
            "categories",
            &self.categories,
            &before.categories,
            &categories,
            &mut errors,
        );
        let types = catalog.into_iter().flat_map(|catalog| catalog.types.keys());
        check("types", &self.types, &before.types, &types, &mut errors);
        errors
    }

    /// Checks the rules that serde cannot, which are those of quiet hours. Quiet hours of before stay, since a former
    /// release may have accepted them.
    #[must_use]
    pub fn validate(&self, before: &Self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(windows) = self.quiet_hours.as_ref()
            && before.quiet_hours.as_ref() != Some(windows)
        {
            quiet_hours::check(windows, "/quiet_hours", &mut errors);
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_answer_wins() {
        let preferences: Preferences = serde_json::from_str(
            r#"{"global":{"email":false},"categories":{"marketing":{"email":true}},"types":{"Sale":{"email":false}}}"#,
        )
        .unwrap();
        assert_eq!(
            preferences.choice("Sale", "marketing", Channel::Email),
            Some((Level::Type, false))
        );
        assert_eq!(
            preferences.choice("News", "marketing", Channel::Email),
            Some((Level::Category, true))
        );
        assert_eq!(
            preferences.choice("News", "other", Channel::Email),
            Some((Level::Global, false))
        );
        assert_eq!(preferences.choice("News", "other", Channel::Sms), None);
    }

    #[test]
    fn a_new_preference_for_a_name_that_the_catalog_lacks_is_refused_with_the_known_names() {
        let read = |json: &str| serde_json::from_str::<Preferences>(json).unwrap();
        let catalog: Catalog = serde_json::from_str(
            r#"{"types":{"Sale":{"category":"marketing","channels":{"order":["sms"]}}},
                "categories":{"marketing":{},"orders":{}}}"#,
        )
        .unwrap();
        let said = read(
            r#"{"categories":{"marketing":{},"market/ing":{},"gone":{}},"types":{"Sale":{},"Sail":{}}}"#,
        );
        let before = read(r#"{"categories":{"gone":{"email":false}}}"#);
        let errors = said.unknown_names(Some(&catalog), &before);
        let told: Vec<_> = errors
            .iter()
            .map(|error| (error.pointer.as_str(), error.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "/categories/market~1ing",
                    "expected a name in the catalog (marketing, orders), not \"market/ing\""
                ),
                (
                    "/types/Sail",
                    "expected a name in the catalog (Sale), not \"Sail\""
                ),
            ]
        );
        assert_eq!(said.unknown_names(None, &said), []);
        assert!(
            said.unknown_names(None, &before)[0]
                .message
                .contains("which has none")
        );
    }

    #[test]
    fn quiet_hours_are_inherited_set_or_set_to_none_and_wrong_ones_are_refused_unless_they_were_there_before()
    {
        let read = |json: &str| serde_json::from_str::<Preferences>(json).unwrap();
        assert_eq!(read("{}").quiet_hours, None);
        assert_eq!(read(r#"{"quiet_hours":null}"#).quiet_hours, None);
        let none = read(r#"{"quiet_hours":[]}"#);
        assert_eq!(none.quiet_hours.as_deref(), Some(&[][..]));
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"quiet_hours":[]}"#);
        assert_eq!(serde_json::to_string(&Preferences::default()).unwrap(), "{}");
        let wrong = read(r#"{"quiet_hours":[{"from":"08:00","to":"08:00"}]}"#);
        assert_eq!(wrong.validate(&none)[0].pointer, "/quiet_hours/0");
        assert_eq!(wrong.validate(&wrong), []);
        assert!(serde_json::from_str::<Preferences>(r#"{"globl":{}}"#).is_err());
    }
}
