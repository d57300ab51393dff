//! A fast look at HTML, which knows the common forms of tags only. It spares most mails the reading of their heads by
//! the tokenizer, which takes longer than their rendering.

use memchr::{memchr, memchr2, memmem::find};

use super::hiding::{LONGEST_TAG, is_hidden};
use crate::invisible::{has_controls, is_blank};

/// Elements that are left to the tokenizer: they hide their content or show an image, or their content is not markup and is
/// shown.
const LEFT: [&str; 11] = [
    "image",
    "img",
    "input",
    "noscript",
    "object",
    "plaintext",
    "svg",
    "template",
    "textarea",
    "video",
    "xmp",
];
/// Elements whose content is not markup and is not shown.
const UNSEEN: [&str; 6] = ["iframe", "noembed", "noframes", "script", "style", "title"];

/// Elements whose hidden content is skipped if it is text only: mails hide their preheader in them.
const HIDING: [&str; 3] = ["div", "p", "span"];

/// Looks at a document up to its first visible character. `None` if there is one. Otherwise the rest of the document,
/// which begins with its first uncommon thing, such as a comment, a hidden element or a character reference. Nothing
/// before the rest is seen, and no open element hides the rest.
pub(super) fn unread(html: &str) -> Option<&str> {
    if has_controls(html) {
        return Some(html);
    }
    let mut rest = html;
    while let Some(place) = memchr2(b'<', b'&', rest.as_bytes()) {
        let (text, markup) = rest.split_at(place);
        if !is_blank(text) {
            return None;
        }
        match after_tag(markup) {
            Some(behind) => rest = behind,
            None => return Some(markup),
        }
    }
    is_blank(rest).then_some("")
}

/// The document behind a tag, and behind the content of its element if that is not markup. `None` if the text does
/// not begin with a tag of a common form that hides nothing.
fn after_tag(markup: &str) -> Option<&str> {
    let inner = markup.strip_prefix('<')?;
    if inner
        .get(..8)
        .is_some_and(|word| word.eq_ignore_ascii_case("!doctype"))
    {
        return inner.split_once('>').map(|(_, behind)| behind);
    }
    let (is_end, inner) = match inner.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    let (element, rest) = word(inner, |byte| byte.is_ascii_alphanumeric());
    if !element.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let (behind, may_matter) = after_attributes(rest)?;
    if is_end {
        return Some(behind);
    }
    let is = |names: &[&'static str]| {
        names
            .iter()
            .copied()
            .find(|name| name.eq_ignore_ascii_case(element))
    };
    if is(&LEFT).is_some() {
        return None;
    }
    let tag = &inner[..inner.len() - behind.len() - ">".len()];
    if may_matter || styles_matter(&tag[element.len()..]) {
        let hides = is(&HIDING).is_some() && tag.len() < LONGEST_TAG && is_hidden(&tag.to_ascii_lowercase());
        return if hides { behind_text(behind, element) } else { None };
    }
    match is(&UNSEEN) {
        Some(element) => from_end_tag(behind, element),
        None => Some(behind),
    }
}

/// The text behind a tag's attributes and its `>`, and whether an attribute's name may hide the element or show an image.
/// Values are in double quotes, or are short words.
fn after_attributes(mut rest: &str) -> Option<(&str, bool)> {
    let mut may_matter = false;
    loop {
        let inner = rest.trim_ascii_start();
        let closed = inner.strip_prefix("/>").or_else(|| inner.strip_prefix('>'));
        if let Some(behind) = closed {
            return Some((behind, may_matter));
        }
        let (name, behind) = word(inner, |byte| {
            byte.is_ascii_alphanumeric() || b"-:_".contains(&byte)
        });
        if name.is_empty() || inner.len() == rest.len() {
            return None;
        }
        may_matter |= ["background", "hidden"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
        rest = match behind.strip_prefix('=') {
            Some(value) => after_value(value)?,
            None => behind,
        };
    }
}

fn after_value(value: &str) -> Option<&str> {
    if let Some(quoted) = value.strip_prefix('"') {
        return quoted.split_once('"').map(|(_, behind)| behind);
    }
    let (value, behind) = word(value, |byte| {
        byte.is_ascii_alphanumeric() || b"#%-.".contains(&byte)
    });
    (!value.is_empty()).then_some(behind)
}

/// The longest beginning of a text that has only such bytes, and the rest. The bytes are ASCII.
fn word(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(
        text.bytes()
            .take_while(|byte| byte.is_ascii() && belongs(*byte))
            .count(),
    )
}

/// The document behind an element that contains text only, from behind its start tag on.
fn behind_text<'h>(content: &'h str, element: &str) -> Option<&'h str> {
    let end = &content[memchr(b'<', content.as_bytes())?..];
    behind_end_name(end, element)?.strip_prefix('>')
}

