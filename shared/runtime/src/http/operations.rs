//! `/healthz`, `/readyz` and `/metrics`, the same for every role.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;

use crate::telemetry::MetricsHandle;

/// What has to be ready before the process is.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Arc<AtomicBool>>>>);

/// Turns one part of the readiness on and off.
#[derive(Debug, Clone)]
pub struct ReadySwitch(Arc<AtomicBool>);

impl Readiness {
    /// Adds a part, not ready yet.
    #[must_use]
    pub fn register(&self, name: &str) -> ReadySwitch {
        let flag = Arc::new(AtomicBool::new(false));
        self.0.lock().insert(name.to_owned(), Arc::clone(&flag));
        ReadySwitch(flag)
    }

    /// Each part and whether it is ready.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, bool> {
        self.0
            .lock()
            .iter()
            .map(|(name, flag)| (name.clone(), flag.load(Ordering::Acquire)))
            .collect()
    }

    /// Whether every part is.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts().into_values().all(|ready| ready)
    }
}

impl ReadySwitch {
    /// Says whether the part is ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

/// The operational routes.
pub fn operations(readiness: Readiness, metrics: MetricsHandle) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let parts = readiness.parts();
    let status = if parts.values().all(|ready| *ready) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(parts)).into_response()
}

async fn render(State(metrics): State<MetricsHandle>) -> Response {
    metrics.upkeep();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        metrics.render(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_process_is_ready_when_every_part_is() {
        let readiness = Readiness::default();
        let switch = readiness.register("bus");
        let router = operations(readiness, MetricsHandle::detached());
        let ask = || async {
            router
                .clone()
                .oneshot(Request::get("/readyz").body(Body::empty()).unwrap())
                .await
                .unwrap()
                .status()
        };
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
        switch.set(true);
        assert_eq!(ask().await, StatusCode::OK);
        switch.set(false);
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
