//! The attributes of a binary CloudEvent in the headers of its request (HTTP binding §3.1.3).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use carillon_domain::field_error::quoted;
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};

const PREFIX: &str = "ce-";

/// Whether any header is an attribute.
pub(super) fn are_in(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// Attribute and value of each header. No header is left out: an unreadable one leads to a problem that names
/// it.
pub(super) fn read(headers: &HeaderMap) -> Result<Vec<(String, String)>, Problem> {
    let mut attributes = Vec::new();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        let value = only(headers, name)?;
        if attribute.is_empty() {
            return Err(wrong(
                name,
                "name",
                "expected the name of an attribute behind ce-",
            ));
        }
        let text = decode(value).map_err(|expected| {
            let shown = String::from_utf8_lossy(value.as_bytes());
            let text = format!("expected {expected}, not {}", quoted(&shown));
            wrong(name, "encoding", &text)
        })?;
        attributes.push((attribute.to_owned(), text));
    }
    Ok(attributes)
}

/// The only value of a present header.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(wrong(name, "duplicate", "expected the header once")),
    }
}

/// The problem of a header that cannot be read.
pub(super) fn wrong(name: &HeaderName, code: &str, text: &str) -> Problem {
    let attribute = name.as_str().strip_prefix(PREFIX).unwrap_or_default();
    let error = ProblemError {
        pointer: if attribute.is_empty() {
            String::new()
        } else {
            format!("/{attribute}")
        },
        code: code.to_owned(),
        message: format!("the header {name}: {text}"),
    };
    let detail = error.message.clone();
    Problem::new(ProblemKind::MalformedHeader, detail).with_errors(vec![error])
}

/// Removes double quotes as RFC 9110 §5.6.4 says, and then percent-decodes once to UTF-8.
fn decode(value: &HeaderValue) -> Result<String, &'static str> {
    let unquoted = unquote(value.as_bytes())?;
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("two hexadecimal digits behind each %, which itself is written %25");
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| "percent-encoded UTF-8")
}

fn unquote(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return Ok(value.to_vec());
    };
    let Some(inner) = inner.strip_suffix(b"\"") else {
        return Err("a double quote at the end as at the beginning");
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut inner = inner.iter();
    while let Some(byte) = inner.next() {
        match byte {
            b'\\' => bytes.push(
                *inner
                    .next()
                    .ok_or("a character behind each backslash in double quotes")?,
            ),
            b'"' => return Err("a backslash before each double quote in double quotes"),
            byte => bytes.push(*byte),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &[u8]) -> Result<String, &'static str> {
        decode(&HeaderValue::from_bytes(value).unwrap())
    }

    #[test]
    fn a_header_is_unquoted_and_decoded_once() {
        for (value, expected) in [
            (&b"plain"[..], "plain"),
            (b"caf%C3%A9%201", "café 1"),
            (b"Euro%20%e2%82%ac%20%F0%9F%98%80", "Euro € 😀"),
            (b"100%2525", "100%25"),
            (b"%22quoted%22", "\"quoted\""),
            (b"\"quoted \\\" %41\"", "quoted \" A"),
            (b"a+b", "a+b"),
            ("caf\u{e9}".as_bytes(), "café"),
            (b"", ""),
        ] {
            assert_eq!(decoded(value).as_deref(), Ok(expected), "{value:?}");
        }
        for value in [
            &b"100%"[..],
            b"%4",
            b"%zz",
            b"%C3",
            b"%ff",
            b"caf\xe9",
            b"\"open",
            b"\"a\"b\"",
            b"\"a\\\"",
            b"\"",
        ] {
            assert!(decoded(value).is_err(), "{value:?}");
        }
    }
}
