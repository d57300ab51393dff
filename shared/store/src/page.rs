//! Pages of lists, newest first. A cursor names the last row of a page, so pages neither skip nor repeat rows while
//! new ones arrive.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_domain::Timestamp;
use chrono::Datelike as _;
use uuid::Uuid;

/// The most rows in a page.
pub const MAX_LIMIT: u32 = 500;

/// The requested part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The row after which the page begins; `None`: the newest row.
    pub after: Option<Cursor>,
    /// The most rows of the page; values above [`MAX_LIMIT`] count as that.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            after: None,
            limit: 50,
        }
    }
}

impl Page {
    /// The number of rows of the page.
    pub(crate) fn rows(&self) -> u32 {
        self.limit.clamp(1, MAX_LIMIT)
    }
}

/// The position of a row in a list; opaque to clients. Positions are ordered by time, then by id, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub(crate) at: Timestamp,
    pub(crate) id: Uuid,
}

impl Cursor {
    /// The position of a row with this time and id.
    #[must_use]
    pub fn new(at: Timestamp, id: Uuid) -> Self {
        Self { at, id }
    }

    /// Parses a cursor from an earlier page; `None` if the text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (at, id) = bytes.split_at(8);
        let at = Timestamp::from_timestamp_micros(i64::from_be_bytes(at.try_into().ok()?))?;
        // No row lies outside these years, and not all databases can represent such a time.
        if !(0..=9_999).contains(&at.year()) {
            return None;
        }
        Some(Self {
            at,
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PageOf<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next_cursor: Option<String>,
}

impl<T> PageOf<T> {
    /// Builds a page from one row more than was requested; the extra row shows whether there is another page.
    pub(crate) fn cut(mut items: Vec<T>, page: &Page, place: impl Fn(&T) -> Cursor) -> Self {
        let rows = page.rows() as usize;
        let more = items.len() > rows;
        items.truncate(rows);
        let next_cursor = items.last().filter(|_| more).map(|last| place(last).to_string());
        Self { items, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_a_foreign_one_is_refused() {
        let cursor = Cursor {
            at: "2026-11-24T10:00:00.000001Z".parse().unwrap(),
            id: Uuid::from_u128(7),
        };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for text in [
            "",
            "x",
            "AAAA",
            "!!!",
            "////////////////////////////////",
            "H___________________________________".get(..32).unwrap(),
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
