//! Heads of requests that HTTP/1.1 forbids and hyper lets pass.

use axum::http::{HeaderMap, Version, header};

use crate::http::problem::{Problem, ProblemError, ProblemKind};

/// The problem of a head, if it has one: `Host` is missing or repeated (RFC 9112 §3.2), or the body has a transfer
/// coding besides `chunked` (§6.1), which this server does not decode.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    if hosts.next().is_none() && version == Version::HTTP_11 {
        return Err(wrong(
            ProblemKind::MalformedHeader,
            "required",
            "the header host: expected the name of the host".to_owned(),
        ));
    }
    if hosts.next().is_some() {
        return Err(wrong(
            ProblemKind::MalformedHeader,
            "duplicate",
            "the header host: expected the header once".to_owned(),
        ));
    }
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
            let value: String = String::from_utf8_lossy(value.as_bytes())
                .chars()
                .take(100)
                .collect();
            let text = format!(
                "the header transfer-encoding: expected chunked, not {value:?}; an encoded body is announced with \
                content-encoding"
            );
            return Err(wrong(ProblemKind::TransferCoding, "unsupported", text));
        }
    }
    Ok(())
}

fn wrong(kind: ProblemKind, code: &str, text: String) -> Problem {
    let error = ProblemError {
        pointer: String::new(),
        code: code.to_owned(),
        message: text.clone(),
    };
    Problem::new(kind, text).with_errors(vec![error])
}