/// The text from an element's end tag on.
fn from_end_tag<'h>(mut content: &'h str, element: &str) -> Option<&'h str> {
    loop {
        content = &content[memchr(b'<', content.as_bytes())?..];
        if let Some(behind) = behind_end_name(content, element) {
            return behind.starts_with('>').then_some(content);
        }
        content = &content[1..];
    }
}

/// The text behind `</` and an element's name, if the markup begins with them.
fn behind_end_name<'h>(markup: &'h str, element: &str) -> Option<&'h str> {
    let (name, behind) = markup.strip_prefix("</")?.split_at_checked(element.len())?;
    name.eq_ignore_ascii_case(element).then_some(behind)
}

/// Whether attributes have a word that may hide their element or show an image, as a style. Styles are looked at without
/// white space.
fn styles_matter(attributes: &str) -> bool {
    if attributes.len() < "none".len() {
        return false;
    }
    let dense = attributes
        .bytes()
        .filter(|byte| byte.is_ascii() && !byte.is_ascii_whitespace());
    let dense: Vec<u8> = dense.map(|byte| byte.to_ascii_lowercase()).collect();
    [&b"hidden"[..], b"none", b"url("]
        .iter()
        .any(|word| find(&dense, word).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::html::sight::{reads_as_shown, shows};

    #[test]
    fn a_common_mail_is_known_to_show_its_text() {
        let mail = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Order</title>\
            <style>a > b { color: red }</style></head><body style=\"margin: 0; background: #fff\" bgcolor=#ffffff>\
            <table width=\"100%\" data-note=\"a > b\"><tr><td>\n<br/><h1>Grüße</h1></td></tr></table></body></html>";
        assert_eq!(unread(mail), None);
        assert_eq!(unread("<p> </p>"), Some(""));
        let preheader =
            "<body><div style=\"DISPLAY: none; max-height:0\">preheader&#8199; &amp; more</DIV>\n";
        assert_eq!(unread(&format!("{preheader}<p>x</p>")), None);
        assert_eq!(unread(preheader), Some(""));
    }

    #[test]
    fn other_markup_and_all_behind_it_are_left_to_the_tokenizer() {
        for html in [
            "<!-- x -->y",
            "<p hidden>x",
            "<td BACKGROUND=x.png>x",
            "<td background>x",
            "<td style=\"background: url( x )\">x",
            "<p hidden><b>x</b></p>",
            "<div style=\"display: none\">x</p>",
            "<table hidden>x</table>",
            "<p style=\"display: no ne\">x",
            "<p a=\"x\"b=\"y\">x",
            "<p =\" b=\">\">",
            "<p x=y=\" b=\">\">",
            "<p a='x'>x",
            "<template>x",
            "<textarea>x",
            "&nbsp;x",
            "<style>x",
            "<style></stylex></style>x",
            "<p a=\"x",
            "<>x",
        ] {
            let document = format!("<body> <br>{html}");
            assert_eq!(unread(&document), Some(html));
        }
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "<",
            ">",
            "/",
            "=",
            "\"",
            "'",
            " ",
            "\n",
            "-",
            "!",
            "&",
            ";",
            "p",
            "x",
            "=\"",
            "\" ",
            "style",
            "title",
            "hidden",
            "background",
            "url(",
            "Hid",
            "den",
            "display:",
            "no",
            "none",
            "<p ",
            "<p>",
            "</p>",
            "<div style=\"display:none\">",
            "<span hidden>",
            "<p hidden",
            "</div>",
            "</SPAN>",
            "<style>",
            "</style>",
            "</STYLE >",
            "<title>",
            "</title",
            "<!doctype html>",
            "<!--",
            "-->",
            "<!--[if mso]>",
            "<![endif]-->",
            "<template>",
            "</template>",
            "nbsp",
            "#160",
            "\u{a0}",
            "\u{200b}",
            "\u{1}",
            "<br/>",
            "<img",
            "<a href=\"",
            "<textarea>",
            "<script>",
            "</script>",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8_192))]

        #[test]
        fn the_tokenizer_agrees(pieces in prop::collection::vec(piece(), 1..16)) {
            let html = pieces.concat();
            prop_assert_eq!(shows(&html), reads_as_shown(&html), "{}", html);
        }
    }
}
