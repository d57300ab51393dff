//! Status records as routers and workers write them.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, StatusRecord, Timestamp,
    decide::{Decision, Outcome, Reason, Steps},
    receipt::DeliveryReceipt,
    status::{DeliveryUpdate, EventDecided, EventVerdict, Origin, STATUS_VERSION, TemplateRef, TimelineStep},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::support::START;

/// The time this many seconds after the start.
pub(crate) fn at(seconds: u64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + std::time::Duration::from_secs(seconds)
}

/// The delivery of an event on a channel.
pub(crate) fn delivery_id(event: u32, channel: Channel) -> DeliveryId {
    DeliveryId(Uuid::from_u128((u128::from(event) << 8) | channel as u128))
}

pub(crate) fn event_id(event: u32) -> carillon_domain::EventId {
    format!("e-{event}").into()
}

fn decision(event: u32, channel: Channel, outcome: Outcome) -> Decision {
    let sends = outcome == Outcome::Send;
    Decision {
        recipient: "u-42".to_owned(),
        user_id: Some("u-42".into()),
        channel,
        category: "transactional".into(),
        outcome,
        reason: if sends {
            Reason::Allowed
        } else {
            Reason::OptedOutChannel
        },
        sentence: format!("{outcome} by {channel}"),
        steps: Steps::default(),
        address_hash: None,
        to_masked: sends.then(|| "a…@example.com".to_owned()),
        until: None,
        digest_id: None,
        after: Vec::new(),
        delivery_id: sends.then(|| delivery_id(event, channel)),
    }
}

/// A router's decision about an event, read at an offset equal to the event's number.
pub(crate) fn decided(event: u32, verdict: EventVerdict) -> EventDecided {
    let routed = verdict == EventVerdict::Routed;
    let json = format!(r#"{{"specversion":"1.0","id":"e-{event}","data":{{"b": 1.50}}}}"#);
    let decisions = [
        decision(event, Channel::Email, Outcome::Send),
        decision(event, Channel::Push, Outcome::Suppress),
        decision(event, Channel::Sms, Outcome::Send),
    ];
    EventDecided {
        v: STATUS_VERSION,
        tenant: "default".into(),
        event_id: event_id(event),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        at: at(0),
        accepted_at: at(0),
        verdict,
        origin: Origin {
            topic: "notifications.events".into(),
            partition: 0,
            offset: i64::from(event),
        },
        part: 0,
        parts: 1,
        via_gateway: false,
        release: None,
        due: None,
        user_id: None,
        event: routed.then(|| RawValue::from_string(json).unwrap()),
        decisions: if routed { decisions.to_vec() } else { Vec::new() },
    }
}

/// The decision to send an e-mail and a text.
pub(crate) fn routed(event: u32) -> StatusRecord {
    StatusRecord::EventDecided(decided(event, EventVerdict::Routed))
}

/// A worker's report on one attempt of a delivery: each step with its second.
pub(crate) fn update(
    event: u32,
    channel: Channel,
    (generation, attempt): (u32, u32),
    steps: &[(u64, DeliveryStatus)],
) -> DeliveryUpdate {
    let step = |(seconds, status): &(u64, DeliveryStatus)| TimelineStep {
        at: at(*seconds),
        status: *status,
        code: (*status == DeliveryStatus::Retrying).then(|| "429".to_owned()),
        detail: (*status == DeliveryStatus::Retrying).then(|| "slow down".to_owned()),
    };
    DeliveryUpdate {
        v: STATUS_VERSION,
        tenant: "default".into(),
        delivery_id: delivery_id(event, channel),
        event_id: event_id(event),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        category: "transactional".into(),
        user_id: Some("u-42".into()),
        channel,
        accepted_at: at(0),
        generation,
        attempt,
        // The first one does not count, as of an account that is throttled.
        attempts: attempt.checked_sub(1),
        to_masked: Some("a…@example.com".to_owned()),
        provider: (attempt > 0).then(|| Arc::from(format!("account-{attempt}"))),
        provider_message_id: None,
        template: Some(TemplateRef {
            id: format!("OrderShipped/{channel}").into(),
            version: 3,
            locale: "en".into(),
        }),
        next_attempt_at: (steps.last().map(|(_, status)| *status) == Some(DeliveryStatus::Retrying))
            .then(|| at(NEXT_ATTEMPT)),
        steps: steps.iter().map(step).collect(),
    }
}

/// The due time of a retry in [`update`], in seconds.
pub(crate) const NEXT_ATTEMPT: u64 = 900;

/// A worker's report as a record.
pub(crate) fn said(
    event: u32,
    channel: Channel,
    attempt: (u32, u32),
    steps: &[(u64, DeliveryStatus)],
) -> StatusRecord {
    StatusRecord::Delivery(update(event, channel, attempt, steps))
}

/// A provider's receipt for an attempt at a text.
pub(crate) fn receipt(
    event: u32,
    (generation, attempt): (u32, u32),
    id: &str,
    (seconds, status): (u64, DeliveryStatus),
) -> StatusRecord {
    StatusRecord::Receipt(DeliveryReceipt {
        v: STATUS_VERSION,
        tenant: "default".into(),
        delivery_id: delivery_id(event, Channel::Sms),
        event_id: event_id(event),
        accepted_at: at(0),
        generation,
        attempt,
        provider: "texts".into(),
        provider_message_id: Some("SM1".to_owned()),
        receipt_id: id.to_owned(),
        step: TimelineStep {
            at: at(seconds),
            status,
            code: (status == DeliveryStatus::Bounced).then(|| "30005".to_owned()),
            detail: (status == DeliveryStatus::Bounced)
                .then(|| "the number takes no text messages".to_owned()),
        },
    })
}

/// The records of an e-mail that was deferred once, sent, and opened; oldest first.
pub(crate) fn life(event: u32) -> Vec<StatusRecord> {
    use DeliveryStatus::{Delivered, Opened, Retrying, Sending, Sent};
    let email = |attempt, steps: &[_]| update(event, Channel::Email, (0, attempt), steps);
    let mut sent = email(2, &[(20, Sending), (21, Sent)]);
    sent.provider_message_id = Some("message-7".to_owned());
    vec![
        routed(event),
        StatusRecord::Delivery(email(1, &[(1, Sending), (2, Retrying)])),
        StatusRecord::Delivery(sent),
        StatusRecord::Delivery(email(2, &[(30, Delivered)])),
        StatusRecord::Delivery(email(2, &[(60, Opened)])),
    ]
}
