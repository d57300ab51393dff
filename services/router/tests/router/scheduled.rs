//! Events with a future `sendat`: they wait, and are decided once when they come back.

use std::time::Duration;

use carillon_bus::{Headers, OutRecord, Record, headers};
use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, NotificationId, Timestamp,
    status::{EventVerdict, Origin, ReleaseOf},
    waiting::{Release, WAITING_VERSION, Waiting, WaitingContent, WaitingKind, WaitingPart},
};
use carillon_store::{
    api_keys::{Principal, Role},
    events::EventKey,
    outbox::OutboxRecord,
    waiting::{Cancellation, EventCancel, NewWaiting},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    routed::Routed,
    support::{Setting, on_router, shipped, with},
};

use EventVerdict::{Duplicate, Rejected, Routed as Decided, Scheduled};

const LATER: &str = "2026-11-24T12:00:00Z";

fn later() -> Timestamp {
    LATER.parse().unwrap()
}

fn scheduled(id: &str) -> Value {
    with(shipped(id), "sendat", json!(LATER))
}

/// The wait that the only record for the scheduler describes.
fn waiting(routed: &Routed) -> Waiting {
    let [record] = &routed.waiting[..] else {
        panic!("{:?}", routed.waiting)
    };
    Waiting::parse(record.headers.get(headers::WAITS).unwrap()).unwrap()
}

/// Stores a wait and releases it, as a scheduler does. Returns the record that a scheduler publishes.
async fn release(setting: &Setting, out: &OutRecord) -> Record {
    release_after(setting, out, Duration::from_hours(2)).await
}

/// Like [`release`], after another time.
pub(crate) async fn release_after(setting: &Setting, out: &OutRecord, wait: Duration) -> Record {
    let waiting = Waiting::parse(out.headers.get(headers::WAITS).unwrap()).unwrap();
    let release = waiting.release.clone();
    let record = OutboxRecord {
        topic: "t".into(),
        key: None,
        headers: Vec::new(),
        value: Vec::new(),
    };
    let store = setting.env.store.waiting();
    store.add(&[NewWaiting { waiting, record }]).await.unwrap();
    setting.clock.advance(wait);
    assert_eq!(store.release().await.unwrap().due.len(), 1);
    let mut headers = Headers::default();
    for (name, value) in out.headers.iter().filter(|(name, _)| *name != headers::WAITS) {
        headers.push(name.to_owned(), value.clone());
    }
    headers.insert(headers::RELEASE, release.to_wire());
    let mut record = setting.raw(out.value.clone());
    record.offset += 5_000;
    record.headers = headers;
    record.timestamp = setting.env.store.now();
    record
}

#[tokio::test]
async fn an_event_with_a_future_sendat_waits_unchanged_and_its_status_names_the_time() {
    on_router(async |setting| {
        let record = setting.record(&scheduled("e-1"));
        let routed = setting.route(std::slice::from_ref(&record)).await;
        assert!(routed.deliveries.is_empty());
        let only = routed.only();
        assert_eq!((only.verdict, only.due), (Scheduled, Some(later())));
        assert_eq!(only.user_id.as_ref().unwrap().as_str(), "u-42");
        assert!(only.event.is_some() && only.release.is_none());
        assert_eq!(routed.waiting[0].value, record.value);
        assert_eq!(routed.waiting[0].key, record.key);
        let waiting = waiting(&routed);
        assert_eq!((waiting.due, &*waiting.reason), (later(), "send_at"));
        assert_eq!(waiting.release.content, WaitingContent::Event);
        assert_eq!(waiting.release.number, 1);

        // Read again, as after an aborted transaction, it is the same wait.
        let again = setting.route(&[record]).await;
        assert_eq!(again.verdicts(), [("e-1", Scheduled)]);
        assert_eq!(self::waiting(&again), waiting);
    })
    .await;
}

#[tokio::test]
async fn a_released_event_is_decided_once_and_no_duplicate_of_its_event() {
    on_router(async |setting| {
        let first = setting.record(&scheduled("e-1"));
        let waits = setting.route(std::slice::from_ref(&first)).await;
        let released = release(setting, &waits.waiting[0]).await;
        let doubled = Record {
            offset: released.offset + 1,
            ..released.clone()
        };
        // The publisher may publish a record twice, and the router reads each again after an aborted transaction.
        for _ in 0..2 {
            let routed = setting.route(&[released.clone(), doubled.clone()]).await;
            assert_eq!(routed.verdicts(), [("e-1", Decided), ("e-1", Duplicate)]);
            assert_eq!(routed.deliveries.len(), 3);
            let of = ReleaseOf {
                id: Waiting::id_of_event(&setting.tenant, "/shop/orders", &"e-1".into()),
                number: 1,
                kind: WaitingKind::Event,
                deliveries: Vec::new(),
            };
            assert_eq!(routed.decided[0].release, Some(of));
        }
        // The event itself, repeated by its source, is a duplicate.
        let repeated = setting.record(&scheduled("e-1"));
        let routed = setting.route(&[repeated]).await;
        assert_eq!(routed.verdicts(), [("e-1", Duplicate)]);
    })
    .await;
}

