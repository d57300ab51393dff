//! The time of the next attempt. Waits are served by a few FIFO topics, the tiers; a wait longer than a tier is split
//! over the largest tiers that fit. No wait ends early.
//!
//! If the smallest tier is no longer than the wait, the wait ends late by at most a tenth of itself and two seconds.
//! A tier is served in order of arrival, so a record with a long wait delays those behind it. No record therefore
//! waits longer in a tier than [`RetryPolicy::longest_in`]. A policy's own wait with its jitter is never longer than
//! that, so it needs one tier only. A wait between two tiers can leave a rest that is shorter than the smallest tier.
//! If that rest would end too late there, [the worker holds the record](RetryPolicy::is_for_the_hand) until it is
//! due.

use std::time::Duration;

use crate::duration_text;

/// The rest of a wait with its full jitter may become longer by this through rounding and transport.
const SLACK: Duration = Duration::from_millis(250);
/// A worker holds a record for the rest of its wait if the smallest tier would make it later than this. The two
/// seconds of the promise have to cover reading and sending too.
const LATE: Duration = Duration::from_millis(1_500);
/// The longest wait for which a worker holds a record; a held record takes the place of one that is due.
const IN_HAND: Duration = Duration::from_secs(5);

/// The longest wait that a provider may name (`Retry-After`). A longer wait is probably a wrong unit or
/// another fault of the provider's; it must not delay a record for years.
pub const LONGEST_NAMED_WAIT: Duration = Duration::from_hours(1);

/// The longest jitter on top of a wait that a provider has named.
const NAMED_JITTER: Duration = Duration::from_secs(30);

/// A wait with its jitter (`jitter` in 0..1). Carillon's own wait grows by up to a tenth; the wait that a provider
/// named grows by up to a tenth and at most 30 seconds. The longer of the two counts.
#[must_use]
pub fn with_jitter(own: Duration, named: Duration, jitter: f64) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    let own = own.saturating_add((own / 10).mul_f64(jitter));
    let named = named.saturating_add((named / 10).min(NAMED_JITTER).mul_f64(jitter));
    own.max(named)
}

/// The waits between attempts, and the number of attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    tiers: Vec<Duration>,
    max_attempts: u32,
}

