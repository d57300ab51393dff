//! Limits of a single process.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use carillon_domain::{
    Timestamp,
    decide::{LimitCheck, LimitVerdict},
};
use parking_lot::Mutex;
use uuid::Uuid;

use super::Quotas;

/// Verdicts that are remembered at most; beyond that the oldest go before their time.
const MAX_REMEMBERED: usize = 1_000_000;

/// Limits counted in this process's memory, which holds what still counts and no more.
#[derive(Debug)]
pub struct InProcessQuotas {
    memory: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each limit was taken from, oldest first.
    taken: HashMap<Arc<str>, VecDeque<Timestamp>>,
    /// When the oldest time of a limit no longer counts.
    leaving: BinaryHeap<Reverse<(Timestamp, Arc<str>)>>,
    verdicts: HashMap<Uuid, bool>,
    /// When verdicts are forgotten, oldest first.
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
            // Each time that was taken leaves once: the oldest one is the one whose time has come.
            if let Some(times) = self.taken.get_mut(&key) {
                times.pop_front();
                if times.is_empty() {
                    self.taken.remove(&key);
                }
            }
        }
    }

    fn take(&mut self, check: &LimitCheck, now: Timestamp, memory: Duration) -> bool {
        if let Some(verdict) = self.verdicts.get(&check.id) {
            return *verdict;
        }
        let max = check.limit.max as usize;
        let taken = self.taken.get(check.key.as_str()).map_or(0, VecDeque::len);
        let allowed = taken < max;
        if allowed {
            let key: Arc<str> = Arc::from(check.key.as_str());
            self.leaving
                .push(Reverse((now + check.limit.per, Arc::clone(&key))));
            self.taken.entry(key).or_default().push_back(now);
        }
        self.verdicts.insert(check.id, allowed);
        self.forgetting.push_back((now + memory, check.id));
        allowed
    }
}

#[async_trait]
impl Quotas for InProcessQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        let mut state = self.state.lock();
        state.expire(now);
        checks
            .iter()
            .map(|check| match state.take(check, now, self.memory) {
                true => LimitVerdict::Allowed,
                false => LimitVerdict::Exceeded,
            })
            .collect()
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
    async fn what_no_longer_counts_takes_no_memory() {
        let quotas = InProcessQuotas::new(Duration::from_secs(100));
        let start: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let limit = LimitDef {
            channel: Channel::Email,
            max: 1,
            per: Duration::from_secs(60),
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
