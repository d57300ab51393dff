//! A gateway for one test, and a client for it.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request},
};
use carillon_bus::{BatchLimits, Bus, OutRecord, Record, Subscription};
use carillon_domain::{Lane, TenantId, contact::AddressKey, unsubscribe::UnsubscribeLinks};
use carillon_gateway::{GatewayConfig, GatewayDeps, ReceiptAccounts};
use carillon_providers::ProvidersConfig;
use carillon_render::{InProcess, load_folder};
use carillon_runtime::{Shutdown, http::Readiness, telemetry::MetricsHandle};
use carillon_store::{
    Store,
    api_keys::Role,
    catalog_cache::CatalogCache,
    quota::{InProcessQuotas, Quotas},
    users::UserPut,
};
use carillon_testkit::{ManualClock, TestEnv};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

/// The time at which tests begin.
pub(crate) const START: &str = "2026-11-24T10:00:00Z";

/// A gateway with a catalog, the user `u-42`, and a key of each role.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) clock: Arc<ManualClock>,
    /// The limits that all gateways of the test look at.
    pub(crate) quotas: Arc<dyn Quotas>,
    /// The end of all gateways of the test.
    pub(crate) shutdown: Shutdown,
    pub(crate) router: Router,
    pub(crate) tenant: TenantId,
    pub(crate) admin: String,
    pub(crate) operator: String,
    pub(crate) viewer: String,
    /// The key of another tenant's admin.
    pub(crate) foreign: String,
}

/// Runs a test on a new gateway, and cleans up whether it succeeds or fails.
pub(crate) async fn on_gateway(test: impl AsyncFn(&Setting)) {
    on_gateway_with(GatewayConfig::default(), test).await;
}

pub(crate) async fn on_gateway_with(config: GatewayConfig, test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let env = TestEnv::new(clock.clone()).await;
    let tenant = TenantId::default();
    let keys = env.store.api_keys();
    let key = async |tenant: &TenantId, role| keys.create(tenant, "a test", role).await.unwrap().secret;
    let quotas: Arc<dyn Quotas> = Arc::new(InProcessQuotas::new(Duration::from_hours(1)));
    let shutdown = Shutdown::new();
    let setting = Setting {
        admin: key(&tenant, Role::Admin).await,
        operator: key(&tenant, Role::Operator).await,
        viewer: key(&tenant, Role::Viewer).await,
        foreign: key(&TenantId::from("other".to_owned()), Role::Admin).await,
        router: gateway(&env.bus, &env.store, config, &clock, &quotas, &shutdown),
        quotas,
        shutdown,
        tenant,
        clock,
        env,
    };
    setting.prepare().await;
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    setting.env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// The unsubscribe links of all gateways in these tests.
pub(crate) fn links() -> UnsubscribeLinks {
    UnsubscribeLinks::new("https://notify.example/", &AddressKey::new([7; 32]))
}

/// A gateway process on an environment.
fn gateway(
    bus: &Bus,
    store: &Store,
    config: GatewayConfig,
    clock: &Arc<ManualClock>,
    quotas: &Arc<dyn Quotas>,
    shutdown: &Shutdown,
) -> Router {
    gateway_with_sns_at("http://127.0.0.1:1", bus, store, config, clock, quotas, shutdown)
}

fn gateway_with_sns_at(
    sns: &str,
    bus: &Bus,
    store: &Store,
    config: GatewayConfig,
    clock: &Arc<ManualClock>,
    quotas: &Arc<dyn Quotas>,
    shutdown: &Shutdown,
) -> Router {
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
    let templates = load_folder(std::path::Path::new(shop)).unwrap();
    let deps = GatewayDeps {
        endpoint_rules: ProvidersConfig::default().endpoint_rules(),
        bus: bus.clone(),
        store: store.clone(),
        catalogs: CatalogCache::new(store.clone()),
        quotas: Arc::clone(quotas),
        renderer: Some(Arc::new(InProcess::new(Arc::new(templates)))),
        links: Some(links()),
        clock: clock.clone(),
        receipts: Arc::new(ReceiptAccounts::new(&providers(sns), config.receipts_per_second).unwrap()),
        config,
        readiness: Readiness::default(),
        metrics: MetricsHandle::detached(),
        shutdown: shutdown.clone(),
    };
    carillon_gateway::router(deps, |_| Vec::new())
}

/// The provider accounts that take receipts; SNS is at a URL.
fn providers(sns: &str) -> ProvidersConfig {
    // As text, because `kind` has to come first.
    let accounts = r#"{
        "texts": {"kind": "twilio", "account_sid": "AC00000000000000000000000000000001", "auth_token": "token-1", "secondary_auth_token": "token-2",
            "from": "+15550001111", "callback_url": "https://notify.example.com"},
        "mute": {"kind": "twilio", "account_sid": "AC00000000000000000000000000000001", "auth_token": "token-1", "from": "+15550001111"},
        "mails": {"kind": "sendgrid", "api_key": "SG.key", "from": "Shop <shop@example.com>",
            "webhook_key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="},
        "amazon": {"kind": "ses", "region": "eu-central-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x",
            "from": "Shop <shop@example.com>", "sns_endpoint": "{sns}",
            "receipts_topic": "arn:aws:sns:eu-central-1:000000000000:receipts"},
        "relay": {"kind": "smtp", "host": "127.0.0.1", "from": "Shop <shop@example.com>"}
    }"#;
    serde_json::from_str(&accounts.replace("{sns}", sns)).unwrap()
}

