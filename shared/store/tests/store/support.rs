//! A store for each test: a SQLite file, or a schema of its own in PostgreSQL.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    str::FromStr as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use carillon_domain::{
    Channel, Clock, DeliveryId, DeliveryState, DeliveryStatus, TenantId, Timestamp,
    dead_letter::LetterVerdict,
    status::{Origin, STATUS_VERSION, TimelineStep, VerdictGiven},
};
use carillon_runtime::Secret;
use carillon_store::{
    Page, Store, StoreConfig,
    audit::AuditCounts,
    read_model::{AttemptRow, DeliveryFilter, DeliveryRow, DeliveryView, EventRow, Projection, StepView},
    schema,
};
use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use uuid::Uuid;

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<Timestamp>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl ManualClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

/// The store of one test.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: StoreConfig,
    pub(crate) tenant: TenantId,
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The time at which tests begin.
pub(crate) fn start() -> Timestamp {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

pub(crate) fn postgres_url() -> Option<Secret> {
    let url = std::env::var("CARILLON_DATABASE__URL").ok()?;
    url.starts_with("postgres").then(|| Secret::from(url))
}

async fn open(config: StoreConfig) -> TestStore {
    let clock = Arc::new(ManualClock(Mutex::new(start())));
    let store = Store::connect(&config, clock.clone()).await.unwrap();
    TestStore {
        store,
        clock,
        config,
        tenant: TenantId::default(),
    }
}

/// Runs a test on each available database, and cleans up whether it succeeds or fails.
pub(crate) async fn on_each(test: impl AsyncFn(&TestStore)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open(StoreConfig::sqlite(&folder.path().join("store.db"))).await;
    test(&sqlite).await;
    sqlite.close().await;
    on_postgres(test).await;
}

/// The changes that a later release's migrations may make (expand, never contract): added tables, and added columns that
/// may be null or have a default.
const OF_A_LATER_RELEASE: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT relname FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                AND relname <> '_sqlx_migrations'
        LOOP
            EXECUTE format('ALTER TABLE %I ADD COLUMN later_text text, ADD COLUMN later_count bigint NOT NULL DEFAULT 0', name);
        END LOOP;
    END $$;
    CREATE TABLE later (id bigint PRIMARY KEY);
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (900000, 'of a later release', true, '', 0);";

/// Brings the schema to that of a later release, as its `setup` does while this release's roles are connected.
async fn expand(config: &StoreConfig) {
    let options = PgConnectOptions::from_str(config.url.expose_secret()).unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(OF_A_LATER_RELEASE)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Runs a test on PostgreSQL, if it is available. The schema is that of a later release, because a release's statements
/// must also work on the next one's schema during an upgrade. Tests of other crates run on this release's schema.
pub(crate) async fn on_postgres(test: impl AsyncFn(&TestStore)) {
    let Some(url) = postgres_url() else { return };
    let name = format!("test_{}", Uuid::now_v7().simple());
    let own = schema::create(&url, &name).await.unwrap();
    let postgres = open(StoreConfig {
        max_connections: 3,
        ..StoreConfig::new(own)
    })
    .await;
    expand(&postgres.config).await;
    let outcome = AssertUnwindSafe(test(&postgres)).catch_unwind().await;
    postgres.close().await;
    schema::remove(&url, &name).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn origin(offset: i64) -> Origin {
    Origin {
        topic: "notifications.events".into(),
        partition: 0,
        offset,
    }
}

pub(crate) fn delivery_id(number: u128) -> DeliveryId {
    DeliveryId(Uuid::from_u128(
        0x6f1d_0000_0000_0000_0000_0000_0000_0000 | number,
    ))
}

pub(crate) fn state(generation: u32, attempt: u32, status: DeliveryStatus) -> DeliveryState {
    DeliveryState {
        generation,
        attempt,
        status,
    }
}

/// A delivery's row with only the required fields, created when it reached its state.
pub(crate) fn delivery_row(number: u128, state: DeliveryState, at: Timestamp) -> DeliveryRow {
    DeliveryRow {
        id: delivery_id(number),
        tenant: TenantId::default(),
        event_id: format!("event-{number}").into(),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        category: "transactional".into(),
        user_id: Some(format!("u-{number}").into()),
        channel: Channel::Email,
        state,
        created_at: at,
        at,
        reason: None,
        error_code: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    }
}

pub(crate) fn attempt_row(row: &DeliveryRow) -> AttemptRow {
    AttemptRow {
        delivery_id: row.id,
        created_at: row.created_at,
        generation: row.state.generation,
        attempt: row.state.attempt,
        counted: None,
        provider: row.provider.clone(),
        due_at: None,
        steps: vec![TimelineStep {
            at: row.at,
            status: row.state.status,
            code: row.error_code.clone(),
            detail: row.reason.clone(),
        }],
        receipt_id: None,
    }
}

/// Applies rows; each delivery row also becomes a step of its timeline.
pub(crate) async fn apply(store: &Store, events: Vec<EventRow>, deliveries: Vec<DeliveryRow>) {
    let attempts = deliveries.iter().map(attempt_row).collect();
    let projection = Projection {
        events,
        deliveries,
        attempts,
        ..Projection::default()
    };
    store.read_model().apply(&projection).await.unwrap();
}

/// Projects verdicts about letters, as the tracker reads them.
pub(crate) async fn settle(store: &Store, tenant: &str, letters: &[Uuid], verdict: LetterVerdict) {
    let given = |letter_id: &Uuid| VerdictGiven {
        v: STATUS_VERSION,
        tenant: tenant.into(),
        letter_id: *letter_id,
        verdict,
        job_id: Uuid::nil(),
        at: start(),
        event_id: None,
    };
    let projection = Projection {
        verdicts: letters.iter().map(given).collect(),
        ..Projection::default()
    };
    store.read_model().apply(&projection).await.unwrap();
}

/// All visible data of deliveries, and the counts.
pub(crate) async fn contents(
    store: &Store,
    ids: std::ops::Range<u128>,
) -> (Vec<DeliveryView>, Vec<Vec<StepView>>, AuditCounts) {
    let page = Page {
        after: None,
        limit: 500,
    };
    let all = store
        .read_model()
        .deliveries(&"default".into(), &DeliveryFilter::default(), page)
        .await
        .unwrap();
    let mut timelines = Vec::new();
    for id in ids {
        timelines.push(store.read_model().timeline(delivery_id(id)).await.unwrap());
    }
    (all.items, timelines, store.audit().counts().await.unwrap())
}
