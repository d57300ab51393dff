//! The provider at the end: FCM's wire format without its rules. It counts messages and notes the times of arrival.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::Uri,
    response::{IntoResponse as _, Response},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};

/// A running sink. It ends with the process.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) url: String,
    state: Arc<Shared>,
}

struct Shared {
    arrivals: Mutex<HashMap<String, Arrival>>,
    count: AtomicU64,
    delay: Duration,
}

/// The arrivals of one event's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) count: u32,
}

impl Sink {
    /// Starts a sink that answers after `delay`.
    pub(crate) async fn start(delay: Duration) -> anyhow::Result<Self> {
        Self::serve(TcpListener::bind("127.0.0.1:0").await?, delay)
    }

    /// Like [`Self::start`], on a listener.
    pub(crate) fn serve(listener: TcpListener, delay: Duration) -> anyhow::Result<Self> {
        let state = Arc::new(Shared {
            arrivals: Mutex::default(),
            count: AtomicU64::new(0),
            delay,
        });
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(take).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, state })
    }

    /// The URL to which a message is posted.
    pub(crate) fn send_url(&self) -> String {
        format!("{}/v1/projects/bench/messages:send", self.url)
    }

    /// The number of messages that arrived.
    pub(crate) fn count(&self) -> u64 {
        self.state.count.load(Ordering::Acquire)
    }

    /// Waits until `count` messages have arrived, or none has for `patience`.
    pub(crate) async fn wait_for(&self, count: u64, patience: Duration) {
        let (mut seen, mut since) = (self.count(), Instant::now());
        while seen < count && since.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = self.count();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
    }

    /// The arrivals since the last call, by event id.
    pub(crate) fn take_arrivals(&self) -> HashMap<String, Arrival> {
        self.state.count.store(0, Ordering::Release);
        std::mem::take(&mut self.state.arrivals.lock())
    }
}

async fn take(State(state): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    if uri.path().ends_with("/token") {
        return Json(json!({"access_token": "bench", "expires_in": 3600, "token_type": "Bearer"}))
            .into_response();
    }
    let now = Instant::now();
    if !state.delay.is_zero() {
        tokio::time::sleep(state.delay).await;
    }
    if let Some(id) = event_id(&body) {
        let arrived = Arrival {
            first: now,
            last: now,
            count: 0,
        };
        let mut arrivals = state.arrivals.lock();
        let arrival = arrivals.entry(id.to_owned()).or_insert(arrived);
        arrival.last = now;
        arrival.count += 1;
    }
    let number = state.count.fetch_add(1, Ordering::AcqRel);
    (
        [("content-type", "application/json")],
        format!("{{\"name\":\"projects/bench/messages/{number}\"}}"),
    )
        .into_response()
}

/// The event's id, cut out of the body: a complete parse would add the sink's cost to the measurement.
fn event_id(body: &[u8]) -> Option<&str> {
    const NAME: &str = "\"carillon_event_id\":\"";
    let text = std::str::from_utf8(body).ok()?;
    let (_, after) = text.split_once(NAME)?;
    after.split('"').next()
}