/// The catalog of all tests.
pub(crate) fn catalog() -> Value {
    json!({
        "types": {
            "OrderShipped": {
                "category": "transactional",
                "channels": {"order": ["email", "sms", "push"]},
                "recipients_from": ["/data/customer_id"],
                "schema": {
                    "type": "object",
                    "required": ["order_id", "carrier"],
                    "properties": {"order_id": {"type": "string"}, "carrier": {"type": "string"}},
                },
            },
            "Newsletter": {"category": "marketing", "channels": {"order": ["email"]}, "priority": "bulk"},
        },
        "categories": {"transactional": {}, "marketing": {"default": "opt_out"}},
    })
}

/// A valid event.
pub(crate) fn shipped(id: &str) -> Value {
    json!({
        "id": id, "source": "/shop/orders", "type": "OrderShipped", "recipients": [{"user_id": "u-42"}],
        "data": {"order_id": "1001", "carrier": "DHL"},
    })
}

impl Setting {
    async fn prepare(&self) {
        let answer = self.ask(Ask::put("/v1/catalog").json(&catalog())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let put = UserPut {
            email: Some("ada@example.com".to_owned()),
            phone: Some("+4915112345678".to_owned()),
            ..UserPut::default()
        };
        self.env
            .store
            .users()
            .put(&self.tenant, &"u-42".into(), &put, None)
            .await
            .unwrap();
    }

    /// The gateway as another process on the same bus and database.
    pub(crate) fn another_process(&self) -> Router {
        self.process_on(&self.env.bus)
    }

    /// The gateway as another process on the same database and another bus.
    pub(crate) fn process_on(&self, bus: &Bus) -> Router {
        gateway(
            bus,
            &self.env.store,
            GatewayConfig::default(),
            &self.clock,
            &self.quotas,
            &self.shutdown,
        )
    }

    /// Another gateway process, whose SNS endpoint is at this URL.
    pub(crate) fn with_sns_at(&self, sns: &str) -> Router {
        gateway_with_sns_at(
            sns,
            &self.env.bus,
            &self.env.store,
            GatewayConfig::default(),
            &self.clock,
            &self.quotas,
            &self.shutdown,
        )
    }

    /// Sends a request as the admin, unless it names another key.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        ask_at(&self.router, ask, &self.admin).await
    }

