//! Makes foreign text safe for a terminal or a page: steering characters are made visible.

use std::{borrow::Cow, fmt::Write as _};

/// Whether the character controls a terminal, or the order of the text around it, instead of being shown: control
/// characters (C0 with line break and tab, DEL, C1), bidirectional marks, line and paragraph separators, tags.
#[must_use]
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with steering characters written as `\u{1b}`, line breaks and tabs included.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, is_steering)
}

/// The same for a text of several lines: line breaks and tabs stay.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_steering(c) && !matches!(c, '\n' | '\t'))
}

/// JSON text with steering characters escaped as `\u001b`. It is the same JSON; only line breaks between
/// values stay.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let steers = |c: char| is_steering(c) && c != '\n';
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn escape(text: &str, steers: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_steer_a_terminal_or_the_order_of_text_become_visible() {
        assert_eq!(visible("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(
            visible("a\u{9b}2J\u{202e}b\u{2066}c\u{61c}"),
            "a\\u{9b}2J\\u{202e}b\\u{2066}c\\u{61c}"
        );
        assert_eq!(visible("a\nb\tc\r"), "a\\u{a}b\\u{9}c\\u{d}");
        assert_eq!(visible_lines("a\nb\tc\r"), "a\nb\tc\\u{d}");
        for text in ["", "Größe", "שלום", "👩‍👩‍👧", "no\u{a0}break"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}\u{1b}\u{e0041}é", "b": ["x\ny"]});
        for text in [value.to_string(), format!("{value:#}")] {
            let safe = visible_json(&text);
            assert!(!safe.contains(|c| is_steering(c) && c != '\n'), "{safe}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        }
    }
}
