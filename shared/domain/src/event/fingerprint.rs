//! The fingerprint of an event's content, which distinguishes a repeat from another event of the same identity.

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    Event, TRACE_ATTRIBUTES,
    fields::{AttributeContent, WireEvent, attribute_text},
};
use crate::{ids::UserId, json, recipient::Recipient};

impl Event {
    /// SHA-256 of the event without `id`, `source`, `time` and its trace. Two events of one id with different
    /// fingerprints conflict. Spacing, the order of keys, the spelling of numbers and the CloudEvents mode have no
    /// effect.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let wire = WireEvent::from(self);
        let mut attributes = wire.content();
        attributes.retain(|(name, _)| !TRACE_ATTRIBUTES.contains(name));
        attributes.sort_unstable_by_key(|(name, _)| *name);
        let mut hasher = Sha256::new();
        hasher.update(b"{");
        for (name, content) in attributes {
            hash_name(name, &mut hasher);
            match content {
                AttributeContent::Text(text) => hash_text(&text, &mut hasher),
                AttributeContent::Recipients(recipients) => hash_recipients(recipients, &mut hasher),
                AttributeContent::Raw(raw) => hash_raw(raw, &mut hasher),
            }
        }
        hasher.update(b"}");
        hasher.finalize().into()
    }
}

fn hash_recipients(recipients: &[Recipient], hasher: &mut Sha256) {
    hasher.update(b"[");
    for recipient in recipients {
        let Recipient {
            user_id,
            email,
            phone,
            locale,
            timezone,
        } = recipient;
        hasher.update(b"{");
        // In the order of their names, as those of any object.
        for (name, text) in [
            ("email", email.as_deref()),
            ("locale", locale.as_deref()),
            ("phone", phone.as_deref()),
            ("timezone", timezone.as_deref()),
            ("user_id", user_id.as_ref().map(UserId::as_str)),
        ] {
            if let Some(text) = text {
                hash_name(name, hasher);
                hash_text(text, hasher);
            }
        }
        hasher.update(b"}");
    }
    hasher.update(b"]");
}

/// Feeds unparsed JSON into a hash. An integer or a boolean alone counts as its text, as in a header; JSON that cannot
/// be parsed counts as a text.
fn hash_raw(raw: &RawValue, hasher: &mut Sha256) {
    match attribute_text(raw) {
        Some(text) => hash_text(text, hasher),
        None => match json::value(raw.get()) {
            Ok(value) => hash_value(&value, hasher),
            Err(_) => hash_text(raw.get(), hasher),
        },
    }
}

fn hash_name(name: &str, hasher: &mut Sha256) {
    hasher.update((name.len() as u64).to_be_bytes());
    hasher.update(name.as_bytes());
}

fn hash_text(text: &str, hasher: &mut Sha256) {
    hasher.update(b"\"");
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text.as_bytes());
}

/// Feeds a JSON value into a hash. Key order and the spelling of numbers have no effect, and no two values have the
/// same bytes.
pub(super) fn hash_value(value: &json::Value, hasher: &mut Sha256) {
    let mut scalar = |text: &str| {
        hasher.update(b"#");
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    match value {
        json::Value::Null => scalar("null"),
        json::Value::Bool(flag) => scalar(if *flag { "true" } else { "false" }),
        json::Value::Number(number) => scalar(&number.canonical()),
        json::Value::Object(fields) => {
            hasher.update(b"{");
            for (name, value) in fields {
                hash_name(name, hasher);
                hash_value(value, hasher);
            }
            hasher.update(b"}");
        }
        json::Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash_value(item, hasher);
            }
            hasher.update(b"]");
        }
        json::Value::String(text) => hash_text(text, hasher),
    }
}
