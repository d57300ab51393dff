//! Injected time. All timestamps have microseconds, because PostgreSQL stores no greater precision.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// A point in time, UTC, truncated to microseconds.
pub type Timestamp = DateTime<Utc>;

/// The source of the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time, truncated to microseconds.
    fn now(&self) -> Timestamp;
}

/// A clock shared by a whole process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Utc::now().trunc_subsecs(6)
    }
}

/// Truncates a foreign timestamp to the precision of the stores.
#[must_use]
pub fn truncate(at: Timestamp) -> Timestamp {
    at.trunc_subsecs(6)
}

/// The last time that all stores can hold and sort: the end of the year 9999.
pub(crate) const LAST: Timestamp =
    DateTime::from_timestamp_micros(253_402_300_799_999_999).expect("a time that chrono knows");
/// The first such time: the beginning of the year 1.
pub(crate) const FIRST: Timestamp =
    DateTime::from_timestamp_micros(-62_135_596_800_000_000).expect("a time that chrono knows");

/// The time `wait` after `at`, no later than the end of the year 9999. `at + wait` panics where the sum leaves chrono's
/// range, so times and waits from outside are added here.
#[must_use]
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| at.checked_add_signed(wait))
        .map_or(LAST, |later| later.min(LAST))
}

/// The time `age` before `at`, no earlier than the beginning of the year 1.
#[must_use]
pub fn earlier(at: Timestamp, age: Duration) -> Timestamp {
    TimeDelta::from_std(age)
        .ok()
        .and_then(|age| at.checked_sub_signed(age))
        .map_or(FIRST, |earlier| earlier.max(FIRST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_of_times_and_waits_stay_within_the_range_of_the_stores(
            seconds in -8_334_601_228_800_i64..8_210_266_876_799, wait in proptest::num::u64::ANY, nanos in 0..1_000_000_000_u32,
        ) {
            let at = DateTime::from_timestamp(seconds, nanos).unwrap();
            let wait = Duration::new(wait, nanos);
            prop_assert!(later(at, wait) <= LAST);
            prop_assert!(earlier(at, wait) >= FIRST);
        }

        #[test]
        fn an_ordinary_wait_is_added_and_subtracted_exactly(millis in 0..100_000_000_000_u64) {
            let (at, wait) = (DateTime::from_timestamp(1_764_633_600, 0).unwrap(), Duration::from_millis(millis));
            prop_assert_eq!((later(at, wait) - at).to_std().unwrap(), wait);
            prop_assert_eq!(earlier(later(at, wait), wait), at);
        }
    }
}
