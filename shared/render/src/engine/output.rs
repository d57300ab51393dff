//! The output of a template: a string that stops growing at the channel's limit, so that no loop in a template can
//! fill the memory.

use carillon_domain::json::{Number, Value};

use crate::{budget::Budget, fault::Fault};

pub(super) struct Output<'b> {
    pub(super) text: String,
    cap: usize,
    budget: &'b Budget,
    html: bool,
}

impl<'b> Output<'b> {
    /// An output of at most `cap` bytes; `hint` is the size of the template's last output. With `html`,
    /// values are escaped for HTML.
    pub(super) fn new(cap: usize, hint: usize, html: bool, budget: &'b Budget) -> Self {
        Self {
            text: String::with_capacity(hint.min(cap)),
            cap,
            budget,
            html,
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
        if !self.html {
            return self.push(text);
        }
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| escaped(byte).is_some()) {
            self.push(&rest[..at])?;
            self.push(escaped(rest.as_bytes()[at]).unwrap_or_default())?;
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

fn escaped(byte: u8) -> Option<&'static str> {
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
        let value = &Value::from(value.clone());
        let budget = Budget::new(1_000);
        let mut output = Output::new(1_000, 0, html, &budget);
        output.value(value).unwrap();
        output.text
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
        let mut output = Output::new(4, 0, true, &budget);
        assert!(output.literal("abcd").is_ok());
        assert!(matches!(output.literal("e"), Err(Fault::Overflow)));
    }
}
