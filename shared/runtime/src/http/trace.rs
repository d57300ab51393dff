//! A span for each request, in the trace that the caller names, with the names of OpenTelemetry's conventions. (At level
//! `debug`, so that it costs nothing without tracing.)

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, field::Empty};

use super::measure::name_of;
use crate::telemetry;

/// Runs the request in a span of its own.
pub async fn trace(request: Request, next: Next) -> Response {
    traced(request, |request| next.run(request)).await
}

/// Answers the request in a span of its own.
pub async fn traced<F: Future<Output = Response>>(
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let method = name_of(request.method());
    let span = tracing::debug_span!("request", otel.name = %format_args!("{method} {route}"), otel.kind = "server",
        http.request.method = method, http.route = route, http.response.status_code = Empty, otel.status_code = Empty);
    if let Some(traceparent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        telemetry::set_parent(&span, traceparent);
    }
    let answering = async {
        let mut response = answer(request).await;
        // The duration is measured outside of the span.
        if let Some(sampled) = telemetry::sampled_span() {
            response.extensions_mut().insert(sampled);
        }
        response
    };
    let response = answering.instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}
