//! Media types, which determine the form of an event.

use std::borrow::Cow;

/// A media type: its essence in lower case, and its charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType<'a> {
    essence: Cow<'a, str>,
    charset: Option<&'a str>,
}

/// The form of an event that a media type names (CloudEvents bindings for HTTP and Kafka, §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `application/cloudevents+json`: one event with its attributes.
    Structured,
    /// `application/cloudevents-batch+json`: a list of events.
    Batch,
    /// Another format of CloudEvents, such as `application/cloudevents+avro`.
    OtherFormat,
    /// Any other media type. It describes the data; attributes, if any, are in headers.
    Data,
}

impl<'a> MediaType<'a> {
    /// Splits a media type into its parts.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim();
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"'))
        });
        let essence = if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(essence.to_ascii_lowercase())
        } else {
            Cow::Borrowed(essence)
        };
        Self { essence, charset }
    }

    /// Type and subtype, in lower case.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The form of an event that it names.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.essence() {
            "application/cloudevents+json" => Mode::Structured,
            "application/cloudevents-batch+json" => Mode::Batch,
            other if other.starts_with("application/cloudevents") => Mode::OtherFormat,
            _ => Mode::Data,
        }
    }

    /// Whether it is JSON: `application/json`, `text/json` or `…+json`.
    #[must_use]
    pub fn is_json(&self) -> bool {
        let essence = self.essence();
        essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
    }

    /// The charset, if it keeps bytes from being read as UTF-8. ASCII, of which most JSON consists, is the
    /// same in most charsets; in those of 16 and 32 bits it has zero bytes, which JSON has nowhere else.
    #[must_use]
    pub fn foreign_charset(&self, bytes: &[u8]) -> Option<&'a str> {
        let charset = self.charset?;
        let is_utf8 = ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|known| charset.eq_ignore_ascii_case(known));
        (!is_utf8 && (!bytes.is_ascii() || bytes.contains(&0))).then_some(charset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_names_the_form_in_any_case_and_with_any_parameters() {
        for (text, mode, is_json) in [
            ("application/cloudevents+json", Mode::Structured, true),
            (
                "Application/CloudEvents+JSON ; charset=UTF-8",
                Mode::Structured,
                true,
            ),
            (
                "application/cloudevents-batch+json;charset=utf-8",
                Mode::Batch,
                true,
            ),
            ("application/cloudevents+avro", Mode::OtherFormat, false),
            ("application/cloudevents", Mode::OtherFormat, false),
            ("application/vnd.acme+json", Mode::Data, true),
            ("text/plain", Mode::Data, false),
            ("", Mode::Data, false),
        ] {
            let media_type = MediaType::parse(text);
            assert_eq!(
                (media_type.mode(), media_type.is_json()),
                (mode, is_json),
                "{text}"
            );
        }
    }

    #[test]
    fn another_charset_than_utf_8_matters_only_beyond_ascii() {
        let latin = MediaType::parse("application/json; a=b; Charset=\"ISO-8859-1\"");
        assert_eq!(latin.foreign_charset(b"{}"), None);
        assert_eq!(latin.foreign_charset("é".as_bytes()), Some("ISO-8859-1"));
        let wide = MediaType::parse("application/json; charset=utf-16");
        assert_eq!(wide.foreign_charset(b"{\0}\0"), Some("utf-16"));
        assert_eq!(wide.foreign_charset(b"{}"), None);
        for text in [
            "application/json",
            "application/json;charset=Utf-8",
            "application/json;charset=utf8",
        ] {
            assert_eq!(
                MediaType::parse(text).foreign_charset("é".as_bytes()),
                None,
                "{text}"
            );
        }
    }
}
