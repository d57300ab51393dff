//! A bus for one test, on each backend that is available.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use carillon_bus::{
    Backend, BatchConsumer, BatchLimits, Bus, BusConfig, EmbeddedConfig, KafkaConfig, OutRecord,
    Subscription, TopicSettings,
};
use carillon_domain::{SystemClock, retry::RetryPolicy};

/// One backend with topics of its own.
pub(crate) struct Setting {
    pub(crate) bus: Bus,
    config: BusConfig,
    dir: tempfile::TempDir,
}

impl Setting {
    /// The bus as another process would open it. (The embedded log belongs to one process, so it returns the same
    /// handle.)
    pub(crate) async fn another_process(&self) -> Bus {
        match self.config.backend {
            Backend::Kafka(_) => Bus::connect(self.config.clone(), Arc::new(SystemClock))
                .await
                .unwrap(),
            Backend::Embedded(_) => self.bus.clone(),
        }
    }

    /// The bus after its process was killed and started again. (The embedded log: a copy of its present files.)
    pub(crate) async fn restarted(&self) -> Bus {
        let mut config = self.config.clone();
        if let Backend::Embedded(embedded) = &mut config.backend {
            let copy = self.dir.path().join("copy.db");
            for end in ["", "-wal"] {
                let of = |path: &std::path::Path| format!("{}{end}", path.display());
                std::fs::copy(of(&embedded.path), of(&copy)).unwrap();
            }
            embedded.path = copy;
        }
        Bus::connect(config, Arc::new(SystemClock)).await.unwrap()
    }

    /// Opens the bus once more, beside the one that is open.
    pub(crate) async fn open_again(&self) -> Result<Bus, carillon_bus::BusError> {
        Bus::connect(self.config.clone(), Arc::new(SystemClock)).await
    }

    /// Drops the handle.
    pub(crate) fn close(self) -> (BusConfig, tempfile::TempDir) {
        (self.config, self.dir)
    }

    pub(crate) fn consumer(&self, group: &str, topic: &Arc<str>) -> BatchConsumer {
        self.bus.subscribe(&subscription(group, topic)).unwrap()
    }
}

pub(crate) fn subscription(group: &str, topic: &Arc<str>) -> Subscription {
    Subscription {
        group: group.to_owned(),
        topics: vec![Arc::clone(topic)],
    }
}

/// Runs a test on each backend, each time with a new bus.
pub(crate) fn on_each_backend<F: Future<Output = ()>>(partitions: u32, test: impl Fn(Setting) -> F) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let backend = Backend::Embedded(EmbeddedConfig {
            path: dir.path().join("bus.db"),
        });
        run(backend, partitions, dir, Duration::from_mins(1), &test).await;
    });
    on_kafka(partitions, Duration::from_mins(1), test);
}

/// Runs a test on Apache Kafka, if it is available.
pub(crate) fn on_kafka<F: Future<Output = ()>>(
    partitions: u32,
    limit: Duration,
    test: impl Fn(Setting) -> F,
) {
    let Ok(brokers) = std::env::var("CARILLON_KAFKA__BROKERS") else {
        return;
    };
    let kafka = KafkaConfig {
        brokers,
        session_timeout: Duration::from_secs(6),
        ..KafkaConfig::default()
    };
    let backend = Backend::Kafka(Box::new(kafka));
    let dir = tempfile::tempdir().unwrap();
    block_on(run(backend, partitions, dir, limit, &test));
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

async fn run<F: Future<Output = ()>>(
    backend: Backend,
    partitions: u32,
    dir: tempfile::TempDir,
    limit: Duration,
    test: &impl Fn(Setting) -> F,
) {
    let tiers = [1, 2].map(Duration::from_secs).to_vec();
    let config = BusConfig {
        prefix: format!("test-{}", uuid::Uuid::now_v7()),
        backend,
        retry: RetryPolicy::new(tiers, 5).unwrap(),
        topics: TopicSettings {
            partitions,
            side_partitions: 1,
            ..TopicSettings::default()
        },
        sources: Vec::new(),
    };
    let bus = Bus::connect(config.clone(), Arc::new(SystemClock)).await.unwrap();
    bus.create_topics().await.unwrap();
    wait_for("the topics", || async { bus.check().await.is_ok() }).await;
    eprintln!("conformance on {}", bus.backend_name());
    let on_kafka = matches!(config.backend, Backend::Kafka(_)).then(|| config.clone());
    let test = test(Setting { bus, config, dir });
    tokio::time::timeout(limit, test)
        .await
        .expect("the test ends within its time");
    if let Some(config) = on_kafka {
        let bus = Bus::connect(config, Arc::new(SystemClock)).await.unwrap();
        bus.delete_topics().await.unwrap();
    }
}

/// Waits until a condition holds; fails after twenty seconds.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..400 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 20 s");
}

pub(crate) fn out(topic: &Arc<str>, key: &str, value: impl std::fmt::Display) -> OutRecord {
    OutRecord::new(
        Arc::clone(topic),
        Bytes::from(key.to_owned()),
        Bytes::from(value.to_string()),
    )
}

pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

pub(crate) const LIMITS: BatchLimits = BatchLimits {
    max_records: 500,
    max_bytes: 1 << 20,
    linger: Duration::from_millis(20),
};

/// Reads (and commits) until `count` records have come; (key, value) in order of arrival.
pub(crate) async fn drain(consumer: &mut BatchConsumer, count: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = consumer.next(&LIMITS).await.unwrap();
        all.extend(
            batch
                .records
                .iter()
                .map(|r| (text(r.key.as_deref().unwrap_or_default()), text(&r.value))),
        );
        consumer.commit(&batch).await.unwrap();
    }
    all
}
