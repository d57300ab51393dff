//! Versions of documents that people edit: read with an `ETag`, written with `If-Match`.

/// The version that the writer has seen; `None` overwrites any version.
pub type IfMatch = Option<i64>;

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Grows by 1 with each change, from 1.
    pub version: i64,
}

impl<T> Versioned<T> {
    /// The version as a strong entity tag: `"3"`, quotes included.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.version)
    }
}

/// A version as a strong entity tag.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Parses an entity tag of Carillon's; `None` if the text is not one.
#[must_use]
pub fn parse_etag(text: &str) -> Option<i64> {
    text.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// The result of a `PUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Whether the row is new.
    pub created: bool,
    /// The version that was written.
    pub version: i64,
}

impl Written {
    /// The version as an entity tag.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_as_it_was_written() {
        assert_eq!(parse_etag(&etag(17)), Some(17));
        assert_eq!(parse_etag("17"), None);
        assert_eq!(parse_etag("W/\"17\""), None);
    }
}
