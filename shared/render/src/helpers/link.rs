//! `{{url link}}` writes a link that is safe to follow, and `{{encode text}}` a piece of a link.

use super::Arg;
use crate::fault::Fault;

/// Refuses a link that is not safe to follow.
pub(crate) fn check_link(link: &Arg<'_>) -> Result<(), Fault> {
    match link.value.as_str() {
        Some(text) if is_link(text) => Ok(()),
        _ => Err(link.refuse("a link that begins with https://, http://, mailto: or tel:")),
    }
}

/// Whether a link is safe to follow.
pub(crate) fn is_link(link: &str) -> bool {
    let schemes = ["https://", "http://", "mailto:", "tel:"];
    schemes.iter().any(|scheme| {
        link.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    }) && !link.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Percent-encodes all characters except the unreserved ones of RFC 3986 §2.3.
pub(crate) fn percent_encode(text: &str) -> String {
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
            assert!(is_link(good), "{good}");
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
            assert!(!is_link(bad), "{bad}");
        }
    }

    #[test]
    fn a_piece_of_a_link_cannot_leave_its_place() {
        assert_eq!(percent_encode("a b/é?&x-1"), "a%20b%2F%C3%A9%3F%26x-1");
    }
}
