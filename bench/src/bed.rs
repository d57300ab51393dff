//! The environment of a stage within this process: a bus, a database, the sample shop and its users.

use std::{sync::Arc, time::Duration};

use carillon_bus::{Backend as BusBackend, Bus, BusConfig, EmbeddedConfig, KafkaConfig, TopicSettings};
use carillon_domain::{SystemClock, TenantId, clock::SharedClock, retry::RetryPolicy};
use carillon_render::InProcess;
use carillon_runtime::{Secret, Shutdown, http::Readiness};
use carillon_store::{
    Store, StoreConfig,
    catalog_cache::CatalogCache,
    quota::{InProcessQuotas, Quotas, RedisQuotas, RedisQuotasConfig},
    schema,
    users::{Device, UserPut},
};
use carillon_templates::{StoreTemplates, catalog_folder};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::USERS,
    backend::{Backend, repository},
    measure::Processes,
};

/// The environment of a stage.
pub(crate) struct Bed {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    /// The database of the read model.
    pub(crate) database: Secret,
    pub(crate) catalogs: CatalogCache,
    pub(crate) quotas: Arc<dyn Quotas>,
    pub(crate) renderer: Arc<InProcess>,
    pub(crate) clock: SharedClock,
    pub(crate) tenant: TenantId,
    /// This process and those of the stores.
    pub(crate) processes: Processes,
    schema: Option<(Secret, String)>,
    _dir: tempfile::TempDir,
}

impl Bed {
    /// Creates an environment on a backend.
    pub(crate) async fn make(backend: &Backend) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let clock: SharedClock = Arc::new(SystemClock);
        let (config, schema) = match &backend.services {
            None => (StoreConfig::sqlite(&dir.path().join("store.db")), None),
            Some(services) => {
                let url = Secret::from(services.database.clone());
                let name = format!("bench_{}", Uuid::now_v7().simple());
                let own = schema::create(&url, &name).await?;
                (StoreConfig::new(own), Some((url, name)))
            }
        };
        let store = Store::connect(&config, Arc::clone(&clock)).await?;
        let bus_backend = match &backend.services {
            None => BusBackend::Embedded(EmbeddedConfig {
                path: dir.path().join("bus.db"),
            }),
            Some(services) => BusBackend::Kafka(Box::new(KafkaConfig {
                brokers: services.brokers.clone(),
                ..KafkaConfig::default()
            })),
        };
        let bus_config = BusConfig {
            prefix: format!("bench-{}", Uuid::now_v7()),
            backend: bus_backend,
            retry: RetryPolicy::default(),
            topics: TopicSettings::default(),
            sources: Vec::new(),
        };
        let bus = Bus::connect(bus_config, Arc::clone(&clock)).await?;
        bus.create_topics().await?;
        let quotas: Arc<dyn Quotas> = match &backend.services {
            None => Arc::new(InProcessQuotas::new(Duration::from_hours(1))),
            Some(services) => Arc::new(RedisQuotas::connect(RedisQuotasConfig::new(
                services.redis.clone(),
            ))?),
        };
        let tenant = TenantId::default();
        let shop = catalog_folder::load(&repository().join("examples/shop"))?;
        catalog_folder::apply(&store, &tenant, &shop).await?;
        for n in 0..USERS {
            let user = UserPut {
                devices: Some(vec![device(n)?]),
                ..UserPut::default()
            };
            store
                .users()
                .put(&tenant, &format!("b-{n}").into(), &user, None)
                .await?;
        }
        Ok(Self {
            catalogs: CatalogCache::new(store.clone()),
            renderer: Arc::new(InProcess::new(Arc::new(StoreTemplates::new(store.clone())))),
            processes: backend.with_stores(vec![std::process::id()]),
            database: match config.read_model_file() {
                Some(file) => Secret::from(format!("sqlite://{}", file.display())),
                None => config.url,
            },
            bus,
            store,
            quotas,
            clock,
            tenant,
            schema,
            _dir: dir,
        })
    }

    /// Waits until a group has read all records. The end is detected within one [`LOOK`].
    pub(crate) async fn until_read(&self, group: &str) -> anyhow::Result<()> {
        loop {
            if self.lag(group).await? == Some(0) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The number of records that a group has not committed; `None` if it has committed nothing yet.
    pub(crate) async fn lag(&self, group: &str) -> anyhow::Result<Option<i64>> {
        let lags = self.bus.lag(group).await?;
        Ok((!lags.is_empty()).then(|| lags.iter().map(|lag| lag.records).sum()))
    }

    /// Deletes the schema.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        self.store.close().await;
        if let Some((url, name)) = self.schema {
            schema::remove(&url, &name).await?;
        }
        Ok(())
    }
}

/// The interval at which progress is checked.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

fn device(n: usize) -> anyhow::Result<Device> {
    let json = json!({"platform": "android", "token": format!("bench-token-{n:04}")});
    Ok(serde_json::from_value(json)?)
}

/// Runs a role until its work is done, then ends it.
pub(crate) async fn run_until<E>(
    role: impl FnOnce(Shutdown) -> futures::future::BoxFuture<'static, Result<(), E>>,
    done: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let shutdown = Shutdown::new();
    let running = tokio::spawn(role(shutdown.clone()));
    let outcome = done.await;
    shutdown.soft.cancel();
    running.await??;
    outcome
}

/// A readiness switch that is not read.
pub(crate) fn ready() -> carillon_runtime::http::ReadySwitch {
    Readiness::default().register("bench")
}
