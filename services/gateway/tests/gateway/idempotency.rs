//! Repetitions of an event, and of a request.

use std::time::Duration;

use carillon_domain::{Event, event::Defaults};
use carillon_store::{
    Lease,
    events::{EventKey, IngestClaim, IngestVerdict},
    idempotency::{Begin, IdempotentRequest},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Answer, Ask, START, Setting, errors_of, on_gateway, shipped};

#[tokio::test]
async fn a_repeat_is_a_duplicate_and_sends_nothing_new() {
    on_gateway(async |setting| {
        let first = setting.post(&shipped("e-1")).await;
        assert_eq!(first.status, 202);
        let mut again = shipped("e-1");
        again["time"] = json!("2026-11-24T09:00:00Z");
        again["data"] = json!({"carrier": "DHL", "order_id": "1001"});
        let repeat = setting.post(&again).await;
        assert_eq!(repeat.status, 200, "{repeat:?}");
        let mut expected = first.json();
        expected["status"] = json!("duplicate");
        assert_eq!(repeat.json(), expected);
        assert_eq!(setting.published().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn other_content_under_the_same_id_is_a_conflict_and_another_source_is_another_event() {
    on_gateway(async |setting| {
        setting.post(&shipped("e-1")).await;
        let mut other = shipped("e-1");
        other["data"]["carrier"] = json!("UPS");
        setting.post(&other).await.problem(422, "idempotency-conflict");
        other["source"] = json!("/elsewhere");
        assert_eq!(setting.post(&other).await.status, 202);
        assert_eq!(setting.published().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn repeated_events_within_a_batch_are_duplicates_or_conflicts() {
    on_gateway(async |setting| {
        let mut other = shipped("e-1");
        other["data"]["carrier"] = json!("UPS");
        let answer = setting
            .post(&json!([shipped("e-1"), shipped("e-1"), other, shipped("e-2")]))
            .await;
        assert_eq!(answer.status, 202);
        let items = answer.json()["items"].clone();
        let statuses: Vec<_> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["status"].clone())
            .collect();
        assert_eq!(statuses, ["accepted", "duplicate", "rejected", "accepted"]);
        errors_of(&items[2]["problem"], 422, "idempotency-conflict");
        assert_eq!(setting.published().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn two_tenants_may_use_the_same_event_id() {
    on_gateway(async |setting| {
        let catalog = Ask::put("/v1/catalog")
            .key(&setting.foreign)
            .json(&crate::support::catalog());
        assert_eq!(setting.ask(catalog).await.status, 200);
        let mut event = shipped("e-1");
        event["recipients"] = json!([{"email": "guest@example.com"}]);
        assert_eq!(setting.post(&event).await.status, 202);
        event["data"]["carrier"] = json!("UPS");
        let foreign = Ask::post("/v1/events").key(&setting.foreign).json(&event);
        assert_eq!(setting.ask(foreign).await.status, 202);
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_replays_the_whole_answer() {
    on_gateway(async |setting| {
        let mut event = shipped("x");
        event.as_object_mut().unwrap().remove("id");
        let ask = |event: &Value| {
            Ask::post("/v1/events")
                .header("idempotency-key", "key-1")
                .json(event)
        };
        let first = setting.ask(ask(&event)).await;
        assert_eq!(first.status, 202, "{first:?}");
        assert_eq!(
            first.json()["event_id"],
            "key-1",
            "the key names an event that has no name"
        );
        let again = setting.ask(ask(&event)).await;
        assert_eq!((again.status, &again.body), (202, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.header("content-type"), Some("application/json"));

        event["priority"] = json!("high");
        setting
            .ask(ask(&event))
            .await
            .problem(422, "idempotency-conflict");
        assert_eq!(setting.published().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_replays_refusals_and_batches_too() {
    on_gateway(async |setting| {
        let batch = json!([shipped("a"), {"type": "Nonsense", "data": []}]);
        let ask = || {
            Ask::post("/v1/events")
                .header("idempotency-key", "batch")
                .json(&batch)
        };
        let (first, again) = (setting.ask(ask()).await, setting.ask(ask()).await);
        assert_eq!((first.status, again.status), (202, 202));
        assert_eq!(first.body, again.body);
        let ask = || {
            Ask::post("/v1/events")
                .header("idempotency-key", "bad")
                .json(&json!({}))
        };
        let (first, again) = (setting.ask(ask()).await, setting.ask(ask()).await);
        first.problem(422, "validation");
        again.problem(422, "validation");
        assert_eq!(first.body, again.body);
        for key in ["", "   ", &"k".repeat(256)] {
            let ask = Ask::post("/v1/events")
                .header("idempotency-key", key)
                .json(&shipped("b"));
            setting.ask(ask).await.problem(422, "validation");
        }
    })
    .await;
}

#[tokio::test]
async fn while_the_first_request_of_a_key_is_in_progress_others_are_answered_409() {
    on_gateway(async |setting| {
        let body = shipped("e-1");
        let request = IdempotentRequest {
            tenant: &setting.tenant,
            route: "POST /v1/events",
            key: "busy",
            fingerprint: fingerprint(&["POST", "/v1/events", "application/json", &body.to_string()]),
            lease: Lease {
                owner: uuid::Uuid::now_v7(),
                until: START.parse::<carillon_domain::Timestamp>().unwrap() + Duration::from_mins(1),
            },
        };
        let begun = setting.env.store.idempotency().begin(&request).await.unwrap();
        assert!(matches!(begun, Begin::Fresh));
        let ask = || {
            Ask::post("/v1/events")
                .header("idempotency-key", "busy")
                .json(&body)
        };
        let waits = setting.ask(ask()).await;
        waits.problem(409, "in-progress");
        assert!(waits.header("retry-after").is_some());
        setting.advance(61);
        assert_eq!(setting.ask(ask()).await.status, 202, "the first one crashed");
    })
    .await;
}

/// SHA-256 of a request's parts, each preceded by its length.
fn fingerprint(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// Another process claims an event and dies before it has published it.
async fn held_by_another(setting: &Setting, id: &str) {
    let json = shipped(id).to_string();
    let defaults = Defaults::at(START.parse().unwrap());
    let event = Event::from_plain(json.as_bytes(), defaults).unwrap();
    let claim = IngestClaim {
        key: EventKey {
            tenant: setting.tenant.clone(),
            event_id: event.id.clone(),
            source: event.source.clone(),
        },
        event_type: event.event_type.clone(),
        fingerprint: event.fingerprint(),
        lease: Lease {
            owner: uuid::Uuid::now_v7(),
            until: defaults.now + Duration::from_secs(10),
        },
    };
    let verdicts = setting.env.store.events().claim_ingest(vec![claim]).await;
    assert_eq!(verdicts.unwrap(), [IngestVerdict::Claimed]);
}

fn statuses(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().unwrap();
    let words = items
        .iter()
        .map(|item| item["status"].as_str().unwrap().to_owned());
    words.collect()
}

#[tokio::test]
async fn a_batch_of_events_in_progress_elsewhere_is_answered_409_until_their_claims_end() {
    on_gateway(async |setting| {
        for id in ["a", "b"] {
            held_by_another(setting, id).await;
        }
        let batch = json!([shipped("a"), shipped("b"), shipped("a")]);
        let ask = || {
            Ask::post("/v1/events")
                .header("idempotency-key", "batch")
                .json(&batch)
        };
        for _ in 0..2 {
            let waits = setting.ask(ask()).await;
            waits.problem(409, "in-progress");
            assert_eq!(waits.header("retry-after"), Some("10"));
            assert_eq!(waits.header("idempotency-replayed"), None);
        }
        setting.advance(11);
        let answer = setting.ask(ask()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(statuses(&answer), ["accepted", "accepted", "duplicate"]);
        let again = setting.ask(ask()).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.body, answer.body);
    })
    .await;
}

#[tokio::test]
async fn an_answer_about_an_event_in_progress_is_not_stored_under_the_key() {
    on_gateway(async |setting| {
        held_by_another(setting, "a").await;
        let mixed = json!([shipped("a"), shipped("b")]);
        let refused = json!([shipped("a"), {"type": "Nonsense", "data": []}]);
        let ask = |batch: &Value| {
            let key = batch[1]["type"].as_str().unwrap();
            Ask::post("/v1/events").header("idempotency-key", key).json(batch)
        };
        let answer = setting.ask(ask(&mixed)).await;
        assert_eq!(answer.status, 202);
        assert_eq!(statuses(&answer), ["rejected", "accepted"]);
        errors_of(&answer.json()["items"][0]["problem"], 409, "in-progress");
        assert_eq!(answer.header("retry-after"), Some("10"));
        assert_eq!(setting.ask(ask(&refused)).await.status, 422);

        setting.advance(11);
        let answer = setting.ask(ask(&mixed)).await;
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (202, None)
        );
        assert_eq!(statuses(&answer), ["accepted", "duplicate"]);
        assert_eq!(answer.header("retry-after"), None);
        let answer = setting.ask(ask(&refused)).await;
        assert_eq!(
            (answer.status, statuses(&answer)),
            (202, vec!["duplicate".into(), "rejected".into()])
        );
        let kept = setting.ask(ask(&refused)).await;
        assert_eq!(kept.header("idempotency-replayed"), Some("true"));
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_that_is_no_event_id_is_refused_with_its_value_and_the_expected_value() {
    on_gateway(async |setting| {
        let mut event = shipped("x");
        event.as_object_mut().unwrap().remove("id");
        let long = "k".repeat(256);
        for (key, shown) in [
            ("tab\there", "tab\\there"),
            ("", ""),
            ("\"\"", "\\\"\\\""),
            ("schlüssel", "schlüssel"),
            (&long, &*format!("{}…", "k".repeat(99))),
        ] {
            let ask = Ask::post("/v1/events")
                .header("idempotency-key", key)
                .json(&event);
            let answer = setting.ask(ask).await;
            assert_eq!(answer.problem(422, "validation"), [" format"]);
            let message = format!(
                "the header idempotency-key: expected 1 to 255 visible ASCII characters, not \"{shown}\""
            );
            assert_eq!(answer.json()["errors"][0]["message"], message);
            assert_eq!(answer.json()["detail"], message);
        }
        assert!(setting.published().await.is_empty());
    })
    .await;
}
