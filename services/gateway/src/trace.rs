//! A span for each request, in the trace that the caller names. (At level `debug`, so that it costs nothing without
//! tracing.)

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use carillon_runtime::telemetry;
use tracing::Instrument as _;

/// Runs the request in a span of its own.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let span = tracing::debug_span!("request", otel.name = %format_args!("{} {route}", request.method()),
        otel.kind = "server");
    if let Some(traceparent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        telemetry::set_parent(&span, traceparent);
    }
    next.run(request).instrument(span).await
}
