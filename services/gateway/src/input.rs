//! Reading bodies and queries, with a problem for each error in them.

mod shape;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use carillon_domain::{
    FieldError,
    event::{MediaType, without_mark},
    field_error::{escape_token, quoted},
    json::{fault, readable},
};
pub(crate) use carillon_runtime::http::Given;
use carillon_runtime::http::{self, JsonBody, ProblemKind, query, read_capped, repeated_member};
use carillon_store::{Cursor, Page};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_path_to_error::{Path, Segment};

use crate::error::ApiError;

/// The largest body, in bytes, of requests other than posts of events.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Reads a JSON body of a closed shape; an error names the field.
pub(crate) async fn json<T: DeserializeOwned>(JsonBody(body): JsonBody) -> Result<T, ApiError> {
    json_of(&read_capped(body, MAX_BODY).await?)
}

/// Reads a JSON body of a closed shape whose fields are all optional. The body may also be absent or null.
pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(
    JsonBody(body): JsonBody,
) -> Result<T, ApiError> {
    let bytes = read_capped(body, MAX_BODY).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    let read: Option<T> = json_of(&bytes)?;
    Ok(read.unwrap_or_default())
}

/// Reads JSON of a closed shape; an error names the field.
pub(crate) fn json_of<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = without_mark(bytes);
    readable(bytes)
        .map_err(|fault| ApiError::new(ProblemKind::MalformedJson, format!("expected JSON: {fault}")))?;
    // serde also accepts a list of values as an object. No body of this API is a list, so lists are refused
    // here.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(ApiError::fields(vec![FieldError::new(
            "",
            "type",
            "expected a JSON object, not a list",
        )]));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        // serde_json calls a number in the place of a name a text that cannot be read.
        if !inner.is_data() && serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            return ApiError::new(
                ProblemKind::MalformedJson,
                format!("expected JSON: {}", fault(inner)),
            );
        }
        // Structures refuse repeated members themselves, without their place.
        if let Some(path) = repeated_member(bytes) {
            return duplicate(&path);
        }
        ApiError::fields(shape::errors::<T>(bytes, &error))
    })?;
    deserializer.end().map_err(|error| {
        ApiError::new(
            ProblemKind::MalformedJson,
            format!("expected one JSON value: {}", fault(&error)),
        )
    })?;
    match repeated_member(bytes) {
        None => Ok(value),
        Some(path) => Err(duplicate(&path)),
    }
}

fn duplicate(path: &Path) -> ApiError {
    ApiError::fields(vec![FieldError::new(
        pointer(path),
        "duplicate",
        "expected the member once",
    )])
}

/// A path as an RFC 6901 pointer. It ends before the name of an enum's variant, which is not a token of the document,
/// and before an unknown part.
pub(crate) fn pointer(path: &Path) -> String {
    let tokens = path.iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escape_token(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    tokens.fold(String::new(), |pointer, token| pointer + "/" + &token)
}

/// An answer with its `ETag`.
pub(crate) fn tagged(etag: &str, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// A query string, parsed; an unknown parameter or a wrong value is a problem.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(query(&parts.uri)?))
    }
}

/// The check of a route without parameters. A query string is a problem that names its first parameter.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct None {}
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            let None {} = query(&parts.uri)?;
        }
        Ok(Self)
    }
}

/// The check of a merge patch's media type (RFC 7396). Another media type is refused, because the same body would mean
/// another change in it. A body without a media type is read as JSON.
#[derive(Debug)]
pub(crate) struct MergePatch;

impl<S: Send + Sync> FromRequestParts<S> for MergePatch {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        const ACCEPTED: &str = "application/merge-patch+json, application/json";
        let Some(named) = parts.headers.get(header::CONTENT_TYPE) else {
            return Ok(Self);
        };
        let named = String::from_utf8_lossy(named.as_bytes());
        if ACCEPTED
            .split(", ")
            .any(|media| media == MediaType::parse(&named).essence())
        {
            return Ok(Self);
        }
        let text = format!(
            "the header content-type: expected application/merge-patch+json or application/json, not {}",
            quoted(&named)
        );
        let mut response = ApiError::new(ProblemKind::UnsupportedMediaType, text).into_response();
        let accepted = HeaderValue::from_static(ACCEPTED);
        response
            .headers_mut()
            .insert(HeaderName::from_static("accept-patch"), accepted);
        Err(response)
    }
}

/// `limit` and `cursor`.
pub(crate) fn page(limit: Option<u32>, cursor: Option<&str>) -> Result<Page, ApiError> {
    let limit = limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::fields(vec![FieldError::new(
            "/limit",
            "range",
            format!("the parameter limit: expected a whole number from 1 to 500, not {limit}"),
        )]));
    }
    let after = match cursor {
        None => None,
        Some(text) => {
            if let Some(cursor) = Cursor::parse(text) {
                Some(cursor)
            } else {
                let error = FieldError::new(
                    "/cursor",
                    "format",
                    format!(
                        "the parameter cursor: expected next_cursor of an earlier answer, not {}",
                        quoted(text)
                    ),
                );
                return Err(ApiError::fields(vec![error]));
            }
        }
    };
    Ok(Page { after, limit })
}

/// The answer of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Listed<T> {
    /// The items, newest first.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// A path parameter that has to be a UUID; any other text is answered 404.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let http::Path(text) = http::Path::<String>::from_request_parts(parts, state).await?;
        text.parse().map(Self).map_err(|_| {
            let expected = format!(
                "expected a UUID as the id, such as 6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10, not {}",
                quoted(&text)
            );
            ApiError::new(ProblemKind::NotFound, expected)
        })
    }
}
