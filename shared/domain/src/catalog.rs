//! The catalog of a tenant: event types and categories (`catalog.yaml`).

mod categories;
mod channels;
mod digests;
mod limits;
mod warnings;

pub(crate) use self::digests::ItemPlaces;
pub use self::{
    channels::{ChannelMode, ChannelPlan, ChannelWait},
    limits::{CatalogLimits, LimitDef, LimitScope},
};

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    channel::Priority,
    digest::DigestDef,
    field_error::{FieldError, bounded, end_full, escape_token, is_full, quoted},
    mask::place,
    quiet_hours::{self, QuietHours},
    recipient::validate_timezone,
    schema,
    source::{self, SourceDef},
};

/// The longest text of `match`, in bytes.
const MAX_MATCH: usize = 1_024;

/// The catalog of a tenant. Names keep the order in which they were written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Catalog {
    /// Event types by name.
    pub types: IndexMap<String, EventTypeDef>,
    /// Categories by name.
    pub categories: IndexMap<String, CategoryDef>,
    /// The timezone (IANA name) of recipients whose own is not known; UTC if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The quiet hours of recipients who have set none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quiet_hours: Vec<QuietHours>,
    /// The limits of the whole tenant, and of each user over all categories.
    #[serde(skip_serializing_if = "CatalogLimits::is_empty")]
    pub limits: CatalogLimits,
    /// The rules by which records of other topics become events, by topic.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub sources: IndexMap<String, SourceDef>,
}

/// An event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTypeDef {
    /// The category, by which preferences and limits apply.
    pub category: String,
    /// The channels, and whether all or the first possible one is used.
    pub channels: ChannelPlan,
    /// Further event types, besides its own name, that belong to this type; any text, such as
    /// `orders/create`.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<String>,
    /// Whether the type bypasses preferences, quiet hours, digest and limits. Suppression always applies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// The priority of events that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The JSON Schema of `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// JSON pointers into the event to the recipients' user ids (or recipient objects).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients_from: Vec<String>,
    /// JSON pointers to secrets in the event, such as `/data/code`; the token `*` matches every item. Their values
    /// are shown only to an admin who requests them; the audit log records each such request. A place stays covered
    /// if a later version of the catalog no longer names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<String>,
    /// Whether an event without recipients is an error.
    #[serde(default, skip_serializing_if = "RecipientRule::is_default")]
    pub recipients: RecipientRule,
}

/// Whether an event must have a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientRule {
    /// An event without recipients is refused.
    #[default]
    Required,
    /// An event without recipients is skipped: no message is sent for it.
    Optional,
}

impl RecipientRule {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CategoryDef {
    /// The name that recipients read, by language tag, such as `en` or `pt-BR`. Without one they read the category's id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub title: BTreeMap<String, String>,
    /// The choice for a user without one.
    pub default: DefaultChoice,
    /// Limits for each user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitDef>,
    /// The treatment of a message over the limit.
    pub overflow: Overflow,
    /// The digest into which messages are collected: all of them, or only those over the limit if `overflow` is `digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestDef>,
    /// The treatment of a message that may have been sent.
    pub on_uncertain: OnUncertain,
}

/// The choice for a user without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultChoice {
    /// The user gets messages until opting out.
    #[default]
    OptIn,
    /// The user gets no messages until opting in.
    OptOut,
}

/// The treatment of a message over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The message is dropped; its decision records that.
    #[default]
    Drop,
    /// The message waits until the limit has room, and is then decided again.
    Defer,
    /// The next channel of the type's order is used.
    Downgrade,
    /// The message is collected into the category's digest.
    Digest,
}

impl Overflow {
    /// Whether a message that joins no digest waits until the limit has room.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Defer | Self::Digest)
    }
}

/// The treatment of a message that may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUncertain {
    /// The message is sent again; its timeline records that.
    #[default]
    Resend,
    /// The delivery becomes a dead letter, so that no second copy is sent.
    Hold,
}

