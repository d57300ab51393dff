//! JSON bodies, limited in size while they stream in, with precise errors.

use carillon_domain::{event::without_mark, json::fault_in};
use carillon_runtime::http::{
    JsonBody, Problem, ProblemError, ProblemKind, read_capped, repeated_member, serde_code, serde_sentence,
};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// Reads a body of at most `max` bytes: `too-large`, `malformed-json`, or `validation` with the field's pointer.
pub(crate) async fn read<T: DeserializeOwned>(JsonBody(body): JsonBody, max: usize) -> Result<T, Problem> {
    let bytes = read_capped(body, max).await?;
    let bytes = without_mark(&bytes);
    // serde also accepts a list of values as an object. No body of these routes is a list, so lists are
    // refused here.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let text = "expected a JSON object, not a list";
        return Err(wrong(String::new(), "type", text.to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| refuse(&error, bytes))?;
    json.end().map_err(|error| malformed(bytes, &error))?;
    match repeated_member(bytes) {
        None => Ok(value),
        Some(path) => Err(duplicate(&path)),
    }
}

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>, bytes: &[u8]) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return malformed(bytes, inner);
    }
    // Structures refuse repeated members themselves, without their place.
    match repeated_member(bytes) {
        Some(path) => duplicate(&path),
        None => wrong(pointer(error.path()), serde_code(inner), serde_sentence(inner)),
    }
}

fn duplicate(path: &Path) -> Problem {
    wrong(pointer(path), "duplicate", "expected the member once".to_owned())
}

fn wrong(pointer: String, code: &str, message: String) -> Problem {
    let field = ProblemError {
        pointer,
        code: code.to_owned(),
        message: message.clone(),
    };
    Problem::new(ProblemKind::Validation, message).with_errors(vec![field])
}

fn malformed(bytes: &[u8], error: &serde_json::Error) -> Problem {
    Problem::new(
        ProblemKind::MalformedJson,
        format!("expected JSON: {}", fault_in(bytes, error, 1)),
    )
}

/// A path as an RFC 6901 pointer.
pub(crate) fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => carillon_domain::field_error::escape_token(key),
            // The names of an enum's variants are not tokens of the document, and the rest of the path is unknown.
            Segment::Enum { .. } | Segment::Unknown => return pointer,
        };
        pointer.push('/');
        pointer.push_str(&token);
        pointer
    })
}
