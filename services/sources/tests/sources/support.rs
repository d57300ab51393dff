//! Running sources, records for them, and what they have written.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use carillon_bus::{BatchConsumer, BatchLimits, Headers, OutRecord, Record, Subscription};
use carillon_domain::{Catalog, Lane, TenantId};
use carillon_runtime::{Shutdown, http::Readiness};
use carillon_sources::{SourceTopic, SourcesConfig, SourcesDeps};
use carillon_store::catalog_cache::CatalogCache;
use carillon_testkit::{ManualClock, TestEnv};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The time at which tests run.
pub(crate) const START: &str = "2026-11-24T10:00:00Z";
const PATIENCE: Duration = Duration::from_mins(1);
const LIMITS: BatchLimits = BatchLimits {
    max_records: 1_000,
    max_bytes: 8 << 20,
    linger: Duration::ZERO,
};

/// A bus with a source, and a store.
pub(crate) struct Setting {
    pub(crate) env: TestEnv,
    pub(crate) topic: Arc<str>,
    pub(crate) readiness: Readiness,
    catalogs: CatalogCache,
    clock: Arc<ManualClock>,
}

/// Runs a test, and cleans up whether it succeeds or fails.
pub(crate) async fn on_source(test: impl AsyncFn(&Setting)) {
    let clock = Arc::new(ManualClock::at(START));
    let topic = format!("shop-{}.public.orders", Uuid::now_v7().simple());
    let env = TestEnv::with_sources(clock.clone(), vec![topic.clone()]).await;
    let setting = Setting {
        catalogs: CatalogCache::new(env.store.clone()),
        topic: Arc::from(topic),
        readiness: Readiness::default(),
        env,
        clock,
    };
    let outcome = AssertUnwindSafe(test(&setting)).catch_unwind().await;
    setting.env.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Running sources.
pub(crate) struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops the sources and waits for their end.
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        assert!(ended.is_ok(), "a soft shutdown is enough");
        ended.unwrap().unwrap();
    }
}

impl Setting {
    /// Applies a catalog with these sources for a tenant.
    pub(crate) async fn put_sources_of(&self, tenant: &TenantId, source: &Value) {
        let of_type = |priority: &str| {
            json!({"category": "c", "channels": {"order": ["email"]}, "priority": priority,
                "recipients_from": ["/data/customer_id"]})
        };
        let document = json!({
            "types": {"OrderShipped": of_type("normal"), "Newsletter": of_type("bulk")}, "categories": {"c": {}},
            "sources": {&*self.topic: source},
        });
        self.put_catalog(tenant, serde_json::from_value(document).unwrap())
            .await;
    }

    pub(crate) async fn put_catalog(&self, tenant: &TenantId, catalog: Catalog) {
        assert_eq!(catalog.validate(), []);
        self.env
            .store
            .catalog()
            .put(tenant, &catalog, None)
            .await
            .unwrap();
        self.catalogs.refresh().await.unwrap();
    }

    /// The same for the default tenant.
    pub(crate) async fn put_sources(&self, source: &Value) {
        self.put_sources_of(&TenantId::default(), source).await;
    }

    /// Starts the sources of this tenant.
    pub(crate) fn start_of(&self, tenant: &TenantId) -> Running {
        self.start_with(vec![SourceTopic {
            topic: self.topic.to_string(),
            tenant: tenant.clone(),
        }])
    }

    /// Starts the sources of these topics.
    pub(crate) fn start_with(&self, topics: Vec<SourceTopic>) -> Running {
        let deps = SourcesDeps {
            bus: self.env.bus.clone(),
            catalogs: self.catalogs.clone(),
            clock: self.clock.clone(),
            ready: self.readiness.register("sources"),
            config: SourcesConfig { topics },
        };
        let shutdown = Shutdown::new();
        let task = tokio::spawn(carillon_sources::run(deps, shutdown.clone()));
        Running { shutdown, task }
    }

    /// The same for the default tenant.
    pub(crate) fn start(&self) -> Running {
        self.start_of(&TenantId::default())
    }

    /// Publishes a record of the source.
    pub(crate) async fn publish(&self, key: &str, value: impl Into<Bytes>, headers: &[(String, String)]) {
        let mut of_record = Headers::default();
        for (name, value) in headers {
            of_record.push(name.clone(), value.clone());
        }
        let record = OutRecord {
            topic: Arc::clone(&self.topic),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: value.into(),
            headers: of_record,
        };
        self.env.bus.publish(vec![record]).await.unwrap();
    }

    /// The readiness note of the sources.
    pub(crate) fn note(&self) -> Option<String> {
        self.readiness.report().parts["sources"].note.clone()
    }
}

/// What the sources have committed: events and dead letters.
pub(crate) struct Written {
    consumer: BatchConsumer,
    dead_letters: Arc<str>,
    pub(crate) events: Vec<Record>,
    pub(crate) dead: Vec<Record>,
}

impl Written {
    pub(crate) fn of(setting: &Setting) -> Self {
        let topics = setting.env.bus.topics();
        let mut read: Vec<Arc<str>> = Lane::ALL.map(|lane| topics.events(lane)).into();
        read.push(topics.events_dlq());
        let subscription = Subscription {
            group: format!("reader-{}", Uuid::now_v7()),
            topics: read,
        };
        Self {
            consumer: setting.env.bus.subscribe(&subscription).unwrap(),
            dead_letters: topics.events_dlq(),
            events: Vec::new(),
            dead: Vec::new(),
        }
    }

    /// Reads until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !enough(self) {
            let batch = tokio::time::timeout_at(end, self.consumer.next(&LIMITS)).await;
            for record in batch
                .unwrap_or_else(|_| panic!("{what}: not in time"))
                .unwrap()
                .records
            {
                if record.topic == self.dead_letters {
                    self.dead.push(record);
                } else {
                    self.events.push(record);
                }
            }
        }
    }

    /// The events' ids.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|record| of(record)["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The event in a record.
pub(crate) fn of(record: &Record) -> Value {
    serde_json::from_slice(&record.value).unwrap()
}
