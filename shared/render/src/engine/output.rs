//! The output of a template: a string that stops growing at the channel's limit, so that no loop in a template can
//! fill the memory.

use std::borrow::Cow;

use carillon_domain::json::{Number, Value};

use crate::{budget::Budget, fault::Fault};

/// The place of values in a part's output, by which they are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Plain text: values stay as they are.
    None,
    /// HTML.
    Html,
    /// JSON, inside a string: a value cannot end the string that it stands in.
    Json,
}

pub(super) struct Output<'b> {
    pub(super) text: String,
    cap: usize,
    budget: &'b Budget,
    escape: Escape,
}

impl<'b> Output<'b> {
    /// An output of at most `cap` bytes; `hint` is the size of the template's last output.
    pub(super) fn new(cap: usize, hint: usize, escape: Escape, budget: &'b Budget) -> Self {
        Self {
            text: String::with_capacity(hint.min(cap)),
            cap,
            budget,
            escape,
        }
    }

    /// Writes a piece of the template's own text.
    pub(super) fn literal(&mut self, text: &str) -> Result<(), Fault> {
        self.budget.pay_bytes(text.len())?;
        self.push(text)
    }

    /// Writes a value as handlebars does: a list as `[a, b]`, null as nothing. An object has no text; the caller
    /// has refused it.
    pub(super) fn value(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(Number::Written(text)) => self.text(text),
            Value::Number(number) => self.text(&number.to_string()),
            Value::Bool(flag) => self.text(if *flag { "true" } else { "false" }),
            Value::Null | Value::Object(_) => Ok(()),
            Value::Array(list) => {
                self.text("[")?;
                for (index, value) in list.iter().enumerate() {
                    self.budget.pay(1)?;
                    if index > 0 {
                        self.text(", ")?;
                    }
                    self.value(value)?;
                }
                self.text("]")
            }
        }
    }

    /// Writes a value's text. In HTML, characters that could end text or a quoted attribute are escaped. The
    /// publish gate refuses variables in every other place.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.budget.pay_bytes(text.len())?;
        let escaped: fn(u8) -> Option<Cow<'static, str>> = match self.escape {
            Escape::None => return self.push(text),
            Escape::Html => |byte| in_html(byte).map(Cow::Borrowed),
            Escape::Json => in_json,
        };
        let mut rest = text;
        while let Some((at, escaped)) = first(rest, escaped) {
            self.push(&rest[..at])?;
            self.push(&escaped)?;
            rest = &rest[at + 1..];
        }
        self.push(rest)
    }

    fn push(&mut self, text: &str) -> Result<(), Fault> {
        if self.text.len() + text.len() > self.cap {
            return Err(Fault::Overflow);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// The first character that has to be escaped, and its escape. All of them are ASCII.
fn first(
    text: &str,
    escaped: impl Fn(u8) -> Option<Cow<'static, str>>,
) -> Option<(usize, Cow<'static, str>)> {
    text.bytes()
        .enumerate()
        .find_map(|(at, byte)| Some((at, escaped(byte)?)))
}

/// The escape of a character in a string of JSON.
fn in_json(byte: u8) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0..0x20 => return Some(Cow::Owned(format!("\\u{byte:04x}"))),
        _ => return None,
    }))
}

fn in_html(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &serde_json::Value, html: bool) -> String {
        escaped(value, if html { Escape::Html } else { Escape::None })
    }

    fn escaped(value: &serde_json::Value, escape: Escape) -> String {
        let value = &Value::from(value.clone());
        let budget = Budget::new(1_000);
        let mut output = Output::new(1_000, 0, escape, &budget);
        output.value(value).unwrap();
        output.text
    }

    #[test]
    fn a_value_in_json_cannot_end_its_string() {
        for value in [
            "",
            "plain é",
            "a\"b\\c",
            "\n\r\t\u{1}\u{7f}",
            "\",\"admin\":true,\"",
        ] {
            let text = escaped(&json!(value), Escape::Json);
            let read: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(read, value);
        }
        assert_eq!(escaped(&json!(1.5), Escape::Json), "1.5");
    }

    #[test]
    fn characters_that_end_text_or_an_attribute_are_escaped() {
        assert_eq!(
            written(&json!("<b a=\"x\">'&é"), true),
            "&lt;b a=&quot;x&quot;&gt;&#39;&amp;é"
        );
        assert_eq!(written(&json!("plain"), true), "plain");
        assert_eq!(written(&json!("<b>"), false), "<b>");
    }

    #[test]
    fn values_are_written_as_handlebars_writes_them() {
        assert_eq!(
            written(&json!([1, "<", null, [true]]), true),
            "[1, &lt;, , [true]]"
        );
    }

    #[test]
    fn output_ends_at_its_cap() {
        let budget = Budget::new(1_000);
        let mut output = Output::new(4, 0, Escape::Html, &budget);
        assert!(output.literal("abcd").is_ok());
        assert!(matches!(output.literal("e"), Err(Fault::Overflow)));
    }
}
