//! Decoding encoded bodies while they are read, so that the limit of a body applies to its decoded bytes.

use std::io;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::TryStreamExt as _;
use tokio_util::io::StreamReader;

use super::{
    body::RefusedBody,
    inflate::{Coding, inflate},
    problem::{Problem, ProblemKind},
};
use crate::quoted::quoted;

const TAKEN: &str = "gzip, deflate, identity";
/// The most encodings of one body.
const MAX_CODINGS: usize = 2;

/// Decodes the request's body by its `Content-Encoding`, gzip or deflate, while it is read. For another encoding the
/// error is the answer: 415 with `Accept-Encoding`.
#[expect(clippy::result_large_err, reason = "the answer is sent at once")]
pub fn decode(request: Request) -> Result<Request, Response> {
    if !request.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let codings = codings(&parts.headers).map_err(|problem| {
        let mut response = problem.into_response();
        let taken = HeaderValue::from_static(TAKEN);
        response.headers_mut().insert(header::ACCEPT_ENCODING, taken);
        response
    })?;
    // The last applied encoding is removed first.
    let body = codings.into_iter().rev().fold(body, decoded);
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(parts, body))
}

/// The encodings in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Problem> {
    let unsupported = |named: &str| {
        let named: String = named.chars().take(100).collect();
        let text = format!(
            "content-encoding: expected one or two of {TAKEN}, not {}",
            quoted(&named)
        );
        Problem::new(ProblemKind::UnsupportedMediaType, text)
    };
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = value
            .to_str()
            .map_err(|_| unsupported(&String::from_utf8_lossy(value.as_bytes())))?;
        for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            match token.to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "identity" => {}
                _ => return Err(unsupported(token)),
            }
            if codings.len() > MAX_CODINGS {
                return Err(unsupported(text));
            }
        }
    }
    Ok(codings)
}

fn decoded(body: Body, coding: Coding) -> Body {
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    Body::from_stream(inflate(reader, coding).map_err(move |error| told(error, coding)))
}

/// Turns a decoding error into that of the body. An error of the underlying body is passed on; any other means that
/// the body does not have the encoding of its header.
fn told(error: io::Error, coding: Coding) -> axum::Error {
    let below = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<axum::Error>());
    if below.is_some() {
        return axum::Error::new(error);
    }
    let named = match coding {
        Coding::Gzip => "gzip",
        Coding::Deflate => "deflate",
    };
    let text = format!("the body is not encoded as content-encoding says: expected {named}");
    axum::Error::new(RefusedBody(Problem::new(ProblemKind::MalformedRequest, text)))
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{DeflateEncoder, GzipEncoder, ZlibEncoder};
    use axum::{Router, http::StatusCode, middleware::map_request, routing::post};
    use tokio::io::{AsyncRead, AsyncReadExt as _};
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::read_capped;

    const CAP: usize = 100_000;

    /// The answer of a server that echoes the decoded body.
    async fn echo(encodings: &[&str], body: Vec<u8>) -> (StatusCode, HeaderMap, String) {
        let back = |body: Body| async { read_capped(body, CAP).await };
        let router = Router::new()
            .route("/", post(back))
            .layer(map_request(|request| async { decode(request) }));
        let mut request = Request::post("/");
        for encoding in encodings {
            request = request.header("content-encoding", *encoding);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = read_capped(body, 1 << 20).await.unwrap();
        (
            parts.status,
            parts.headers,
            String::from_utf8_lossy(&body).into_owned(),
        )
    }

    async fn all(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut bytes = Vec::new();
        encoder.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    async fn gzip(bytes: &[u8]) -> Vec<u8> {
        all(GzipEncoder::new(bytes)).await
    }

    #[tokio::test]
    async fn gzip_and_deflate_are_decoded_also_one_over_the_other() {
        let text = "a text, ".repeat(1_000);
        let bytes = text.as_bytes();
        let zlib = all(ZlibEncoder::new(bytes)).await;
        let twice = gzip(&zlib).await;
        let members = [gzip(&bytes[..9]).await, gzip(&bytes[9..]).await].concat();
        for (encodings, body) in [
            (vec!["gzip"], gzip(bytes).await),
            (vec!["GZip"], members),
            (vec!["x-gzip"], gzip(bytes).await),
            (vec!["deflate"], zlib.clone()),
            (vec!["deflate"], all(DeflateEncoder::new(bytes)).await),
            (vec!["deflate, gzip"], twice.clone()),
            (vec!["deflate", "gzip"], twice),
            (vec!["identity"], bytes.to_vec()),
            (vec!["identity, gzip"], gzip(bytes).await),
            (vec![""], bytes.to_vec()),
        ] {
            let (status, _, answer) = echo(&encodings, body).await;
            assert_eq!(
                (status, answer.len()),
                (StatusCode::OK, text.len()),
                "{encodings:?}"
            );
            assert_eq!(answer, text);
        }
    }

    #[tokio::test]
    async fn another_encoding_is_refused_with_the_supported_ones() {
        for encoding in ["br", "zstd", "gzip, br", "gzip, gzip, gzip", "nonsense"] {
            let (status, headers, _) = echo(&[encoding], b"x".to_vec()).await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
            assert_eq!(headers["accept-encoding"], TAKEN);
        }
    }

    #[tokio::test]
    async fn a_small_body_that_decodes_to_a_huge_one_is_cut_at_the_cap() {
        let bomb = gzip(&vec![b' '; 64 << 20]).await;
        assert!(bomb.len() < CAP);
        let (status, ..) = echo(&["gzip"], bomb.clone()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let (status, ..) = echo(&["gzip, gzip"], gzip(&bomb).await).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_without_its_declared_encoding_is_refused_as_such() {
        let whole = gzip(b"a text").await;
        for (encoding, body) in [
            ("gzip", b"plain text".to_vec()),
            ("gzip", whole[..whole.len() - 5].to_vec()),
            ("gzip", [&whole[..], b"and more"].concat()),
            ("deflate", b"\xff\xff\xff".to_vec()),
        ] {
            let (status, _, answer) = echo(&[encoding], body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
            assert!(answer.contains(&format!("expected {encoding}")), "{answer}");
            assert!(
                answer.contains("The request cannot be read") && !answer.contains("JSON\""),
                "{answer}"
            );
        }
    }
}
