//! Catalogs in memory. Gateway and router ask for one on every event; a change is visible within a second.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::{TenantId, compiled::CompiledCatalog};
use carillon_runtime::Shutdown;
use parking_lot::RwLock;

use crate::{error::StoreError, store::Store};

/// The interval at which versions are compared.
const INTERVAL: Duration = Duration::from_secs(1);

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

    async fn load(&self, tenant: &TenantId) -> Result<Option<Arc<CompiledCatalog>>, StoreError> {
        let Some((versioned, former)) = self.store.catalog().get_with_former(tenant).await? else {
            return Ok(None);
        };
        let catalog = Arc::new(CompiledCatalog::new(versioned.value).with_former(former));
        let snapshot = Snapshot {
            version: versioned.version,
            catalog: Arc::clone(&catalog),
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
