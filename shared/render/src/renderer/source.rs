//! Where published templates come from.

use async_trait::async_trait;
use carillon_domain::TenantId;

use crate::TemplateSet;

/// Where published templates come from.
#[async_trait]
pub trait TemplateSource: Send + Sync + std::fmt::Debug {
    /// Everything that is published for a tenant; a tenant that published nothing has an empty set.
    async fn load(&self, tenant: &TenantId) -> Result<TemplateSet, SourceError>;

    /// The present revision of the tenant's set: cheap enough to be polled.
    async fn revision(&self, tenant: &TenantId) -> Result<i64, SourceError>;
}

/// The templates could not be loaded now.
#[derive(Debug, thiserror::Error)]
#[error("the published templates could not be loaded")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A fixed set, the same for every tenant.
#[async_trait]
impl TemplateSource for TemplateSet {
    async fn load(&self, _tenant: &TenantId) -> Result<TemplateSet, SourceError> {
        Ok(self.clone())
    }

    async fn revision(&self, _tenant: &TenantId) -> Result<i64, SourceError> {
        Ok(self.revision)
    }
}
