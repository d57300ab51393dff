//! An error in one field of an input.

use std::{
    borrow::Cow,
    fmt::{Display, Write as _},
};

use serde::{Deserialize, Serialize};

use crate::{text::is_ignorable, visible::is_steering};

/// The maximum number of errors that are listed for one input. More would cost time and space in the answer, and help
/// no reader.
pub const MAX_ERRORS: usize = 20;
/// The maximum number of characters of a foreign value that an error repeats.
pub const MAX_ECHO: usize = 100;
/// The code of the last entry of a list that is not complete; its message says how many errors are left out.
pub const MORE: &str = "more";
/// The maximum number of characters of a pointer, and of a message.
const MAX_POINTER: usize = 250;
const MAX_MESSAGE: usize = 500;

/// One wrong field: its place (JSON pointer), the broken rule (`code`, stable), and the expected value (`message`,
/// for people).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// RFC 6901 pointer into the input, such as `/recipients/0`; empty for the whole document.
    pub pointer: String,
    /// A stable code, such as `required`, `type`, `unknown-field`, `format`, `range`.
    pub code: String,
    /// A sentence that names the expected value.
    pub message: String,
}

impl FieldError {
    /// Makes an error from pointer, code and message, each cut to a length that may be answered and logged.
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self {
            pointer: cut_pointer(pointer.into()),
            code: code.to_owned(),
            message: cut(message.into(), MAX_MESSAGE),
        }
    }

    /// The last entry of an incomplete list; `count` is the number of omitted errors, if it is known.
    fn more(count: Option<usize>) -> Self {
        let message = match count {
            Some(count) => format!("and {count} more"),
            None => format!("there may be more: at most {MAX_ERRORS} are looked for"),
        };
        Self::new("", MORE, message)
    }
}

/// Whether a list has [`MAX_ERRORS`] entries, so that further errors would not be answered.
#[must_use]
pub fn is_full(errors: &[FieldError]) -> bool {
    errors.len() >= MAX_ERRORS
}

/// Ends a full list; `count` is the number of omitted errors, if it is known.
pub fn end_full(errors: &mut Vec<FieldError>, count: Option<usize>) {
    errors.push(FieldError::more(count));
}

/// Ends a list that holds the first error only; `why` is the reason why no more were looked for.
pub(crate) fn end_at_first(errors: &mut Vec<FieldError>, why: &str) {
    let text = format!("only the first error is listed: {why}");
    errors.push(FieldError::new("", MORE, text));
}

/// Cuts a list to [`MAX_ERRORS`]. If errors are omitted, a last entry with the code [`MORE`] says so.
#[must_use]
pub fn bounded(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    let is_ended = errors.iter().any(|error| error.code == MORE);
    if is_ended {
        let Some(first) = errors.iter().position(|error| error.code == MORE) else {
            return errors;
        };
        if first + 1 == errors.len() && first <= MAX_ERRORS {
            return errors;
        }
        errors.retain(|error| error.code != MORE);
    }
    let left_out = errors.len().saturating_sub(MAX_ERRORS);
    errors.truncate(MAX_ERRORS);
    if is_ended || left_out > 0 {
        end_full(&mut errors, (!is_ended).then_some(left_out));
    }
    errors
}

/// A foreign value as an error repeats it: at most [`MAX_ECHO`] characters; a cut value ends in `…`. Characters that are
/// not seen, or that change the order of the text around them, are written as JSON writes them, such as `\u202e`.
/// Formatting stops at that length, so a large value costs little.
#[must_use]
pub fn echo(value: &(impl Display + ?Sized)) -> String {
    capped(value, false)
}

/// The same as a JSON text, in quotes: `"a\u202eb"`.
#[must_use]
pub fn quoted(value: &(impl Display + ?Sized)) -> String {
    format!("\"{}\"", capped(value, true))
}

