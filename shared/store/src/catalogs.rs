//! Tenants' catalogs (table `catalogs`), each a versioned document.

use carillon_domain::{Catalog, TenantId, mask::Former};
use carillon_runtime::http::Conditions;

use crate::{
    db::{Db, Document, again, execute, fetch},
    error::StoreError,
    versioned::{Versioned, require},
};

const WHAT: &str = "a catalog";

/// The catalogs.
#[derive(Debug, Clone)]
pub struct Catalogs {
    db: Db,
}

impl Catalogs {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Reads a tenant's catalog.
    pub async fn get(&self, tenant: &TenantId) -> Result<Option<Versioned<Catalog>>, StoreError> {
        Ok(self.get_with_former(tenant).await?.map(|(catalog, _)| catalog))
    }

    /// Reads a tenant's catalog, and the places that its former versions marked sensitive.
    pub async fn get_with_former(
        &self,
        tenant: &TenantId,
    ) -> Result<Option<(Versioned<Catalog>, Former)>, StoreError> {
        let row = fetch!(
            optional, self.db.read().await? => (i64, Document, Document),
            "SELECT version, document, former FROM catalogs WHERE tenant = $1",
            tenant.as_str()
        )?;
        row.map(|(version, document, former)| {
            let catalog = Versioned {
                value: document.parse(WHAT)?,
                version,
            };
            Ok((catalog, former.parse(WHAT)?))
        })
        .transpose()
    }

    /// Replaces a tenant's catalog, which the caller has validated, if the conditions hold. Writing an identical catalog
    /// keeps the version.
    pub async fn put(
        &self,
        tenant: &TenantId,
        catalog: &Catalog,
        conditions: Option<&Conditions>,
    ) -> Result<Versioned<Catalog>, StoreError> {
        let document = Document::of(catalog, WHAT)?;
        let version = again(|| self.try_put(tenant, &document, conditions)).await?;
        Ok(Versioned {
            value: catalog.clone(),
            version,
        })
    }

    async fn try_put(
        &self,
        tenant: &TenantId,
        document: &Document,
        conditions: Option<&Conditions>,
    ) -> Result<i64, StoreError> {
        let mut tx = self.db.begin().await?;
        execute!(
            tx,
            "INSERT INTO catalogs (tenant, version, document, updated_at) VALUES ($1, 0, $2, $3)
            ON CONFLICT (tenant) DO UPDATE SET tenant = excluded.tenant", // takes the row's lock
            tenant.as_str(),
            Document("{}".to_owned()),
            self.db.now()
        )?;
        let (current, standing, former) = fetch!(
            one, tx => (i64, Document, Document),
            "SELECT version, document, former FROM catalogs WHERE tenant = $1",
            tenant.as_str()
        )?;
        if let Some(conditions) = conditions {
            require(conditions, current != 0, (current != 0).then_some(current))?;
        }
        let mut version = current;
        if current == 0 || standing != *document {
            version += 1;
            let mut former: Former = former.parse(WHAT)?;
            former.add(&standing.parse(WHAT)?);
            execute!(
                tx,
                "UPDATE catalogs SET version = $1, document = $2, former = $3, updated_at = $4 WHERE tenant = $5",
                version,
                document,
                Document::of(&former, WHAT)?,
                self.db.now(),
                tenant.as_str()
            )?;
        }
        tx.commit().await?;
        Ok(version)
    }

    /// The current version of each tenant's catalog. The query is cheap enough for polling.
    pub async fn versions(&self) -> Result<Vec<(TenantId, i64)>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => (String, i64),
            "SELECT tenant, version FROM catalogs ORDER BY tenant"
        )?;
        Ok(rows
            .into_iter()
            .map(|(tenant, version)| (TenantId::from(tenant), version))
            .collect())
    }
}
