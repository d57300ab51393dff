//! Parameters in queries and paths, with a problem that names the wrong one.

use axum::{
    extract::{FromRequestParts, path::ErrorKind, rejection::PathRejection},
    http::{HeaderMap, Uri, header, request::Parts},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_path_to_error::Segment;

use crate::quoted::quoted;

use super::{
    problem::{Problem, ProblemError, ProblemKind},
    sentence::{named, serde_sentence},
};

/// The most characters of a value that an error repeats.
const MAX_ECHO: usize = 100;

/// The expected value of a parameter that many routes have.
fn expectation(name: &str) -> Option<&'static str> {
    match name {
        "limit" => Some("expected a whole number from 1 to 500"),
        "reveal" => Some("expected true or false"),
        _ => None,
    }
}

/// An optional parameter. A present parameter must have a value: `limit=` does not count as absent.
#[derive(Debug, Clone, Copy)]
pub struct Given<T>(pub Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

/// Reads a query string that has only known parameters.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let text = uri.query().unwrap_or_default();
    for (name, value) in pairs(text) {
        let is_utf8 = |part| percent_decode_str(part).decode_utf8().is_ok();
        let expected = |part| format!("expected UTF-8, percent-encoded, not {}", quoted(&cut(part)));
        // A name that cannot be read cannot be pointed at.
        if !is_utf8(name) {
            let message = format!("the name of a parameter: {}", expected(name));
            return Err(told("", "encoding", message));
        }
        if !is_utf8(value) {
            return Err(wrong(&decoded(name), "encoding", &expected(value)));
        }
    }
    let read = serde_html_form::Deserializer::from_bytes(text.as_bytes());
    serde_path_to_error::deserialize(read).map_err(|error| {
        let (mut name, mut place) = (None, None);
        for segment in error.path() {
            match segment {
                Segment::Map { key } if name.is_none() => name = Some(key.as_str()),
                Segment::Seq { index } => place = Some(*index),
                _ => {}
            }
        }
        let sentence = serde_sentence(error.inner());
        let Some(name) = name else {
            let error = ProblemError {
                pointer: String::new(),
                code: "query".to_owned(),
                message: sentence.clone(),
            };
            return Problem::new(ProblemKind::Validation, format!("the query string: {sentence}"))
                .with_errors(vec![error]);
        };
        let values: Vec<String> = pairs(text)
            .filter(|(of, _)| decoded(of) == name)
            .map(|(_, value)| decoded(value))
            .collect();
        if place.is_none() && values.len() > 1 {
            return wrong(
                name,
                "duplicate",
                &format!("expected the parameter once, not {} times", values.len()),
            );
        }
        let value = values
            .get(place.unwrap_or(0))
            .map(String::as_str)
            .unwrap_or_default();
        if let Some(rest) = error.inner().to_string().strip_prefix("unknown field `") {
            return unknown(name, &named(rest).1);
        }
        let expected = match expectation(name) {
            Some(expected) => format!("{expected}, not {}", quoted(&cut(value))),
            None => sentence,
        };
        wrong(name, "type", &expected)
    })
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_ECHO).collect()
}

fn wrong(name: &str, code: &str, expected: &str) -> Problem {
    told(name, code, format!("the parameter {}: {expected}", cut(name)))
}

/// A parameter that the route does not have.
fn unknown(name: &str, known: &[&str]) -> Problem {
    let known = match known {
        [] => "this route has no parameters".to_owned(),
        known => format!("expected only {}", known.join(", ")),
    };
    told(
        name,
        "unknown",
        format!("there is no parameter {}; {known}", cut(name)),
    )
}

/// The problem of a parameter; the name is empty if the parameter has none that can be read.
fn told(name: &str, code: &str, message: String) -> Problem {
    let pointer = cut(name).replace('~', "~0").replace('/', "~1");
    let error = ProblemError {
        pointer: if name.is_empty() {
            pointer
        } else {
            format!("/{pointer}")
        },
        code: code.to_owned(),
        message,
    };
    Problem::new(ProblemKind::Validation, error.message.clone()).with_errors(vec![error])
}

/// Path parameters. A path that cannot be read is a problem.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|path| Self(path.0))
            .map_err(|rejection| refused(&rejection))
    }
}

fn refused(rejection: &PathRejection) -> Problem {
    let text = match rejection {
        PathRejection::FailedToDeserializePathParams(error) => match error.kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => {
                format!("the path holds bytes that are not UTF-8: expected {key} in percent-encoded UTF-8")
            }
            _ => "the path does not have the form that this route expects".to_owned(),
        },
        _ => "the path does not have the form that this route expects".to_owned(),
    };
    Problem::new(ProblemKind::MalformedRequest, text)
}

/// Refuses a request with several `Authorization` headers, because its caller is ambiguous.
pub fn one_authorization(headers: &HeaderMap) -> Result<(), Problem> {
    let count = headers.get_all(header::AUTHORIZATION).iter().count();
    if count <= 1 {
        return Ok(());
    }
    let text = format!("the header authorization: expected the header once, not {count} times");
    let error = ProblemError {
        pointer: String::new(),
        code: "duplicate".to_owned(),
        message: text.clone(),
    };
    Err(Problem::new(ProblemKind::MalformedHeader, text).with_errors(vec![error]))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Asked {
        limit: Option<u32>,
        reveal: Option<bool>,
        q: Option<String>,
        kind: Vec<u8>,
    }

    #[test]
    fn a_wrong_parameter_is_named_with_its_value_and_the_expected_one() {
        let read = |text: &str| query::<Asked>(&format!("/x?{text}").parse().unwrap());
        for (text, pointer, code, message) in [
            (
                "limit=abc",
                "/limit",
                "type",
                "the parameter limit: expected a whole number from 1 to 500, not \"abc\"",
            ),
            (
                "limit=1&limit=2",
                "/limit",
                "duplicate",
                "expected the parameter once, not 2 times",
            ),
            (
                "reveal=maybe",
                "/reveal",
                "type",
                "expected true or false, not \"maybe\"",
            ),
            ("q=a&q=b", "/q", "duplicate", "expected the parameter once"),
            (
                "q=%ff",
                "/q",
                "encoding",
                "the parameter q: expected UTF-8, percent-encoded, not \"%ff\"",
            ),
            (
                "%ff=1",
                "",
                "encoding",
                "the name of a parameter: expected UTF-8, percent-encoded, not \"%ff\"",
            ),
            ("kind=1&kind=x", "/kind", "type", "the parameter kind: "),
            (
                "other=1",
                "/other",
                "unknown",
                "there is no parameter other; expected only limit, reveal, q, kind",
            ),
        ] {
            let problem = read(text).unwrap_err();
            let error = &problem.errors[0];
            assert_eq!(
                (&*error.pointer, &*error.code),
                (pointer, code),
                "{text}: {error:?}"
            );
            assert!(error.message.contains(message), "{text}: {error:?}");
            assert_eq!(problem.status, 422);
        }
        let long = read(&format!("limit={}", "9".repeat(1_000))).unwrap_err();
        assert!(long.errors[0].message.len() < 250);
        let good = read("limit=7&reveal=true&q=a+b%C3%A9&kind=1&kind=2").unwrap();
        assert_eq!(
            (good.limit, good.q.as_deref(), good.kind),
            (Some(7), Some("a bé"), vec![1, 2])
        );
        assert_eq!(read("").unwrap(), Asked::default());
    }
}
