//! The visibility of HTML: whether it shows its reader a character or an image. Style, script, titles, comments and
//! hidden elements show nothing; character references count as the characters that they stand for.

use super::{
    glance::unread,
    hiding::{LONGEST_TAG, has_attribute, is_hidden},
    state::State,
};
use crate::invisible::is_blank;

/// The longest character reference, in bytes; a longer one is text.
const LONGEST_REFERENCE: usize = 40;
/// Elements whose content is no markup, and is shown.
const SHOWN_RAW: [&str; 4] = ["noscript", "plaintext", "textarea", "xmp"];
/// Elements that show an image or another thing without a text.
const DRAWN: [&str; 6] = ["image", "img", "input", "object", "svg", "video"];
/// Elements without content and end tag.
const VOID: [&str; 8] = ["area", "base", "br", "col", "hr", "img", "input", "meta"];
/// The character references by name that stand for characters which are not seen; the first two need no semicolon.
const BLANK_NAMES: [&str; 33] = [
    "nbsp",
    "shy",
    "ApplyFunction",
    "InvisibleComma",
    "InvisibleTimes",
    "MediumSpace",
    "NegativeMediumSpace",
    "NegativeThickSpace",
    "NegativeThinSpace",
    "NegativeVeryThinSpace",
    "NewLine",
    "NoBreak",
    "NonBreakingSpace",
    "Tab",
    "ThickSpace",
    "ThinSpace",
    "VeryThinSpace",
    "ZeroWidthSpace",
    "af",
    "emsp",
    "emsp13",
    "emsp14",
    "ensp",
    "hairsp",
    "ic",
    "it",
    "lrm",
    "numsp",
    "puncsp",
    "rlm",
    "thinsp",
    "zwj",
    "zwnj",
];

/// Whether a whole document shows anything.
pub(in crate::engine) fn shows(html: &str) -> bool {
    unread(html).is_none_or(reads_as_shown)
}

/// Whether a whole document shows anything, by the tokenizer alone.
pub(super) fn reads_as_shown(html: &str) -> bool {
    let mut sight = Sight::new();
    sight.read(html) || sight.ends()
}

/// The state of a reader at a place in a document. Two readers in one state see the same in the text that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Sight {
    place: State,
    /// The text of the present tag behind its `<`.
    tag: String,
    /// The beginning of a character reference, from its `&` on; empty outside of one.
    reference: String,
    /// The hidden element around this place, and the number of elements of its name that are open in it.
    hidden: Option<(String, u32)>,
    /// Whether the place is in a conditional comment, which only Outlook reads.
    outlook: bool,
    /// The hyphens directly before this place, at most two.
    hyphens: u8,
}

impl Sight {
    pub(in crate::engine) fn new() -> Self {
        Self {
            place: State::Text,
            tag: String::new(),
            reference: String::new(),
            hidden: None,
            outlook: false,
            hyphens: 0,
        }
    }

    /// Reads a piece of the document. Returns whether it shows anything; reading may end there.
    pub(in crate::engine) fn read(&mut self, text: &str) -> bool {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(seen_from) = self.passes_unseen(rest) {
                rest = seen_from;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            if (!c.is_control() || matches!(c, '\n' | '\r' | '\t')) && self.step(c) {
                return true;
            }
        }
        false
    }