/// Why a policy is refused.
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
    /// Makes a policy of tiers in ascending order and the number of attempts that a delivery has in all.
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

    /// The number of attempts that a delivery has in all.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// A tier's name, with which its topic's name ends: `5s`, `1m`.
    #[must_use]
    pub fn tier_name(tier: Duration) -> String {
        duration_text::format(tier)
    }

    /// The wait after attempt `attempt` (from 1) has failed; `None` after the last attempt. It is the tier of that
    /// number, or the last tier for later attempts, and no less than the provider's `retry_after`, of which at most
    /// [`LONGEST_NAMED_WAIT`] counts. Both grow by [their jitter](with_jitter).
    #[must_use]
    pub fn wait_after(&self, attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let index = (attempt.max(1) as usize - 1).min(self.tiers.len() - 1);
        let named = retry_after.unwrap_or_default().min(LONGEST_NAMED_WAIT);
        Some(with_jitter(self.tiers[index], named, jitter))
    }

    /// The tier in which the next part of a wait is spent: the largest that fits into the remaining wait, else the
    /// smallest.
    #[must_use]
    pub fn tier_for(&self, remaining: Duration) -> Duration {
        self.tiers
            .iter()
            .rev()
            .find(|tier| **tier <= remaining)
            .copied()
            .unwrap_or(self.tiers[0])
    }

    /// The longest time that a record spends in a tier: the tier's, with the jitter of a wait and a quarter of a second for rounding and transport.
    #[must_use]
    pub fn longest_in(tier: Duration) -> Duration {
        tier + tier / 10 + SLACK
    }

    /// The part of a wait that is spent in a tier: all of it, if it is no longer than [`Self::longest_in`]; otherwise
    /// the tier's time.
    #[must_use]
    pub fn spent_in(tier: Duration, remaining: Duration) -> Duration {
        if remaining <= Self::longest_in(tier) {
            remaining
        } else {
            tier
        }
    }

    /// Whether the rest of a wait is so short that it would be late in the smallest tier, behind records that wait
    /// their full time there. The worker then holds the record until it is due.
    #[must_use]
    pub fn is_for_the_hand(&self, remaining: Duration) -> bool {
        remaining <= IN_HAND && remaining + LATE < Self::longest_in(self.tiers[0])
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
    use std::{
        cmp::Reverse,
        collections::{BinaryHeap, HashMap},
    };

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
    fn a_wait_of_an_hour_that_a_provider_names_is_exceeded_by_half_a_minute_at_most() {
        let hour = Duration::from_hours(1);
        for named in [hour, 10 * hour] {
            let wait = RetryPolicy::default().wait_after(1, Some(named), 1.0).unwrap();
            assert_eq!(wait, hour + NAMED_JITTER);
        }
        let short = with_jitter(Duration::ZERO, Duration::from_secs(10), 1.0);
        assert_eq!(short, Duration::from_secs(11));
        assert_eq!(with_jitter(hour, Duration::from_secs(10), 1.0), hour + hour / 10);
        assert_eq!(
            with_jitter(Duration::ZERO, hour, 0.0),
            hour,
            "never below what was named"
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
            let named = Duration::from_secs(retry_after).min(LONGEST_NAMED_WAIT);
            let wanted = named.max(policy.wait_after(attempt, None, 0.0).unwrap());
            let wait = policy.wait_after(attempt, Some(Duration::from_secs(retry_after)), jitter).unwrap();
            prop_assert!(wait >= wanted);
            prop_assert!(wait <= wanted.mul_f64(1.1) + Duration::from_secs(2));
        }

        #[test]
        fn waits_that_share_tiers_end_in_time_and_never_early(
            waits in proptest::collection::vec((0..120_000_u64, 0..9_u32, 0..8_000_u64, 0.0..1.0_f64), 1..60),
        ) {
            let policy = RetryPolicy::default();
            let waits: Vec<Wait> = waits
                .into_iter()
                .map(|(start, attempt, retry_after, jitter)| {
                    // Half of the waits are the policy's own; the others are named by a provider.
                    let (attempt, named) = if attempt < 5 { (attempt + 1, 0) } else { (1, retry_after) };
                    let named = Duration::from_secs(named);
                    let wanted = policy.wait_after(attempt.min(5), Some(named), 0.0).unwrap();
                    let start = Duration::from_millis(start);
                    let due = start + policy.wait_after(attempt.min(5), Some(named), jitter).unwrap();
                    Wait { start, wanted, due, is_own: named.is_zero() }
                })
                .collect();
            for (wait, end) in waits.iter().zip(simulate(&policy, &waits)) {
                prop_assert!(end >= wait.due, "early: {wait:?} {end:?}");
                let late = end.saturating_sub(wait.due);
                prop_assert!(
                    late <= wait.due.saturating_sub(wait.start) / 10 + Duration::from_secs(2), "late: {wait:?} {end:?}"
                );
                if wait.is_own {
                    // The bound includes the jitter.
                    let most = wait.wanted + wait.wanted / 10 + Duration::from_millis(500);
                    prop_assert!(end.saturating_sub(wait.start) <= most, "late: {wait:?} {end:?}");
                }
            }
        }
    }

    #[derive(Debug)]
    struct Wait {
        start: Duration,
        wanted: Duration,
        due: Duration,
        is_own: bool,
    }

    /// The time at which each wait is over, if every tier is one queue in order of arrival.
    fn simulate(policy: &RetryPolicy, waits: &[Wait]) -> Vec<Duration> {
        let mut arrivals: BinaryHeap<Reverse<(Duration, usize)>> = waits
            .iter()
            .enumerate()
            .map(|(index, wait)| Reverse((wait.start, index)))
            .collect();
        let mut last_out: HashMap<Duration, Duration> = HashMap::new();
        let mut ends = vec![Duration::ZERO; waits.len()];
        let mut hops = 0;
        while let Some(Reverse((at, index))) = arrivals.pop() {
            hops += 1;
            assert!(hops < 100 * waits.len(), "it comes to no end");
            let due = waits[index].due;
            let remaining = due.saturating_sub(at);
            if remaining.is_zero() || (at > waits[index].start && policy.is_for_the_hand(remaining)) {
                ends[index] = at.max(due);
                continue;
            }
            let tier = policy.tier_for(remaining);
            let out = last_out.entry(tier).or_default();
            *out = (*out).max(at + RetryPolicy::spent_in(tier, remaining));
            arrivals.push(Reverse((*out, index)));
        }
        ends
    }
}
