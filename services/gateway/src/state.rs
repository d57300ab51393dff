//! State that all handlers share.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use carillon_bus::Bus;
use carillon_domain::{TenantId, UserId, clock::SharedClock, unsubscribe::UnsubscribeLinks};
use carillon_providers::{ReferenceKey, webhook::EndpointRules};
use carillon_render::Renderer;
use carillon_runtime::{Shutdown, http::Readiness, telemetry::MetricsHandle};
use carillon_store::{Store, catalog_cache::CatalogCache, quota::Quotas};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{config::GatewayConfig, limits::Limits, receipts::ReceiptAccounts};

/// The dependencies of the gateway.
#[derive(Clone)]
pub struct GatewayDeps {
    /// The bus, to which events are published.
    pub bus: Bus,
    /// The store.
    pub store: Store,
    /// Catalogs in memory.
    pub catalogs: CatalogCache,
    /// The limits, which a simulation looks at.
    pub quotas: Arc<dyn Quotas>,
    /// The renderer that renders a delivery's content again. With `None`, content is not shown.
    pub renderer: Option<Arc<dyn Renderer>>,
    /// Reads the links by which recipients unsubscribe; `None`: there are none.
    pub links: Option<UnsubscribeLinks>,
    /// The clock.
    pub clock: SharedClock,
    /// The provider accounts that take receipts.
    pub receipts: Arc<ReceiptAccounts>,
    /// The endpoints of webhooks that the workers may call.
    pub endpoint_rules: EndpointRules,
    /// Settings.
    pub config: GatewayConfig,
    /// The source of `/readyz`.
    pub readiness: Readiness,
    /// The source of `/metrics`.
    pub metrics: MetricsHandle,
    /// The end of the process: with its soft signal, live views end.
    pub shutdown: Shutdown,
}

/// The gateway's state; clones share it.
#[derive(Clone)]
pub struct GatewayState(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) deps: GatewayDeps,
    /// The id of this process in claims of events.
    pub(crate) owner: Uuid,
    pub(crate) limits: Limits,
    /// The key of the references in receipts.
    pub(crate) reference_key: ReferenceKey,
    /// Permits for long work; see `ingest::aside`.
    pub(crate) heavy_work: Semaphore,
    pub(crate) known_users: KnownUsers,
}

impl Inner {
    pub(crate) fn new(deps: GatewayDeps) -> Self {
        Self {
            owner: Uuid::now_v7(),
            limits: Limits::new(&deps.config),
            reference_key: ReferenceKey::of(deps.store.address_key()),
            heavy_work: Semaphore::new(heavy_turns()),
            known_users: KnownUsers::default(),
            deps,
        }
    }
}

impl std::ops::Deref for GatewayState {
    type Target = GatewayDeps;

    fn deref(&self) -> &GatewayDeps {
        &self.0.deps
    }
}

/// The number of permits: one fewer than there are processors, so that one processor is left for answers.
fn heavy_turns() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors.saturating_sub(1).max(1)
}

/// Users that were seen in the database, so that not every post queries them. If one was erased meanwhile, the router
/// notices it and reports it in its decision.
#[derive(Default)]
pub(crate) struct KnownUsers(Mutex<HashSet<(TenantId, UserId)>>);

/// The size at which the set is cleared.
const MAX_KNOWN: usize = 100_000;

impl KnownUsers {
    pub(crate) fn contains(&self, tenant: &TenantId, user: &UserId) -> bool {
        self.0.lock().contains(&(tenant.clone(), user.clone()))
    }

    pub(crate) fn insert(&self, tenant: &TenantId, user: UserId) {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert((tenant.clone(), user));
    }
}
