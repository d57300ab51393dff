//! The media type of a JSON body.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};

use super::problem::{MAX_ECHO, Problem, ProblemError, ProblemKind, cut};

/// A body that its request declares to be JSON, or of which it does not name the media type. Any other media type is
/// answered 415, because a body that says it is something else may only look like JSON by accident.
#[derive(Debug)]
pub struct JsonBody(pub Body);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        json_named(request.headers())?;
        Ok(Self(request.into_body()))
    }
}

/// Refuses a media type other than `application/json` and `application/…+json`, and a charset other than UTF-8.
fn json_named(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(header::CONTENT_TYPE) {
        let named = String::from_utf8_lossy(value.as_bytes());
        let mut parts = named.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let charset = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| value.trim().trim_matches('"'));
        if !essence.is_empty() && !is_json(&essence) {
            return Err(refused("application/json", &named, &essence));
        }
        if charset.is_some_and(|charset| !["utf-8", "utf8"].contains(&&*charset.to_ascii_lowercase())) {
            return Err(refused("the charset utf-8", &named, &essence));
        }
    }
    Ok(())
}

fn is_json(essence: &str) -> bool {
    let suffixed = |subtype: &str| subtype.len() > "+json".len() && subtype.ends_with("+json");
    essence == "application/json" || essence.strip_prefix("application/").is_some_and(suffixed)
}

fn refused(expected: &str, named: &str, essence: &str) -> Problem {
    let named = cut(named.to_owned(), MAX_ECHO);
    // Many a client names this type by itself.
    let hint = if essence == "application/x-www-form-urlencoded" {
        "; name the type of the body, with curl by -H 'Content-Type: application/json'"
    } else {
        ""
    };
    let text = format!("the header content-type: expected {expected}, not {named}{hint}");
    let error = ProblemError {
        pointer: String::new(),
        code: "unsupported-media-type".to_owned(),
        message: text.clone(),
    };
    Problem::new(ProblemKind::UnsupportedMediaType, text).with_errors(vec![error])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<(), Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, value.parse().unwrap());
        }
        json_named(&headers)
    }

    #[test]
    fn json_in_utf_8_and_a_body_without_a_media_type_are_accepted() {
        for value in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; charset=utf8; x=y",
            "application/merge-patch+json",
            "application/vnd.shop.v1+json",
            "",
        ] {
            assert_eq!(read(&[value]), Ok(()), "{value}");
        }
        assert_eq!(read(&[]), Ok(()));
    }

    #[test]
    fn another_media_type_or_charset_is_refused_by_name_with_the_expected_one() {
        for (value, says) in [
            ("text/csv", "expected application/json, not text/csv"),
            ("text/plain", "not text/plain"),
            ("text/json", "not text/json"),
            ("application/xml", "not application/xml"),
            ("application/+json", "not application/+json"),
            ("image/svg+json", "not image/svg+json"),
            ("application/jsonp", "not application/jsonp"),
            ("json", "not json"),
            (
                "application/json; charset=latin1",
                "expected the charset utf-8, not application/json; charset=latin1",
            ),
            (
                "application/json; Charset=\"UTF-16\"",
                "expected the charset utf-8",
            ),
            (
                "application/x-www-form-urlencoded",
                "expected application/json, not application/x-www-form-urlencoded; name the type of the body, with \
                 curl by -H 'Content-Type: application/json'",
            ),
        ] {
            let problem = read(&[value]).unwrap_err();
            assert_eq!(
                (problem.status, problem.slug()),
                (415, "unsupported-media-type"),
                "{value}"
            );
            assert!(problem.detail.contains(says), "{}", problem.detail);
        }
        assert!(
            read(&["application/json", "text/csv"]).is_err(),
            "each line counts"
        );
        assert!(
            read(&[&format!("text/{}", "x".repeat(5_000))])
                .unwrap_err()
                .detail
                .len()
                < 250
        );
    }
}
