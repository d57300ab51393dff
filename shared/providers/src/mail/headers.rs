//! Header lines that no text can break or make too long, and the headers that every mail has.

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use lettre::message::header::{HeaderName, HeaderValue};

use crate::message::OutgoingMessage;

/// The longest word, in octets, of a header that is sent as plain text. A header with a longer word is
/// encoded, because encoded words can be folded anywhere. Lines thus keep to the 78 characters that RFC 5322
/// §2.1.1 recommends.
const LONGEST_WORD: usize = 60;

/// The headers that every mail has besides sender, receiver, subject, date and id.
pub(crate) fn own_headers(message: &OutgoingMessage) -> [(&'static str, String); 4] {
    [
        ("X-Carillon-Delivery", message.delivery_id.to_string()),
        ("X-Carillon-Event", message.event_id.to_string()),
        // Keeps vacation responders from answering (RFC 3834 §5). Exchange uses a header of its own; bounces still come.
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "OOF, AutoReply".to_owned()),
    ]
}

/// An unstructured header (RFC 5322 §2.2.1). Plain text is folded between its words; other text is written as encoded words.
pub(super) fn text_header(name: &'static str, text: &str) -> HeaderValue {
    let header = HeaderName::new_from_ascii_str(name);
    match encoded_words(name, text) {
        None => HeaderValue::new(header, text.to_owned()),
        Some(encoded) => HeaderValue::dangerous_new_pre_encoded(header, text.to_owned(), encoded),
    }
}

/// The value of an unstructured header on one line of ASCII.
pub(crate) fn header_line(name: &str, text: &str) -> String {
    match encoded_words(name, text) {
        None => text.to_owned(),
        Some(encoded) => encoded.replace("\r\n", ""),
    }
}

/// Encoded words (RFC 2047), folded, for text with control characters, long words, other characters than ASCII, or the look
/// of an encoded word. `None`: the text may stand as it is.
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
