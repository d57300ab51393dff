//! The places of a list of events. A list of records has another place than one that is found through decisions or
//! deliveries.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_domain::Timestamp;
use chrono::Datelike as _;

use crate::page::Cursor;

/// The place of an event in a list; opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityCursor {
    /// Of a record.
    Record(RecordPlace),
    /// Of a decision or a delivery.
    Row(Cursor),
}

/// The place of an event's record among all records, by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPlace {
    pub(super) at: Timestamp,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl ActivityCursor {
    /// Parses a cursor from an earlier page; `None` if the text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(row) = Cursor::parse(text) {
            return Some(Self::Row(row));
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(4, '/');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let at = Timestamp::from_timestamp_micros(number()?)?;
        // Not all databases can represent another year.
        if !(0..=9_999).contains(&at.year()) {
            return None;
        }
        let partition = i32::try_from(number()?).ok()?;
        let offset = number()?;
        let topic = parts.next()?;
        if topic.contains('\0') {
            return None;
        }
        Some(Self::Record(RecordPlace {
            at,
            topic: topic.to_owned(),
            partition,
            offset,
        }))
    }
}

impl fmt::Display for ActivityCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => row.fmt(f),
            Self::Record(place) => {
                let at = place.at.timestamp_micros();
                let text = format!("{at}/{}/{}/{}", place.partition, place.offset, place.topic);
                f.write_str(&URL_SAFE_NO_PAD.encode(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_a_foreign_one_is_refused() {
        let at = "2026-11-24T10:00:00.000001Z".parse().unwrap();
        let record = ActivityCursor::Record(RecordPlace {
            at,
            topic: "notifications.events/é".to_owned(),
            partition: 7,
            offset: 1 << 40,
        });
        let row = ActivityCursor::Row(Cursor {
            at,
            id: Uuid::from_u128(7),
        });
        for cursor in [record, row] {
            assert_eq!(ActivityCursor::parse(&cursor.to_string()), Some(cursor));
        }
        for text in [
            "",
            "x",
            "MS8y",
            "eC8xLzIvdA",
            "OTk5OTk5OTk5OTk5OTk5OTk5OS8xLzIvdA",
        ] {
            assert_eq!(ActivityCursor::parse(text), None, "{text}");
        }
    }
}