    /// Sends a request unchanged.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send_to(&self.router, request).await
    }

    /// Posts an event or a batch as JSON.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.ask(Ask::post("/v1/events").json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Ask::get(path)).await
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// All records on the events topics; topics are in no particular order.
    pub(crate) async fn published(&self) -> Vec<Record> {
        let mut all = Vec::new();
        for lane in [Lane::High, Lane::Normal, Lane::Bulk] {
            all.extend(self.published_in(lane).await);
        }
        all
    }

    pub(crate) async fn published_in(&self, lane: Lane) -> Vec<Record> {
        self.records_of(self.env.bus.topics().events(lane)).await
    }

    /// All records on the status topic.
    pub(crate) async fn statuses(&self) -> Vec<Record> {
        self.records_of(self.env.bus.topics().status()).await
    }

    async fn records_of(&self, topic: Arc<str>) -> Vec<Record> {
        const LIMITS: BatchLimits = BatchLimits {
            max_records: 1_000,
            max_bytes: 8 << 20,
            linger: Duration::from_millis(5),
        };
        let bus = &self.env.bus;
        let subscription = Subscription {
            group: format!("reader-{}", Uuid::now_v7()),
            topics: vec![Arc::clone(&topic)],
        };
        let partitions = bus
            .topics()
            .all()
            .iter()
            .find(|spec| spec.name == topic)
            .unwrap()
            .partitions;
        let mut missing: u32 = partitions;
        let mut number = 0;
        let mut consumer = bus.subscribe(&subscription).unwrap();
        // A mark at the end of each partition shows that all earlier records were read.
        let mut marked = std::collections::HashSet::new();
        let run = Uuid::now_v7().to_string();
        while marked.len() < partitions as usize {
            number += 1;
            let mark =
                OutRecord::new(Arc::clone(&topic), format!("{run}-{number}"), run.clone()).with("mark", "1");
            let position = bus.publish(vec![mark]).await.unwrap().remove(0);
            marked.insert(position.partition);
        }
        let mut seen = std::collections::HashSet::new();
        let mut records = Vec::new();
        while missing > 0 {
            for record in consumer.next(&LIMITS).await.unwrap().records {
                if record.headers.get("mark").is_none() {
                    records.push(record);
                } else if record.value == run && seen.insert(record.partition) {
                    missing -= 1;
                }
            }
        }
        records
    }
}

/// Sends a request to a gateway process.
pub(crate) async fn ask_at(router: &Router, ask: Ask, key: &str) -> Answer {
    send_to(router, ask.request(key)).await
}

pub(crate) async fn send_to(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

/// A request.
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Body,
    anonymous: bool,
}

impl Ask {
    fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Body::empty(),
            anonymous: false,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn method(&self) -> String {
        self.method.to_string()
    }

    pub(crate) fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub(crate) fn text(self, content_type: &str, body: impl Into<Body>) -> Self {
        let mut ask = self.header("content-type", content_type);
        ask.body = body.into();
        ask
    }

    pub(crate) fn request(self, key: &str) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        let has_key = self.headers.iter().any(|(name, _)| *name == "authorization");
        if !has_key && !self.anonymous {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(self.body).unwrap()
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a problem document of a kind, and returns its errors as `pointer code`.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        errors_of(&self.json(), status, slug)
    }
}

/// The errors of a problem document, as `pointer code`.
#[track_caller]
pub(crate) fn errors_of(problem: &Value, status: u16, slug: &str) -> Vec<String> {
    assert_eq!(
        problem["type"],
        format!("https://carillon.dev/problems/{slug}"),
        "{problem}"
    );
    assert_eq!(problem["status"], status, "{problem}");
    assert!(
        problem["title"].is_string() && problem["detail"].is_string(),
        "{problem}"
    );
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors
        .iter()
        .map(|error| {
            assert!(!error["message"].as_str().unwrap().is_empty());
            format!(
                "{} {}",
                error["pointer"].as_str().unwrap(),
                error["code"].as_str().unwrap()
            )
        })
        .collect()
}
