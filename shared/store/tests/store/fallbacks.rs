//! Fallbacks that wait, and acknowledgements.

use std::time::Duration;

use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, NotificationId,
    fallback::{Earlier, EarlierDelivery},
    waiting::{Release, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use carillon_store::{
    Page,
    api_keys::{Principal, Role},
    audit_log::AuditAction,
    fallbacks::{Acknowledgement, Acknowledging},
    outbox::OutboxRecord,
    waiting::NewWaiting,
};
use uuid::Uuid;

use crate::support::{TestStore, apply, delivery_id, delivery_row, on_each, origin, seconds, start, state};

const HOUR: Duration = Duration::from_hours(1);

fn who() -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "app".to_owned(),
        tenant: "default".into(),
        role: Role::Operator,
    }
}

async fn acknowledge(store: &TestStore, number: u128, attempt: u32) -> Acknowledgement {
    let said = Acknowledging {
        delivery_id: delivery_id(number),
        channel: Channel::Push,
        generation: 0,
        attempt,
        who: &who(),
        route: "/v1/deliveries/x/acknowledge",
    };
    store.fallbacks().acknowledge(said).await.unwrap()
}

/// A message that follows deliveries and waits for an hour.
fn follows(number: u128, after: &[u128]) -> NewWaiting {
    let notification_id = NotificationId(Uuid::from_u128(number));
    let part = WaitingPart {
        notification_id,
        user_id: None,
        channel: Channel::Email,
        deliveries: vec![DeliveryId(Uuid::from_u128(number))],
        after: after.iter().map(|number| delivery_id(*number)).collect(),
    };
    NewWaiting {
        waiting: Waiting {
            tenant: "default".into(),
            event_id: format!("e-{number}").into(),
            source: "/shop".into(),
            event_type: "Invite".into(),
            user_id: None,
            due: start() + HOUR,
            reason: "fallback_waits".into(),
            digest: None,
            release: Release {
                v: WAITING_VERSION,
                id: Waiting::id_of_fallback(notification_id, Channel::Email, None),
                number: 1,
                origin: origin(1),
                written_at: start(),
                content: WaitingContent::Deliveries {
                    accepted_at: start(),
                    event_type: "Invite".into(),
                    category: "invites".into(),
                    parts: vec![part],
                },
            },
        },
        record: OutboxRecord {
            topic: "t".into(),
            key: None,
            headers: Vec::new(),
            value: Vec::new(),
        },
    }
}

async fn reach(store: &TestStore, number: u128, status: DeliveryStatus) {
    let row = delivery_row(number, state(0, 1, status), start());
    apply(store, Vec::new(), vec![row]).await;
}

async fn hasten(store: &TestStore, numbers: &[u128]) -> u64 {
    let changed: Vec<DeliveryId> = numbers.iter().map(|number| delivery_id(*number)).collect();
    store.fallbacks().hasten(&changed).await.unwrap()
}

#[tokio::test]
async fn the_first_acknowledgement_stays_and_is_audited_once() {
    on_each(async |store| {
        let first = acknowledge(store, 1, 2).await;
        let expected = Acknowledgement {
            is_new: true,
            at: start(),
            key_name: "app".to_owned(),
            generation: 0,
            attempt: 2,
        };
        assert_eq!(first, expected);
        store.clock.advance(seconds(5));
        let again = acknowledge(store, 1, 3).await;
        let expected = Acknowledgement {
            is_new: false,
            ..expected
        };
        assert_eq!(again, expected);
        let page = Page {
            after: None,
            limit: 10,
        };
        let log = store.audit_log().list(&store.tenant, page).await.unwrap();
        let [entry] = &log.items[..] else {
            panic!("{log:?}")
        };
        assert_eq!(
            (entry.action, &*entry.route),
            (AuditAction::Acknowledge, "/v1/deliveries/x/acknowledge")
        );
        store.clock.advance(HOUR);
        assert_eq!(store.fallbacks().prune(HOUR + HOUR).await.unwrap(), 0);
        assert_eq!(store.fallbacks().prune(HOUR).await.unwrap(), 1);
        assert!(acknowledge(store, 1, 3).await.is_new);
    })
    .await;
}