    /// The rest of a text after the characters at its beginning that change nothing and show nothing; `None` if there
    /// are none. Such characters are the content of style, script and title up to the next `<`, which is the longest
    /// part of most mails' heads.
    fn passes_unseen<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        match &self.place {
            State::Raw { element, matched: 0 } if !self.outlook && !SHOWN_RAW.contains(element) => {
                let end = text.find('<').unwrap_or(text.len());
                // A hyphen counts only directly before the character that is read next, which is a `<`.
                self.hyphens = 0;
                (end > 0).then(|| &text[end..])
            }
            _ => None,
        }
    }

    /// Passes the output of a variable. Returns whether it is seen, if it is not blank.
    pub(in crate::engine) fn print(&mut self) -> bool {
        match &self.place {
            State::Text => self.is_shown(),
            State::Raw { element, .. } => self.is_shown() && SHOWN_RAW.contains(element),
            _ => {
                self.step('x');
                false
            }
        }
    }

    /// Ends the document. Returns whether an incomplete character reference is seen.
    pub(in crate::engine) fn ends(&mut self) -> bool {
        self.refer(false)
    }

    fn is_shown(&self) -> bool {
        self.hidden.is_none() && !self.outlook
    }

    fn step(&mut self, c: char) -> bool {
        if c == '>' && self.hyphens == 2 {
            // Readers other than Outlook see the end of the comment here.
            self.outlook = false;
        }
        self.hyphens = if c == '-' { (self.hyphens + 1).min(2) } else { 0 };
        let before = Before::of(&self.place, c);
        self.place = std::mem::replace(&mut self.place, State::Text).step(c);
        match before {
            Before::Text if c == '<' => {
                self.tag.clear();
                self.refer(false)
            }
            Before::Text => self.character(c),
            // `<` before another character than a letter is text.
            Before::TagOpen if matches!(self.place, State::Text | State::TagOpen) => self.is_shown(),
            Before::Raw(element) => {
                self.is_shown() && SHOWN_RAW.contains(&element) && !c.is_whitespace() && c != '<'
            }
            Before::Comment => {
                self.outlook |= matches!(self.place, State::Bogus);
                false
            }
            Before::Unseen => false,
            Before::TagOpen => {
                self.tag.push(c);
                false
            }
            Before::Tag(element) => {
                if matches!(self.place, State::Text | State::Raw { .. }) {
                    return self.whole_tag(&element.unwrap_or_default());
                }
                if self.tag.len() < LONGEST_TAG {
                    self.tag.push(c);
                }
                false
            }
        }
    }

    /// A character of a text.
    fn character(&mut self, c: char) -> bool {
        if self.reference.is_empty() {
            if c == '&' {
                self.reference.push(c);
                return false;
            }
            return self.is_shown() && !is_blank(c.encode_utf8(&mut [0; 4]));
        }
        if (c.is_ascii_alphanumeric() || c == '#') && self.reference.len() < LONGEST_REFERENCE {
            self.reference.push(c);
            return false;
        }
        let is_seen = self.refer(c == ';');
        is_seen || (c != ';' && self.character(c))
    }

    /// Ends a character reference, if there is one. Returns whether its character is seen.
    fn refer(&mut self, with_semicolon: bool) -> bool {
        let reference = std::mem::take(&mut self.reference);
        let Some(name) = reference.strip_prefix('&') else {
            return false;
        };
        self.is_shown() && !is_blank_reference(name, with_semicolon)
    }

    /// A tag has ended.
    fn whole_tag(&mut self, element: &str) -> bool {
        let tag = std::mem::take(&mut self.tag).to_ascii_lowercase();
        let ends = element.strip_prefix('/');
        if let Some((name, open)) = &mut self.hidden {
            match ends {
                Some(end) if end == name => match open.checked_sub(1) {
                    Some(less) => *open = less,
                    None => self.hidden = None,
                },
                None if element == name => *open += 1,
                _ => {}
            }
            return false;
        }
        if ends.is_some() {
            return false;
        }
        if element == "template" || is_hidden(&tag) {
            if !VOID.contains(&element) {
                self.hidden = Some((element.to_owned(), 0));
            }
            return false;
        }
        let draws = DRAWN.contains(&element) || has_attribute(&tag, "background") || tag.contains("url(");
        draws && self.is_shown()
    }
}

