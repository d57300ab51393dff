//! The state of an account as it is kept: times are milliseconds of one clock. `exchange.lua` applies the same rules.

use std::time::Duration;

use super::{BreakerChange, BreakerState, Closure};

/// The state of an account.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptState {
    version: u64,
    /// The end of the closure.
    until: u64,
    parks: u32,
    throttles: u32,
    cause: Option<String>,
    /// The begin of the run that caused the park.
    begun: u64,
}

impl KeptState {
    /// Applies a change that a process made after it had seen the version `seen`.
    pub(super) fn apply(&mut self, seen: u64, change: &BreakerChange, now: u64) {
        match change {
            BreakerChange::Works if seen != self.version || self.version == 0 => return,
            BreakerChange::Works => {
                *self = Self {
                    version: self.version,
                    ..Self::default()
                };
            }
            BreakerChange::Closed(closure) => {
                let until = now.saturating_add(whole_millis(closure.left));
                let latest = if seen == self.version {
                    Self::default()
                } else {
                    std::mem::take(self)
                };
                *self = Self {
                    version: latest.version.max(self.version),
                    until: latest.until.max(until),
                    parks: latest.parks.max(closure.parks),
                    throttles: latest.throttles.max(closure.throttles),
                    cause: closure.cause.clone().or(latest.cause),
                    begun: now.saturating_sub(whole_millis(closure.run)),
                };
            }
        }
        // The clock makes the number greater than any that a lost state had.
        self.version = now.max(self.version + 1);
    }

    /// The state at a time.
    pub(super) fn at(&self, now: u64) -> BreakerState {
        state(
            self.version,
            self.until.saturating_sub(now),
            self.parks,
            self.throttles,
            self.cause.clone(),
            now.saturating_sub(self.begun),
        )
    }
}

/// A state by its numbers, with durations in milliseconds.
pub(super) fn state(
    version: u64,
    left: u64,
    parks: u32,
    throttles: u32,
    cause: Option<String>,
    run: u64,
) -> BreakerState {
    let is_closed = left > 0 || parks > 0 || throttles > 0;
    BreakerState {
        version,
        closure: is_closed.then(|| Closure {
            left: Duration::from_millis(left),
            parks,
            throttles,
            cause,
            run: Duration::from_millis(run),
        }),
    }
}

/// A duration in milliseconds, rounded up, so that no pause is shortened.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
