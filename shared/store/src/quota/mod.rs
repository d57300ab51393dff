//! Limits of users, of categories and of tenants: at most `max` messages in any period of length `per`. A verdict is remembered by the id of its
//! check, so a repeated check gets the same verdict and counts once. A message counts against all of its limits, or against
//! none: one that has to wait for a short period takes no room of a long one.

mod in_process;
mod redis;

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};

pub use self::{
    in_process::InProcessQuotas,
    redis::{RedisQuotas, RedisQuotasConfig},
};
pub use crate::redis_link::RedisFault;

/// A counter of limits.
#[async_trait]
pub trait Quotas: Send + Sync + std::fmt::Debug {
    /// Checks limits, and counts the messages for which all of their limits have room; returns one verdict for each check,
    /// in order. This never fails: if limits cannot be counted, the verdict is [`LimitVerdict::Unavailable`] after a short
    /// time.
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict>;

    /// The verdicts that [`Self::take`] would give at a time, without counting or remembering anything: a message that would be
    /// counted counts for those that follow in the same call, of up to 1,000 checks. Counts that have left their period by
    /// then are left out.
    async fn look(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict>;

    /// Whether limits can be counted now.
    async fn check(&self) -> Result<(), RedisFault>;

    /// `redis` or `in-process`.
    fn name(&self) -> &'static str;
}
