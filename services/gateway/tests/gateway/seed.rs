//! Writes rows into the read model, as a tracker would.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    decide::{Decision, Outcome, Reason, Steps},
    status::{EventVerdict, Origin, TemplateRef, TimelineStep},
};
use carillon_store::{
    dead_letters::DeadLetterRow,
    read_model::{AttemptRow, DeliveryRow, EventRow, Projection, StoredOffset},
};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use crate::support::{START, Setting};

pub(crate) fn start() -> Timestamp {
    START.parse().unwrap()
}

pub(crate) fn origin(topic: &str, offset: i64) -> Origin {
    Origin {
        topic: topic.into(),
        partition: 0,
        offset,
    }
}

pub(crate) fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId(Uuid::from_u128(0x6f1d << 112 | u128::from(number)))
}

/// An empty batch of a tracker.
fn batch() -> Projection {
    Projection {
        consumer: "a test".to_owned(),
        offsets: offsets(),
        ..Projection::default()
    }
}

/// Offsets that no earlier batch of any test has had, as a tracker's.
fn offsets() -> Vec<StoredOffset> {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    vec![StoredOffset {
        topic: "notifications.status".into(),
        partition: 0,
        next: NEXT.fetch_add(1, Ordering::Relaxed),
    }]
}

/// The time from a step to the retry that it announces.
const RETRY_AFTER: Duration = Duration::from_mins(15);

/// An event with one e-mail, whose timeline has these steps, one second apart.
pub(crate) async fn delivery(
    setting: &Setting,
    number: u32,
    timeline: &[(u32, DeliveryStatus)],
) -> DeliveryId {
    let event = json!({
        "specversion": "1.0", "id": format!("order-{number}"), "source": "/shop/orders", "type": "OrderShipped",
        "time": START, "recipients": [{"user_id": "u-42"}],
        "data": {"order_id": number.to_string(), "carrier": "DHL"},
    });
    project(setting, number, &event, Channel::Email, timeline, "try <later>").await
}

/// An event with one failed delivery on a channel.
pub(crate) async fn event_with_delivery(
    setting: &Setting,
    number: u32,
    event: &Value,
    channel: Channel,
    detail: &str,
) -> DeliveryId {
    let timeline = [(0, DeliveryStatus::Queued), (1, DeliveryStatus::DeadLettered)];
    project(setting, number, event, channel, &timeline, detail).await
}

