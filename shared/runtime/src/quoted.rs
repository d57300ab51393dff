//! Foreign text in error messages, in quotes and with JSON's escapes.

use std::fmt::Write as _;

/// A text in quotes. Characters that cannot be printed are escaped as in JSON, such as `\u202e`.
pub(crate) fn quoted(text: &str) -> String {
    json_escapes(&format!("{text:?}"))
}

/// A text with Rust's escapes (`\u{202e}`, `\0`) written as JSON's.
pub(crate) fn json_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let code = escape.strip_prefix("u{").and_then(|code| code.split_once('}'));
        let character = code.and_then(|(code, _)| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        if let (Some(character), Some((_, after))) = (character, code) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
            rest = after;
        } else if let Some(after) = escape.strip_prefix('0') {
            out.push_str("\\u0000");
            rest = after;
        } else {
            let escaped = escape.chars().next();
            out.push('\\');
            out.extend(escaped);
            rest = &escape[escaped.map_or(0, char::len_utf8)..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_has_the_escapes_of_json() {
        for (text, expected) in [
            ("plain Größe", r#""plain Größe""#),
            ("a\u{202e}b\u{200b}c", r#""a\u202eb\u200bc""#),
            ("a\0\n\t\"\\", r#""a\u0000\n\t\"\\""#),
            ("\\u{202e}", r#""\\u{202e}""#),
            ("\u{e0041}", r#""\udb40\udc41""#),
        ] {
            assert_eq!(quoted(text), expected);
            assert_eq!(serde_json::from_str::<String>(&quoted(text)).unwrap(), text);
        }
    }
}
