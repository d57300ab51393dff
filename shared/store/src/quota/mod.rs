//! Per-user limits: at most `max` in any `per`. A verdict is remembered by its check's id, so asking again gives the
//! same answer and counts once.

mod fault;
mod in_process;
mod redis;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};

pub use self::{
    fault::QuotaFault,
    in_process::InProcessQuotas,
    redis::{RedisQuotas, RedisQuotasConfig},
};

/// A place where limits are counted.
#[async_trait]
pub trait Quotas: Send + Sync + std::fmt::Debug {
    /// Takes from every limit that has room, one verdict for each check in order. It never fails: what cannot be asked
    /// is [`LimitVerdict::Unavailable`], after a short time.
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict>;

    /// Whether limits can be counted now.
    async fn check(&self) -> Result<(), QuotaFault>;

    /// `redis` or `in-process`.
    fn name(&self) -> &'static str;
}
