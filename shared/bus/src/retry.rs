//! Scheduling a delivery into a retry tier.

use std::time::Duration;

use carillon_domain::{Channel, Lane, Timestamp, clock::later, retry::RetryPolicy};

use crate::{
    headers,
    record::{OutRecord, Record},
    topics::Topics,
};

/// The record of the next attempt: the same bytes and headers, with the new attempt and due time, in the largest tier
/// that fits into the remaining wait.
#[must_use]
pub fn schedule(
    topics: &Topics,
    policy: &RetryPolicy,
    record: &Record,
    (channel, lane): (Channel, Lane),
    attempt: u32,
    due: Timestamp,
    now: Timestamp,
) -> OutRecord {
    let remaining = (due - now).to_std().unwrap_or(Duration::ZERO);
    let mut headers = record.headers.clone();
    headers.insert(headers::ATTEMPT, attempt.to_string());
    headers.insert(headers::DUE, ceil_millis(due).to_string());
    if headers.get(headers::FIRST_FAILED_AT).is_none() {
        headers.insert(headers::FIRST_FAILED_AT, now.timestamp_millis().to_string());
    }
    OutRecord {
        topic: topics.retry(channel, lane, policy.tier_for(remaining)),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

/// Milliseconds, rounded up so that no record is early.
fn ceil_millis(at: Timestamp) -> i64 {
    let millis = at.timestamp_millis();
    millis + i64::from(!at.timestamp_subsec_micros().is_multiple_of(1000))
}

/// The due time in a record's header.
#[must_use]
pub fn due(record: &Record) -> Option<Timestamp> {
    record
        .headers
        .get_i64(headers::DUE)
        .and_then(Timestamp::from_timestamp_millis)
}

/// The time at which a record of a retry tier may be handed out: its due time, or, if that is further away than the
/// tier's wait, the time at which it moves on to the next tier.
#[must_use]
pub fn wake_at(record: &Record, tier: Duration) -> Timestamp {
    let Some(due) = due(record) else {
        return later(record.timestamp, tier);
    };
    let remaining = (due - record.timestamp).to_std().unwrap_or_default();
    due.min(later(record.timestamp, RetryPolicy::spent_in(tier, remaining)))
}
