//! Catalogs in memory. Gateway and router ask for one on every event; a change is visible within a second.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_domain::{TenantId, compiled::CompiledCatalog};
use carillon_runtime::Shutdown;
use parking_lot::RwLock;

use crate::{error::StoreError, store::Store};

/// The interval at which versions are compared.
const INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two loads of a catalog that does not serve a caller.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A snapshot of all tenants' catalogs; clones share it.
#[derive(Debug, Clone)]
pub struct CatalogCache {
    store: Store,
    snapshots: Arc<RwLock<HashMap<TenantId, Snapshot>>>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    version: i64,
    catalog: Arc<CompiledCatalog>,
    loaded_at: Instant,
}

impl CatalogCache {
    /// An empty cache, which loads catalogs on demand.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            snapshots: Arc::default(),
        }
    }

    /// A tenant's catalog; `None` if it has none.
    pub async fn get(&self, tenant: &TenantId) -> Result<Option<Arc<CompiledCatalog>>, StoreError> {
        if let Some(snapshot) = self.snapshots.read().get(tenant) {
            return Ok(Some(Arc::clone(&snapshot.catalog)));
        }
        self.load(tenant).await
    }

    /// A tenant's catalog for events of these types. If the catalog in memory lacks a type, it is loaded again, at most ten
    /// times a second: a newer one may just have been applied.
    pub async fn get_with(
        &self,
        tenant: &TenantId,
        types: impl IntoIterator<Item = &str>,
    ) -> Result<Option<Arc<CompiledCatalog>>, StoreError> {
        let catalog = self.get(tenant).await?;
        let lacks_one = |catalog: &Arc<CompiledCatalog>| {
            types
                .into_iter()
                .any(|event_type| catalog.lookup(event_type).is_none())
        };
        if !catalog.as_ref().is_some_and(lacks_one) {
            return Ok(catalog);
        }
        let loaded_at = self
            .snapshots
            .read()
            .get(tenant)
            .map(|snapshot| snapshot.loaded_at);
        if loaded_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return Ok(catalog);
        }
        self.load(tenant).await
    }

    async fn load(&self, tenant: &TenantId) -> Result<Option<Arc<CompiledCatalog>>, StoreError> {
        let Some((versioned, former)) = self.store.catalog().get_with_former(tenant).await? else {
            return Ok(None);
        };
        let catalog = Arc::new(CompiledCatalog::new(versioned.value).with_former(former));
        let snapshot = Snapshot {
            version: versioned.version,
            catalog: Arc::clone(&catalog),
            loaded_at: Instant::now(),
        };
        self.snapshots.write().insert(tenant.clone(), snapshot);
        Ok(Some(catalog))
    }

    /// Loads the catalogs that have changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        for (tenant, version) in self.store.catalog().versions().await? {
            let known = self
                .snapshots
                .read()
                .get(&tenant)
                .map(|snapshot| snapshot.version);
            if known.is_some_and(|known| known != version) {
                self.load(&tenant).await?;
            }
        }
        Ok(())
    }

    /// Refreshes every second until the shutdown.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = shutdown.soft() => return,
            }
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "catalogs were not refreshed"
                );
            }
        }
    }
}
