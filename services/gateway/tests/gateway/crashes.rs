//! A gateway that dies between claiming, publishing and marking an event: the event is neither lost nor doubled.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use carillon_bus::{Backend, Bus, KafkaConfig, OutRecord, Record, headers};
use carillon_domain::{Event, Lane, event::Defaults, status::Origin};
use carillon_store::{
    Lease,
    events::{EventKey, IngestClaim, IngestVerdict, RouteClaim, RouteVerdict},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Ask, START, Setting, ask_at, on_gateway, shipped};

fn event_of(json: &[u8]) -> Event {
    Event::from_cloudevent(json, Defaults::at(START.parse().unwrap())).unwrap()
}

/// An event that another process had claimed before it died.
async fn claimed_by_the_dead(setting: &Setting, id: &str) -> Event {
    let event = Event::from_plain(
        shipped(id).to_string().as_bytes(),
        Defaults::at(START.parse().unwrap()),
    )
    .unwrap();
    let claim = IngestClaim {
        key: key_of(setting, &event),
        event_type: event.event_type.clone(),
        fingerprint: event.fingerprint(),
        lease: Lease {
            owner: Uuid::now_v7(),
            until: START.parse::<carillon_domain::Timestamp>().unwrap() + std::time::Duration::from_secs(10),
        },
    };
    let verdicts = setting
        .env
        .store
        .events()
        .claim_ingest(vec![claim])
        .await
        .unwrap();
    assert_eq!(verdicts, [IngestVerdict::Claimed]);
    event
}

fn key_of(setting: &Setting, event: &Event) -> EventKey {
    EventKey {
        tenant: setting.tenant.clone(),
        event_id: event.id.clone(),
        source: event.source.clone(),
    }
}

/// The number of times that the router would route each event.
async fn routed(setting: &Setting, records: &[Record]) -> HashMap<String, usize> {
    let claims: Vec<RouteClaim> = records
        .iter()
        .map(|record| {
            let event = event_of(&record.value);
            let origin = Origin {
                topic: record.topic.clone(),
                partition: record.partition,
                offset: record.offset,
            };
            RouteClaim {
                key: key_of(setting, &event),
                event_type: event.event_type.clone(),
                fingerprint: event.fingerprint(),
                origin,
            }
        })
        .collect();
    let verdicts = setting.env.store.events().claim_route(&claims).await.unwrap();
    let mut routed = HashMap::new();
    for (claim, verdict) in claims.iter().zip(verdicts) {
        let count = routed.entry(claim.key.event_id.to_string()).or_insert(0);
        match verdict {
            RouteVerdict::First { via_gateway, .. } => {
                assert!(via_gateway, "it was acknowledged by a gateway");
                *count += 1;
            }
            RouteVerdict::Duplicate => {}
            verdict @ (RouteVerdict::Conflict | RouteVerdict::Cancelled { .. }) => panic!("{verdict:?}"),
        }
    }
    routed
}

#[tokio::test]
async fn while_the_broker_is_away_a_post_is_answered_503_within_seconds_and_its_repeat_is_published_once() {
    on_gateway(async |setting| {
        let mut config = setting.env.bus_config.clone();
        config.backend = Backend::Kafka(Box::new(KafkaConfig {
            // No server listens on this port.
            brokers: "127.0.0.1:1".to_owned(),
            ..KafkaConfig::default()
        }));
        let away = Bus::connect(config, setting.clock.clone()).await.unwrap();
        let gateway = setting.process_on(&away);
        let post = || Ask::post("/v1/events").json(&shipped("e-1"));
        let begun = std::time::Instant::now();
        let refused = ask_at(&gateway, post(), &setting.admin).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        refused.problem(503, "unavailable");
        // The outcome is unknown until the claim's lease is over; then the request can be repeated.
        assert_eq!(refused.header("retry-after"), Some("10"));
        setting.advance(11);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 200);
        let records = setting.published().await;
        assert_eq!(routed(setting, &records).await["e-1"], 1);
        assert_eq!(records.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_claimed_and_not_published_is_published_after_the_lease() {
    on_gateway(async |setting| {
        claimed_by_the_dead(setting, "e-1").await;
        let early = setting.post(&shipped("e-1")).await;
        early.problem(409, "in-progress");
        assert_eq!(early.header("retry-after"), Some("10"));
        assert!(setting.published().await.is_empty());

        setting.advance(11);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 200);
        let records = setting.published().await;
        assert_eq!(records.len(), 1);
        assert_eq!(routed(setting, &records).await["e-1"], 1);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_published_and_not_marked_is_routed_once() {
    on_gateway(async |setting| {
        let event = claimed_by_the_dead(setting, "e-1").await;
        let topic = setting.env.bus.topics().events(Lane::Normal);
        let record = OutRecord::new(topic, event.record_key(&setting.tenant), event.to_wire())
            .with(headers::TENANT, "default")
            .with(headers::VIA, "gateway");
        setting.env.bus.publish(vec![record]).await.unwrap();

        setting.advance(11);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        let records = setting.published().await;
        assert_eq!(records.len(), 2, "nobody knew that it was on the bus");
        assert_eq!(routed(setting, &records).await["e-1"], 1);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn in_a_batch_the_claims_of_a_dead_gateway_do_not_delay_other_events() {
    on_gateway(async |setting| {
        claimed_by_the_dead(setting, "e-1").await;
        let answer = setting
            .post(&json!([shipped("e-0"), shipped("e-1"), shipped("e-2")]))
            .await;
        assert_eq!(answer.status, 202);
        let items = answer.json()["items"].clone();
        assert_eq!(
            (&items[0]["status"], &items[2]["status"]),
            (&json!("accepted"), &json!("accepted"))
        );
        assert_eq!(items[1]["problem"]["status"], 409);
        assert_eq!(setting.published().await.len(), 2);
    })
    .await;
}

/// Polls a future until it has waited `waits` times, then drops it, as a crash would.
async fn cut_off<F: Future>(future: F, waits: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = waits;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn a_request_that_is_cut_off_anywhere_neither_loses_nor_doubles() {
    on_gateway(async |setting| {
        // The key is cached from now on, so that all waits belong to the ingest path.
        setting.get("/v1/catalog").await;
        let batch =
            |run: usize| -> Vec<Value> { (0..3).map(|n| shipped(&format!("cut-{run}-{n}"))).collect() };
        let (mut cut, mut run) = (0, 0);
        loop {
            let ask = Ask::post("/v1/events").json(&json!(batch(run)));
            if cut_off(setting.ask(ask), run).await.is_some() {
                break;
            }
            cut += 1;
            run += 1;
            assert!(run < 100, "a request ends at some time");
        }
        assert!(
            cut >= 2,
            "at least the claim and the publishing are waited for, but there were {cut} waits"
        );

        setting.advance(11);
        let other = setting.another_process();
        for run in 0..=run {
            let answer = ask_at(
                &other,
                Ask::post("/v1/events").json(&json!(batch(run))),
                &setting.operator,
            )
            .await;
            assert_eq!(answer.status, 202, "{answer:?}");
            for item in answer.json()["items"].as_array().unwrap() {
                assert!(
                    item["status"] == "accepted" || item["status"] == "duplicate",
                    "{item}"
                );
            }
        }
        let routed = routed(setting, &setting.published().await).await;
        assert_eq!(routed.len(), (run + 1) * 3, "none is lost");
        assert!(
            routed.values().all(|count| *count == 1),
            "none is doubled: {routed:?}"
        );
    })
    .await;
}
