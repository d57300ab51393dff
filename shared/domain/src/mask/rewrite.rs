//! Rewriting JSON text: hidden values are replaced, and all else keeps its spelling.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    HIDDEN,
    addresses::mask_addresses,
    place::{Action, IDENTITY, Path},
};
use crate::contact;

/// The most levels of nesting: those of a sound event, and one for its envelope.
const MAX_DEPTH: usize = 128;

/// The members of an object in order, repeated ones included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// The places below the member or item `token`.
pub(super) fn below<'a>(places: &[Path<'a>], token: &str) -> Vec<Path<'a>> {
    let below = |path: &Path<'a>| match path.tokens.split_first() {
        Some((first, rest)) if first == "*" || first == token => Some(Path {
            tokens: rest,
            action: path.action,
        }),
        _ => None,
    };
    places.iter().filter_map(below).collect()
}

/// Writes a value, masked.
///
/// A sensitive place may lie below a value that has nothing there: a text where the pointer expects an
/// object, or a list where it names a member. Then the whole value is hidden, because the event has another
/// shape than expected, and the secret may be one level higher.
pub(super) fn value(
    json: &str,
    places: &[Path<'_>],
    depth: usize,
    is_event: bool,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    if depth > MAX_DEPTH {
        return Err(serde_json::Error::custom("nested too deep"));
    }
    let json = json.trim();
    if let Some(here) = places.iter().find(|path| path.tokens.is_empty()) {
        match (here.action, serde_json::from_str::<Cow<'_, str>>(json)) {
            (Action::Mask(channel), Ok(address)) => write_text(&contact::mask(channel, &address), out),
            (Action::Mask(_), Err(_)) if json == "null" => out.push_str("null"),
            (Action::Hide, Ok(text)) => write_text(&hidden(&text), out),
            _ => write_text(HIDDEN, out),
        }
        return Ok(());
    }
    let is_deeper = |path: &Path<'_>| path.action == Action::Hide;
    match json.as_bytes().first() {
        Some(b'{') => object(json, places, depth, is_event, out),
        Some(b'[') => {
            let is_index = |token: &str| token == "*" || token.bytes().all(|byte| byte.is_ascii_digit());
            let names_member = |path: &Path<'_>| path.tokens.first().is_some_and(|token| !is_index(token));
            if places.iter().any(|path| is_deeper(path) && names_member(path)) {
                write_text(HIDDEN, out);
                return Ok(());
            }
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(
                    item.get(),
                    &below(places, &index.to_string()),
                    depth + 1,
                    false,
                    out,
                )?;
            }
            out.push(']');
            Ok(())
        }
        _ if json != "null" && places.iter().any(is_deeper) => {
            write_text(HIDDEN, out);
            Ok(())
        }
        Some(b'"') => {
            let text: Cow<'_, str> = serde_json::from_str::<Key<'_>>(json)?.0;
            match mask_addresses(&text) {
                Cow::Borrowed(_) => out.push_str(json),
                Cow::Owned(masked) => write_text(&masked, out),
            }
            Ok(())
        }
        // Numbers, booleans and null keep their spelling.
        _ => {
            out.push_str(json);
            Ok(())
        }
    }
}

fn object(
    json: &str,
    places: &[Path<'_>],
    depth: usize,
    is_event: bool,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    let Members(members) = serde_json::from_str(json)?;
    out.push('{');
    for (index, (key, member)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(&mask_addresses(&key), out);
        out.push(':');
        let places = below(places, &key);
        let is_plain = !member.get().starts_with(['{', '[']);
        let is_identity = is_event && IDENTITY.contains(&&*key);
        if is_plain && (is_identity || (key == "user_id" && places.is_empty())) {
            out.push_str(member.get());
        } else {
            value(member.get(), &places, depth + 1, false, out)?;
        }
    }
    out.push('}');
    Ok(())
}

/// The replacement of a sensitive text. A link keeps its scheme, so that templates can still render it as a
/// link.
fn hidden(text: &str) -> String {
    let scheme = ["https://", "http://", "mailto:", "tel:"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme));
    format!("{}{HIDDEN}", scheme.unwrap_or_default())
}

/// Writes a JSON string.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
