//! All errors in the shape of a body. serde stops at the first one. So each wrong value is replaced by a valid one, and
//! the body is read again until it has no further error.

use carillon_domain::{FieldError, field_error::escape_token};
use carillon_runtime::http::{known_names, serde_code, serde_sentence};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_path_to_error::{Path, Segment};

use super::pointer;

/// The largest body, in bytes, in which all errors are searched for. Each error takes a few more readings of the body.
const MAX_BYTES: usize = 64 * 1024;
/// The most errors that are looked for.
const MAX_ERRORS: usize = 10;
/// The most readings of one body, which bound the work.
const MAX_READINGS: usize = 200;
/// The most levels of objects that replace a missing value.
const MAX_DEPTH: usize = 2;

/// The errors of a body that does not have the shape of `T`. The first one is known.
pub(super) fn errors<T: DeserializeOwned>(
    bytes: &[u8],
    first: &serde_path_to_error::Error<serde_json::Error>,
) -> Vec<FieldError> {
    let mut found = Vec::new();
    if first.inner().is_data() {
        found.push(Wrong::of(first.path(), first.inner()));
    } else {
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        found.extend(Filling { body, readings: 0 }.read::<T>());
    }
    if bytes.len() <= MAX_BYTES
        && let Ok(body) = serde_json::from_slice::<Value>(bytes)
    {
        let mut filling = Filling { body, readings: 0 };
        while found.len() < MAX_ERRORS
            && let Some(last) = found.last()
            && let Ok(Some(next)) = filling.at::<T>(last, MAX_DEPTH)
            && found.iter().all(|wrong| wrong.place != next.place)
        {
            found.push(next);
        }
    }
    found.into_iter().map(|wrong| wrong.error).collect()
}

/// An error, the place of its value, and the names that are accepted there.
struct Wrong {
    error: FieldError,
    place: Vec<Token>,
    known: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Index(usize),
}

impl Wrong {
    fn of(path: &Path, error: &serde_json::Error) -> Self {
        let mut place: Vec<Token> = path
            .iter()
            .map_while(|segment| match segment {
                Segment::Seq { index } => Some(Token::Index(*index)),
                Segment::Map { key } => Some(Token::Name(key.clone())),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        let text = error.to_string();
        let sentence = serde_sentence(error);
        let error = match sentence.strip_prefix("expected the field ") {
            Some(name) if !name.contains(' ') => {
                place.push(Token::Name(name.to_owned()));
                let at = pointer(path) + "/" + &escape_token(name);
                FieldError::new(at, "required", sentence)
            }
            _ => FieldError::new(pointer(path), serde_code(error), sentence),
        };
        let known = known_names(&text).first().map(|name| (*name).to_owned());
        Self { error, place, known }
    }
}

/// No value at a place lets the body be read on.
struct Stuck;

/// A body whose wrong values are replaced.
struct Filling {
    body: Value,
    readings: usize,
}

impl Filling {
    fn read<T: DeserializeOwned>(&mut self) -> Option<Wrong> {
        self.readings += 1;
        let read = serde_path_to_error::deserialize::<_, T>(&self.body);
        read.err().map(|error| Wrong::of(error.path(), error.inner()))
    }

    /// Puts another value at the place of an error, or none, and returns the next error, if there is one. Objects are
    /// filled in, too, to this depth.
    fn at<T: DeserializeOwned>(&mut self, wrong: &Wrong, depth: usize) -> Result<Option<Wrong>, Stuck> {
        let mut values = [json!(""), json!(0), json!(true), json!([]), json!({})]
            .map(Some)
            .to_vec();
        values.extend(wrong.known.as_ref().map(|name| Some(json!(name))));
        values.push(None);
        while let Some(value) = (!values.is_empty()).then(|| values.remove(0))
            && self.readings < MAX_READINGS
        {
            if !put(&mut self.body, &wrong.place, value) {
                continue;
            }
            let mut next = self.read::<T>();
            while let Some(inner) = &next
                && depth > 0
                && inner.place.len() > wrong.place.len()
                && inner.place.starts_with(&wrong.place)
                && let Ok(other) = self.at::<T>(inner, depth - 1)
            {
                next = other;
            }
            match next {
                Some(next) if next.place.starts_with(&wrong.place) => {
                    if let Some(name) = next
                        .known
                        .filter(|_| next.place == wrong.place && wrong.known.is_none())
                    {
                        values.insert(0, Some(json!(name)));
                    }
                }
                next => return Ok(next),
            }
        }
        Err(Stuck)
    }
}

/// Sets or removes the value at a place; `false` if there is no such place.
fn put(body: &mut Value, place: &[Token], value: Option<Value>) -> bool {
    let Some((last, way)) = place.split_last() else {
        return false;
    };
    let mut holder = body;
    for token in way {
        let next = match (holder, token) {
            (Value::Object(fields), Token::Name(name)) => fields.get_mut(name),
            (Value::Array(items), Token::Index(index)) => items.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        holder = next;
    }
    match (holder, last) {
        (Value::Object(fields), Token::Name(name)) => set(fields, name, value),
        (Value::Array(items), Token::Index(index)) => match (items.get_mut(*index), value) {
            (Some(item), Some(value)) => {
                *item = value;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) -> bool {
    match value {
        Some(value) => {
            fields.insert(name.to_owned(), value);
            true
        }
        None => fields.remove(name).is_some(),
    }
}
