//! The time at which the bus took an event. A Kafka producer sets that time itself and may set any value.

use std::time::Duration;

use carillon_domain::Timestamp;
use carillon_store::events::DEDUPE_WINDOW;

/// The largest accepted lead of a producer's clock.
const AHEAD: Duration = Duration::from_mins(5);

/// The record's timestamp if it is plausible, otherwise the time at which the event was claimed. A record
/// older than the retention of claims counts from its claim, so that its data is not pruned early.
pub(crate) fn accepted_at(written: Timestamp, claimed_at: Option<Timestamp>) -> Timestamp {
    match claimed_at {
        Some(claimed) if written > claimed + AHEAD || written < claimed - DEDUPE_WINDOW => claimed,
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_timestamp_is_replaced_by_the_time_of_the_claim() {
        let time = |text: &str| -> Timestamp { text.parse().unwrap() };
        let claimed = time("2026-11-24T10:00:00Z");
        for written in [
            "2026-11-24T09:59:58Z",
            "2026-11-17T10:00:01Z",
            "2026-11-24T10:05:00Z",
        ] {
            assert_eq!(accepted_at(time(written), Some(claimed)), time(written));
        }
        for written in [
            "1970-01-01T00:00:00.001Z",
            "1970-01-21T10:10:33.600Z",
            "2026-11-17T09:59:59Z",
            "2026-11-24T10:05:01Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(accepted_at(time(written), Some(claimed)), claimed);
        }
        assert_eq!(accepted_at(Timestamp::MAX_UTC, Some(claimed)), claimed);
        assert_eq!(accepted_at(Timestamp::MIN_UTC, Some(claimed)), claimed);
        assert_eq!(
            accepted_at(time("1970-01-01T00:00:00Z"), None),
            Timestamp::UNIX_EPOCH
        );
    }
}
