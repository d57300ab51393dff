//! Cancelling events and deliveries: the first claim wins, and the answer is true.

use std::time::Duration;

use carillon_bus::BusConfig;
use carillon_domain::{
    DeliveryStatus, StatusRecord, Timestamp,
    status::EventVerdict,
    waiting::{Release, SEND_AT, WAITING_VERSION, Waiting, WaitingContent},
};
use carillon_store::{
    Lease,
    events::{EventKey, RouteClaim, RouteVerdict},
    outbox::OutboxRecord,
    read_model::{EventRow, Projection},
    send_ledger::{SendClaim, SendKey},
    waiting::{NewWaiting, ReleaseClaim, ReleaseVerdict},
};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use crate::{
    dashboard::{csrf, form, page, sign_in},
    seed::{delivery, delivery_id, origin, start},
    support::{Ask, Setting, ask_at, on_gateway, shipped},
};

const SOURCE: &str = "/shop/orders";

fn key(setting: &Setting, id: &str) -> EventKey {
    EventKey {
        tenant: setting.tenant.clone(),
        event_id: id.into(),
        source: SOURCE.into(),
    }
}

async fn cancel_event(setting: &Setting, id: &str) -> Value {
    let path = format!("/v1/events/{id}/cancel");
    let answer = setting.ask(Ask::post(&path).key(&setting.operator)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn cancel_delivery(setting: &Setting, number: u32) -> Value {
    let path = format!("/v1/deliveries/{}/cancel", delivery_id(number));
    let answer = setting.ask(Ask::post(&path).key(&setting.operator)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn whole(result: &str) -> Value {
    json!({"result": result, "status": "cancelled", "deliveries": {"cancelled": 0, "too_late": 0, "already_final": 0}})
}

fn later() -> Timestamp {
    start() + Duration::from_hours(1)
}

/// Writes the rows that a tracker projects of a waiting event.
async fn project_scheduled(setting: &Setting, id: &str) {
    let event = json!({"specversion": "1.0", "id": id, "source": SOURCE, "type": "OrderShipped", "data": {}});
    let row = EventRow {
        origin: origin("notifications.events", 7),
        part: 0,
        tenant: setting.tenant.clone(),
        event_id: id.into(),
        source: SOURCE.into(),
        event_type: "OrderShipped".into(),
        at: start(),
        verdict: EventVerdict::Scheduled,
        via_gateway: true,
        parts: 1,
        release: None,
        due: Some(later()),
        user_id: Some("u-42".into()),
        event: Some(RawValue::from_string(event.to_string()).unwrap()),
        decisions: Vec::new(),
    };
    let projection = Projection {
        events: vec![row],
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

/// Stores an event that waits, as a scheduler does.
async fn store_waiting(setting: &Setting, id: &str) -> Uuid {
    let key = key(setting, id);
    let waiting = Waiting {
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_event(&key.tenant, &key.source, &key.event_id),
            number: 1,
            origin: origin("notifications.events", 7),
            written_at: start(),
            content: WaitingContent::Event,
        },
        tenant: key.tenant,
        event_id: key.event_id,
        source: key.source,
        event_type: "OrderShipped".into(),
        user_id: Some("u-42".into()),
        due: later(),
        reason: SEND_AT.into(),
    };
    let id = waiting.release.id;
    let record = OutboxRecord {
        topic: "t".into(),
        key: None,
        headers: Vec::new(),
        value: b"Ada".to_vec(),
    };
    let added = setting
        .env
        .store
        .waiting()
        .add(&[NewWaiting { waiting, record }])
        .await;
    assert_eq!(added.unwrap(), 1);
    id
}

/// A router's claim of an event.
async fn route(setting: &Setting, id: &str) -> RouteVerdict {
    let claim = RouteClaim {
        key: key(setting, id),
        event_type: "OrderShipped".into(),
        fingerprint: [7; 32],
        origin: origin("notifications.events", 7),
    };
    setting.env.store.events().claim_route(&[claim]).await.unwrap()[0]
}

#[tokio::test]
async fn an_event_that_is_not_decided_is_cancelled_and_the_router_learns_it() {
    on_gateway(async |setting| {
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        assert_eq!(cancel_event(setting, "e-1").await, whole("cancelled"));
        assert_eq!(cancel_event(setting, "e-1").await, whole("already_final"));
        assert_eq!(
            route(setting, "e-1").await,
            RouteVerdict::Cancelled { via_gateway: true }
        );
        let audit = setting.get("/v1/audit").await.json();
        let [entry] = &audit["items"].as_array().unwrap()[..] else {
            panic!("{audit}")
        };
        assert_eq!(
            (&entry["action"], &entry["route"]),
            (&json!("cancel"), &json!("/v1/events/e-1/cancel"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_scheduled_event_shows_its_time_and_is_cancelled_by_one_request() {
    on_gateway(async |setting| {
        let event = json!({"sendat": "2026-11-24T11:00:00Z"});
        let mut posted = shipped("e-1");
        posted["sendat"] = event["sendat"].clone();
        assert_eq!(setting.post(&posted).await.status, 202);
        route(setting, "e-1").await;
        project_scheduled(setting, "e-1").await;
        let id = store_waiting(setting, "e-1").await;
        let shown = setting.get("/v1/events/e-1").await.json();
        assert_eq!(
            (&shown["status"], &shown["scheduled_for"]),
            (&json!("scheduled"), &json!("2026-11-24T11:00:00Z"))
        );

        assert_eq!(cancel_event(setting, "e-1").await, whole("cancelled"));
        assert_eq!(cancel_event(setting, "e-1").await, whole("already_final"));
        let depth = setting.env.store.waiting().depth().await.unwrap();
        assert_eq!((depth.events, depth.next_due), (0, None));
        // Its status is in the outbox, to be published.
        let lease = Lease {
            owner: Uuid::now_v7(),
            until: later(),
        };
        let outbox = setting.env.store.outbox().claim(lease, false).await.unwrap();
        let [record] = &outbox[..] else {
            panic!("{outbox:?}")
        };
        let StatusRecord::EventDecided(status) = StatusRecord::parse(&record.record.value).unwrap() else {
            panic!()
        };
        assert_eq!(
            (status.verdict, status.release.unwrap().id),
            (EventVerdict::Cancelled, id)
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_is_cancelled_before_the_scheduler_has_stored_it() {
    on_gateway(async |setting| {
        route(setting, "e-1").await;
        project_scheduled(setting, "e-1").await;
        assert_eq!(cancel_event(setting, "e-1").await, whole("cancelled"));
    })
    .await;
}

#[tokio::test]
async fn a_release_that_a_router_has_claimed_is_waited_for_and_its_deliveries_are_cancelled() {
    on_gateway(async |setting| {
        let id = store_waiting(setting, "order-1").await;
        setting.clock.advance(Duration::from_hours(2));
        setting.env.store.waiting().release().await.unwrap();
        let claim = ReleaseClaim {
            id,
            origin: origin("notifications.events", 99),
        };
        let verdicts = setting
            .env
            .store
            .waiting()
            .claim_releases(&[claim])
            .await
            .unwrap();
        assert_eq!(verdicts, [ReleaseVerdict::First(key(setting, "order-1"))]);
        project_scheduled(setting, "order-1").await;
        let cancelling = cancel_event(setting, "order-1");
        let decided = async {
            delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        };
        let (answer, ()) = tokio::join!(cancelling, decided);
        let expected = json!({"result": "cancelled", "status": "routed",
            "deliveries": {"cancelled": 1, "too_late": 0, "already_final": 0}});
        assert_eq!(answer, expected);
    })
    .await;
}

#[tokio::test]
async fn while_a_router_decides_the_event_the_answer_is_503_and_not_a_guess() {
    on_gateway(async |setting| {
        route(setting, "e-1").await;
        let answer = setting
            .ask(Ask::post("/v1/events/e-1/cancel").key(&setting.operator))
            .await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_cancelled_until_a_worker_claims_it() {
    on_gateway(async |setting| {
        use DeliveryStatus::{Queued, Retrying, Sending, Sent};
        delivery(setting, 1, &[(0, Queued)]).await;
        delivery(setting, 2, &[(0, Queued), (1, Sending), (1, Retrying)]).await;
        delivery(setting, 3, &[(0, Queued), (1, Sending), (1, Sent)]).await;
        delivery(setting, 4, &[(0, Queued)]).await;
        claim(setting, 4, 1).await;
        let answer = |result: &str, status: &str| json!({"result": result, "status": status});
        assert_eq!(
            cancel_delivery(setting, 1).await,
            answer("cancelled", "cancelled")
        );
        assert_eq!(
            cancel_delivery(setting, 1).await,
            answer("already_final", "cancelled")
        );
        assert_eq!(
            cancel_delivery(setting, 2).await,
            answer("cancelled", "cancelled")
        );
        assert_eq!(cancel_delivery(setting, 3).await, answer("already_final", "sent"));
        assert_eq!(cancel_delivery(setting, 4).await, answer("too_late", "sending"));

        // The status follows at once; the worker that reads the delivery later says the same.
        let mut said: Vec<_> = setting
            .statuses()
            .await
            .iter()
            .filter_map(|record| match StatusRecord::parse(&record.value).unwrap() {
                StatusRecord::Delivery(update) => {
                    Some((update.delivery_id, update.attempt, update.steps[0].status))
                }
                _ => None,
            })
            .collect();
        said.sort_by_key(|(id, attempt, _)| (*id, *attempt));
        let cancelled = DeliveryStatus::Cancelled;
        assert_eq!(
            said,
            [
                (delivery_id(1), 1, cancelled),
                (delivery_id(1), 1, cancelled),
                (delivery_id(2), 2, cancelled)
            ]
        );
    })
    .await;
}

/// A worker claims an attempt of a delivery.
async fn claim(setting: &Setting, number: u32, attempt: u32) {
    let claim = SendClaim {
        key: SendKey {
            accepted_at: start() + Duration::from_secs(u64::from(number) * 60),
            delivery_id: delivery_id(number),
            generation: 0,
            attempt,
        },
        lease: Lease {
            owner: Uuid::now_v7(),
            until: later(),
        },
    };
    setting.env.store.send_ledger().claim(&[claim]).await.unwrap();
}

#[tokio::test]
async fn the_read_model_may_be_behind_the_ledger_and_the_answer_is_that_of_the_ledger() {
    on_gateway(async |setting| {
        delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        delivery(setting, 2, &[(0, DeliveryStatus::Queued)]).await;
        let outcome = |json: Value| serde_json::value::to_raw_value(&json).unwrap();
        let key = |number: u32, attempt| SendKey {
            accepted_at: start() + Duration::from_secs(u64::from(number) * 60),
            delivery_id: delivery_id(number),
            generation: 0,
            attempt,
        };
        claim(setting, 1, 1).await;
        claim(setting, 2, 1).await;
        let again =
            json!({"verdict": {"kind": "again", "due": "2026-11-24T10:00:05Z", "counts": true}, "steps": []});
        let sent = json!({"verdict": {"kind": "sent", "message_id": null}, "steps": []});
        let ledger = setting.env.store.send_ledger();
        ledger
            .record(vec![(key(1, 1), outcome(again)), (key(2, 1), outcome(sent))])
            .await
            .unwrap();
        assert_eq!(
            cancel_delivery(setting, 1).await,
            json!({"result": "cancelled", "status": "cancelled"})
        );
        assert_eq!(
            cancel_delivery(setting, 2).await,
            json!({"result": "already_final", "status": "sent"})
        );
    })
    .await;
}

#[tokio::test]
async fn of_a_decided_event_the_answer_counts_its_deliveries() {
    on_gateway(async |setting| {
        delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        delivery(
            setting,
            2,
            &[(0, DeliveryStatus::Queued), (1, DeliveryStatus::Sent)],
        )
        .await;
        let counts = |result: &str, cancelled: u64, already_final: u64| {
            json!({"result": result, "status": "routed",
                "deliveries": {"cancelled": cancelled, "too_late": 0, "already_final": already_final}})
        };
        assert_eq!(cancel_event(setting, "order-1").await, counts("cancelled", 1, 0));
        assert_eq!(
            cancel_event(setting, "order-1").await,
            counts("already_final", 0, 1)
        );
        assert_eq!(
            cancel_event(setting, "order-2").await,
            counts("already_final", 0, 1)
        );
    })
    .await;
}

#[tokio::test]
async fn viewers_other_tenants_and_wrong_requests_cancel_nothing() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        for path in [
            "/v1/events/order-1/cancel".to_owned(),
            format!("/v1/deliveries/{id}/cancel"),
        ] {
            let ask = |key: &str| Ask::post(&path).key(key);
            setting.ask(ask(&setting.viewer)).await.problem(403, "forbidden");
            setting.ask(ask(&setting.foreign)).await.problem(404, "not-found");
            let odd = format!("{path}?odd=1");
            setting.ask(Ask::post(&odd)).await.problem(422, "validation");
        }
        setting
            .ask(Ask::post("/v1/events/none/cancel"))
            .await
            .problem(404, "not-found");
        setting
            .ask(Ask::post("/v1/deliveries/none/cancel"))
            .await
            .problem(404, "not-found");
        assert_eq!(setting.get("/v1/audit").await.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn an_erased_user_s_waiting_events_are_cancelled_and_forgotten() {
    on_gateway(async |setting| {
        route(setting, "e-1").await;
        project_scheduled(setting, "e-1").await;
        store_waiting(setting, "e-1").await;
        assert_eq!(setting.ask(Ask::delete("/v1/users/u-42")).await.status, 204);
        assert_eq!(setting.env.store.waiting().depth().await.unwrap().events, 0);
        let shown = setting.get("/v1/events/e-1").await.json();
        assert_eq!(shown["event"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn pages_have_a_button_for_operators_and_say_what_it_has_done() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        let paths = ["/events/order-1".to_owned(), format!("/deliveries/{id}")];
        let viewer = sign_in(setting, &setting.viewer).await;
        let operator = sign_in(setting, &setting.operator).await;
        for path in &paths {
            let button = format!("action=\"{path}/cancel\"");
            let seen = setting.ask(page(path, &viewer)).await.text();
            assert!(!seen.contains(&button), "{seen}");
            let shown = setting.ask(page(path, &operator)).await;
            assert!(shown.text().contains(&button), "{shown:?}");
            let cancel = format!("{path}/cancel");
            let forged = form(&cancel, &operator, &[("csrf", "x")]);
            assert_eq!(setting.ask(forged).await.status, 403);
        }
        let token = csrf(&setting.ask(page(&paths[0], &operator)).await);
        let fields = [("csrf", token.as_str()), ("source", SOURCE)];
        let sent = setting
            .ask(form("/events/order-1/cancel", &operator, &fields))
            .await;
        assert_eq!(sent.status, 303, "{sent:?}");
        let to = sent.header("location").unwrap().to_owned();
        assert_eq!(to, "/events/order%2D1?source=%2Fshop%2Forders&cancel=cancelled");
        let shown = setting.ask(page(&to, &operator)).await.text();
        assert!(shown.contains("It was cancelled: no message is sent."), "{shown}");

        let sent = setting
            .ask(form(&format!("{}/cancel", paths[1]), &operator, &fields[..1]))
            .await;
        let to = sent.header("location").unwrap().to_owned();
        assert_eq!(to, format!("{}?cancel=already_final", paths[1]));
        let shown = setting.ask(page(&to, &operator)).await.text();
        assert!(shown.contains("It had ended before"), "{shown}");
        let forbidden = form(&format!("{}/cancel", paths[1]), &viewer, &[("csrf", "x")]);
        assert_eq!(setting.ask(forbidden).await.status, 403);
        let odd = setting
            .ask(page(&format!("{}?cancel=odd", paths[1]), &operator))
            .await;
        assert_eq!(odd.status, 422, "{odd:?}");
    })
    .await;
}

/// A cancellation whose status the bus did not take is completed by a repeat.
#[tokio::test]
async fn a_cancellation_without_the_bus_is_answered_503_and_completed_by_its_repeat() {
    on_gateway(async |setting| {
        delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await;
        let config = BusConfig {
            backend: carillon_bus::Backend::Kafka(Box::new(carillon_bus::KafkaConfig {
                brokers: "127.0.0.1:1".to_owned(),
                ..carillon_bus::KafkaConfig::default()
            })),
            ..setting.env.bus_config.clone()
        };
        let away = carillon_bus::Bus::connect(config, setting.clock.clone())
            .await
            .unwrap();
        let gateway = setting.process_on(&away);
        let path = format!("/v1/deliveries/{}/cancel", delivery_id(1));
        let refused = ask_at(&gateway, Ask::post(&path), &setting.admin).await;
        refused.problem(503, "unavailable");
        assert_eq!(
            cancel_delivery(setting, 1).await,
            json!({"result": "already_final", "status": "cancelled"})
        );
        assert_eq!(setting.statuses().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_may_have_been_sent_is_sent_no_more_and_is_not_answered_as_cancelled() {
    on_gateway(async |setting| {
        use DeliveryStatus::{Queued, Retrying, Sending, Uncertain};
        for (number, step) in [(1, "uncertain"), (2, "retrying")] {
            let steps = [(0, Queued), (1, Sending), (1, Uncertain), (1, Retrying)];
            delivery(setting, number, &steps).await;
            claim(setting, number, 1).await;
            let key = SendKey {
                accepted_at: start() + Duration::from_secs(u64::from(number) * 60),
                delivery_id: delivery_id(number),
                generation: 0,
                attempt: 1,
            };
            let outcome = json!({"verdict": {"kind": "again", "due": later(), "counts": true},
                "steps": [{"at": start(), "status": step}]});
            let outcome = serde_json::value::to_raw_value(&outcome).unwrap();
            let ledger = setting.env.store.send_ledger();
            ledger.record(vec![(key, outcome)]).await.unwrap();
        }
        assert_eq!(
            cancel_delivery(setting, 1).await,
            json!({"result": "too_late", "status": "cancelled"})
        );
        assert_eq!(
            cancel_delivery(setting, 2).await,
            json!({"result": "cancelled", "status": "cancelled"})
        );
    })
    .await;
}
