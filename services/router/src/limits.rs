//! Limits, and whether they can be counted. One log line is written when counting begins to fail, and one when it
//! works again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_store::quota::Quotas;

/// The quotas, and whether the last count failed.
pub(crate) struct UserLimits {
    quotas: Arc<dyn Quotas>,
    are_away: AtomicBool,
}

impl UserLimits {
    pub(crate) fn new(quotas: Arc<dyn Quotas>) -> Self {
        Self {
            quotas,
            are_away: AtomicBool::new(false),
        }
    }

    /// Checks limits; returns one verdict for each check, in order. A repeated check counts once.
    pub(crate) async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        if checks.is_empty() {
            return Vec::new();
        }
        let verdicts = self.quotas.take(checks, now).await;
        let are_away = verdicts.contains(&LimitVerdict::Unavailable);
        if self.are_away.swap(are_away, Ordering::Relaxed) != are_away {
            if are_away {
                tracing::warn!("limits cannot be counted; events that are limited and not critical wait");
            } else {
                tracing::info!("limits are counted again");
            }
        }
        verdicts
    }
}
