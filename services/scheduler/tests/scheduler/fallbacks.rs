//! Fallbacks that wait: the outcome of the earlier message makes the row due, even if it was reported before the row
//! was stored.

use std::time::Duration;

use carillon_bus::{OutRecord, headers};
use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, Lane, NotificationId, TenantId, Timestamp,
    status::Origin,
    waiting::{Release, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use carillon_scheduler::{Collector, Looked, Releaser};
use carillon_store::read_model::{DeliveryRow, Projection};
use carillon_testkit::eventually;
use uuid::Uuid;

use crate::support::{Setting, killed_after, on_scheduler, start};

fn push(number: u128) -> DeliveryId {
    DeliveryId(Uuid::from_u128(0x1000 + number))
}

fn due() -> Timestamp {
    start() + Duration::from_mins(30)
}

/// The record that a router writes for an e-mail that follows pushes.
fn record(setting: &Setting, number: u128, after: Vec<DeliveryId>) -> OutRecord {
    let notification_id = NotificationId(Uuid::from_u128(0x2000 + number));
    let part = WaitingPart {
        notification_id,
        user_id: Some("u-1".into()),
        channel: Channel::Email,
        deliveries: vec![DeliveryId(Uuid::from_u128(0x3000 + number))],
        after,
    };
    let topics = setting.env.bus.topics();
    let waiting = Waiting {
        tenant: TenantId::default(),
        event_id: format!("e-{number}").into(),
        source: "/shop".into(),
        event_type: "Invite".into(),
        user_id: Some("u-1".into()),
        due: due(),
        reason: "fallback_waits".into(),
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_fallback(notification_id, Channel::Email, None),
            number: 1,
            origin: Origin {
                topic: topics.events(Lane::Normal),
                partition: 0,
                offset: 1,
            },
            written_at: start(),
            content: WaitingContent::Deliveries {
                accepted_at: start(),
                event_type: "Invite".into(),
                category: "invites".into(),
                parts: vec![part],
            },
        },
    };
    OutRecord::new(
        topics.scheduled(),
        format!("key-{number}"),
        format!("event {number}"),
    )
    .with(headers::WAITS, waiting.to_wire())
}

/// Writes the status of a push into the read model, as a tracker does.
async fn project(setting: &Setting, number: u128, status: DeliveryStatus) {
    let row = DeliveryRow {
        id: push(number),
        tenant: TenantId::default(),
        event_id: format!("e-{number}").into(),
        source: "/shop".into(),
        event_type: "Invite".into(),
        category: "invites".into(),
        user_id: Some("u-1".into()),
        channel: Channel::Push,
        state: DeliveryState {
            generation: 0,
            attempt: 1,
            status,
        },
        created_at: start(),
        at: start(),
        reason: None,
        error_code: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    };
    let projection = Projection {
        deliveries: vec![row],
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

async fn waiting_deliveries(setting: &Setting) -> u64 {
    setting.env.store.waiting().depth().await.unwrap().deliveries
}

/// Runs the collector until it has stored this number of rows and has looked up the deliveries that they follow.
async fn collect(setting: &Setting, count: u64) {
    let mut collector = Collector::new(setting.deps()).unwrap();
    let mut new = 0;
    while new < count {
        new += collector.step().await.unwrap();
    }
}

async fn release(setting: &Setting) -> usize {
    match Box::pin(Releaser::new(setting.deps()).step()).await.unwrap() {
        Looked::Released(count) => count,
        Looked::Wait(_) => 0,
    }
}

#[tokio::test]
async fn a_row_whose_earlier_message_was_told_of_before_is_due_when_it_is_stored() {
    on_scheduler(async |setting| {
        use DeliveryStatus::{Delivered, Failed, Sent};
        project(setting, 1, Delivered).await;
        project(setting, 2, Failed).await;
        project(setting, 3, Sent).await;
        project(setting, 4, Failed).await;
        let records = vec![
            record(setting, 1, vec![push(1)]),
            record(setting, 2, vec![push(2)]),
            record(setting, 3, vec![push(3)]),
            // One of two devices has failed.
            record(setting, 4, vec![push(4), push(5)]),
        ];
        setting.env.bus.publish(records).await.unwrap();
        collect(setting, 4).await;
        assert_eq!(release(setting).await, 2);
        assert_eq!(release(setting).await, 0);
        let depth = setting.env.store.waiting().depth().await.unwrap();
        assert_eq!((depth.deliveries, depth.next_due), (2, Some(due())));
        setting.clock.advance(Duration::from_mins(30));
        assert_eq!(release(setting).await, 2);
        setting.publish_all().await;
        let topic = setting.env.bus.topics().events(Lane::Normal);
        let released = setting.published(&topic).await;
        assert_eq!(released.len(), 4);
        let kept = |record: &carillon_bus::Record| {
            let header = record.headers.get(headers::RELEASE).unwrap();
            Release::parse(header).unwrap().content.parts()[0].after.len()
        };
        let mut after: Vec<usize> = released.iter().map(kept).collect();
        after.sort_unstable();
        assert_eq!(after, [1, 1, 1, 2], "the router is told what each follows");
    })
    .await;
}

#[tokio::test]
async fn a_row_is_due_at_once_wherever_the_collector_dies() {
    on_scheduler(async |setting| {
        for waits in 0.. {
            let number = 1 + waits as u128;
            project(setting, number, DeliveryStatus::Delivered).await;
            let written = record(setting, number, vec![push(number)]);
            setting.env.bus.publish(vec![written]).await.unwrap();
            let mut collector = Collector::new(setting.deps()).unwrap();
            let survived = killed_after(waits, Box::pin(collector.step())).await.is_some();
            drop(collector);
            eventually("the row is released before its time", || async {
                setting.clock.advance(Duration::from_secs(1));
                let mut collector = Collector::new(setting.deps()).unwrap();
                let _ = tokio::time::timeout(Duration::from_millis(300), collector.step()).await;
                release(setting).await;
                let id = Waiting::id_of_fallback(
                    NotificationId(Uuid::from_u128(0x2000 + number)),
                    Channel::Email,
                    None,
                );
                let key = carillon_store::events::EventKey {
                    tenant: TenantId::default(),
                    event_id: format!("e-{number}").into(),
                    source: "/shop".into(),
                };
                let rows = setting.env.store.waiting().of_event(&key).await.unwrap();
                rows.iter().any(|row| row.id == id && row.state == "released")
            })
            .await;
            assert_eq!(waiting_deliveries(setting).await, 0);
            assert!(setting.env.store.now() < due());
            if survived && waits > 3 {
                break;
            }
        }
    })
    .await;
}
