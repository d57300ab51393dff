//! `/healthz`, `/readyz` and `/metrics`, the same for all roles.

use std::{collections::BTreeMap, fmt::Display, future::Future, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::{Shutdown, telemetry::MetricsHandle};

/// The parts of a process that have to be ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, ReadySwitch>>>);

/// The switch of one part of the readiness.
#[derive(Debug, Clone)]
pub struct ReadySwitch(Arc<Mutex<Condition>>);

#[derive(Debug)]
struct Condition {
    /// `None` while the part is ready.
    cause: Option<String>,
    /// Notes, by subject.
    notes: BTreeMap<String, String>,
    since: Instant,
}

/// One part of the readiness, as in `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReadiness {
    /// Whether the part works.
    pub ready: bool,
    /// The number of seconds since it became ready or not ready.
    pub for_seconds: u64,
    /// The reason for which it is not ready, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// A fault although the part is ready, such as a stuck consumer. Another process would do no better, so
    /// this one still receives requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The answer of `/readyz`: 200 if all parts are ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// Whether all parts are ready.
    pub ready: bool,
    /// Each part: a role, or a dependency.
    pub parts: BTreeMap<String, PartReadiness>,
}

impl Readiness {
    /// Adds a part that is not ready yet; replaces one of the same name.
    #[must_use]
    pub fn register(&self, name: &str) -> ReadySwitch {
        let switch = ReadySwitch(Arc::new(Mutex::new(Condition {
            cause: Some("it has not started yet".to_owned()),
            notes: BTreeMap::new(),
            since: Instant::now(),
        })));
        self.0.lock().insert(name.to_owned(), switch.clone());
        switch
    }

    /// The state of each part.
    #[must_use]
    pub fn report(&self) -> ReadinessReport {
        let parts: BTreeMap<_, _> = self
            .0
            .lock()
            .iter()
            .map(|(name, switch)| (name.clone(), switch.tell()))
            .collect();
        ReadinessReport {
            ready: parts.values().all(|part| part.ready),
            parts,
        }
    }

    /// Whether all parts are ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0
            .lock()
            .values()
            .all(|switch| switch.0.lock().cause.is_none())
    }
}

impl ReadySwitch {
    /// Sets the part to ready.
    pub fn ready(&self) {
        self.change(None);
    }

    /// Sets the part to not ready. The cause is a sentence for people, without a capital and a full stop. It contains
    /// no secrets and no personal data, because `/readyz` requires no key. A changed cause does not restart
    /// `for_seconds`.
    pub fn not_ready(&self, cause: impl Into<String>) {
        self.change(Some(cause.into()));
    }

    /// Sets or removes the note about a subject that has a fault although the part is ready. Like a cause, it
    /// contains no secrets and no personal data.
    pub fn note(&self, subject: &str, note: Option<String>) {
        let notes = &mut self.0.lock().notes;
        match note {
            Some(note) => notes.insert(subject.to_owned(), note),
            None => notes.remove(subject),
        };
    }

    fn change(&self, cause: Option<String>) {
        let mut state = self.0.lock();
        if state.cause.is_some() != cause.is_some() {
            state.since = Instant::now();
        }
        state.cause = cause;
    }

    fn tell(&self) -> PartReadiness {
        let state = self.0.lock();
        PartReadiness {
            ready: state.cause.is_none(),
            for_seconds: state.since.elapsed().as_secs(),
            cause: state.cause.clone(),
            note: (!state.notes.is_empty())
                .then(|| state.notes.values().cloned().collect::<Vec<_>>().join("; ")),
        }
    }
}

/// The interval between two checks of a dependency, and the time that it has to answer.
const EVERY: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(5);
/// Consecutive failures after which a part is not ready. A single failure may be momentary.
const FAILURES: u32 = 2;

/// Lets a part of the readiness follow a dependency until the shutdown: not ready while it does not answer, ready
/// again afterwards.
pub async fn follow<F, E>(switch: ReadySwitch, name: &'static str, check: impl Fn() -> F, shutdown: Shutdown)
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut failures = 0;
    let mut away: Option<Instant> = None;
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
        // Logs one line when the part fails and one when it works again, not one for each check.
        if let Some(failure) = failure {
            failures += 1;
            if failures == FAILURES {
                tracing::warn!(dependency = name, failure, "a dependency is away");
                away = Some(Instant::now());
            }
            if failures >= FAILURES {
                switch.not_ready(failure);
            }
        } else {
            if let Some(since) = away.take() {
                let seconds = since.elapsed().as_secs();
                tracing::info!(dependency = name, seconds, "a dependency is back");
            }
            failures = 0;
            switch.ready();
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
    let report = readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn render(State(metrics): State<MetricsHandle>, headers: HeaderMap) -> Response {
    metrics.upkeep();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let rendered = metrics.render(accept.unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, rendered.content_type),
        (header::VARY, "accept"),
    ];
    (headers, rendered.text).into_response()
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
        switch.ready();
        assert_eq!(ask().await, StatusCode::OK);
        switch.not_ready("it is away");
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_has_the_cause_and_the_duration_for_each_part_that_is_not_ready() {
        let readiness = Readiness::default();
        let (bus, database) = (readiness.register("bus"), readiness.register("database"));
        bus.ready();
        database.ready();
        tokio::time::advance(Duration::from_secs(5)).await;
        database.not_ready("the database is read-only");
        tokio::time::advance(Duration::from_secs(7)).await;
        database.not_ready("the database does not answer");
        bus.note("t", Some("t stands still".to_owned()));
        bus.note("u", Some("u is over".to_owned()));
        bus.note("u", None);
        let router = operations(readiness, MetricsHandle::detached());
        let answer = router
            .oneshot(Request::get("/readyz").body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            serde_json::json!({
                "ready": false,
                "parts": {
                    "bus": {"ready": true, "for_seconds": 12, "note": "t stands still"},
                    "database": {"ready": false, "for_seconds": 7, "cause": "the database does not answer"},
                },
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_follows_its_dependency() {
        let readiness = Readiness::default();
        let switch = readiness.register("database");
        let (state, shutdown) = (Arc::new(Mutex::new(Some(Err("away")))), Shutdown::new());
        let asked = Arc::clone(&state);
        // `None` stands for no answer.
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
