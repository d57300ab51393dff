//! Limits of a single process.

use std::time::Duration;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};

use super::Quotas;

/// Limits counted in this process's memory.
#[derive(Debug)]
pub struct InProcessQuotas {}

impl InProcessQuotas {
    /// Remembers verdicts for `memory`, the deduplication window.
    #[must_use]
    pub fn new(memory: Duration) -> Self {
        unimplemented!()
    }
}

#[async_trait]
impl Quotas for InProcessQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        unimplemented!()
    }

    fn name(&self) -> &'static str {
        "in-process"
    }
}
