//! A simulation and the router decide alike, over random catalogs, users, preferences, suppressions and times.
//!
//! `CARILLON_TEST_EVENTS=10000 cargo test -p carillon --test agreement` tries more events than usual.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use carillon_domain::{StatusRecord, status::EventVerdict};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tower::ServiceExt as _;

use self::world::World;

/// The number of events without `CARILLON_TEST_EVENTS`.
const EVENTS: u64 = 1_200;
/// The number of events of one catalog and its users.
const OF_A_WORLD: u64 = 150;
/// The reasons that the random worlds have to reach.
const REASONS: [&str; 11] = [
    "digest",
    "downgraded",
    "expires_in_quiet_hours",
    "fallback_not_needed",
    "no_address",
    "not_opted_in",
    "opted_out_category",
    "over_limit",
    "quiet_hours",
    "repeated_address",
    "suppressed",
];

#[tokio::test]
async fn a_simulation_and_the_router_decide_alike() {
    let events = std::env::var("CARILLON_TEST_EVENTS").map_or(EVENTS, |count| count.parse().unwrap());
    let mut reasons = std::collections::BTreeMap::new();
    for seed in 0..events.div_ceil(OF_A_WORLD) {
        let mut random = StdRng::seed_from_u64(seed);
        let world = World::new(&mut random).await;
        for number in 0..OF_A_WORLD {
            world.pass_time(&mut random);
            let event = world.event(number, &mut random);
            let simulated = simulated(&world, &event).await;
            let routed = world.route(&event).await;
            assert_eq!(simulated, routed, "seed {seed}, event {event}");
            for decision in &simulated {
                let reason = format!("{} {}", decision["outcome"], decision["reason"]);
                *reasons.entry(reason).or_insert(0) += 1;
            }
        }
        world.close().await;
    }
    for reason in REASONS {
        let is_reached = reasons.keys().any(|reached| reached.contains(reason));
        assert!(is_reached, "no decision has the reason {reason}: {reasons:?}");
    }
}

/// The decisions of `POST /v1/simulate`.
async fn simulated(world: &World, event: &Value) -> Vec<Value> {
    let told = ask(
        &world.gateway,
        &world.key,
        Method::POST,
        "/v1/simulate?reveal=true",
        event,
    )
    .await;
    let Value::Array(mut decisions) = told["decisions"].clone() else {
        panic!("{told}")
    };
    for decision in &mut decisions {
        decision.as_object_mut().unwrap().remove("message");
    }
    decisions
}

/// The decisions that the router has written.
fn decided(records: &[carillon_bus::OutRecord], status_topic: &str) -> Vec<Value> {
    let records = records.iter().filter(|record| &*record.topic == status_topic);
    let decided: Vec<_> = records
        .map(|record| match StatusRecord::parse(&record.value).unwrap() {
            StatusRecord::EventDecided(decided) => decided,
            other => panic!("the router decides: {other:?}"),
        })
        .collect();
    let [decided] = &decided[..] else {
        panic!("one event was routed: {decided:?}")
    };
    assert_eq!(decided.verdict, EventVerdict::Routed);
    let decisions = decided.decisions.iter();
    decisions
        .map(|decision| {
            let mut decision = serde_json::to_value(decision).unwrap();
            // The hash is for searches of a guest's decisions. No answer of the API has it.
            decision.as_object_mut().unwrap().remove("address_hash");
            decision
        })
        .collect()
}

async fn ask(gateway: &Router, key: &str, method: Method, path: &str, body: &Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let answer = gateway.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body_read = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body_read);
    assert!(
        matches!(status, StatusCode::OK | StatusCode::CREATED),
        "{path} {status} {text}: {body}"
    );
    serde_json::from_slice(&body_read).unwrap_or_default()
}