/// The part of the place before a character on which the visibility of the character depends.
enum Before {
    Text,
    TagOpen,
    /// In a tag, with its element before a `>`, which alone can end the tag.
    Tag(Option<String>),
    Raw(&'static str),
    Comment,
    /// In another place whose characters are not seen.
    Unseen,
}

impl Before {
    fn of(place: &State, c: char) -> Self {
        match place {
            State::Text => Self::Text,
            State::TagOpen => Self::TagOpen,
            State::TagName(element)
            | State::InTag { element }
            | State::AttributeName { element, .. }
            | State::AfterName { element, .. }
            | State::BeforeValue { element, .. }
            | State::Quoted { element, .. }
            | State::Unquoted { element, .. } => Self::Tag((c == '>').then(|| element.clone())),
            State::Raw { element, .. } => Self::Raw(element),
            State::Comment { .. } => Self::Comment,
            State::Declaration { .. } | State::Bogus => Self::Unseen,
        }
    }
}

/// Whether a character reference, without its `&`, stands for a character that is not seen.
fn is_blank_reference(name: &str, with_semicolon: bool) -> bool {
    let Some(number) = name.strip_prefix('#') else {
        let named = BLANK_NAMES.iter().position(|blank| *blank == name);
        return named.is_some_and(|index| with_semicolon || index < 2);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => number.parse(),
    };
    match code {
        // These stand for characters of Windows-1252, which are seen, and 0 for U+FFFD.
        Ok(0 | 0x80..=0x9f) | Err(_) => false,
        Ok(code) => char::from_u32(code).is_some_and(|c| is_blank(c.encode_utf8(&mut [0; 4]))),
    }
}

#[cfg(test)]
mod tests {
    use super::shows;

    #[test]
    fn html_without_a_visible_character_or_an_image_shows_nothing() {
        for blank in [
            "",
            " \n ",
            "<html><body></body></html>",
            "<style>body { background: url(https://a.example/b.png); color: red }</style>",
            "<script>alert('hello')</script>",
            "<html><head><title>Your order</title></head><body></body></html>",
            "<p>&nbsp;</p>",
            "<p>&nbsp &#160; &#xA0; &#8203; &#x200b; &zwnj;&ZeroWidthSpace; &shy;&emsp;</p>",
            "<p>\u{200b}\u{a0}\u{ad}\u{2060}\u{feff}\u{3164}\u{2800}</p>",
            "<!-- a comment --><p></p><!---->",
            "<!--[if mso]><p>Outlook only</p><![endif]-->",
            "<div style=\"display: none\">preheader <b>and</b> more</div>",
            "<div style='DISPLAY:none'><div>x</div>y</div>",
            "<p hidden>x</p><span style=\"visibility:hidden\">x</span>",
            "<template><p>x</p></template>",
            "<iframe>x</iframe>",
            "<a href=\"https://a.example\" title=\"a title\"></a>",
            "<input type=\"hidden\" value=\"x\">",
            "<table><tr><td width=\"600\"></td></tr></table><br><hr>",
            "<!doctype html><?xml version=\"1.0\"?>",
            "<img",
        ] {
            assert!(!shows(blank), "{blank}");
        }
        for seen in [
            "x",
            "<p>x</p>",
            "&amp;",
            "&",
            "&nbsp;.",
            "&unknown;",
            "&ensp",
            "&#65;",
            "&#0;",
            "&#133;",
            "a < b",
            "<3",
            "<<b></b>",
            "<img src=\"https://a.example/b.png\" alt=\"\">",
            "<IMG>",
            "<svg></svg>",
            "<td background=\"https://a.example/b.png\"></td>",
            "<div style=\"background-image: url(https://a.example/b.png)\"></div>",
            "<textarea>x</textarea>",
            "<!--[if !mso]><!--><p>x</p><!--<![endif]-->",
            "<!--[if mso]><p>x</p><![endif]--><p>y</p>",
            "<div style=\"display:none\">a<div>b</div></div>c",
            "<p title=\"hidden\">x</p>",
            "<br hidden>x",
            "<title>x</title>y",
        ] {
            assert!(shows(seen), "{seen}");
        }
    }
}
