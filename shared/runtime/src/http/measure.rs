//! The rate, the errors and the duration of requests: `http_server_request_duration_seconds`, with names and labels of
//! OpenTelemetry's conventions.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use metrics::Histogram;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::telemetry::SampledSpan;

/// The histograms by route. Each is made at its first use: measuring a request allocates nothing.
#[derive(Default, Clone)]
pub struct RequestMeasures(Arc<RwLock<HashMap<String, Vec<Series>>>>);

/// The measurement of one request.
pub struct Measurement {
    since: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
}

struct Series {
    method: &'static str,
    status: u16,
    took: Histogram,
}

/// Measures every request to the routes. A request to none of them has an empty `http_route`, which is not exported.
pub fn measured(routes: Router) -> Router {
    routes.layer(from_fn_with_state(RequestMeasures::default(), measure))
}

async fn measure(State(measures): State<RequestMeasures>, request: Request, next: Next) -> Response {
    let measurement = Measurement::begin(&request);
    let response = next.run(request).await;
    measures.end(&measurement, &response);
    response
}

impl Measurement {
    /// Begins to measure a request.
    #[must_use]
    pub fn begin(request: &Request) -> Self {
        Self {
            since: Instant::now(),
            method: name_of(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
        }
    }
}

impl RequestMeasures {
    /// Records a request that was answered.
    pub fn end(&self, measurement: &Measurement, response: &Response) {
        let route = measurement.route.as_ref().map_or("", MatchedPath::as_str);
        let seconds = measurement.since.elapsed().as_secs_f64();
        let sampled = response.extensions().get::<SampledSpan>();
        let _entered = sampled.map(SampledSpan::enter);
        self.record(route, measurement.method, response.status().as_u16(), seconds);
    }

    fn record(&self, route: &str, method: &'static str, status: u16, seconds: f64) {
        let find = |all: &HashMap<String, Vec<Series>>| {
            let mut series = all.get(route)?.iter();
            let series = series.find(|series| (series.method, series.status) == (method, status))?;
            series.took.record(seconds);
            Some(())
        };
        if find(&self.0.read()).is_some() {
            return;
        }
        let mut labels = vec![
            ("http_request_method", method.to_owned()),
            ("http_response_status_code", status.to_string()),
        ];
        if !route.is_empty() {
            labels.push(("http_route", route.to_owned()));
        }
        let took = metrics::histogram!("http_server_request_duration_seconds", &labels);
        took.record(seconds);
        self.0
            .write()
            .entry(route.to_owned())
            .or_default()
            .push(Series { method, status, took });
    }
}

/// A method as a label. Clients may invent methods, and each would be a series of its own.
pub(super) fn name_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode},
        routing::get,
    };
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn a_request_is_measured_under_its_route_and_not_under_a_path_that_a_client_invents() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let app = measured(
            Router::new()
                .route("/users/{id}", get(|| async { StatusCode::NO_CONTENT }))
                .fallback(|| async { StatusCode::NOT_FOUND }),
        );
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                for (method, path) in [
                    ("GET", "/users/1"),
                    ("GET", "/users/2"),
                    ("BREW", "/users/1"),
                    ("GET", "/no-such-path"),
                ] {
                    let request = Request::builder().method(method).uri(path);
                    let request = request.body(Body::empty()).unwrap();
                    app.clone().oneshot(request).await.unwrap();
                }
            });
        });
        let text = handle.render();
        let mut counts: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("_seconds_count{"))
            .collect();
        counts.sort_unstable();
        let count = |labels: &str| format!("http_server_request_duration_seconds_count{{{labels}}}");
        let expected = [
            count(r#"http_request_method="GET",http_response_status_code="204",http_route="/users/{id}""#)
                + " 2",
            count(r#"http_request_method="GET",http_response_status_code="404""#) + " 1",
            count(r#"http_request_method="_OTHER",http_response_status_code="405",http_route="/users/{id}""#)
                + " 1",
        ];
        assert_eq!(counts, expected);
    }
}
