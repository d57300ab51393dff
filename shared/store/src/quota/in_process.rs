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

use super::{Quotas, RedisFault};

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
    /// For each limit the times at which its counted messages leave its period, earliest first.
    taken: HashMap<Arc<str>, VecDeque<Timestamp>>,
    /// The same times of all limits.
    leaving: BinaryHeap<Reverse<(Timestamp, Arc<str>)>>,
    verdicts: HashMap<Uuid, LimitVerdict>,
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
                taken.get_mut().pop_front();
                if taken.get().is_empty() {
                    taken.remove();
                }
            }
        }
    }

    /// Checks the limits of one message, and counts it if all of them have room.
    fn take(&mut self, checks: &[LimitCheck], now: Timestamp, memory: Duration) -> Vec<LimitVerdict> {
        let verdicts: Vec<LimitVerdict> = checks.iter().map(|check| self.look(check, 0, now)).collect();
        let has_room = verdicts.iter().all(|verdict| *verdict == LimitVerdict::Allowed);
        for (check, verdict) in checks.iter().zip(&verdicts) {
            if self.verdicts.contains_key(&check.id) {
                continue;
            }
            if has_room {
                self.count(check, now);
            }
            self.verdicts.insert(check.id, *verdict);
            self.forgetting.push_back((later(now, memory), check.id));
        }
        verdicts
    }

    fn count(&mut self, check: &LimitCheck, now: Timestamp) {
        let key: Arc<str> = Arc::from(check.key.as_str());
        let leaves = later(now, check.limit.per);
        let taken = self.taken.entry(Arc::clone(&key)).or_default();
        // Usually it is the last one; the length of the period, or a clock, may have changed.
        let place = taken.partition_point(|other| *other <= leaves);
        taken.insert(place, leaves);
        self.leaving.push(Reverse((leaves, key)));
    }

    /// The verdict on a check; `more` messages count beside those that are counted.
    fn look(&self, check: &LimitCheck, more: usize, at: Timestamp) -> LimitVerdict {
        if let Some(verdict) = self.verdicts.get(&check.id) {
            return *verdict;
        }
        let none = VecDeque::new();
        let taken = self.taken.get(check.key.as_str()).unwrap_or(&none);
        let gone = taken.partition_point(|leaves| *leaves <= at);
        let counted = taken.len() - gone + more;
        // There is room once fewer than `max` are left.
        match counted.checked_sub(check.limit.max as usize) {
            Some(surplus) => {
                let leaves = taken.get(gone + surplus).copied();
                LimitVerdict::Exceeded(leaves.unwrap_or_else(|| later(at, check.limit.per)))
            }
            None => LimitVerdict::Allowed,
        }
    }

    /// The verdicts that [`Self::take`] would give on the checks of messages, one after the other.
    fn look_all(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict> {
        let mut counted: HashMap<&str, usize> = HashMap::new();
        let mut verdicts = Vec::with_capacity(checks.len());
        for message in checks.chunk_by(|one, next| one.message == next.message) {
            let more = |check: &LimitCheck| counted.get(check.key.as_str()).copied().unwrap_or_default();
            let own: Vec<LimitVerdict> = message
                .iter()
                .map(|check| self.look(check, more(check), at))
                .collect();
            if own.iter().all(|verdict| *verdict == LimitVerdict::Allowed) {
                for check in message
                    .iter()
                    .filter(|check| !self.verdicts.contains_key(&check.id))
                {
                    *counted.entry(&check.key).or_default() += 1;
                }
            }
            verdicts.extend(own);
        }
        verdicts
    }
}

#[async_trait]
impl Quotas for InProcessQuotas {
    async fn take(&self, checks: &[LimitCheck], now: Timestamp) -> Vec<LimitVerdict> {
        let mut state = self.state.lock();
        state.expire(now);
        let messages = checks.chunk_by(|one, next| one.message == next.message);
        messages
            .flat_map(|checks| state.take(checks, now, self.memory))
            .collect()
    }

    async fn look(&self, checks: &[LimitCheck], at: Timestamp) -> Vec<LimitVerdict> {
        self.state.lock().look_all(checks, at)
    }

    async fn check(&self) -> Result<(), RedisFault> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "in-process"
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::{
        Channel,
        catalog::{LimitDef, LimitScope},
    };

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
                message: Uuid::from_u128(n),
                key: format!("user-{n}"),
                scope: LimitScope::Category,
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
