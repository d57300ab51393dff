//! Digests: messages of a category to a recipient on a channel that are collected in a window of time and sent as one.
//!
//! The window of a message follows from its time alone, so that each process finds the same one without asking. A digest is
//! sent as an event of its own type, whose id is that of the digest: however often it is released, it is one event.

mod window;

use std::time::Duration;

use chrono::NaiveTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

pub use self::window::DigestWindow;
use crate::{
    channel::Channel,
    duration_text,
    field_error::{FieldError, quoted},
    ids::DigestId,
    mask::place,
    quiet_hours::{Day, hh_mm},
};

/// The source of the events by which digests are sent.
pub const DIGEST_SOURCE: &str = "/carillon/digests";

/// The longest window.
const MAX_EVERY: Duration = Duration::from_hours(31 * 24);
/// The shortest window.
const MIN_EVERY: Duration = Duration::from_secs(1);
/// The most times of a day at which windows end.
const MAX_TIMES: usize = 24;
/// The most items of a digest, and the number if the catalog names none.
const MAX_ITEMS: u32 = 500;
const DEFAULT_ITEMS: u32 = 50;
/// The longest text of a key that is used, in bytes. Of a longer one the beginning counts.
const MAX_KEY: usize = 512;

/// The digest of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestDef {
    /// The event type of the digest, of the same category. Its template renders the digest, and messages on its channels are
    /// collected.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The length of windows that follow one another, such as `1h`. Excludes `at`.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub every: Option<Duration>,
    /// The times of day, in the recipient's timezone, at which windows end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<LocalTime>,
    /// The days on which windows end; none means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// A JSON pointer into the event to a value by which digests are divided, such as `/data/order_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The most items that the template gets: the latest ones. All members are counted.
    #[serde(default = "default_items")]
    pub max: u32,
}

/// A time of day, `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalTime(#[serde(with = "hh_mm")] pub NaiveTime);

/// A digest that a message joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Its id, which is that of the event by which it is sent.
    pub id: DigestId,
    /// Its window.
    pub window: DigestWindow,
}

fn default_items() -> u32 {
    DEFAULT_ITEMS
}

impl DigestDef {
    /// The value of the key in an event's data, as text; `None` without a key, or if the event has no value there.
    #[must_use]
    pub fn key_of(&self, data: &RawValue) -> Option<String> {
        let pointer = self.key.as_deref()?.strip_prefix("/data")?;
        let data: Value = serde_json::from_str(data.get()).ok()?;
        let mut key = match data.pointer(pointer)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        key.truncate(key.floor_char_boundary(MAX_KEY));
        Some(key)
    }

    /// Checks what reading it does not; `at` is its place in the catalog.
    pub(crate) fn validate(&self, at: &str, errors: &mut Vec<FieldError>) {
        let mut refuse = |field: &str, code: &str, expected: String| {
            errors.push(FieldError::new(format!("{at}/{field}"), code, expected));
        };
        match (self.every, self.at.as_slice()) {
            (Some(every), []) if every < MIN_EVERY || every > MAX_EVERY => {
                let expected = format!(
                    "expected a duration from {} to {}, not {}",
                    duration_text::format(MIN_EVERY),
                    duration_text::format(MAX_EVERY),
                    duration_text::format(every)
                );
                refuse("every", "range", expected);
            }
            (Some(_), []) | (None, [_, ..]) => {}
            (None, []) => refuse(
                "every",
                "required",
                "expected every, such as 1h, or at, such as [\"08:00\"]".to_owned(),
            ),
            (Some(_), [_, ..]) => refuse(
                "at",
                "exclusive",
                "expected either every or at, not both".to_owned(),
            ),
        }
        if self.at.len() > MAX_TIMES {
            let expected = format!("expected at most {MAX_TIMES} times, not {}", self.at.len());
            refuse("at", "range", expected);
        }
        for (index, time) in self.at.iter().enumerate() {
            if self.at[..index].contains(time) {
                let expected = format!("expected each time once, not {} again", time.0.format("%H:%M"));
                refuse(&format!("at/{index}"), "duplicate", expected);
            }
        }
        if !self.days.is_empty() && self.at.is_empty() {
            let expected = "expected days only beside at: every has no days".to_owned();
            refuse("days", "exclusive", expected);
        }
        for (index, day) in self.days.iter().enumerate() {
            if self.days[..index].contains(day) {
                let expected = format!("expected each day once, not {} again", day.as_str());
                refuse(&format!("days/{index}"), "duplicate", expected);
            }
        }
        if let Some(key) = &self.key
            && !(key.starts_with("/data/") && place::is_pointer(key))
        {
            let expected = format!(
                "expected a JSON pointer into the event's data, such as /data/order_id, not {}",
                quoted(key)
            );
            refuse("key", "format", expected);
        }
        if self.max == 0 || self.max > MAX_ITEMS {
            let expected = format!("expected 1 to {MAX_ITEMS} items, not {}", self.max);
            refuse("max", "range", expected);
        }
    }
}

/// The digest of a category as it applies to the messages of one of its types.
#[derive(Debug, Clone, Copy)]
pub struct DigestPlan<'a> {
    /// Its definition.
    pub definition: &'a DigestDef,
    /// The channels of its event type. Messages on others are not collected.
    pub channels: &'a [Channel],
}

#[cfg(test)]
mod tests;
