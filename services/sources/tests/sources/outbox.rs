//! The rows of an outbox table, on PostgreSQL; where none is configured, these tests say so and do nothing. A gateway is
//! played by a server that answers as told.

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
use carillon_sources::outbox::{OutboxConfig, OutboxError, OutboxSource, TableName, ddl};
use carillon_testkit::{eventually, postgres_url};
use futures::FutureExt as _;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

const TABLE: &str = "carillon_outbox";

/// What the gateway does with a request.
type Answer = dyn Fn(&[Value]) -> Response + Send + Sync;

/// A gateway that remembers each event that it has said to have.
struct Gateway {
    url: String,
    told: Arc<Told>,
}

struct Told {
    answer: Mutex<Arc<Answer>>,
    requests: Mutex<Vec<Vec<Value>>>,
    keys: Mutex<Vec<String>>,
}

impl Gateway {
    async fn start() -> Self {
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

    fn answers(&self, answer: impl Fn(&[Value]) -> Response + Send + Sync + 'static) {
        *self.told.answer.lock() = Arc::new(answer);
    }

    fn requests(&self) -> Vec<Vec<Value>> {
        self.told.requests.lock().clone()
    }

    /// All events that were posted, each time.
    fn events(&self) -> Vec<Value> {
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
fn accept(events: &[Value], item: impl Fn(&Value) -> Value) -> Response {
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

fn problem(status: u16, detail: &str) -> Value {
    json!({"type": "https://carillon.dev/problems/validation", "title": "The event breaks a rule", "status": status, "detail": detail,
        "errors": [{"pointer": "/data/carrier", "code": "type", "message": "expected a string"}]})
}

/// A schema with the outbox table, and a gateway.
struct Setting {
    url: Secret,
    pool: PgPool,
    gateway: Gateway,
}

/// Runs a test on PostgreSQL, if there is one.
async fn on_outbox<F: Future<Output = ()>>(test: impl FnOnce(Arc<Setting>) -> F) {
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
struct Running {
    shutdown: Shutdown,
    readiness: Readiness,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.shutdown.begin();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Setting {
    fn config(&self, table: &str) -> OutboxConfig {
        OutboxConfig {
            database_url: self.url.clone(),
            table: table.parse().unwrap(),
            gateway: self.gateway.url.clone(),
            api_key: Secret::from("key"),
            // So long that only a notification explains a row that is posted.
            poll: Duration::from_mins(10),
            lease: Duration::from_mins(1),
        }
    }

    async fn start(&self) -> Running {
        self.start_with(self.config(TABLE)).await
    }

    async fn start_with(&self, config: OutboxConfig) -> Running {
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

    async fn insert(&self, event: &Value) {
        sqlx::query("INSERT INTO carillon_outbox (event) VALUES ($1)")
            .bind(event)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The number of rows for which a condition holds.
    async fn count(&self, condition: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM carillon_outbox WHERE {condition}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn until_empty(&self) {
        eventually("an empty table", || async { self.count("true").await == 0 }).await;
    }
}

fn order(number: i32) -> Value {
    json!({"type": "OrderShipped", "recipients": ["c-42"], "data": {"order_id": number}})
}

#[tokio::test]
async fn rows_become_events_in_their_order_and_are_deleted_after_the_answer() {
    on_outbox(async |setting| {
        for number in 0..450 {
            setting.insert(&order(number)).await;
        }
        let running = setting.start().await;
        setting.until_empty().await;
        eventually("readiness", || async { running.readiness.is_ready() }).await;
        // A notification wakes the source.
        setting.insert(&order(450)).await;
        setting.until_empty().await;
        running.end().await;
        let events = setting.gateway.events();
        let numbers: Vec<i64> = events
            .iter()
            .map(|event| event["data"]["order_id"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, (0..451).collect::<Vec<_>>());
        assert_eq!(events[0]["source"], "/outbox/carillon_outbox");
        assert_eq!(events[0]["id"].as_str().unwrap().len(), 36);
        assert!(events[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(setting.gateway.told.keys.lock()[0], "Bearer key");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_the_gateway_refuses_is_set_aside_with_the_reason_and_blocks_no_other() {
    on_outbox(async |setting| {
        setting.gateway.answers(|events| {
            accept(events, |event| match event["data"]["order_id"].as_i64() {
                Some(2) => {
                    json!({"status": "rejected", "problem": problem(422, "the data break the schema")})
                }
                Some(3) => json!({"status": "duplicate"}),
                _ => json!({"status": "accepted"}),
            })
        });
        for number in 1..=4 {
            setting.insert(&order(number)).await;
        }
        setting.insert(&json!(["no event"])).await;
        let running = setting.start().await;
        eventually("two rows aside", || async {
            setting.count("failed_at IS NOT NULL").await == 2 && setting.count("true").await == 2
        })
        .await;
        let rows = sqlx::query("SELECT error, claimed_until FROM carillon_outbox ORDER BY position")
            .fetch_all(&setting.pool)
            .await
            .unwrap();
        let error = |row: usize| rows[row].get::<String, _>("error");
        assert_eq!(
            error(0),
            "The event breaks a rule: the data break the schema; /data/carrier: expected a string"
        );
        assert!(
            error(1).starts_with("the column event: expected a JSON object"),
            "{}",
            error(1)
        );
        // Once it is mended, it is posted.
        setting
            .gateway
            .answers(|events| accept(events, |_| json!({"status": "accepted"})));
        let mend = "UPDATE carillon_outbox SET event = '{\"type\":\"A\"}', failed_at = NULL, error = NULL";
        sqlx::query(mend).execute(&setting.pool).await.unwrap();
        setting.insert(&order(5)).await;
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_is_divided_until_the_row_at_fault_is_found() {
    on_outbox(async |setting| {
        setting.gateway.answers(|events| {
            if events.iter().any(|event| event["data"]["order_id"] == 5) {
                (StatusCode::PAYLOAD_TOO_LARGE, Json(problem(413, "too large"))).into_response()
            } else {
                accept(events, |_| json!({"status": "accepted"}))
            }
        });
        for number in 0..9 {
            setting.insert(&order(number)).await;
        }
        let running = setting.start().await;
        eventually("one row aside", || async {
            setting.count("failed_at IS NOT NULL").await == 1 && setting.count("true").await == 1
        })
        .await;
        running.end().await;
        let error: String = sqlx::query_scalar("SELECT error FROM carillon_outbox")
            .fetch_one(&setting.pool)
            .await
            .unwrap();
        assert!(error.starts_with("the gateway answered 413"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn while_the_gateway_takes_nothing_rows_wait_and_are_posted_once_it_does() {
    on_outbox(async |setting| {
        for refusal in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED] {
            setting
                .gateway
                .answers(move |_| (refusal, Json(problem(refusal.as_u16(), "later"))).into_response());
            setting.insert(&order(1)).await;
            let running = setting.start().await;
            let before = setting.gateway.requests().len();
            eventually("tries", || async {
                setting.gateway.requests().len() >= before + 2
            })
            .await;
            assert_eq!(setting.count("failed_at IS NULL").await, 1);
            let cause = running.readiness.report().parts["outbox"].cause.clone().unwrap();
            assert!(cause.contains(&format!("answered {refusal}")), "{cause}");
            setting
                .gateway
                .answers(|events| accept(events, |_| json!({"status": "accepted"})));
            setting.until_empty().await;
            running.end().await;
        }
        // An event that another request is publishing waits as well, and its neighbours do not.
        setting.gateway.answers(|events| {
            accept(events, |event| match event["data"]["order_id"].as_i64() {
                Some(2) => json!({"status": "rejected", "problem": problem(409, "in progress")}),
                _ => json!({"status": "accepted"}),
            })
        });
        setting.insert(&order(2)).await;
        setting.insert(&order(3)).await;
        let running = setting.start().await;
        eventually("one row", || async { setting.count("true").await == 1 }).await;
        setting
            .gateway
            .answers(|events| accept(events, |_| json!({"status": "duplicate"})));
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn rows_of_a_source_that_died_are_posted_after_their_lease_and_not_before() {
    on_outbox(async |setting| {
        setting.insert(&order(1)).await;
        setting.insert(&order(2)).await;
        let claim = "UPDATE carillon_outbox SET claimed_until = now() + interval '1 hour' WHERE position = \
                     (SELECT min(position) FROM carillon_outbox)";
        sqlx::query(claim).execute(&setting.pool).await.unwrap();
        let running = setting.start().await;
        eventually("the free row", || async { setting.count("true").await == 1 }).await;
        let expire = "UPDATE carillon_outbox SET claimed_until = now() - interval '1 second'";
        sqlx::query(expire).execute(&setting.pool).await.unwrap();
        setting.insert(&order(3)).await;
        setting.until_empty().await;
        running.end().await;
        assert_eq!(setting.gateway.events().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn two_sources_share_a_table_and_post_each_row_once() {
    on_outbox(async |setting| {
        for number in 0..1_000 {
            setting.insert(&order(number)).await;
        }
        let (one, other) = (setting.start().await, setting.start().await);
        setting.until_empty().await;
        one.end().await;
        other.end().await;
        let mut ids: Vec<String> = setting
            .gateway
            .events()
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 1_000);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
    })
    .await;
}

#[tokio::test]
async fn without_a_trigger_rows_are_found_by_polling() {
    on_outbox(async |setting| {
        sqlx::query("DROP TRIGGER carillon_outbox_wake ON carillon_outbox")
            .execute(&setting.pool)
            .await
            .unwrap();
        let mut config = setting.config(TABLE);
        config.poll = Duration::from_millis(50);
        let running = setting.start_with(config).await;
        eventually("readiness", || async { running.readiness.is_ready() }).await;
        setting.insert(&order(1)).await;
        setting.until_empty().await;
        running.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_table_or_column_and_an_address_of_another_database_are_told_at_the_start() {
    on_outbox(async |setting| {
        let connect = async |config: OutboxConfig| {
            let client = client(&ClientOptions::default()).unwrap();
            let connected =
                OutboxSource::connect(config, client, Readiness::default().register("outbox")).await;
            connected.err().unwrap()
        };
        for table in ["no_such_table", "no_such_schema.carillon_outbox"] {
            let error = connect(setting.config(table)).await;
            assert!(
                matches!(&error, OutboxError::NoTable(name) if name == table),
                "{error:?}"
            );
            assert!(
                error.to_string().contains("carillon source outbox --ddl"),
                "{error}"
            );
        }
        sqlx::query("ALTER TABLE carillon_outbox DROP COLUMN error")
            .execute(&setting.pool)
            .await
            .unwrap();
        assert!(matches!(
            connect(setting.config(TABLE)).await,
            OutboxError::NoTable(_)
        ));
        let mut config = setting.config(TABLE);
        config.database_url = Secret::from("mysql://db/shop");
        let error = connect(config).await;
        assert!(
            error
                .to_string()
                .starts_with("--database-url: expected postgres://"),
            "{error}"
        );
    })
    .await;
}
