//! Acknowledging deliveries: noted once. Messages that follow in a fallback order are stopped by the first claim.

use std::time::Duration;

use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, StatusRecord, Timestamp,
    decide::{Decision, Outcome, Reason, Steps},
    status::EventVerdict,
};
use carillon_store::{
    Lease,
    read_model::{DeliveryRow, EventRow, Projection},
    send_ledger::{SendClaim, SendKey},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    seed::{delivery, delivery_id, origin, start},
    support::{Ask, Setting, on_gateway},
};
use DeliveryStatus::{Delivered, Queued, Sending, Sent};

/// The time at which the bus took the event with this number.
fn accepted_at(number: u32) -> Timestamp {
    start() + Duration::from_secs(u64::from(number) * 60)
}

/// The delivery that follows that of the event with this number.
fn follower(number: u32) -> DeliveryId {
    delivery_id(1_000 + number)
}

/// Writes a text message that follows the e-mail of an event and waits, as a tracker does.
async fn follow(setting: &Setting, number: u32) {
    let until = accepted_at(number) + Duration::from_mins(30);
    let decision = Decision {
        recipient: "u-42".to_owned(),
        user_id: Some("u-42".into()),
        channel: Channel::Sms,
        category: "transactional".into(),
        outcome: Outcome::Defer,
        reason: Reason::FallbackWaits,
        sentence: "Held back.".to_owned(),
        steps: Steps::default(),
        address_hash: None,
        to_masked: None,
        until: Some(until),
        digest_id: None,
        after: vec![delivery_id(number)],
        delivery_id: Some(follower(number)),
    };
    let event_id = format!("order-{number}");
    let event = EventRow {
        origin: origin("notifications.events", 5_000 + i64::from(number)),
        part: 0,
        tenant: setting.tenant.clone(),
        event_id: event_id.as_str().into(),
        source: "/shop/orders".into(),
        event_type: "OrderShipped".into(),
        at: accepted_at(number),
        verdict: EventVerdict::Routed,
        via_gateway: true,
        parts: 1,
        release: None,
        due: None,
        user_id: None,
        event: None,
        decisions: vec![decision],
    };
    let row = DeliveryRow {
        id: follower(number),
        tenant: setting.tenant.clone(),
        event_id: event_id.as_str().into(),
        source: "/shop/orders".into(),
        event_type: "OrderShipped".into(),
        category: "transactional".into(),
        user_id: Some("u-42".into()),
        channel: Channel::Sms,
        state: DeliveryState {
            generation: 0,
            attempt: 0,
            status: DeliveryStatus::Deferred,
        },
        created_at: accepted_at(number),
        at: accepted_at(number),
        reason: None,
        error_code: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    };
    let projection = Projection {
        events: vec![event],
        deliveries: vec![row],
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

/// A worker claims the first attempt of a delivery.
async fn claim(setting: &Setting, id: DeliveryId, number: u32) -> SendKey {
    let key = SendKey {
        accepted_at: accepted_at(number),
        delivery_id: id,
        generation: 0,
        attempt: 1,
    };
    let claim = SendClaim {
        key,
        lease: Lease {
            owner: Uuid::now_v7(),
            until: start() + Duration::from_hours(1),
        },
    };
    setting.env.store.send_ledger().claim(&[claim]).await.unwrap();
    key
}

async fn conclude(setting: &Setting, key: SendKey, verdict: Value) {
    let outcome =
        json!({"verdict": verdict, "steps": [{"at": "2026-11-24T10:00:00Z", "status": "suppressed"}]});
    let outcome = serde_json::value::to_raw_value(&outcome).unwrap();
    let ledger = setting.env.store.send_ledger();
    ledger.record(vec![(key, outcome)]).await.unwrap();
}

async fn acknowledge(setting: &Setting, number: u32) -> Value {
    let path = format!("/v1/deliveries/{}/acknowledge", delivery_id(number));
    let answer = setting.ask(Ask::post(&path).key(&setting.operator)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn answer(result: &str, status: &str, [stopped, too_late, already_final]: [u64; 3]) -> Value {
    json!({"result": result, "status": status,
        "fallbacks": {"stopped": stopped, "too_late": too_late, "already_final": already_final}})
}

/// The statuses that were published: delivery, attempt, status and time.
async fn said(setting: &Setting) -> Vec<(DeliveryId, u32, DeliveryStatus, Timestamp)> {
    let records = setting.statuses().await;
    let parsed = records
        .iter()
        .map(|record| StatusRecord::parse(&record.value).unwrap());
    let mut said: Vec<_> = parsed
        .filter_map(|record| match record {
            StatusRecord::Delivery(update) => {
                let step = &update.steps[0];
                Some((update.delivery_id, update.attempt, step.status, step.at))
            }
            _ => None,
        })
        .collect();
    said.sort_by_key(|(id, attempt, ..)| (*id, *attempt));
    said
}

#[tokio::test]
async fn an_acknowledgement_is_noted_once_and_stops_the_deliveries_that_wait_for_it() {
    on_gateway(async |setting| {
        delivery(setting, 1, &[(0, Queued), (1, Sending), (1, Sent)]).await;
        follow(setting, 1).await;
        let first = acknowledge(setting, 1).await;
        assert_eq!(first, answer("acknowledged", "acknowledged", [1, 0, 0]));
        setting.clock.advance(Duration::from_secs(7));
        let again = acknowledge(setting, 1).await;
        assert_eq!(again, answer("already_acknowledged", "acknowledged", [0, 0, 1]));

        // A worker that reads the delivery that followed finds that it has ended.
        let key = claim(setting, follower(1), 1).await;
        let taken = setting.env.store.send_ledger().taken(&[key]).await.unwrap();
        let outcome = taken[0].1.outcome.clone().unwrap();
        assert_eq!(
            (&outcome["verdict"]["kind"], &outcome["steps"][0]["code"]),
            (&json!("over"), &json!("fallback_reached"))
        );
        // The second answer says what the first one did, with the same times.
        let expected = |id, attempt, status| (id, attempt, status, start());
        let suppressed = DeliveryStatus::Suppressed;
        let acknowledged = DeliveryStatus::Acknowledged;
        assert_eq!(
            said(setting).await,
            [
                expected(delivery_id(1), 1, acknowledged),
                expected(delivery_id(1), 1, acknowledged),
                expected(follower(1), 1, suppressed),
                expected(follower(1), 1, suppressed),
            ]
        );
        let audit = setting.get("/v1/audit").await.json();
        let [entry] = &audit["items"].as_array().unwrap()[..] else {
            panic!("{audit}")
        };
        let route = format!("/v1/deliveries/{}/acknowledge", delivery_id(1));
        assert_eq!(
            (&entry["action"], &entry["route"]),
            (&json!("acknowledge"), &json!(route))
        );
    })
    .await;
}

#[tokio::test]
async fn a_following_delivery_that_is_being_sent_is_not_answered_as_stopped() {
    on_gateway(async |setting| {
        delivery(setting, 1, &[(0, Queued), (1, Sending), (1, Delivered)]).await;
        follow(setting, 1).await;
        let key = claim(setting, follower(1), 1).await;
        let first = acknowledge(setting, 1).await;
        assert_eq!(first, answer("acknowledged", "acknowledged", [0, 1, 0]));
        conclude(setting, key, json!({"kind": "sent", "message_id": "m"})).await;
        let again = acknowledge(setting, 1).await;
        assert_eq!(again, answer("already_acknowledged", "acknowledged", [0, 0, 1]));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_did_not_go_out_cannot_have_been_seen() {
    on_gateway(async |setting| {
        use DeliveryStatus::{Cancelled, Clicked, Deferred, Expired, Suppressed};
        let not_sent = |status: &str| answer("not_sent", status, [0, 0, 0]);
        for (number, status) in [(1, Suppressed), (2, Expired), (3, Cancelled)] {
            delivery(setting, number, &[(0, Queued), (1, status)]).await;
            assert_eq!(acknowledge(setting, number).await, not_sent(status.as_str()));
        }
        delivery(setting, 4, &[(0, Deferred)]).await;
        follow(setting, 4).await;
        assert_eq!(acknowledge(setting, 4).await, not_sent("deferred"));
        delivery(setting, 5, &[(0, Queued)]).await;
        assert_eq!(acknowledge(setting, 5).await, not_sent("queued"));
        assert!(said(setting).await.is_empty());
        assert!(
            setting.get("/v1/audit").await.json()["items"]
                .as_array()
                .unwrap()
                .is_empty()
        );

        // The ledger knows more than the read model.
        let sending = claim(setting, delivery_id(5), 5).await;
        assert_eq!(
            acknowledge(setting, 5).await,
            answer("acknowledged", "acknowledged", [0, 0, 0])
        );
        delivery(setting, 6, &[(0, Queued)]).await;
        let key = claim(setting, delivery_id(6), 6).await;
        conclude(setting, key, json!({"kind": "over"})).await;
        assert_eq!(acknowledge(setting, 6).await, not_sent("queued"));
        assert_eq!(sending.attempt, 1);

        // A later receipt says more than an acknowledgement.
        delivery(setting, 7, &[(0, Queued), (1, Sending), (1, Clicked)]).await;
        assert_eq!(
            acknowledge(setting, 7).await,
            answer("acknowledged", "clicked", [0, 0, 0])
        );
    })
    .await;
}

#[tokio::test]
async fn an_unknown_delivery_and_a_viewer_are_refused() {
    on_gateway(async |setting| {
        let unknown = format!("/v1/deliveries/{}/acknowledge", delivery_id(9));
        let ask = |path: &str, key: &str| Ask::post(path).key(key);
        setting
            .ask(ask(&unknown, &setting.operator))
            .await
            .problem(404, "not-found");
        delivery(setting, 1, &[(0, Queued), (1, Sent)]).await;
        let path = format!("/v1/deliveries/{}/acknowledge", delivery_id(1));
        setting
            .ask(ask(&path, &setting.viewer))
            .await
            .problem(403, "forbidden");
        assert!(said(setting).await.is_empty());
    })
    .await;
}
