//! Bytes that are expected to be JSON, and errors that recognise other formats.

use crate::field_error::FieldError;

/// The error code of a value that the serialiser of a schema registry has framed.
pub const FRAMED: &str = "schema-registry-framed";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes without a byte order mark, which some editors and clients put before UTF-8 (RFC 8259 §8.1 lets a reader
/// ignore it).
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The first byte that is not white space, which determines the kind of the JSON value.
#[must_use]
pub fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// The JSON in these bytes. The error names the other format, if it is certain.
pub(crate) fn json<'a>(bytes: &'a [u8], pointer: &str) -> Result<&'a [u8], FieldError> {
    match bytes {
        [0, id @ ..] if id.len() >= 4 => {
            let id = id
                .iter()
                .take(4)
                .fold(0_u32, |id, byte| id << 8 | u32::from(*byte));
            let text = format!(
                "the value is framed by a schema registry (magic byte 0, schema id {id}): expected JSON without the frame, \
                 such as JsonConverter or StringSerializer writes"
            );
            Err(FieldError::new(pointer, FRAMED, text))
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(FieldError::new(
            pointer,
            "malformed-json",
            "the text has the byte order mark of UTF-16: expected JSON in UTF-8",
        )),
        _ => Ok(without_mark(bytes)),
    }
}

/// The kind of the JSON value that begins here, in words.
#[must_use]
pub fn json_kind(json: &[u8]) -> &'static str {
    match first_byte(json) {
        None => "nothing",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
    }
}
