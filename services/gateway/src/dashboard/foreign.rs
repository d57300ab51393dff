//! Foreign text on a page is escaped, and its steering characters are made visible. Templates put it into
//! `<bdi>`, so that its writing direction does not reorder the text around it.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use carillon_domain::visible::{is_steering, visible_lines};

/// The escaper of every page (`askama.toml` names it).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, dest: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &visible_lines(text))
    }
}

/// The value of a form's field, which the browser must send back unchanged. Steering characters are written
/// as character references in the page's source; browsers isolate the text of fields.
pub(crate) fn exact(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if is_steering(c) || matches!(c, '<' | '>' | '&' | '"' | '\'') {
                let _ = write!(out, "&#x{:x};", u32::from(c));
            } else {
                out.push(c);
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_its_control_characters_are_visible() {
        let mut out = String::new();
        Visible
            .write_escaped_str(&mut out, "<b>\u{202e}\u{1b}&\n")
            .unwrap();
        assert_eq!(out, "&#60;b&#62;\\u{202e}\\u{1b}&#38;\n");
        assert_eq!(exact("a\u{202e}\"b"), "a&#x202e;&#x22;b");
    }
}
