//! A user's preferences. The most specific choice wins: type, then category, then channel (global).

mod choices;

use std::collections::BTreeMap;

use chrono::{NaiveTime, Weekday};
use serde::{Deserialize, Serialize};

use crate::{
    catalog::Catalog,
    channel::Channel,
    field_error::{FieldError, escape_token, is_full, quoted},
};

/// A choice for each channel that has one.
pub type ChannelChoices = BTreeMap<Channel, bool>;

/// A user's preferences. Absent choices are inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    /// Choices for all categories and types.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "choices::one")]
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
    /// Windows without messages, in the user's timezone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quiet_hours: Vec<QuietHours>,
}

/// A quiet window. If its end is before its start, it runs over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// The days on which it starts; none means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Local start, `HH:MM`.
    #[serde(with = "hh_mm")]
    pub from: NaiveTime,
    /// Local end, `HH:MM`, exclusive.
    #[serde(with = "hh_mm")]
    pub to: NaiveTime,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the days speak for themselves")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Mon,
            Day::Tue => Self::Tue,
            Day::Wed => Self::Wed,
            Day::Thu => Self::Thu,
            Day::Fri => Self::Fri,
            Day::Sat => Self::Sat,
            Day::Sun => Self::Sun,
        }
    }
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

    /// Checks the rules that serde cannot: at most 32 quiet windows, none empty.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.quiet_hours.len() > 32 {
            errors.push(FieldError::new(
                "/quiet_hours",
                "range",
                "expected at most 32 windows",
            ));
        }
        for (index, window) in self.quiet_hours.iter().enumerate() {
            if window.from == window.to {
                errors.push(FieldError::new(
                    format!("/quiet_hours/{index}"),
                    "range",
                    "expected from and to to differ",
                ));
            }
        }
        errors
    }
}

mod hh_mm {
    use chrono::NaiveTime;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn serialize<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%H:%M"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        NaiveTime::parse_from_str(&text, "%H:%M").map_err(|_| D::Error::custom("expected a time as HH:MM"))
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
    fn a_text_that_is_not_a_time_and_an_unknown_field_are_refused() {
        assert!(
            serde_json::from_str::<Preferences>(r#"{"quiet_hours":[{"from":"25:00","to":"07:00"}]}"#)
                .is_err()
        );
        assert!(serde_json::from_str::<Preferences>(r#"{"globl":{}}"#).is_err());
    }
}
