//! The time for which the polling thread waits for a full member.

use std::time::{Duration, Instant};

/// The approximate limit of bytes that wait for the member.
pub(super) const HIGH_WATER: usize = 4 * 1024 * 1024;
/// The time over which the member's pace is measured, and the number of bytes in that time below which the member is
/// too slow. A rebalance waits until the member has taken the bytes that the client has fetched. These are at most
/// `HIGH_WATER`, so the wait is at most two seconds.
const WINDOW: Duration = Duration::from_millis(500);
const FEW: usize = 1024 * 1024;

/// The pace of a member that is at its high-water mark.
#[derive(Default)]
pub(super) struct Pressure {
    since: Option<Instant>,
    bytes: usize,
}

impl Pressure {
    /// Counts bytes polled for the member.
    pub(super) fn polled(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Starts over: no record is waiting to be polled.
    pub(super) fn eased(&mut self) {
        *self = Self::default();
    }

    /// Whether a full member is so slow that the thread must not wait for it any longer.
    pub(super) fn is_too_slow(&mut self, now: Instant) -> bool {
        let measured = self.since.map(|since| now - since);
        if measured.is_some_and(|measured| measured < WINDOW) {
            return false;
        }
        let is_too_slow = measured.is_some() && self.bytes < FEW;
        *self = Self {
            since: Some(now),
            bytes: 0,
        };
        is_too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(100);

    #[test]
    fn a_member_that_takes_much_is_waited_for_and_one_that_takes_little_is_not() {
        for (bytes, is_too_slow) in [(FEW / 4, false), (FEW / 10, true)] {
            let mut pressure = Pressure::default();
            let mut now = Instant::now();
            for _ in 0..5 {
                assert!(!pressure.is_too_slow(now), "it has not been full for long");
                pressure.polled(bytes);
                now += MOMENT;
            }
            assert_eq!(pressure.is_too_slow(now), is_too_slow, "{bytes} bytes a moment");
        }
    }

    #[test]
    fn bytes_taken_before_the_member_is_full_do_not_count() {
        let mut pressure = Pressure::default();
        let now = Instant::now();
        pressure.polled(10 * FEW);
        assert!(!pressure.is_too_slow(now));
        assert!(pressure.is_too_slow(now + WINDOW));
        assert!(!pressure.is_too_slow(now + WINDOW + MOMENT), "a new window");
        pressure.eased();
        assert!(!pressure.is_too_slow(now + 3 * WINDOW));
    }
}
