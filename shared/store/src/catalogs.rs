//! Tenants' catalogs (table `catalogs`): one versioned document each.

use carillon_domain::{Catalog, TenantId};

use crate::{
    db::Db,
    error::StoreError,
    versioned::{IfMatch, Versioned},
};

/// The catalogs.
#[derive(Debug, Clone)]
pub struct Catalogs {
    db: Db,
}

impl Catalogs {
    /// Reads a tenant's catalog.
    pub async fn get(&self, tenant: &TenantId) -> Result<Option<Versioned<Catalog>>, StoreError> {
        unimplemented!()
    }

    /// Replaces a tenant's catalog, which the caller has validated. Writing the same again keeps the version.
    pub async fn put(
        &self,
        tenant: &TenantId,
        catalog: &Catalog,
        if_match: IfMatch,
    ) -> Result<Versioned<Catalog>, StoreError> {
        unimplemented!()
    }

    /// Every tenant's current version: cheap enough to be polled.
    pub async fn versions(&self) -> Result<Vec<(TenantId, i64)>, StoreError> {
        unimplemented!()
    }
}
