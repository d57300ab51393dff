//! `/healthz`, `/readyz` and `/metrics`, the same for every role.

use std::{
    collections::BTreeMap,
    fmt::Display,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;

use crate::{Shutdown, telemetry::MetricsHandle};

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

/// How often a dependency is asked, and how long it has to answer.
const EVERY: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(5);
/// So many failures in a row, and the process is not ready: one may be a moment's.
const FAILURES: u32 = 2;

/// Has a part of the readiness follow a dependency until the shutdown: off while it does not answer, on again after.
pub async fn follow<F, E>(switch: ReadySwitch, name: &'static str, check: impl Fn() -> F, shutdown: Shutdown)
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut failures = 0;
    loop {
        let checked = tokio::select! {
            checked = tokio::time::timeout(WITHIN, check()) => checked,
            () = shutdown.soft() => return,
        };
        let failure = match checked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(failure) = failure {
            failures += 1;
            tracing::warn!(
                dependency = name,
                failure,
                failures,
                "a dependency cannot be reached"
            );
            if failures >= FAILURES {
                switch.set(false);
            }
        } else {
            failures = 0;
            switch.set(true);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.soft() => return,
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_part_follows_its_dependency() {
        let readiness = Readiness::default();
        let switch = readiness.register("database");
        let (state, shutdown) = (Arc::new(Mutex::new(Some(Err("away")))), Shutdown::new());
        let asked = Arc::clone(&state);
        // `None` is no answer at all.
        let check = move || {
            let answer = *asked.lock();
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let following = tokio::spawn(follow(switch, "database", check, shutdown.clone()));
        let becomes = async |ready| {
            while readiness.is_ready() != ready {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::sleep(EVERY * 3).await;
        assert!(!readiness.is_ready(), "it was never there");
        for away in [Some(Err("away")), None] {
            *state.lock() = Some(Ok(()));
            becomes(true).await;
            *state.lock() = away;
            becomes(false).await;
        }
        shutdown.begin();
        following.await.unwrap();
    }
}
