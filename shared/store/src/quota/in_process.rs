//! Limits counted by a single process.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    clock::later,
    decide::{LimitCheck, LimitVerdict},
};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{QuotaFault, Quotas};

/// The most verdicts remembered; beyond that the oldest are forgotten early.
const MAX_REMEMBERED: usize = 1_000_000;

/// Limits counted in memory. Only counts that are still in their period are kept.
#[derive(Debug)]
pub struct InProcessQuotas {
    memory: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The current count of each limit.
    taken: HashMap<Arc<str>, u32>,
    /// One entry for each counted message: the time at which it leaves the limit's period.
    leaving: BinaryHeap<Reverse<(Timestamp, Arc<str>)>>,
    verdicts: HashMap<Uuid, bool>,
    /// The times at which verdicts are forgotten, oldest first.
    forgetting: VecDeque<(Timestamp, Uuid)>,
}

impl InProcessQuotas {
    /// Remembers verdicts for `memory`, the deduplication window.
    #[must_use]
    pub fn new(memory: Duration) -> Self {
        Self {
            memory,
            state: Mutex::default(),
        }
    }
}

impl State {
    fn expire(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.forgetting.front().copied() {
            if at > now && self.forgetting.len() <= MAX_REMEMBERED {
                break;
            }
            self.forgetting.pop_front();
            self.verdicts.remove(&id);
        }
        while let Some(Reverse((at, _))) = self.leaving.peek()
            && *at <= now
        {
            let Some(Reverse((_, key))) = self.leaving.pop() else {
                break;
            };
            if let Entry::Occupied(mut taken) = self.taken.entry(key) {
                *taken.get_mut() -= 1;
                if *taken.get() == 0 {
                    taken.remove();
                }
            }
        }
    }

    fn take(&mut self, check: &LimitCheck, now: Timestamp, memory: Duration) -> bool {
        if let Some(verdict) = self.verdicts.get(&check.id) {
            return *verdict;
        }
        let taken = self.taken.get(check.key.as_str()).copied().unwrap_or_default();
        let allowed = taken < check.limit.max;
        if allowed {
            let key: Arc<str> = Arc::from(check.key.as_str());
            self.leaving
                .push(Reverse((later(now, check.limit.per), Arc::clone(&key))));
            *self.taken.entry(key).or_default() += 1;
        }
        self.verdicts.insert(check.id, allowed);
        self.forgetting.push_back((later(now, memory), check.id));
        allowed
    }

    fn look(&self, check: &LimitCheck, at: Timestamp) -> bool {
        if let Some(verdict) = self.verdicts.get(&check.id) {
            return *verdict;
        }
        let max = check.limit.max;
        // Time only lowers the count, so the entries have to be searched only if there is no room now.
        if self
            .taken
            .get(check.key.as_str())
            .is_none_or(|taken| *taken < max)
        {
            return true;
        }
        let counted = self
            .leaving
            .iter()
            .filter(|Reverse((leaves, key))| *leaves > at && **key == *check.key);
        counted.count() < max as usize
    }
}

fn verdict(allowed: bool) -> LimitVerdict {
    if allowed {
        LimitVerdict::Allowed
    } else {
        LimitVerdict::Exceeded
    }
}

#[async_trait]
impl Quotas for InProcessQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        let mut state = self.state.lock();
        state.expire(now);
        let take = |check| verdict(state.take(check, now, self.memory));
        checks.iter().map(take).collect()
    }

    async fn look(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict> {
        let state = self.state.lock();
        checks
            .iter()
            .map(|check| verdict(state.look(check, at)))
            .collect()
    }

    async fn check(&self) -> Result<(), QuotaFault> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "in-process"
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::{Channel, catalog::LimitDef};

    use super::*;

    #[tokio::test]
    async fn counts_past_their_period_take_no_memory() {
        let quotas = InProcessQuotas::new(Duration::from_secs(100));
        let start: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let limit = LimitDef {
            channel: Channel::Email,
            max: 1,
            per: Duration::from_mins(1),
        };
        for n in 0..1_000_u128 {
            let check = LimitCheck {
                id: Uuid::from_u128(n),
                key: format!("user-{n}"),
                limit: limit.clone(),
            };
            quotas.take(&[check], start).await;
        }
        assert_eq!(quotas.state.lock().taken.len(), 1_000);
        quotas.take(&[], start + Duration::from_secs(100)).await;
        let state = quotas.state.lock();
        assert!(state.taken.is_empty() && state.leaving.is_empty());
        assert!(state.verdicts.is_empty() && state.forgetting.is_empty());
    }
}