impl Catalog {
    /// Checks the whole catalog, up to the number of errors that an answer lists. Without errors it may be applied.
    /// Pointers are into the catalog document.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (name, def) in &self.types {
            if is_full(&errors) {
                break;
            }
            self.validate_type(name, def, &format!("/types/{}", escape_token(name)), &mut errors);
        }
        self.validate_matches(&mut errors);
        for (name, def) in &self.categories {
            if is_full(&errors) {
                break;
            }
            let at = format!("/categories/{}", escape_token(name));
            validate_name(name, &at, &mut errors);
            categories::validate(self, name, def, &at, &mut errors);
        }
        validate_timezone(self.timezone.as_deref(), "/timezone", &mut errors);
        quiet_hours::check(&self.quiet_hours, "/quiet_hours", &mut errors);
        self.limits.validate("/limits", &mut errors);
        source::check(
            &self.sources,
            &|name: &str| self.types.contains_key(name),
            &mut errors,
        );
        if is_full(&errors) {
            end_full(&mut errors, None);
        }
        bounded(errors)
    }

    /// Checks that no source is a topic of the installation, whose topics begin with `prefix` and a dot: their records are
    /// events and messages already.
    #[must_use]
    pub fn check_source_topics(&self, prefix: &str) -> Vec<FieldError> {
        let is_own = |topic: &str| {
            topic
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let own = self.sources.keys().filter(|topic| is_own(topic));
        let errors = own.map(|topic| {
            let expected =
                format!("expected a topic of another system, not one of Carillon's own, {prefix}.…");
            FieldError::new(format!("/sources/{}", escape_token(topic)), "own-topic", expected)
        });
        bounded(errors.collect())
    }

    /// Checks that an event is of one type only: no two types match the same text, and none matches the name of
    /// another.
    fn validate_matches(&self, errors: &mut Vec<FieldError>) {
        let mut taken: HashMap<&str, &str> = HashMap::new();
        for (name, def) in &self.types {
            for (index, text) in def.matches.iter().enumerate() {
                if is_full(errors) {
                    return;
                }
                let at = || format!("/types/{}/match/{index}", escape_token(name));
                if text.is_empty() || text.len() > MAX_MATCH || text.chars().any(char::is_control) {
                    let expected = format!(
                        "expected an event type of 1 to {MAX_MATCH} bytes without control characters, not {}",
                        quoted(text)
                    );
                    errors.push(FieldError::new(at(), "format", expected));
                } else if text != name && self.types.contains_key(text) {
                    let expected = format!("expected no other type's name, not {}", quoted(text));
                    errors.push(FieldError::new(at(), "duplicate", expected));
                } else if let Some(other) = taken.insert(text, name) {
                    let expected = format!(
                        "expected each event type once: {other} matches {} too",
                        quoted(text)
                    );
                    errors.push(FieldError::new(at(), "duplicate", expected));
                }
            }
        }
    }

    fn validate_type(&self, name: &str, def: &EventTypeDef, at: &str, errors: &mut Vec<FieldError>) {
        validate_name(name, at, errors);
        if !self.categories.contains_key(&def.category) {
            errors.push(FieldError::new(
                format!("{at}/category"),
                "unknown",
                format!(
                    "expected a category of this catalog, not {}",
                    quoted(&def.category)
                ),
            ));
        }
        def.channels.validate(&format!("{at}/channels"), errors);
        if let Some(schema) = &def.schema {
            let found = match schema::compile(schema) {
                Err(found) => found,
                Ok(_) => schema::contradictions(schema).errors,
            };
            errors.extend(found.into_iter().map(|error| FieldError {
                pointer: format!("{at}/schema{}", error.pointer),
                ..error
            }));
        }
        for (index, pointer) in def.recipients_from.iter().enumerate() {
            if !place::is_pointer(pointer) {
                errors.push(FieldError::new(
                    format!("{at}/recipients_from/{index}"),
                    "format",
                    "expected a JSON pointer such as /data/customer/id",
                ));
            }
        }
        for (index, pointer) in def.sensitive.iter().enumerate() {
            if let Err(error) = place::parse(pointer) {
                errors.push(FieldError::new(
                    format!("{at}/sensitive/{index}"),
                    "format",
                    error.to_string(),
                ));
            }
        }
    }
}

impl CategoryDef {
    /// The name for readers of a language: the title in it, else in English.
    #[must_use]
    pub fn title(&self, language: &str) -> Option<&str> {
        let in_language = |wanted: &str| {
            let title = self.title.iter().find(|(tag, _)| {
                let spoken = tag.split(['-', '_']).next();
                spoken.is_some_and(|spoken| spoken.eq_ignore_ascii_case(wanted))
            });
            title.map(|(_, text)| text.as_str())
        };
        in_language(language).or_else(|| in_language("en"))
    }
}

