//! Bounds on the work of rendering one message. Each executed element of a template, each looked-up value, and
//! each stretch of text that is read or written costs steps. Steps do not depend on time, so the same template and data
//! always end at the same place.

use std::{cell::Cell, time::Duration};

use carillon_domain::json::Value;
use rustix::time::{ClockId, clock_gettime};

use crate::abandoned;

/// The maximum number of steps of one message, all its parts together. A newsletter of 1,000 products takes about
/// 50,000.
pub(crate) const STEPS: u64 = 500_000;
/// The maximum nesting of blocks, partials and the blocks handed to partials while a template runs.
const DEPTH: u32 = 128;
/// The maximum processor time of one message: a second bound, in case steps are unexpectedly slow. Time in which the
/// process does not run, because it is paused or the machine is busy, is not counted.
const PROCESSOR_TIME: Duration = Duration::from_secs(2);
/// The binary logarithm of the steps between two readings of the processor time; each reading is a system call.
const STEPS_PER_CHECK: u32 = 10;
/// Bytes of text that one step pays for.
const BYTES_PER_STEP: usize = 64;
/// Bytes of a number's text that one step pays for: comparing numbers reads each digit several times.
const DIGITS_PER_STEP: usize = 16;

/// The bound that a template exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) limit: u64,
    pub(crate) unit: &'static str,
}

/// The work that a message may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: u64,
    left: Cell<u64>,
    depth: Cell<u32>,
    started: Cell<Option<Duration>>,
}

impl Budget {
    pub(crate) fn new(steps: u64) -> Self {
        Self {
            steps,
            left: Cell::new(steps),
            depth: Cell::new(0),
            started: Cell::new(None),
        }
    }

    /// The steps that are left.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Pays for work that is about to be done.
    #[inline]
    pub(crate) fn pay(&self, steps: u64) -> Result<(), Exceeded> {
        let before = self.left.get();
        let Some(left) = before.checked_sub(steps) else {
            self.left.set(0);
            return Err(Exceeded {
                limit: self.steps,
                unit: "steps",
            });
        };
        self.left.set(left);
        if before >> STEPS_PER_CHECK == left >> STEPS_PER_CHECK {
            Ok(())
        } else {
            self.look_at_the_clock()
        }
    }

    /// Pays for reading or writing bytes of text.
    #[inline]
    pub(crate) fn pay_bytes(&self, bytes: usize) -> Result<(), Exceeded> {
        self.pay((bytes / BYTES_PER_STEP) as u64)
    }

    /// Pays for reading a value's own text or digits. The items of lists and the fields of objects pay for themselves
    /// when they are read.
    #[inline]
    pub(crate) fn pay_value(&self, value: &Value) -> Result<(), Exceeded> {
        match value {
            Value::String(text) => self.pay_bytes(text.len()),
            Value::Number(number) => self.pay((number.written_bytes() / DIGITS_PER_STEP) as u64),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Ok(()),
        }
    }

    /// Enters one level of nesting; [`Budget::leave`] leaves it.
    pub(crate) fn enter(&self) -> Result<(), Exceeded> {
        let depth = self.depth.get() + 1;
        if depth > DEPTH {
            return Err(Exceeded {
                limit: DEPTH.into(),
                unit: "levels of nesting",
            });
        }
        self.depth.set(depth);
        Ok(())
    }

    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    #[cold]
    fn look_at_the_clock(&self) -> Result<(), Exceeded> {
        if abandoned::is_abandoned() {
            self.left.set(0);
            return Err(Exceeded {
                limit: self.steps,
                unit: "steps",
            });
        }
        let now = processor_time();
        let Some(started) = self.started.get() else {
            self.started.set(Some(now));
            return Ok(());
        };
        if now.saturating_sub(started) > PROCESSOR_TIME {
            return Err(Exceeded {
                limit: PROCESSOR_TIME.as_secs(),
                unit: "seconds of processor time",
            });
        }
        Ok(())
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_at_its_last_step() {
        let budget = Budget::new(3);
        assert_eq!(budget.pay(3), Ok(()));
        assert_eq!(
            budget.pay(1),
            Err(Exceeded {
                limit: 3,
                unit: "steps"
            })
        );
        assert!(Budget::new(u64::MAX).pay_bytes(usize::MAX).is_ok());
    }

    #[test]
    fn nesting_is_limited() {
        let budget = Budget::new(STEPS);
        for _ in 0..DEPTH {
            budget.enter().unwrap();
        }
        assert!(budget.enter().is_err());
        budget.leave();
        assert!(budget.enter().is_ok());
    }
}