fn capped(value: &(impl Display + ?Sized), in_quotes: bool) -> String {
    struct Capped {
        text: String,
        /// The length of the text before its last character.
        before: usize,
        left: usize,
        in_quotes: bool,
    }
    impl std::fmt::Write for Capped {
        fn write_str(&mut self, piece: &str) -> std::fmt::Result {
            for character in piece.chars() {
                if self.left == 0 {
                    return Err(std::fmt::Error);
                }
                self.left -= 1;
                self.before = self.text.len();
                match character {
                    '\n' => self.text.push_str("\\n"),
                    '\t' => self.text.push_str("\\t"),
                    '"' | '\\' if self.in_quotes => {
                        self.text.push('\\');
                        self.text.push(character);
                    }
                    unseen if is_steering(unseen) || is_unseen(unseen) => {
                        for unit in unseen.encode_utf16(&mut [0; 2]) {
                            write!(self.text, "\\u{unit:04x}")?;
                        }
                    }
                    seen => self.text.push(seen),
                }
            }
            Ok(())
        }
    }
    let mut capped = Capped {
        text: String::new(),
        before: 0,
        left: MAX_ECHO,
        in_quotes,
    };
    if write!(capped, "{value}").is_err() {
        capped.text.truncate(capped.before);
        capped.text.push('…');
    }
    capped.text
}

/// Whether a character is drawn as nothing, and is no part of an emoji or of a letter's form.
fn is_unseen(c: char) -> bool {
    is_ignorable(c) && !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// Cuts a text to `max` characters; a cut text ends in `…`.
fn cut(mut text: String, max: usize) -> String {
    if text.len() > max
        && let Some((at, _)) = text.char_indices().nth(max)
    {
        text.truncate(at);
        text.pop();
        text.push('…');
    }
    text
}

/// Cuts each name in a pointer to [`MAX_ECHO`] characters, and then the whole pointer.
fn cut_pointer(pointer: String) -> String {
    if pointer.len() <= MAX_ECHO {
        return pointer;
    }
    let tokens: Vec<Cow<'_, str>> = pointer
        .split('/')
        .take(MAX_POINTER)
        .map(|token| {
            if token.len() > MAX_ECHO {
                Cow::from(echo(token))
            } else {
                Cow::from(token)
            }
        })
        .collect();
    cut(tokens.join("/"), MAX_POINTER)
}

impl Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{at}: {}", self.message)
    }
}

/// Joins errors into one line, for logs and dead-letter reasons.
#[must_use]
pub fn join(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Escapes one reference token of a JSON pointer (RFC 6901 §3).
#[must_use]
pub fn escape_token(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(count: usize) -> Vec<FieldError> {
        (0..count)
            .map(|index| FieldError::new(format!("/{index}"), "type", "expected a string"))
            .collect()
    }

    #[test]
    fn at_most_twenty_errors_are_listed_and_the_list_says_how_many_are_left_out() {
        assert_eq!(bounded(errors(20)), errors(20));
        let listed = bounded(errors(80_000));
        assert_eq!(listed[..MAX_ERRORS], errors(20));
        assert_eq!(
            listed[MAX_ERRORS..],
            [FieldError::new("", MORE, "and 79980 more")]
        );
        assert_eq!(bounded(listed.clone()), listed);
        let mut ended = errors(20);
        end_full(&mut ended, None);
        ended.extend(errors(3));
        let listed = bounded(ended);
        assert_eq!((listed.len(), &*listed[20].code), (21, MORE));
        assert!(listed[20].message.starts_with("there may be more"));
    }

    #[test]
    fn a_foreign_value_is_repeated_with_a_hundred_characters_at_most() {
        let long = "ü".repeat(100_000);
        assert_eq!(echo(&long).chars().count(), MAX_ECHO);
        assert_eq!(echo("ü"), "ü");
        assert_eq!(
            quoted("a\"b\\c\nd\u{202e}e\u{200b}f"),
            r#""a\"b\\c\nd\u202ee\u200bf""#
        );
        assert_eq!(
            echo("a\"b\n\u{1b}[31m\u{e0041}"),
            r#"a"b\n\u001b[31m\udb40\udc41"#
        );
        assert_eq!(quoted("Größe 👩\u{200d}👧"), "\"Größe 👩\u{200d}👧\"");
        assert_eq!(
            quoted(&"\"".repeat(200)).chars().count(),
            2 + 2 * (MAX_ECHO - 1) + 1
        );
        let error = FieldError::new(format!("/data/{long}/{long}/x"), "type", long.clone());
        assert_eq!(
            error.pointer.chars().count(),
            "/data//".len() + 2 * MAX_ECHO + "/x".len()
        );
        assert_eq!(error.message.chars().count(), MAX_MESSAGE);
        let deep = FieldError::new("/abc".repeat(100_000), "type", "");
        assert_eq!(deep.pointer.chars().count(), MAX_POINTER);
    }
}
