//! Limits whose store may be away: for a while the batch waits for it, then limits are left out until it is back. Either
//! way, no message is lost.

use std::{sync::Arc, time::Duration};

use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};
use carillon_store::quota::Quotas;
use parking_lot::Mutex;
use tokio::time::Instant;

/// For so long batches wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the store is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct Limits {
    quotas: Arc<dyn Quotas>,
    away_since: Mutex<Option<Instant>>,
}

impl Limits {
    pub(crate) fn new(quotas: Arc<dyn Quotas>) -> Self {
        Self {
            quotas,
            away_since: Mutex::new(None),
        }
    }

    /// One verdict for each check, in order; [`LimitVerdict::Unavailable`] only when patience has ended. Asking again
    /// counts once.
    pub(crate) async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        if checks.is_empty() {
            return Vec::new();
        }
        loop {
            let verdicts = self.quotas.take(checks, now).await;
            if !verdicts.contains(&LimitVerdict::Unavailable) {
                *self.away_since.lock() = None;
                return verdicts;
            }
            let since = *self.away_since.lock().get_or_insert_with(Instant::now);
            if since.elapsed() >= PATIENCE {
                metrics::counter!("carillon_limits_left_out_total").increment(checks.len() as u64);
                tracing::warn!(
                    checks = checks.len(),
                    "limits cannot be looked up and are left out"
                );
                return verdicts;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use carillon_domain::catalog::LimitDef;

    use super::*;

    #[derive(Debug)]
    struct Away(Mutex<u32>);

    #[async_trait]
    impl Quotas for Away {
        async fn take(&self, checks: &[LimitCheck], _: Timestamp) -> Vec<LimitVerdict> {
            let mut left = self.0.lock();
            let verdict = if *left == 0 {
                LimitVerdict::Exceeded
            } else {
                *left -= 1;
                LimitVerdict::Unavailable
            };
            vec![verdict; checks.len()]
        }

        fn name(&self) -> &'static str {
            "away"
        }
    }

    fn check() -> LimitCheck {
        let limit: LimitDef =
            serde_json::from_value(serde_json::json!({"channel": "email", "max": 1, "per": "1h"})).unwrap();
        LimitCheck {
            id: uuid::Uuid::nil(),
            key: "k".to_owned(),
            limit,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_is_waited_out_and_a_long_one_lets_pass_until_its_end() {
        let limits = |times| Limits::new(Arc::new(Away(Mutex::new(times))));
        let ask = async |limits: &Limits| limits.take(&[check()], Timestamp::UNIX_EPOCH).await;
        let short = limits(5);
        assert_eq!(ask(&short).await, [LimitVerdict::Exceeded]);

        let long = limits(23);
        let began = Instant::now();
        assert_eq!(ask(&long).await, [LimitVerdict::Unavailable]);
        assert!(began.elapsed() >= PATIENCE);
        let began = Instant::now();
        assert_eq!(
            ask(&long).await,
            [LimitVerdict::Unavailable],
            "the next batch does not wait again"
        );
        assert!(began.elapsed() < ASK_AGAIN);
        assert_eq!(ask(&long).await, [LimitVerdict::Unavailable]);
        assert_eq!(ask(&long).await, [LimitVerdict::Exceeded], "it is back");
    }
}
