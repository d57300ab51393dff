//! The source of published templates.

use async_trait::async_trait;
use carillon_domain::TenantId;

use crate::TemplateSet;

/// The source of published templates.
#[async_trait]
pub trait TemplateSource: Send + Sync + std::fmt::Debug {
    /// The published templates and texts of a tenant; an empty set if there are none.
    async fn load(&self, tenant: &TenantId) -> Result<TemplateSet, SourceError>;

    /// The current revision of the tenant's set. The query is cheap enough for polling.
    async fn revision(&self, tenant: &TenantId) -> Result<i64, SourceError>;
}

/// The templates could not be loaded now.
#[derive(Debug, thiserror::Error)]
#[error("the published templates could not be loaded")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A fixed set, the same for all tenants.
#[async_trait]
impl TemplateSource for TemplateSet {
    async fn load(&self, _tenant: &TenantId) -> Result<TemplateSet, SourceError> {
        Ok(self.clone())
    }

    async fn revision(&self, _tenant: &TenantId) -> Result<i64, SourceError> {
        Ok(self.revision)
    }
}
