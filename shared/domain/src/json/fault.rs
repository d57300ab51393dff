//! The reason for which a text is not JSON or base64, in Carillon's own words, because the libraries' sentences name
//! parts of the libraries.

use base64::DecodeError;
use serde_json::error::Category;

use super::{place::utf8_fault, readable::MAX_LEVELS};

/// The end of a sentence that says why a text is not the expected JSON.
#[must_use]
pub fn fault(error: &serde_json::Error) -> String {
    fault_from(error, 1)
}

/// The end of a sentence that says why these bytes are not the expected JSON. They begin at the line `first_line` of a
/// larger text.
#[must_use]
pub fn fault_in(json: &[u8], error: &serde_json::Error, first_line: usize) -> String {
    utf8_fault(json, first_line).unwrap_or_else(|| fault_from(error, first_line))
}

fn fault_from(error: &serde_json::Error, first_line: usize) -> String {
    let line = (error.line() + first_line).saturating_sub(1);
    let at = format!("line {line}, column {}", error.column());
    match error.classify() {
        Category::Eof if error.line() <= 1 && error.column() == 0 => "the text is empty".to_owned(),
        Category::Eof => format!("the text ends too early, at {at}"),
        Category::Syntax if error.to_string().starts_with("recursion limit exceeded") => {
            format!("the text is nested deeper than {MAX_LEVELS} levels, at {at}")
        }
        Category::Syntax if error.to_string().starts_with("trailing characters") => {
            format!("the JSON value ends before {at}, where more text follows")
        }
        Category::Syntax => format!("the text cannot be read at {at}"),
        Category::Data => format!("the value at {at} is of another kind"),
        Category::Io => "the text could not be read to its end".to_owned(),
    }
}

/// The end of a sentence that says why a text is not base64. Places are counted in bytes, from 1.
#[must_use]
pub fn base64_fault(error: &DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(at, byte) if byte.is_ascii_graphic() => {
            format!(
                "the character {} at byte {} does not belong to it",
                char::from(*byte),
                at + 1
            )
        }
        DecodeError::InvalidByte(at, _) => format!("the character at byte {} does not belong to it", at + 1),
        DecodeError::InvalidLength(_) => "it has one character too many or too few".to_owned(),
        DecodeError::InvalidLastSymbol { .. } => "its last character cannot end a base64 text".to_owned(),
        DecodeError::InvalidPadding => "it has a wrong number of = at its end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_text_that_is_not_json_is_described_by_its_place_in_plain_words() {
        for (text, expected) in [
            ("", "the text is empty"),
            ("{\"a\":", "the text ends too early, at line 1, column 5"),
            ("{\"a\":\n tru}", "the text cannot be read at line 2, column 5"),
            ("{'a':1}", "the text cannot be read at line 1, column 2"),
            ("[1,]", "the text cannot be read at line 1, column 4"),
            (
                "1 2",
                "the JSON value ends before line 1, column 3, where more text follows",
            ),
            (
                "{\"a\":1}\n}",
                "the JSON value ends before line 2, column 1, where more text follows",
            ),
            (
                "{} // note",
                "the JSON value ends before line 1, column 4, where more text follows",
            ),
        ] {
            assert_eq!(
                fault(&serde_json::from_str::<Value>(text).unwrap_err()),
                expected,
                "{text}"
            );
        }
        let deep = "[".repeat(200);
        let said = fault(&serde_json::from_str::<Value>(&deep).unwrap_err());
        assert!(
            said.starts_with("the text is nested deeper than 127 levels"),
            "{said}"
        );
        let said = fault(&serde_json::from_str::<Vec<u8>>("[true]").unwrap_err());
        assert!(said.starts_with("the value at line 1, column "), "{said}");
    }

    #[test]
    fn a_text_that_is_not_base64_is_described_by_its_place_in_plain_words() {
        for (text, expected) in [
            ("YWJj!A==", "the character ! at byte 5 does not belong to it"),
            ("YW\nJj", "the character at byte 3 does not belong to it"),
            ("YWJjZ", "it has one character too many or too few"),
            ("YWJjZA", "it has a wrong number of = at its end"),
            ("YWJjZB==", "its last character cannot end a base64 text"),
        ] {
            assert_eq!(
                base64_fault(&BASE64_STANDARD.decode(text).unwrap_err()),
                expected,
                "{text}"
            );
        }
    }
}
