//! Heads of requests that HTTP/1.1 forbids and hyper lets pass.

use axum::http::{HeaderMap, HeaderValue, Version, header, uri::Authority};

use crate::http::problem::{Problem, ProblemError, ProblemKind};

use crate::quoted::quoted;

/// The problem of a head, if it has one: `Host` is missing, repeated or no host (RFC 9112 §3.2), or the body has a
/// transfer coding besides one `chunked` (§6.1), which this server does not decode.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if host.is_none() && version == Version::HTTP_11 {
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
    if let Some(host) = host.filter(|host| !is_host(host.as_bytes())) {
        let text = format!(
            "the header host: expected a name or an address, and perhaps a port, not {}",
            quoted(&shown(host.as_bytes()))
        );
        return Err(wrong(ProblemKind::MalformedHeader, "format", text));
    }
    // Several lines are one list.
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next();
    let is_one = codings.next().is_none();
    if first.is_some_and(|first| !is_one || !first.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
        let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
        let text = format!(
            "the header transfer-encoding: expected chunked once, not {}; an encoded body is announced with \
            content-encoding",
            quoted(&shown(&lines.join(&b", "[..])))
        );
        return Err(wrong(ProblemKind::TransferCoding, "unsupported", text));
    }
    Ok(())
}

/// Whether a text is `uri-host [ ":" port ]` (RFC 9110 §7.2). It is empty if the target has no host.
fn is_host(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    let Ok(authority) = Authority::try_from(text) else {
        return false;
    };
    let Some(port) = authority.as_str().strip_prefix(authority.host()) else {
        return false; // It names a user.
    };
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    text.is_ascii() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// The first hundred characters of a value.
fn shown(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(100).collect()
}

fn wrong(kind: ProblemKind, code: &str, text: String) -> Problem {
    let error = ProblemError {
        pointer: String::new(),
        code: code.to_owned(),
        message: text.clone(),
    };
    Problem::new(kind, text).with_errors(vec![error])
}
