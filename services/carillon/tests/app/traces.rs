use std::{sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, routing::post};
use carillon_testkit::{
    installation::{free_port, is_distributed},
    wait_for,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::{setup, with_installation_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An OpenTelemetry collector that stores its requests: protobuf, in which names and ids are readable.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Bytes>>>);

impl Collector {
    async fn listen(&self, port: u16) {
        async fn keep(State(Collector(kept)): State<Collector>, body: Bytes) {
            kept.lock().push(body);
        }
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let app = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    /// Whether a body contains a text.
    fn mentions(&self, text: &str) -> bool {
        let kept = self.0.lock();
        kept.iter()
            .any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Whether a body contains both a span's name and the trace's id.
    fn has(&self, name: &str) -> bool {
        let id: Vec<u8> = (0..16)
            .map(|byte| u8::from_str_radix(&TRACE[2 * byte..2 * byte + 2], 16).unwrap())
            .collect();
        let contains = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|window| window == part);
        let kept = self.0.lock();
        kept.iter()
            .any(|body| contains(body, name.as_bytes()) && contains(body, &id))
    }
}

#[test]
fn one_trace_covers_the_request_the_router_the_rendering_the_worker_the_providers_call_and_the_tracker() {
    let port = free_port();
    let mut setup = setup();
    let endpoint = format!("http://127.0.0.1:{port}");
    setup
        .settings
        .push(("TELEMETRY__OTLP_ENDPOINT".to_owned(), endpoint));
    with_installation_of(setup, |carillon| async move {
        let collector = Collector::default();
        collector.listen(port).await;
        let event = json!({"id": "traced", "type": "OrderShipped", "recipients": [{"email": "guest@example.com"}],
            "data": {"order_id": "1", "carrier": "DHL"}});
        let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(carillon.post_traced(&event, &traceparent).await, 202);
        for name in [
            "POST /v1/events",
            "route",
            "render batch",
            "render",
            "deliver",
            "provider call",
            "project",
        ] {
            wait_for(name, Duration::from_secs(40), || async { collector.has(name) }).await;
        }
        let services: &[&str] = if is_distributed() {
            &[
                "carillon-gateway",
                "carillon-router",
                "carillon-worker-email",
                "carillon-tracker",
            ]
        } else {
            &["carillon"]
        };
        for service in services {
            assert!(collector.mentions(service), "no span of {service}");
        }
        for foreign in ["sqlx", "SELECT ", "hyper", "reqwest"] {
            assert!(!collector.mentions(foreign), "an event of {foreign} was exported");
        }
    });
}
