//! Invisible characters: which of them carry meaning, and which of them data may bring into a line such as a subject.

pub(crate) use carillon_domain::text::is_blank;
use carillon_domain::{
    json::{Map, Value},
    text::is_ignorable,
};
use icu_properties::{CodePointMapData, props::BidiClass};
use memchr::memchr_iter;

use crate::limits::gsm_units;

/// Marks and isolates that put numbers and names into their places in right-to-left text. Embeddings and
/// overrides are not included.
pub(crate) fn is_direction(c: char) -> bool {
    is_mark(c) || matches!(c, '\u{2066}'..='\u{2069}')
}

/// Embeddings, overrides and isolates (U+202A to U+202E, U+2066 to U+2069). They change the direction of all text up to
/// the end of their paragraph.
fn is_turning(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A mark has the effect of one letter of its direction. It cannot reach beyond its neighbours.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// The text without invisible characters that carry no meaning. Joiners, selectors and tags stay in the
/// sequences that need them, and in right-to-left text the characters that `is_kept` names.
pub(crate) fn remove(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let is_right_to_left = text.chars().any(is_right_to_left);
    let mut kept = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let stays = !is_ignorable(c)
            || (is_right_to_left && is_kept(c))
            || (is_part_of_sequence(c) && is_in_sequence(before, next));
        if stays {
            kept.push(c);
            before = Some(c);
        }
    }
    kept
}

/// Whether a text has control characters other than tabs and line feeds.
pub(crate) fn has_controls(text: &str) -> bool {
    let bytes = text.as_bytes();
    // A block without branches is compared many bytes at once.
    let ascii_control = |byte: u8| {
        u8::from(byte < b' ') & u8::from(byte != b'\n') & u8::from(byte != b'\t') | u8::from(byte == 0x7f)
    };
    let has_ascii_control = |block: &[u8]| {
        let found = |found, byte: &u8| found | ascii_control(*byte);
        block.iter().fold(0, found) != 0
    };
    // U+0080 to U+009F are 0xc2 and one of these bytes.
    let is_control_from = |at: usize| matches!(bytes.get(at + 1), Some(0x80..=0x9f));
    bytes.chunks(256).any(has_ascii_control) || memchr_iter(0xc2, bytes).any(is_control_from)
}

/// The text without control characters except tabs, and with line breaks of one character.
pub(crate) fn without_controls(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' | '\u{b}' | '\u{85}' | '\u{2028}' | '\u{2029}' => lines.push('\n'),
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => lines.push(c),
        }
    }
    lines
}

/// The variables for a part that is a single line. Their texts can neither hide characters nor change the direction
/// of the line around them; of direction controls they keep only marks. `None` if no text has to change.
pub(crate) fn steady(variables: &Value) -> Option<Value> {
    has(variables, is_ignorable).then(|| rewritten(variables, &|text| remove(text, is_mark)))
}

/// The variables for a part of several lines. Their texts keep all characters except those that would change the
/// direction of the text around them. `None` if no text has to change.
pub(crate) fn unturned(variables: &Value) -> Option<Value> {
    has(variables, is_turning).then(|| rewritten(variables, &|text| text.replace(is_turning, "")))
}

/// Whether a text or a name has such a character, none of which is ASCII.
fn has(value: &Value, is_such: fn(char) -> bool) -> bool {
    let has_text = |text: &str| !text.is_ascii() && text.contains(is_such);
    match value {
        Value::String(text) => has_text(text),
        Value::Array(list) => list.iter().any(|item| has(item, is_such)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| has_text(name) || has(value, is_such)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn rewritten(value: &Value, rewrite: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(rewrite(text)),
        Value::Array(list) => Value::Array(list.iter().map(|item| rewritten(item, rewrite)).collect()),
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(name, value)| (rewrite(name), rewritten(value, rewrite)))
                    .collect::<Map>(),
            )
        }
        other => other.clone(),
    }
}

/// Joiners, variation selectors and tags. They control how neighbouring characters are drawn in Persian, in
/// Indic scripts and in emoji.
fn is_part_of_sequence(c: char) -> bool {
    matches!(
        c,
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}'
            | '\u{180f}' | '\u{e0020}'..='\u{e007f}'
    )
}

/// Whether such a character changes how its neighbours are drawn. Characters of GSM 03.38 have one form only,
/// except in keycaps (`1`, U+FE0F, U+20E3).
fn is_in_sequence(before: Option<char>, next: Option<char>) -> bool {
    next == Some('\u{20e3}')
        || before.is_some_and(|before| gsm_units(before).is_none() && !before.is_whitespace())
}

fn is_right_to_left(c: char) -> bool {
    let class = CodePointMapData::<BidiClass>::new().get(c);
    !is_ignorable(c) && (class == BidiClass::RightToLeft || class == BidiClass::ArabicLetter)
}
