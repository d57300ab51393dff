//! JSON bodies, limited in size while they stream in, with precise errors.

use axum::body::Body;
use carillon_domain::event::without_mark;
use carillon_runtime::http::{Problem, ProblemError, ProblemKind, read_capped, serde_sentence};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// Reads a body of at most `max` bytes: `too-large`, `malformed-json`, or `validation` with the field's pointer.
pub(crate) async fn read<T: DeserializeOwned>(body: Body, max: usize) -> Result<T, Problem> {
    let bytes = read_capped(body, max).await?;
    let bytes = without_mark(&bytes);
    // serde also accepts a list of values as an object. No body of these routes is a list, so lists are
    // refused here.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let field = ProblemError {
            pointer: String::new(),
            code: "type".to_owned(),
            message: "expected a JSON object, not a list".to_owned(),
        };
        let text = "a field is not as expected";
        return Err(Problem::new(ProblemKind::Validation, text).with_errors(vec![field]));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| refuse(&error))?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return malformed(inner);
    }
    let field = ProblemError {
        pointer: pointer(error.path()),
        code: "type".to_owned(),
        message: serde_sentence(inner),
    };
    Problem::new(ProblemKind::Validation, "a field is not as expected").with_errors(vec![field])
}

fn malformed(error: &serde_json::Error) -> Problem {
    let at = format!(
        "the body is not JSON at line {}, column {}",
        error.line(),
        error.column()
    );
    Problem::new(ProblemKind::MalformedJson, at)
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
