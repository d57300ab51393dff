//! A tokenizer of HTML, as far as it decides where in a document a place is. It follows the tokenizer of the HTML
//! standard (§13.2.5). Outlook's conditional comments count as the markup that Outlook reads; browsers see a comment,
//! which escaped data cannot end.

use super::{
    allowed::{Use, in_attribute},
    link::Link,
};

/// The longest name that is kept; a longer one is unknown anyway.
const LONGEST_NAME: usize = 64;

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Text,
    /// After `<`.
    TagOpen,
    /// In a tag's name. That of an end tag begins with `/`.
    TagName(String),
    /// In a tag, between attributes.
    InTag {
        element: String,
    },
    AttributeName {
        element: String,
        name: String,
    },
    /// After an attribute's name and white space.
    AfterName {
        element: String,
        name: String,
    },
    /// After `=`.
    BeforeValue {
        element: String,
        name: String,
    },
    Quoted {
        element: String,
        name: String,
        quote: char,
        link: Link,
    },
    Unquoted {
        element: String,
        name: String,
    },
    /// In an element whose content is not markup. `matched` counts the characters of its end tag that stand
    /// before this place.
    Raw {
        element: &'static str,
        matched: usize,
    },
    /// After `<!`, with at most one hyphen.
    Declaration {
        hyphen: bool,
    },
    /// In a declaration, a processing instruction or another thing that ends with `>`.
    Bogus,
    /// In a comment, with its first characters.
    Comment {
        begin: String,
        hyphens: u8,
        bang: bool,
    },
}

impl State {
    /// The states after a piece of the template's own text, each once.
    pub(super) fn read_all(states: Vec<Self>, text: &str) -> Vec<Self> {
        let mut after: Vec<Self> = Vec::with_capacity(states.len());
        for state in states {
            let state = state.read(text);
            if !after.contains(&state) {
                after.push(state);
            }
        }
        after
    }

    fn read(self, text: &str) -> Self {
        text.chars()
            // A mail has no other control characters.
            .filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
            .fold(self, Self::step)
    }

    /// The state after one character.
    pub(super) fn step(self, c: char) -> Self {
        let space = c.is_ascii_whitespace();
        match self {
            Self::Text if c == '<' => Self::TagOpen,
            Self::Text => Self::Text,
            Self::TagOpen => match c {
                '!' => Self::Declaration { hyphen: false },
                '?' => Self::Bogus,
                '/' => Self::TagName("/".to_owned()),
                _ if c.is_ascii_alphabetic() => Self::TagName(c.to_ascii_lowercase().into()),
                _ => Self::Text.step(c),
            },
            Self::TagName(name) if name == "/" && !c.is_ascii_alphabetic() => match c {
                '>' => Self::Text,
                _ => Self::Bogus,
            },
            Self::TagName(element) => match c {
                '>' => opened(&element),
                '/' => Self::InTag { element },
                _ if space => Self::InTag { element },
                _ => Self::TagName(longer(element, c)),
            },
            Self::InTag { element } => match c {
                '>' => opened(&element),
                '/' => Self::InTag { element },
                _ if space => Self::InTag { element },
                _ => Self::AttributeName {
                    element,
                    name: longer(String::new(), c),
                },
            },
            Self::AttributeName { element, name } => match c {
                '>' => opened(&element),
                '/' => Self::InTag { element },
                '=' => Self::BeforeValue { element, name },
                _ if space => Self::AfterName { element, name },
                _ => Self::AttributeName {
                    element,
                    name: longer(name, c),
                },
            },
            Self::AfterName { element, name } => match c {
                '=' => Self::BeforeValue { element, name },
                _ if space => Self::AfterName { element, name },
                _ => Self::InTag { element }.step(c),
            },
            Self::BeforeValue { element, name } => match c {
                '>' => opened(&element),
                '"' | '\'' => Self::Quoted {
                    // Only the beginning of a link matters.
                    link: match in_attribute(&element, &name) {
                        Use::Link => Link::Empty,
                        Use::Any | Use::None => Link::Safe,
                    },
                    element,
                    name,
                    quote: c,
                },
                _ if space => Self::BeforeValue { element, name },
                _ => Self::Unquoted { element, name },
            },
            Self::Unquoted { element, .. } if c == '>' => opened(&element),
            Self::Unquoted { element, .. } if space => Self::InTag { element },
            Self::Quoted { element, quote, .. } if c == quote => Self::InTag { element },
            Self::Quoted {
                element,
                name,
                quote,
                link,
            } => Self::Quoted {
                element,
                name,
                quote,
                link: link.step(c),
            },
            Self::Raw { element, matched } => in_raw(element, matched, c),
            Self::Declaration { hyphen: false } if c == '-' => Self::Declaration { hyphen: true },
            Self::Declaration { hyphen: true } if c == '-' => Self::Comment {
                begin: String::new(),
                hyphens: 2,
                bang: false,
            },
            Self::Declaration { .. } | Self::Bogus if c == '>' => Self::Text,
            Self::Declaration { .. } | Self::Bogus => Self::Bogus,
            Self::Comment { begin, hyphens, bang } => in_comment(begin, hyphens, bang, c),
            Self::Unquoted { .. } => self,
        }
    }
}

fn longer(mut name: String, c: char) -> String {
    if name.len() < LONGEST_NAME {
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The elements whose content is not markup.
const RAW: [&str; 10] = [
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
];

/// The state after a whole tag.
fn opened(element: &str) -> State {
    match RAW.iter().find(|raw| **raw == element) {
        Some(element) => State::Raw { element, matched: 0 },
        None => State::Text,
    }
}

fn in_raw(element: &'static str, matched: usize, c: char) -> State {
    let end = 2 + element.len();
    if matched == end && (c == '>' || c == '/' || c.is_ascii_whitespace()) {
        let tag = State::InTag {
            element: format!("/{element}"),
        };
        return tag.step(c);
    }
    let next = match matched {
        0 => Some('<'),
        1 => Some('/'),
        _ => element[matched - 2..].chars().next(),
    };
    let matched = match next {
        Some(next) if next == c.to_ascii_lowercase() => matched + 1,
        _ => usize::from(c == '<'),
    };
    State::Raw { element, matched }
}

fn in_comment(mut begin: String, hyphens: u8, bang: bool, c: char) -> State {
    if c == '>' && hyphens >= 2 {
        return State::Text;
    }
    let bang_ends = c == '!' && hyphens >= 2 && !bang && !begin.is_empty();
    if begin.len() < 3 {
        begin.push(c.to_ascii_lowercase());
        if begin == "[if" {
            // Outlook reads on behind the condition, which ends with `>`.
            return State::Bogus;
        }
    }
    let hyphens = match c {
        '-' if bang => 1,
        '-' => hyphens.saturating_add(1),
        '!' if bang_ends => hyphens,
        _ => 0,
    };
    State::Comment {
        begin,
        hyphens,
        bang: bang_ends,
    }
}
