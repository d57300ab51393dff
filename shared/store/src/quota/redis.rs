//! Limits shared through Redis.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_runtime::Secret;

use super::Quotas;
use crate::error::StoreError;

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisQuotasConfig {
    /// `redis://…` or `rediss://…`.
    pub url: Secret,
    /// What every key begins with.
    pub prefix: String,
    /// How long a batch may take before its verdicts are `Unavailable`.
    pub timeout: Duration,
    /// How long verdicts are remembered: the deduplication window.
    pub memory: Duration,
}

/// Limits counted in Redis, by one script a batch.
#[derive(Debug)]
pub struct RedisQuotas {}

impl RedisQuotas {
    /// Prepares the connection; it is made, and made again, in the background, so Redis may be down meanwhile.
    pub fn connect(config: RedisQuotasConfig) -> Result<Self, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Quotas for RedisQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        unimplemented!()
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
