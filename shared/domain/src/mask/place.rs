//! Places in an event: JSON pointers in which `*` stands for every item of a list and every member of an object.

use crate::channel::Channel;

/// The replacement of a hidden value.
pub const HIDDEN: &str = "•••";

/// The attributes by which all pages find and name events. Hiding them in one place would have no effect.
pub(super) const IDENTITY: [&str; 6] = ["specversion", "id", "source", "type", "time", "datacontenttype"];

/// The reason for which a text does not name a place that can be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It does not begin with `/`, or a `~` is followed by neither 0 nor 1.
    #[error("expected a JSON pointer below the event, such as /data/code or /data/items/*/code")]
    Syntax,
    /// The attribute names the event in lists and links.
    #[error("expected a pointer into data or an extension; id, source, type and time are shown everywhere")]
    Shown,
}

/// The treatment of the value at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The value is replaced by a placeholder.
    Hide,
    /// The value is an address of the channel; it is masked as one.
    Mask(Channel),
}

/// A place and the treatment of the value there.
#[derive(Debug, Clone)]
pub(super) struct MaskedPlace {
    tokens: Vec<String>,
    action: Action,
}

/// The rest of a place below some value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) tokens: &'a [String],
    pub(super) action: Action,
}

impl MaskedPlace {
    pub(super) fn new(tokens: Vec<String>, action: Action) -> Self {
        Self { tokens, action }
    }

    pub(super) fn path(&self) -> Path<'_> {
        Path {
            tokens: &self.tokens,
            action: self.action,
        }
    }
}

/// The unescaped tokens of a pointer (RFC 6901 §4).
pub(crate) fn parse(pointer: &str) -> Result<Vec<String>, PlaceError> {
    let rest = pointer.strip_prefix('/').ok_or(PlaceError::Syntax)?;
    let tokens: Vec<String> = rest
        .split('/')
        .map(unescape)
        .collect::<Option<_>>()
        .ok_or(PlaceError::Syntax)?;
    match tokens.as_slice() {
        [only] if only.is_empty() => Err(PlaceError::Syntax),
        [first, ..] if first == "*" || IDENTITY.contains(&first.as_str()) => Err(PlaceError::Shown),
        _ => Ok(tokens),
    }
}

/// Whether a text is a JSON pointer to something below the event (RFC 6901 §3).
pub(crate) fn is_pointer(text: &str) -> bool {
    let tokens = text.strip_prefix('/');
    tokens.is_some_and(|tokens| tokens.split('/').all(|token| unescape(token).is_some()))
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        text.push(match part.chars().next()? {
            '0' => '~',
            '1' => '/',
            _ => return None,
        });
        text.push_str(&part[1..]);
    }
    Some(text)
}
