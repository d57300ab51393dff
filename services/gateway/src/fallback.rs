//! Answers for unknown routes and methods, and for panics.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use carillon_runtime::http::{Measurement, Problem, ProblemKind, RequestMeasures, decode};
use futures::FutureExt as _;

use crate::dashboard::{page::PageError, set_headers};

/// Adds answers for 404, 405 and panics, the headers that every answer has, the decoding of bodies and the measurement
/// of requests. They are one layer, because each layer clones those below it for each request.
pub(crate) fn wrap(router: Router) -> Router {
    router
        .fallback(|request: Request| async move {
            let problem = Problem::new(ProblemKind::NotFound, "no route has this path");
            answer(problem, wants_page(&request))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let text = "this path does not take the method";
            answer(
                Problem::new(ProblemKind::MethodNotAllowed, text),
                wants_page(&request),
            )
        })
        .layer(from_fn_with_state(RequestMeasures::default(), edge))
}

async fn edge(State(measures): State<RequestMeasures>, request: Request, next: Next) -> Response {
    let measurement = Measurement::begin(&request);
    let as_page = wants_page(&request);
    let response = match decode(request) {
        Ok(request) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                Problem::new(ProblemKind::Internal, "the request could not be processed").into_response()
            }
        },
        Err(response) => response,
    };
    let response = finish(response, as_page);
    measures.end(&measurement, &response);
    response
}

/// Whether the answer is a page: the request is a browser's and outside the API.
fn wants_page(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT);
    let accepts_html = accepts
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    accepts_html && !request.uri().path().starts_with("/v1")
}

/// A page in the dashboard's style, or a problem document.
fn answer(problem: Problem, as_page: bool) -> Response {
    if !as_page {
        return problem.into_response();
    }
    let mut response = PageError::from(problem).into_response();
    set_headers(&mut response);
    response
}

/// Turns axum's own rejections, which are plain text, into problems.
fn finish(mut response: Response, as_page: bool) -> Response {
    let status = response.status();
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if status.is_client_error() && is_plain {
        let kind = match status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            StatusCode::NOT_FOUND => ProblemKind::NotFound,
            _ => ProblemKind::Validation,
        };
        let text = "the request does not have the form that this path expects";
        response = answer(Problem::new(kind, text), as_page);
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
