//! Fallbacks that wait: the statuses of an earlier message make the row of the message that follows it due.

use std::time::Duration;

use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, NotificationId, StatusRecord, Timestamp,
    status::Origin,
    waiting::{Release, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use carillon_store::{outbox::OutboxRecord, waiting::NewWaiting};
use carillon_testkit::eventually;
use uuid::Uuid;

use crate::{
    statuses::{at, delivery_id, event_id, receipt, routed, said},
    support::{Setting, on_tracker},
};
use DeliveryStatus::{Acknowledged, Cancelled, DeadLettered, Delivered, Retrying, Sending, Sent};

/// Stores a push that follows deliveries and waits for half an hour, as a scheduler does. Returns the end of its wait.
async fn wait_for(setting: &Setting, event: u32, after: Vec<DeliveryId>) -> Timestamp {
    let due = setting.env.store.now() + Duration::from_mins(30);
    let notification_id = NotificationId(Uuid::from_u128(u128::from(event)));
    let part = WaitingPart {
        notification_id,
        user_id: Some("u-42".into()),
        channel: Channel::Push,
        deliveries: vec![delivery_id(event, Channel::Push)],
        after,
    };
    let waiting = Waiting {
        tenant: setting.tenant.clone(),
        event_id: event_id(event),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        user_id: Some("u-42".into()),
        due,
        reason: "fallback_waits".into(),
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_fallback(notification_id, Channel::Push, None),
            number: 1,
            origin: Origin {
                topic: "notifications.events".into(),
                partition: 0,
                offset: i64::from(event),
            },
            written_at: at(0),
            content: WaitingContent::Deliveries {
                accepted_at: at(0),
                event_type: "OrderShipped".into(),
                category: "transactional".into(),
                parts: vec![part],
            },
        },
    };
    let record = OutboxRecord {
        topic: "t".into(),
        key: None,
        headers: Vec::new(),
        value: Vec::new(),
    };
    let added = setting
        .env
        .store
        .waiting()
        .add(&[NewWaiting { waiting, record }])
        .await;
    assert_eq!(added.unwrap(), 1);
    due
}

async fn next_due(setting: &Setting) -> Timestamp {
    setting.env.store.waiting().next_due().await.unwrap().unwrap()
}

fn sms(event: u32) -> DeliveryId {
    delivery_id(event, Channel::Sms)
}

/// Runs a tracker until the row is due.
async fn due_while_tracking(setting: &Setting, statuses: &[StatusRecord]) {
    let records = statuses.iter().map(|status| setting.record(status)).collect();
    setting.publish(records).await;
    let tracker = setting.start();
    eventually("the row is due", || async {
        next_due(setting).await == setting.env.store.now()
    })
    .await;
    tracker.end().await;
}

/// Tracks the statuses of one event, and expects that the row becomes due at once or stays.
async fn tells(setting: &Setting, event: u32, statuses: &[StatusRecord], at_once: bool) {
    let due = wait_for(setting, event, vec![sms(event)]).await;
    setting.track(&[routed(event)]).await;
    assert_eq!(next_due(setting).await, due);
    if at_once {
        due_while_tracking(setting, statuses).await;
    } else {
        setting.track(statuses).await;
        assert_eq!(next_due(setting).await, due, "{statuses:?}");
    }
    // The next case begins without a row.
    setting.clock.advance(Duration::from_hours(1));
    assert_eq!(setting.env.store.waiting().release().await.unwrap().due.len(), 1);
}

#[tokio::test]
async fn a_receipt_an_acknowledgement_and_a_failure_make_the_following_delivery_due_at_once() {
    on_tracker(async |setting| {
        let of = |event, steps: &[_]| said(event, Channel::Sms, (0, 1), steps);
        tells(setting, 1, &[of(1, &[(1, Sending), (2, Sent)])], false).await;
        tells(setting, 2, &[of(2, &[(1, Sending), (2, Retrying)])], false).await;
        tells(setting, 3, &[of(3, &[(1, Cancelled)])], false).await;
        tells(setting, 4, &[of(4, &[(1, Sending), (2, DeadLettered)])], true).await;
        tells(setting, 5, &[of(5, &[(1, Acknowledged)])], true).await;
        tells(setting, 6, &[receipt(6, (0, 1), "r", (3, Delivered))], true).await;
    })
    .await;
}

#[tokio::test]
async fn of_two_earlier_messages_one_reaches_the_recipient_or_both_fail() {
    on_tracker(async |setting| {
        let email = delivery_id(1, Channel::Email);
        let due = wait_for(setting, 1, vec![sms(1), email]).await;
        let failed = |channel| said(1, channel, (0, 1), &[(1, Sending), (2, DeadLettered)]);
        setting.track(&[routed(1), failed(Channel::Sms)]).await;
        assert_eq!(next_due(setting).await, due);
        due_while_tracking(setting, &[failed(Channel::Email)]).await;
    })
    .await;
}

#[tokio::test]
async fn a_tracker_finishes_the_work_of_the_former_one_when_it_starts() {
    on_tracker(async |setting| {
        setting
            .track(&[routed(1), said(1, Channel::Sms, (0, 1), &[(1, DeadLettered)])])
            .await;
        let due = wait_for(setting, 1, vec![sms(1)]).await;
        assert_eq!(next_due(setting).await, due, "nothing tells of it any more");
        due_while_tracking(setting, &[]).await;
    })
    .await;
}
