//! Templates before they are compiled.

use std::collections::BTreeMap;

use carillon_domain::Channel;
use serde::{Deserialize, Serialize};

/// The default locale, for readers whose own locale has no texts.
pub const DEFAULT_LOCALE: &str = "en";

/// A template's text by part: `subject`, `text`, `html` (e-mail), `text` (SMS), `title`, `body`,
/// `data.<key>`, `collapse` (push), `body` (webhook).
pub type Parts = BTreeMap<String, String>;

/// The published templates and texts of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSet {
    /// A number that grows with each change of the set.
    pub revision: i64,
    /// The templates, in any order.
    pub templates: Vec<TemplateDef>,
    /// Layouts and other pieces that templates include: `{{#> layout}}…{{/layout}}`.
    pub partials: Vec<PartialDef>,
    /// Fluent messages by BCP 47 tag.
    pub locales: BTreeMap<String, String>,
    /// The locale of readers whose own locale has no texts.
    pub default_locale: String,
}

impl Default for TemplateSet {
    fn default() -> Self {
        Self {
            revision: 0,
            templates: Vec::new(),
            partials: Vec::new(),
            locales: BTreeMap::new(),
            default_locale: DEFAULT_LOCALE.to_owned(),
        }
    }
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateDef {
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The channel.
    pub channel: Channel,
    /// The locale (and those below it) that it serves; `None`: all that have no template of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Immutable version, from 1.
    pub version: u32,
    /// Its text.
    pub parts: Parts,
}

impl TemplateDef {
    /// `<type>/<channel>`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.event_type, self.channel)
    }
}

/// A piece that templates include by its name: in HTML parts its `html`, elsewhere its `text`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialDef {
    /// Its name, such as `layout`.
    pub name: String,
    /// `html`, `text` or both.
    pub parts: Parts,
}

/// Whether a channel's templates have this part.
pub(crate) fn is_part(channel: Channel, part: &str) -> bool {
    match channel {
        Channel::Email => matches!(part, "subject" | "text" | "html"),
        Channel::Sms => part == "text",
        Channel::Webhook => part == "body",
        Channel::Push => {
            matches!(part, "title" | "body" | "collapse")
                || part.strip_prefix("data.").is_some_and(|key| !key.is_empty())
        }
    }
}

/// Whether FCM, APNs or the worker reserves a key of a push message's data. FCM refuses a message with a reserved
/// key, and APNs reads its own.
pub(crate) fn is_reserved_key(key: &str) -> bool {
    matches!(key, "from" | "message_type" | "collapse_key" | "notification")
        || ["google.", "gcm."].iter().any(|prefix| key.starts_with(prefix))
        || matches!(key, "google" | "gcm" | "aps")
        // The worker's own keys, by which an app identifies the message.
        || matches!(key, "carillon_delivery_id" | "carillon_event_id")
}

/// The parts that a channel's templates must have.
pub(crate) fn required_parts(channel: Channel) -> &'static [&'static str] {
    match channel {
        Channel::Email => &["subject", "text"],
        Channel::Sms => &["text"],
        Channel::Webhook => &["body"],
        Channel::Push => &["title", "body"],
    }
}