async fn project(
    setting: &Setting,
    number: u32,
    event: &Value,
    channel: Channel,
    timeline: &[(u32, DeliveryStatus)],
    said: &str,
) -> DeliveryId {
    let id = delivery_id(number);
    let text = |name: &str| event[name].as_str().unwrap();
    let (event_id, source, event_type) = (text("id"), text("source"), text("type"));
    let user = event["recipients"][0]["user_id"].as_str();
    let at = |step: usize| start() + Duration::from_secs(u64::from(number) * 60 + step as u64);
    let mut projection = batch();
    projection.events.push(EventRow {
        origin: origin("notifications.events", i64::from(number)),
        part: 0,
        tenant: setting.tenant.clone(),
        event_id: event_id.into(),
        source: source.into(),
        event_type: event_type.into(),
        at: at(0),
        verdict: EventVerdict::Routed,
        via_gateway: true,
        parts: 1,
        release: None,
        due: None,
        user_id: None,
        event: Some(RawValue::from_string(event.to_string()).unwrap()),
        decisions: vec![Decision {
            recipient: user.unwrap_or("a guest").to_owned(),
            user_id: user.map(Into::into),
            channel,
            category: "transactional".into(),
            outcome: Outcome::Send,
            reason: Reason::Allowed,
            sentence: "To be sent by email: no rule forbids it.".to_owned(),
            steps: Steps::default(),
            address_hash: None,
            to_masked: Some("a***@example.com".to_owned()),
            until: None,
            digest_id: None,
            after: Vec::new(),
            delivery_id: Some(id),
        }],
    });
    for (step, (attempt, status)) in timeline.iter().enumerate() {
        let failed = matches!(status, DeliveryStatus::Retrying | DeliveryStatus::DeadLettered);
        let (code, detail) = if failed {
            (Some("451"), Some(said))
        } else {
            // The tracker writes the reason of the decision.
            (None, (*status == DeliveryStatus::Queued).then_some("allowed"))
        };
        let row = DeliveryRow {
            id,
            tenant: setting.tenant.clone(),
            event_id: event_id.into(),
            source: source.into(),
            event_type: event_type.into(),
            category: "transactional".into(),
            user_id: user.map(Into::into),
            channel,
            state: DeliveryState {
                generation: 0,
                attempt: *attempt,
                status: *status,
            },
            created_at: at(0),
            at: at(step),
            reason: detail.map(str::to_owned),
            error_code: code.map(str::to_owned),
            to_masked: Some("a***@example.com".to_owned()),
            provider: (*attempt > 0).then(|| "smtp".into()),
            provider_message_id: None,
            template: (*attempt > 0).then(|| TemplateRef {
                id: format!("{event_type}/{channel}").into(),
                version: 1,
                locale: "en".into(),
            }),
            queued: None,
        };
        projection.attempts.push(AttemptRow {
            delivery_id: id,
            created_at: row.created_at,
            generation: row.state.generation,
            attempt: row.state.attempt,
            counted: None,
            provider: row.provider.clone(),
            receipt_id: None,
            // The tracker writes the reason of the decision as the code of the first step.
            steps: vec![TimelineStep {
                at: row.at,
                status: *status,
                code: row
                    .error_code
                    .clone()
                    .or((*status == DeliveryStatus::Queued).then(|| "allowed".to_owned())),
                detail: row.reason.clone(),
            }],
            due_at: (*status == DeliveryStatus::Retrying).then(|| at(step) + RETRY_AFTER),
        });
        projection.deliveries.push(row);
    }
    setting.env.store.read_model().apply(&projection).await.unwrap();
    id
}

/// A dead letter of the e-mail queue, or of the queue of events.
pub(crate) async fn dead_letter(setting: &Setting, offset: i64, channel: Option<Channel>, code: &str) {
    let queue = channel.map_or("events", Channel::as_str);
    let letter = DeadLetter {
        class: FailureClass::Terminal,
        provider: channel.map(|_| "smtp".to_owned()),
        code: code.to_owned(),
        reason: format!("refused with <b>{code}</b>"),
        attempts: 3,
        first_failed_at: start(),
    };
    let row = DeadLetterRow {
        position: origin(&format!("notifications.{queue}.dlq"), offset),
        tenant: setting.tenant.clone(),
        channel,
        source_topic: format!("notifications.{queue}").into(),
        fingerprint: letter.fingerprint(queue),
        letter,
        dead_at: start() + Duration::from_secs(offset.cast_unsigned()),
        delivery_id: None,
        event_type: Some("OrderShipped".to_owned()),
        headers: [
            ("kafka_dlt-original-topic", &*format!("notifications.{queue}")),
            // Partition 3, offset 7.
            ("kafka_dlt-original-partition", "base64:AAAAAw=="),
            ("kafka_dlt-original-offset", "base64:AAAAAAAAAAc="),
            // 2026-11-24T10:00:00Z.
            ("kafka_dlt-original-timestamp", "base64:AAABogz/fQA="),
            ("kafka_dlt-original-timestamp-type", "CreateTime"),
            ("carillon-attempts", "3"),
            ("carillon-first-failed-at", "1795514400000"),
            // Bytes of a producer, of which nothing is known.
            ("signature", "base64:/wAB"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        key: None,
        value: b"\x00 not <json>".to_vec(),
    };
    setting
        .env
        .store
        .dead_letters()
        .apply("a test", &[row], &offsets())
        .await
        .unwrap();
}
