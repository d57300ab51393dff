//! The dependencies that roles share: store, bus, limits, catalogs, renderer.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use carillon_bus::Bus;
use carillon_domain::{SystemClock, clock::SharedClock};
use carillon_render::{HttpRenderer, InProcess, Renderer};
use carillon_runtime::{
    Shutdown,
    http::{self, ClientOptions, Readiness},
    telemetry::{self, MetricsHandle},
};
use carillon_store::{
    RedisConfig, Store,
    breakers::{Breakers, InProcessBreakers, RedisBreakers},
    catalog_cache::CatalogCache,
    events::DEDUPE_WINDOW,
    quota::{InProcessQuotas, Quotas, RedisQuotas, RedisQuotasConfig},
};
use carillon_templates::StoreTemplates;
use secrecy::ExposeSecret as _;

use crate::config::Config;

/// The interval at which newly published templates are loaded.
pub(crate) const TEMPLATE_REFRESH: Duration = Duration::from_secs(2);
/// The longest time of a batch in the templates role.
const RENDER_TIMEOUT: Duration = Duration::from_secs(5);

/// The dependencies that all roles of a process share.
pub(crate) struct Foundation {
    pub(crate) config: Config,
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) quotas: Arc<dyn Quotas>,
    pub(crate) breakers: Arc<dyn Breakers>,
    pub(crate) catalogs: CatalogCache,
    pub(crate) renderer: Arc<dyn Renderer>,
    /// The renderer in this process, if there is one; its templates have to be refreshed.
    pub(crate) in_process: Arc<InProcess>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: MetricsHandle,
    pub(crate) shutdown: Shutdown,
}

impl Foundation {
    /// Connects to all configured services.
    pub(crate) async fn connect(
        config: Config,
        metrics: MetricsHandle,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let store = Store::connect(&config.store_config()?, Arc::clone(&clock))
            .await
            .context("database.url")?;
        let bus = Bus::connect(config.bus_config()?, Arc::clone(&clock))
            .await?
            .with_stuck_after(config.bus.stuck_after);
        let in_process = Arc::new(InProcess::new(Arc::new(StoreTemplates::new(store.clone()))));
        Ok(Self {
            quotas: quotas(&config)?,
            breakers: breakers(&config)?,
            catalogs: CatalogCache::new(store.clone()),
            renderer: renderer(&config, &in_process)?,
            in_process,
            readiness: Readiness::default(),
            metrics,
            shutdown,
            clock,
            store,
            bus,
            config,
        })
    }
}

/// Limits in Redis if it is configured, else in this process.
pub(crate) fn quotas(config: &Config) -> anyhow::Result<Arc<dyn Quotas>> {
    Ok(match &config.redis.url {
        Some(url) => {
            Arc::new(RedisQuotas::connect(RedisQuotasConfig::new(url.secret())).context("redis.url")?)
        }
        None => Arc::new(InProcessQuotas::new(DEDUPE_WINDOW)),
    })
}

/// The common state of breakers in Redis if it is configured, else in this process.
fn breakers(config: &Config) -> anyhow::Result<Arc<dyn Breakers>> {
    Ok(match &config.redis.url {
        Some(url) => {
            let mut redis = RedisConfig::new(url.secret());
            // Another installation in the same Redis has accounts of the same names.
            redis.prefix = format!("{}{}:", redis.prefix, config.bus.prefix);
            Arc::new(RedisBreakers::connect(redis).context("redis.url")?)
        }
        None => Arc::new(InProcessBreakers::default()),
    })
}

fn renderer(config: &Config, in_process: &Arc<InProcess>) -> anyhow::Result<Arc<dyn Renderer>> {
    let Some(url) = &config.templates.url else {
        return Ok(Arc::clone(in_process) as _);
    };
    let token = config.security.internal_token.as_ref();
    let token = token.context("security.internal_token: expected a secret text, as in the templates role")?;
    let client = http::client(&ClientOptions {
        request_timeout: RENDER_TIMEOUT,
        ..ClientOptions::default()
    })?;
    let renderer = HttpRenderer::new(url.as_str(), client, token.expose_secret(), RENDER_TIMEOUT);
    Ok(Arc::new(renderer.traced(telemetry::current_traceparent)))
}
