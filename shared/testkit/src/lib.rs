//! Test support: a database and topics for each test, a clock that moves only when it is told to, waiting for conditions.
//!
//! Tests run on the embedded backends; where `CARILLON_KAFKA__BROKERS`, `CARILLON_DATABASE__URL` (PostgreSQL) and
//! `CARILLON_REDIS__URL` are set, on the real ones.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

mod clock;
pub mod installation;
pub mod lines;
pub mod spans;
mod wait;

use std::{path::Path, sync::Arc, time::Duration};

use carillon_bus::{Backend, Bus, BusConfig, EmbeddedConfig, KafkaConfig, TopicSettings};
use carillon_domain::{clock::SharedClock, retry::RetryPolicy};
use carillon_runtime::Secret;
use carillon_store::{Store, StoreConfig, schema};
use uuid::Uuid;

pub use clock::ManualClock;
pub use wait::{eventually, wait_for};

/// The brokers of a real Kafka, if there is one.
#[must_use]
pub fn kafka_brokers() -> Option<String> {
    std::env::var("CARILLON_KAFKA__BROKERS")
        .ok()
        .filter(|brokers| !brokers.is_empty())
}

/// The URL of a real PostgreSQL, if there is one.
#[must_use]
pub fn postgres_url() -> Option<String> {
    std::env::var("CARILLON_DATABASE__URL")
        .ok()
        .filter(|url| url.starts_with("postgres"))
}

/// The URL of a real Redis, if there is one.
#[must_use]
pub fn redis_url() -> Option<String> {
    std::env::var("CARILLON_REDIS__URL")
        .ok()
        .filter(|url| !url.is_empty())
}

/// A folder, a database and topics for one test. [`TestEnv::close`] deletes them.
pub struct TestEnv {
    /// The store.
    pub store: Store,
    /// The bus.
    pub bus: Bus,
    /// The configuration of the database. Another [`Store`] with it stands for another process.
    pub database: StoreConfig,
    /// The configuration of the bus.
    pub bus_config: BusConfig,
    /// The clock of store and bus.
    pub clock: SharedClock,
    schema: Option<(String, String)>,
    dir: tempfile::TempDir,
}

impl TestEnv {
    /// An environment on the configured real services, else on the embedded backends. Retry tiers are one and two
    /// seconds.
    pub async fn new(clock: SharedClock) -> Self {
        Self::with_tiers(clock, [1, 2].map(Duration::from_secs).to_vec()).await
    }

    /// Like [`TestEnv::new`], with these retry tiers.
    pub async fn with_tiers(clock: SharedClock, tiers: Vec<Duration>) -> Self {
        Self::with(clock, tiers, Vec::new()).await
    }

    /// Like [`TestEnv::new`], with topics of other systems. Their names have to be unique among all tests.
    pub async fn with_sources(clock: SharedClock, sources: Vec<String>) -> Self {
        Self::with(clock, [1, 2].map(Duration::from_secs).to_vec(), sources).await
    }

    async fn with(clock: SharedClock, tiers: Vec<Duration>, sources: Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (database, schema) = database(dir.path()).await;
        let store = Store::connect(&database, Arc::clone(&clock))
            .await
            .expect("the database");
        let bus_config = bus_config(dir.path(), tiers, sources);
        let bus = Bus::connect(bus_config.clone(), Arc::clone(&clock))
            .await
            .expect("the bus");
        bus.create_topics().await.expect("the topics");
        bus.create_sources().await.expect("the sources");
        eventually("the topics", || async { bus.check().await.is_ok() }).await;
        Self {
            store,
            bus,
            database,
            bus_config,
            clock,
            schema,
            dir,
        }
    }

    /// The test's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Deletes the database and the topics.
    pub async fn close(self) {
        self.bus.delete_topics().await.expect("the topics are deleted");
        self.store.close().await;
        if let Some((url, name)) = self.schema {
            schema::remove(&Secret::from(url), &name)
                .await
                .expect("the schema is dropped");
        }
    }
}

/// A database for one test: a file, or a schema of the real PostgreSQL, whose URL and name are returned with it.
pub async fn database(dir: &Path) -> (StoreConfig, Option<(String, String)>) {
    let Some(url) = postgres_url() else {
        return (StoreConfig::sqlite(&dir.join("store.db")), None);
    };
    let name = format!("test_{}", Uuid::now_v7().simple());
    let own = schema::create(&Secret::from(url.clone()), &name)
        .await
        .expect("a schema");
    (
        StoreConfig {
            max_connections: 4,
            ..StoreConfig::new(own)
        },
        Some((url, name)),
    )
}

fn bus_config(dir: &Path, tiers: Vec<Duration>, sources: Vec<String>) -> BusConfig {
    let backend = match kafka_brokers() {
        Some(brokers) => {
            let session_timeout = Duration::from_secs(6);
            Backend::Kafka(Box::new(KafkaConfig {
                brokers,
                session_timeout,
                ..KafkaConfig::default()
            }))
        }
        None => Backend::Embedded(EmbeddedConfig {
            path: dir.join("bus.db"),
        }),
    };
    BusConfig {
        prefix: format!("test-{}", Uuid::now_v7()),
        backend,
        retry: RetryPolicy::new(tiers, 3).expect("a retry policy"),
        topics: TopicSettings {
            partitions: 2,
            side_partitions: 1,
            ..TopicSettings::default()
        },
        sources,
    }
}
