//! A schema with an outbox table, and a server that plays the gateway and answers as told.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use carillon_runtime::{
    Secret, Shutdown,
    http::{ClientOptions, Readiness, client},
};
use carillon_sources::outbox::{OutboxConfig, OutboxSource, TableName, ddl};
use carillon_testkit::{eventually, postgres_url};
use futures::FutureExt as _;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

pub(crate) const TABLE: &str = "carillon_outbox";

/// What the gateway does with a request.
pub(crate) type Answer = dyn Fn(&[Value]) -> Response + Send + Sync;

/// A gateway that remembers each event that it has said to have.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) told: Arc<Told>,
}

pub(crate) struct Told {
    pub(crate) answer: Mutex<Arc<Answer>>,
    pub(crate) requests: Mutex<Vec<Vec<Value>>>,
    pub(crate) keys: Mutex<Vec<String>>,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let told = Arc::new(Told {
            answer: Mutex::new(Arc::new(|events: &[Value]| {
                accept(events, |_| json!({"status": "accepted"}))
            })),
            requests: Mutex::default(),
            keys: Mutex::default(),
        });
        let app = Router::new()
            .route("/v1/events", post(receive))
            .with_state(Arc::clone(&told));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, told }
    }

    pub(crate) fn answers(&self, answer: impl Fn(&[Value]) -> Response + Send + Sync + 'static) {
        *self.told.answer.lock() = Arc::new(answer);
    }

    pub(crate) fn requests(&self) -> Vec<Vec<Value>> {
        self.told.requests.lock().clone()
    }

    /// All events that were posted, each time.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.requests().into_iter().flatten().collect()
    }
}

async fn receive(
    State(told): State<Arc<Told>>,
    headers: HeaderMap,
    Json(events): Json<Vec<Value>>,
) -> Response {
    let key = headers["authorization"].to_str().unwrap().to_owned();
    told.keys.lock().push(key);
    let answer = Arc::clone(&told.answer.lock());
    let answer = answer(&events);
    told.requests.lock().push(events);
    answer
}

/// The answer to a batch, with an item for each event.
pub(crate) fn accept(events: &[Value], item: impl Fn(&Value) -> Value) -> Response {
    let items: Vec<Value> = events
        .iter()
        .enumerate()
        .map(|(index, event)| {
            let mut item = item(event);
            item["index"] = index.into();
            item
        })
        .collect();
    let all_rejected = items.iter().all(|item| item["status"] == "rejected");
    let status = if all_rejected {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::ACCEPTED
    };
    (status, Json(json!({ "items": items }))).into_response()
}

pub(crate) fn problem(status: u16, detail: &str) -> Value {
    json!({"type": "https://carillon.dev/problems/validation", "title": "The event breaks a rule", "status": status, "detail": detail,
        "errors": [{"pointer": "/data/carrier", "code": "type", "message": "expected a string"}]})
}

/// A schema with the outbox table, and a gateway.
pub(crate) struct Setting {
    pub(crate) url: Secret,
    pub(crate) pool: PgPool,
    pub(crate) gateway: Gateway,
}

/// Runs a test on PostgreSQL, if there is one.
pub(crate) async fn on_outbox<F: Future<Output = ()>>(test: impl FnOnce(Arc<Setting>) -> F) {
    let Some(url) = postgres_url() else {
        eprintln!(
            "carillon-sources: CARILLON_DATABASE__URL names no PostgreSQL; a test of the outbox source is skipped"
        );
        return;
    };
    let schema = format!("test_{}", Uuid::now_v7().simple());
    let own = carillon_store::schema::create(&Secret::from(url.clone()), &schema)
        .await
        .unwrap();
    let pool = PgPool::connect(own.expose_secret()).await.unwrap();
    let table: TableName = TABLE.parse().unwrap();
    sqlx::raw_sql(AssertSqlSafe(ddl(&table)))
        .execute(&pool)
        .await
        .unwrap();
    let setting = Arc::new(Setting {
        url: own,
        pool,
        gateway: Gateway::start().await,
    });
    let ended = AssertUnwindSafe(test(Arc::clone(&setting))).catch_unwind().await;
    setting.pool.close().await;
    carillon_store::schema::remove(&Secret::from(url), &schema)
        .await
        .unwrap();
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// A running source.
pub(crate) struct Running {
    pub(crate) shutdown: Shutdown,
    pub(crate) readiness: Readiness,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Setting {
    pub(crate) fn config(&self, table: &str) -> OutboxConfig {
        OutboxConfig {
            database_url: self.url.clone(),
            table: table.parse().unwrap(),
            gateway: self.gateway.url.clone(),
            api_key: Secret::from("key"),
            // Longer than any test, so that only a notification can cause a post.
            poll: Duration::from_mins(10),
            lease: Duration::from_mins(1),
        }
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(self.config(TABLE)).await
    }

    pub(crate) async fn start_with(&self, config: OutboxConfig) -> Running {
        let readiness = Readiness::default();
        let client = client(&ClientOptions::default()).unwrap();
        let source = OutboxSource::connect(config, client, readiness.register("outbox"))
            .await
            .unwrap();
        let shutdown = Shutdown::new();
        let until = shutdown.clone();
        let task = tokio::spawn(async move { source.run(until).await });
        Running {
            shutdown,
            readiness,
            task,
        }
    }

    pub(crate) async fn insert(&self, event: &Value) {
        sqlx::query("INSERT INTO carillon_outbox (event) VALUES ($1)")
            .bind(event)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The number of rows for which a condition holds.
    pub(crate) async fn count(&self, condition: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM carillon_outbox WHERE {condition}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn until_empty(&self) {
        eventually("an empty table", || async { self.count("true").await == 0 }).await;
    }
}

pub(crate) fn order(number: i32) -> Value {
    json!({"type": "OrderShipped", "recipients": ["c-42"], "data": {"order_id": number}})
}