#[tokio::test]
async fn the_state_of_a_delivery_is_that_of_its_timeline_or_an_acknowledgement() {
    on_each(async |store| {
        reach(store, 1, DeliveryStatus::Delivered).await;
        let later = delivery_row(1, state(0, 2, DeliveryStatus::Uncertain), start());
        apply(store, Vec::new(), vec![later]).await;
        reach(store, 2, DeliveryStatus::DeadLettered).await;
        reach(store, 3, DeliveryStatus::Failed).await;
        acknowledge(store, 3, 1).await;
        acknowledge(store, 4, 1).await;
        reach(store, 5, DeliveryStatus::Sent).await;
        let asked: Vec<DeliveryId> = (1..=6).map(delivery_id).collect();
        let states = store.fallbacks().states(&asked).await.unwrap();
        let of = |channel, state| Some(EarlierDelivery { channel, state });
        let acknowledged = Earlier::Reached(DeliveryStatus::Acknowledged);
        let expected = [
            of(Channel::Email, Earlier::Reached(DeliveryStatus::Delivered)),
            of(Channel::Email, Earlier::Failed),
            of(Channel::Push, acknowledged),
            of(Channel::Push, acknowledged),
            of(Channel::Email, Earlier::Open),
            None,
        ];
        for (id, expected) in asked.iter().zip(expected) {
            assert_eq!(states.get(id).copied(), expected, "{id}");
        }
        assert!(store.fallbacks().states(&[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_following_delivery_is_due_once_the_fate_of_the_earlier_ones_is_known() {
    on_each(async |store| {
        let waiting = store.waiting();
        let rows = [follows(1, &[11]), follows(2, &[12, 13]), follows(3, &[12, 14])];
        assert_eq!(waiting.add(&rows).await.unwrap(), 3);
        assert_eq!(waiting.add(&rows).await.unwrap(), 0);
        assert_eq!(hasten(store, &[]).await, 0);
        assert_eq!(hasten(store, &[11, 12, 99]).await, 0, "nothing is known of them");

        reach(store, 12, DeliveryStatus::Failed).await;
        assert_eq!(
            hasten(store, &[12]).await,
            0,
            "the others may reach the recipient"
        );
        reach(store, 13, DeliveryStatus::Failed).await;
        assert_eq!(hasten(store, &[13]).await, 1);
        assert_eq!(hasten(store, &[13]).await, 0, "it is due already");
        acknowledge(store, 14, 1).await;
        assert_eq!(hasten(store, &[14]).await, 1);
        let released = waiting.release().await.unwrap();
        assert_eq!(released.due, [start(), start()]);
        assert_eq!(waiting.next_due().await.unwrap(), Some(start() + HOUR));
        assert_eq!(hasten(store, &[12, 13, 14]).await, 0, "they were released");

        let many: Vec<NewWaiting> = (100..1_300)
            .map(|number| follows(number, &[number % 2 + 20]))
            .collect();
        assert_eq!(waiting.add(&many).await.unwrap(), 1_200);
        assert_eq!(store.fallbacks().hasten_all().await.unwrap(), 0);
        reach(store, 21, DeliveryStatus::Failed).await;
        assert_eq!(store.fallbacks().hasten_all().await.unwrap(), 600);
        assert_eq!(store.fallbacks().hasten_all().await.unwrap(), 0);
        let mut released = 0;
        while released < 600 {
            released += waiting.release().await.unwrap().due.len();
        }
        assert_eq!(released, 600);

        // A waiting row keeps the deliveries that it follows, at any age.
        store.clock.advance(HOUR * 48);
        store.fallbacks().prune(HOUR).await.unwrap();
        store.clock.advance(seconds(1));
        reach(store, 11, DeliveryStatus::Delivered).await;
        assert_eq!(hasten(store, &[11]).await, 0, "it is overdue");
        assert_eq!(waiting.release().await.unwrap().due.len(), 601);
    })
    .await;
}
