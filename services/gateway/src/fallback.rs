//! What no route answers, and what breaks in one.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use carillon_runtime::http::{Problem, ProblemKind};
use tower_http::catch_panic::CatchPanicLayer;

/// Adds problem documents for 404, 405 and panics, and the headers that every answer has.
pub(crate) fn wrap(router: Router) -> Router {
    router
        .fallback(|| async { Problem::new(ProblemKind::NotFound, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                ProblemKind::MethodNotAllowed,
                "this path does not take the method",
            )
        })
        .layer(from_fn(finish))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            Problem::new(ProblemKind::Internal, "the request could not be worked on").into_response()
        }))
}

/// axum's own rejections are plain text; here they become problems too.
async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
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
        response =
            Problem::new(kind, "the request does not have the form that this path expects").into_response();
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
