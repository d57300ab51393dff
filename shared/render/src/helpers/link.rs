//! `{{url link}}` writes a link that is safe to follow, `{{encode text}}` a piece of one.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonRender as _, RenderContext, RenderError, ScopedJson,
};
use serde_json::Value;

use super::{bad_value, required};

pub(super) struct Url;

impl HelperDef for Url {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let param = required(h, 0, "url")?;
        match param.value().as_str() {
            Some(link) if is_safe(link) => Ok(ScopedJson::Derived(Value::String(link.to_owned()))),
            _ => Err(bad_value(
                param,
                "a link that begins with https://, http://, mailto: or tel:",
            )),
        }
    }
}

fn is_safe(link: &str) -> bool {
    let schemes = ["https://", "http://", "mailto:", "tel:"];
    schemes.iter().any(|scheme| {
        link.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    }) && !link.chars().any(|c| c.is_control() || c.is_whitespace())
}

pub(super) struct Encode;

impl HelperDef for Encode {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let text = required(h, 0, "encode")?.value().render();
        Ok(ScopedJson::Derived(Value::String(percent_encode(&text))))
    }
}

/// Keeps the unreserved characters of RFC 3986 §2.3.
fn percent_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_that_are_safe_to_follow_pass() {
        for good in [
            "https://shop.example/a?b=1#c",
            "HTTP://x",
            "mailto:a@b.example",
            "tel:+491511",
        ] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            " https://x",
            "https://x\r\ny",
            "//x",
            "data:text/html,x",
            "java\nscript:x",
            "",
            "é",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn a_piece_of_a_link_cannot_leave_its_place() {
        assert_eq!(percent_encode("a b/é?&x-1"), "a%20b%2F%C3%A9%3F%26x-1");
    }
}
