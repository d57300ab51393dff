//! Header lines that no text can break or make too long, and the headers that every mail has.

use std::borrow::Cow;

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use lettre::message::header::{HeaderName, HeaderValue};

use crate::message::OutgoingMessage;

/// The longest word, in octets, of a header that is sent as plain text. A header with a longer word is
/// encoded, because encoded words can be folded anywhere. Lines thus keep to the 78 characters that RFC 5322
/// §2.1.1 recommends.
const LONGEST_WORD: usize = 60;

/// The headers of a mail besides sender, receiver, subject, date and id.
pub(crate) fn own_headers(message: &OutgoingMessage) -> impl Iterator<Item = Header<'_>> {
    let every = [
        Header::text("X-Carillon-Delivery", message.delivery_id.to_string()),
        Header::text("X-Carillon-Event", message.event_id.to_string()),
        // These two headers keep vacation responders from answering: RFC 3834 §5, and Exchange's own. Bounces are still
        // sent.
        Header::text("Auto-Submitted", "auto-generated"),
        Header::text("X-Auto-Response-Suppress", "OOF, AutoReply"),
    ];
    let unsubscribe = message.unsubscribe_url.as_ref().map(|url| {
        [
            Header::exact("List-Unsubscribe", format!("<{url}>")),
            Header::exact("List-Unsubscribe-Post", ONE_CLICK),
        ]
    });
    every.into_iter().chain(unsubscribe.into_iter().flatten())
}

/// The value of `List-Unsubscribe-Post`, which mail clients send back (RFC 8058 §3.1).
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

/// A header of a mail.
pub(crate) struct Header<'a> {
    pub(crate) name: &'static str,
    value: Cow<'a, str>,
    /// Whether the value is ASCII text in a syntax that encoded words would break.
    is_exact: bool,
}

impl<'a> Header<'a> {
    /// An unstructured header (RFC 5322 §2.2.1).
    pub(super) fn text(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        let value = value.into();
        Self {
            name,
            value,
            is_exact: false,
        }
    }

    fn exact(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self {
            is_exact: true,
            ..Self::text(name, value)
        }
    }

    /// The header for MIME. Plain text is folded between its words; other text is written as encoded words.
    pub(super) fn to_mime(&self) -> HeaderValue {
        let name = HeaderName::new_from_ascii_str(self.name);
        let value = self.value.clone().into_owned();
        let encoded = if self.is_exact {
            Some(value.clone())
        } else {
            encoded_words(self.name, &value)
        };
        match encoded {
            None => HeaderValue::new(name, value),
            Some(encoded) => HeaderValue::dangerous_new_pre_encoded(name, value, encoded),
        }
    }

    /// The value on one line of ASCII.
    pub(crate) fn line(&self) -> String {
        let encoded = if self.is_exact {
            None
        } else {
            encoded_words(self.name, &self.value)
        };
        encoded.map_or_else(
            || self.value.clone().into_owned(),
            |encoded| encoded.replace("\r\n", ""),
        )
    }
}

/// The text as folded encoded words (RFC 2047), if it has control characters, long words or non-ASCII characters, or
/// looks like an encoded word; `None` if the text can be sent unchanged.
fn encoded_words(name: &str, text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.contains("=?")
        && text.split(' ').all(|word| word.len() <= LONGEST_WORD);
    if is_plain {
        return None;
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    let line = name.len() + ": ".len();
    // Writing to a string does not fail.
    let _ = rfc2047::encode(text, &mut EmailWriter::new(&mut encoded, line, 0, false));
    Some(encoded)
}
