//! When to try again. Waits are served by a few FIFO topics, the tiers; a wait longer than a tier is split over the
//! largest tiers that fit. Nothing is ever early.

use std::time::Duration;

use crate::catalog::duration_text;

/// How often and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    tiers: Vec<Duration>,
    max_attempts: u32,
}

/// Why a policy cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    /// There is no tier.
    #[error("expected at least one retry tier")]
    Empty,
    /// A tier is not longer than the one before.
    #[error("expected retry tiers in ascending order and longer than 0s")]
    NotAscending,
    /// No attempt is allowed.
    #[error("expected at least one attempt")]
    NoAttempts,
}

impl RetryPolicy {
    /// Tiers in ascending order, and how many attempts a delivery has in all.
    pub fn new(tiers: Vec<Duration>, max_attempts: u32) -> Result<Self, RetryPolicyError> {
        if max_attempts == 0 {
            return Err(RetryPolicyError::NoAttempts);
        }
        match tiers.first() {
            None => Err(RetryPolicyError::Empty),
            Some(first) if first.is_zero() || !tiers.is_sorted_by(|a, b| a < b) => {
                Err(RetryPolicyError::NotAscending)
            }
            Some(_) => Ok(Self { tiers, max_attempts }),
        }
    }

    /// The tiers, shortest first.
    #[must_use]
    pub fn tiers(&self) -> &[Duration] {
        &self.tiers
    }

    /// How many attempts a delivery has in all.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// A tier's name, the end of its topic's: `5s`, `1m`.
    #[must_use]
    pub fn tier_name(tier: Duration) -> String {
        duration_text::format(tier)
    }

    /// How long to wait after attempt `attempt` (from 1) failed: the tier of that number, the last one from then on,
    /// plus up to 10 % of jitter (`jitter` in 0..1), and no less than the provider's `retry_after`. `None` if that was
    /// the last attempt.
    #[must_use]
    pub fn wait_after(&self, attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let index = (attempt.max(1) as usize - 1).min(self.tiers.len() - 1);
        let wait = self.tiers[index].max(retry_after.unwrap_or_default());
        Some(wait + wait.mul_f64(0.1 * jitter.clamp(0.0, 1.0)))
    }

    /// The tier in which the next part of a wait is spent: the largest that fits into what remains, else the smallest.
    #[must_use]
    pub fn tier_for(&self, remaining: Duration) -> Duration {
        self.tiers
            .iter()
            .rev()
            .find(|tier| **tier <= remaining)
            .copied()
            .unwrap_or(self.tiers[0])
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tiers: [5, 60, 600, 3600].map(Duration::from_secs).to_vec(),
            max_attempts: 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_with_the_attempts_and_end() {
        let policy = RetryPolicy::default();
        let waits: Vec<_> = (1..=6)
            .map(|attempt| policy.wait_after(attempt, None, 0.0).map(|w| w.as_secs()))
            .collect();
        assert_eq!(
            waits,
            [Some(5), Some(60), Some(600), Some(3600), Some(3600), None]
        );
    }

    #[test]
    fn a_policy_without_ascending_tiers_is_refused() {
        assert_eq!(RetryPolicy::new(vec![], 3), Err(RetryPolicyError::Empty));
        let falling = [2, 1].map(Duration::from_secs).to_vec();
        assert_eq!(RetryPolicy::new(falling, 3), Err(RetryPolicyError::NotAscending));
        assert_eq!(
            RetryPolicy::new(vec![Duration::from_secs(1)], 0),
            Err(RetryPolicyError::NoAttempts)
        );
    }

    proptest! {
        #[test]
        fn a_wait_is_never_early_and_late_by_at_most_a_tenth_and_two_seconds(
            attempt in 1..5_u32, retry_after in 0..20_000_u64, jitter in 0.0..1.0_f64,
        ) {
            let policy = RetryPolicy::default();
            let wanted = Duration::from_secs(retry_after).max(policy.wait_after(attempt, None, 0.0).unwrap());
            let wait = policy.wait_after(attempt, Some(Duration::from_secs(retry_after)), jitter).unwrap();
            prop_assert!(wait >= wanted);
            prop_assert!(wait <= wanted.mul_f64(1.1) + Duration::from_secs(2));
        }

        #[test]
        fn a_wait_that_is_split_over_tiers_comes_to_its_end_within_two_seconds(millis in 5_000..20_000_000_u64) {
            let policy = RetryPolicy::default();
            let mut remaining = Duration::from_millis(millis);
            let mut hops = 0;
            while remaining > Duration::ZERO {
                remaining = remaining.saturating_sub(policy.tier_for(remaining));
                hops += 1;
                prop_assert!(hops < 40);
            }
        }
    }
}
