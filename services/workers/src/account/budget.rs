//! The retry budget of an account: retries are at most a share of its messages, so that a provider in trouble does not get
//! its trouble several times over. A floor lets an account with few messages retry.
//!
//! The budget of the crate `tower` rounds the share to one in a whole number, so that 40 % would be 50 %.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The window over which messages are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// The parts of the window, each of which is forgotten as a whole.
const SLOTS: usize = 20;

/// The retry budget of an account.
#[derive(Debug)]
pub(super) struct RetryBudget {
    percent: u64,
    floor: u64,
    window: Mutex<Window>,
}

/// The messages of each slot of the window.
#[derive(Debug)]
struct Window {
    begin: Instant,
    /// The number of the latest slot since the begin.
    latest: u64,
    slots: [Slot; SLOTS],
    sum: Slot,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    messages: u64,
    retries: u64,
}

impl RetryBudget {
    /// At most `percent` of the messages of ten seconds are retries; `floor` retries are always possible.
    pub(super) fn new(percent: u8, floor: u32) -> Self {
        Self {
            percent: u64::from(percent),
            floor: u64::from(floor),
            window: Mutex::new(Window {
                begin: Instant::now(),
                latest: 0,
                slots: [Slot::default(); SLOTS],
                sum: Slot::default(),
            }),
        }
    }

    /// The share, in percent.
    pub(super) fn percent(&self) -> u64 {
        self.percent
    }

    /// Whether a retry could go out now.
    pub(super) fn has_room(&self) -> bool {
        let mut window = self.window.lock();
        window.forget(Instant::now());
        self.allows(window.sum)
    }

    /// Counts a message that goes out; `false`: it is a retry beyond the budget, and is not counted.
    pub(super) fn admit(&self, is_retry: bool) -> bool {
        let mut window = self.window.lock();
        window.forget(Instant::now());
        if is_retry && !self.allows(window.sum) {
            return false;
        }
        window.count(is_retry);
        true
    }

    fn allows(&self, sum: Slot) -> bool {
        let retries = sum.retries + 1;
        retries <= self.floor || retries * 100 <= (sum.messages + 1) * self.percent
    }
}

impl Window {
    /// Forgets the slots that have left the window.
    fn forget(&mut self, now: Instant) {
        let slot = WINDOW / u32::try_from(SLOTS).unwrap_or(1);
        let present = u64::try_from((now - self.begin).as_nanos() / slot.as_nanos()).unwrap_or(u64::MAX);
        let passed = present.saturating_sub(self.latest).min(SLOTS as u64);
        for number in 1..=passed {
            let left = std::mem::take(self.slot(self.latest + number));
            self.sum.messages -= left.messages;
            self.sum.retries -= left.retries;
        }
        self.latest = self.latest.max(present);
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        let index = usize::try_from(number % SLOTS as u64).unwrap_or_default();
        &mut self.slots[index]
    }

    fn count(&mut self, is_retry: bool) {
        let counts = |slot: &mut Slot| {
            slot.messages += 1;
            slot.retries += u64::from(is_retry);
        };
        counts(self.slot(self.latest));
        counts(&mut self.sum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_messages_and_the_floor_lets_quiet_accounts_retry() {
        let budget = RetryBudget::new(20, 3);
        for _ in 0..3 {
            assert!(budget.admit(true), "the floor");
        }
        assert!(!budget.has_room() && !budget.admit(true));
        for _ in 0..17 {
            assert!(budget.admit(false), "first attempts are never held");
        }
        // With 3 of 20 messages, one more is 4 of 21.
        assert!(budget.has_room() && budget.admit(true));
        assert!(!budget.admit(true), "5 of 22 are more than a fifth");
        tokio::time::advance(WINDOW).await;
        assert!(budget.admit(true), "what was sent ten seconds ago does not count");
    }

    proptest! {
        #[test]
        fn in_no_window_are_retries_more_than_the_share_or_the_floor(
            percent in 1_u8..=100, floor in 0_u32..8, steps in prop::collection::vec((any::<bool>(), 0_u64..900), 1..300),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let budget = RetryBudget::new(percent, floor);
                let mut sent: Vec<(Instant, bool)> = Vec::new();
                for (is_retry, wait) in steps {
                    tokio::time::advance(Duration::from_millis(wait)).await;
                    let now = Instant::now();
                    // The window moves by slots, so that a message is remembered for its length less one slot at least.
                    let counts = |at: &Instant| *at + WINDOW > now;
                    if budget.admit(is_retry) {
                        sent.push((now, is_retry));
                    } else {
                        assert!(is_retry);
                    }
                    if is_retry && sent.last().is_some_and(|(at, retry)| *at == now && *retry) {
                        let all = sent.iter().filter(|(at, _)| counts(at)).count() as u64;
                        let recent = |at: &Instant| *at + WINDOW - WINDOW / 20 > now;
                        let retries = sent.iter().filter(|(at, retry)| *retry && recent(at)).count() as u64;
                        assert!(retries <= u64::from(floor) || retries * 100 <= all * u64::from(percent),
                            "{retries} of {all}");
                    }
                }
            });
        }
    }
}