#[tokio::test]
async fn changes_during_the_wait_of_an_event_count_at_its_release() {
    on_router(async |setting| {
        let waits = setting.route_event(&scheduled("e-1")).await;
        setting
            .prefer("u-42", json!({"categories": {"transactional": {"sms": false}}}))
            .await;
        let released = release(setting, &waits.waiting[0]).await;
        let routed = setting.route(&[released]).await;
        assert_eq!(
            routed.decisions(),
            [
                "email send allowed",
                "sms suppress opted_out_category",
                "push send allowed"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_released_event_is_not_sent_after_its_expiry() {
    on_router(async |setting| {
        let short = with(scheduled("e-1"), "expiresat", json!("2026-11-24T12:00:01Z"));
        let waits = setting.route_event(&short).await;
        let released = release(setting, &waits.waiting[0]).await;
        setting.clock.advance(Duration::from_secs(2));
        let routed = setting.route(&[released]).await;
        assert!(routed.deliveries.is_empty());
        assert_eq!(routed.decisions()[0], "email suppress expired");
    })
    .await;
}

#[tokio::test]
async fn a_header_that_no_scheduler_wrote_is_not_believed() {
    on_router(async |setting| {
        let waits = setting.route_event(&scheduled("e-1")).await;
        let forged = waiting(&waits).release;
        // The event waits still; its release is not due.
        let mut early = setting.record(&scheduled("e-1"));
        early.headers.push(headers::RELEASE, forged.to_wire());
        let routed = setting.route(&[early]).await;
        assert_eq!(routed.verdicts(), [("e-1", Duplicate)]);

        // The release of one event does not make another one pass.
        let released = release(setting, &waits.waiting[0]).await;
        let mut other = setting.record(&with(shipped("e-2"), "sendat", json!("2026-11-25T12:00:00Z")));
        other.headers.push(headers::RELEASE, forged.to_wire());
        let routed = setting.route(&[other]).await;
        assert_eq!(routed.verdicts(), [("e-2", Scheduled)]);
        drop(released);

        let mut odd = setting.record(&shipped("e-3"));
        odd.headers.push(headers::RELEASE, "{}");
        assert_eq!(setting.route(&[odd]).await.verdicts(), [("e-3", Decided)]);
    })
    .await;
}

#[tokio::test]
async fn a_sendat_of_more_than_a_year_ahead_from_kafka_is_a_dead_letter_with_the_field() {
    on_router(async |setting| {
        let far = with(shipped("e-1"), "sendat", json!("2027-11-24T10:00:01Z"));
        let routed = setting.route_event(&far).await;
        assert_eq!(routed.verdicts(), [("e-1", Rejected)]);
        let letter = &routed.dead[0];
        assert_eq!(letter.headers.get_str("carillon-code"), Some("sendat"));
        let reason = letter.headers.get_str("kafka_dlt-exception-message").unwrap();
        assert!(
            reason.contains("/sendat: expected a time at most 365 days from now"),
            "{reason}"
        );
        let just = with(shipped("e-2"), "sendat", json!("2027-11-24T10:00:00Z"));
        assert_eq!(setting.route_event(&just).await.verdicts(), [("e-2", Scheduled)]);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_cannot_be_decided_at_its_release_is_rejected_as_that_release() {
    on_router(async |setting| {
        let waits = setting.route_event(&scheduled("e-1")).await;
        let released = release(setting, &waits.waiting[0]).await;
        let mut catalog = setting
            .env
            .store
            .catalog()
            .get(&setting.tenant)
            .await
            .unwrap()
            .unwrap()
            .value;
        catalog.types.shift_remove("OrderShipped");
        setting
            .env
            .store
            .catalog()
            .put(&setting.tenant, &catalog, None)
            .await
            .unwrap();
        let routed = setting.route(&[released]).await;
        assert_eq!(routed.verdicts(), [("e-1", Rejected)]);
        assert!(routed.only().release.is_some());
        assert_eq!(routed.dead.len(), 1);
    })
    .await;
}

fn who() -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "ada".to_owned(),
        tenant: "default".into(),
        role: Role::Operator,
    }
}

async fn cancel(setting: &Setting, id: &str) -> EventCancel {
    let key = EventKey {
        tenant: setting.tenant.clone(),
        event_id: id.into(),
        source: "/shop/orders".into(),
    };
    let status = OutboxRecord {
        topic: "t".into(),
        key: None,
        headers: Vec::new(),
        value: Vec::new(),
    };
    let cancellation = Cancellation {
        key: &key,
        event_type: "OrderShipped",
        is_scheduled: true,
        status: &status,
        who: &who(),
        route: "/",
    };
    setting
        .env
        .store
        .waiting()
        .cancel_event(&cancellation)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_release_that_was_cancelled_leads_to_nothing_and_one_that_was_decided_cannot_be_cancelled() {
    on_router(async |setting| {
        let one = setting.route_event(&scheduled("e-1")).await;
        let released = release(setting, &one.waiting[0]).await;
        assert_eq!(cancel(setting, "e-1").await, EventCancel::Cancelled);
        assert!(setting.route(&[released]).await.all.is_empty());

        let far = with(shipped("e-2"), "sendat", json!("2026-11-24T13:00:00Z"));
        let two = setting.route_event(&far).await;
        let released = release(setting, &two.waiting[0]).await;
        let routed = setting.route(std::slice::from_ref(&released)).await;
        assert_eq!(routed.verdicts(), [("e-2", Decided)]);
        assert_eq!(cancel(setting, "e-2").await, EventCancel::Claimed);
        // An aborted transaction is repeated with the same result.
        assert_eq!(setting.route(&[released]).await.bytes(), routed.bytes());
    })
    .await;
}

/// Deferred deliveries of an event, as a decision to defer writes them, released.
async fn release_deliveries(setting: &Setting, event: &Record, parts: Vec<WaitingPart>) -> Record {
    let (source, event_id) = ("/shop/orders", "e-1".into());
    let waiting = Waiting {
        tenant: setting.tenant.clone(),
        source: source.into(),
        event_type: "OrderShipped".into(),
        user_id: None,
        due: later(),
        reason: "quiet_hours".into(),
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_deliveries(&setting.tenant, source, &event_id, None, later()),
            number: 1,
            origin: Origin {
                topic: event.topic.clone(),
                partition: event.partition,
                offset: event.offset,
            },
            written_at: event.timestamp,
            content: WaitingContent::Deliveries {
                accepted_at: "2026-11-24T09:59:58Z".parse().unwrap(),
                event_type: "OrderShipped".into(),
                category: "transactional".into(),
                parts,
            },
        },
        event_id,
    };
    let out = OutRecord {
        topic: setting.topics().scheduled(),
        key: event.key.clone(),
        value: event.value.clone(),
        headers: event.headers.clone(),
    };
    release(setting, &out.with(headers::WAITS, waiting.to_wire())).await
}

#[tokio::test]
async fn released_deliveries_are_decided_alone_and_keep_the_time_of_their_event() {
    on_router(async |setting| {
        let channels = [Channel::Email, Channel::Sms];
        // The ids that the event's own deliveries have.
        let event = setting.record(&shipped("e-1"));
        let routed = setting.route(std::slice::from_ref(&event)).await;
        let known: Vec<DeliveryId> = channels
            .map(|channel| routed.on(channel).delivery.delivery_id)
            .to_vec();
        let part = |channel, deliveries| WaitingPart {
            notification_id: routed.deliveries[0].delivery.notification_id,
            user_id: Some("u-42".into()),
            channel,
            deliveries,
            after: Vec::new(),
        };
        setting
            .prefer("u-42", json!({"categories": {"transactional": {"sms": false}}}))
            .await;
        let gone = DeliveryId(Uuid::from_u128(77));
        let lost = WaitingPart {
            notification_id: NotificationId(Uuid::from_u128(78)),
            user_id: Some("u-43".into()),
            ..part(Channel::Email, vec![gone])
        };
        let parts = vec![
            part(Channel::Email, vec![known[0]]),
            part(Channel::Sms, vec![known[1]]),
            lost,
        ];
        let released = release_deliveries(setting, &event, parts).await;
        let routed = setting.route(&[released]).await;
        assert_eq!(
            routed.decisions(),
            ["email send allowed", "sms suppress opted_out_category"]
        );
        let [email] = &routed.deliveries[..] else { panic!() };
        assert_eq!(email.delivery.delivery_id, known[0]);
        assert_eq!(
            email.delivery.accepted_at.to_rfc3339(),
            "2026-11-24T09:59:58+00:00"
        );
        let release = routed.only().release.clone().unwrap();
        assert_eq!(
            (release.kind, release.deliveries.len()),
            (WaitingKind::Deliveries, 3)
        );
        let ended: Vec<_> = routed
            .updates
            .iter()
            .map(|update| {
                (
                    update.delivery_id,
                    update.steps[0].status,
                    update.steps[0].code.clone().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            ended,
            [
                (gone, DeliveryStatus::Suppressed, "not_a_recipient".to_owned()),
                (
                    known[1],
                    DeliveryStatus::Suppressed,
                    "opted_out_category".to_owned()
                ),
            ]
        );
    })
    .await;
}