fn validate_name(name: &str, at: &str, errors: &mut Vec<FieldError>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) || name.starts_with('.') {
        errors.push(FieldError::new(
            at,
            "format",
            "expected a name of letters, digits, '.', '_' and '-', at most 128",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_chosen_by_language_then_in_english_and_a_wrong_one_is_refused_with_its_place() {
        let category: CategoryDef =
            serde_json::from_str(r#"{"title":{"en":"Offers","de-AT":"Angebote"}}"#).unwrap();
        assert_eq!(category.title("de"), Some("Angebote"));
        assert_eq!(category.title("fr"), Some("Offers"));
        assert_eq!(CategoryDef::default().title("de"), None);
        let wrong: Catalog = serde_json::from_str(
            r#"{"categories":{"a":{"title":{"not a tag":"x","en":" ","de":"Angebote"}}}}"#,
        )
        .unwrap();
        let errors = wrong.validate();
        let pointers: Vec<_> = errors.iter().map(|error| &*error.pointer).collect();
        assert_eq!(
            pointers,
            ["/categories/a/title/en", "/categories/a/title/not a tag"]
        );
        assert_eq!(
            errors[0].message,
            "expected 1 to 60 characters without control characters, not \" \""
        );
    }

    #[test]
    fn a_catalog_that_refers_to_missing_entries_is_refused_with_their_pointers() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"types":{"A/b":{"category":"none","channels":{"order":[]},"schema":{"type":"objct"},"recipients_from":["x","/data/~","/data/a~1b"],"sensitive":["/data/x","/id","data"]}}}"#,
        )
        .unwrap();
        let pointers: Vec<_> = catalog
            .validate()
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert_eq!(
            pointers,
            [
                "/types/A~1b",
                "/types/A~1b/category",
                "/types/A~1b/channels/order",
                "/types/A~1b/schema/type",
                "/types/A~1b/recipients_from/0",
                "/types/A~1b/recipients_from/1",
                "/types/A~1b/sensitive/1",
                "/types/A~1b/sensitive/2"
            ]
        );
    }

    #[test]
    fn a_section_that_no_catalog_has_is_refused() {
        let error = serde_json::from_str::<Catalog>(r#"{"types":{},"providers":{}}"#).unwrap_err();
        assert!(
            error.to_string().contains(
                "`providers`, expected one of `types`, `categories`, `timezone`, `quiet_hours`, `limits`, `sources`"
            ),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_timezone_and_quiet_hours_that_cannot_be_meant_are_refused_with_place_and_value() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"timezone":"Europe/Bern","quiet_hours":[{"from":"22:00","to":"22:00"}]}"#,
        )
        .unwrap();
        let errors: Vec<String> = catalog.validate().iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "/timezone: expected an IANA timezone, such as Europe/Berlin, not \"Europe/Bern\"",
                "/quiet_hours/0: expected from and to to differ, not 22:00 for both",
            ]
        );
    }

    #[test]
    fn a_schema_whose_pattern_would_backtrack_is_refused_with_its_pointer() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"categories":{"c":{}},"types":{"T":{"category":"c","channels":{"order":["sms"]},
                "schema":{"properties":{"x":{"type":"string","pattern":"(?<=a+)b"}}}}}}"#,
        )
        .unwrap();
        let errors = catalog.validate();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].pointer, "/types/T/schema/properties/x/pattern");
        assert!(errors[0].message.contains("(?<=a+)b"), "{}", errors[0].message);
    }

    #[test]
    fn a_type_matches_any_text_that_no_other_type_has() {
        let catalog = |shipped: &[&str], paid: &[&str]| -> Vec<(String, String)> {
            let of = |matches: &[&str]| serde_json::json!({"category": "c", "channels": {"order": ["sms"]}, "match": matches});
            let document = serde_json::json!({"categories": {"c": {}},
                "types": {"Shipped": of(shipped), "Paid": of(paid)}});
            let catalog: Catalog = serde_json::from_value(document).unwrap();
            let errors = catalog.validate().into_iter();
            errors.map(|error| (error.pointer, error.code)).collect()
        };
        let long = "ü".repeat(150);
        let sound = [
            "orders/create",
            "urn:example:order:shipped",
            "Größe",
            "with spaces",
            &long,
            "Shipped",
        ];
        assert_eq!(catalog(&sound, &["orders/paid"]), []);
        let error = |at: &str, code: &str| (at.to_owned(), code.to_owned());
        assert_eq!(
            catalog(&["a", "b", "a"], &["b"]),
            [
                error("/types/Shipped/match/1", "duplicate"),
                error("/types/Shipped/match/2", "duplicate"),
            ]
        );
        assert_eq!(
            catalog(&["Paid"], &[]),
            [error("/types/Shipped/match/0", "duplicate")]
        );
        let too_long = "x".repeat(1_025);
        for odd in ["", "tab\there", &too_long] {
            assert_eq!(
                catalog(&[odd], &[]),
                [error("/types/Shipped/match/0", "format")],
                "{odd:?}"
            );
        }
    }
}
