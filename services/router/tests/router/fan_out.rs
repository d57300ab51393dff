//! One event for a thousand recipients.

use std::collections::HashSet;

use carillon_bus::{OutRecord, Record};
use carillon_router::{Refused, Route};
use carillon_store::users::UserPut;
use serde_json::{Value, json};

use crate::{
    routed::Routed,
    support::{Setting, event, on_router, shipped, with},
};

/// The largest Kafka message, by the producer's configuration.
const MESSAGE: usize = 1_000_000;
/// The approximate size of a transaction.
const PART: usize = 16 << 20;

fn size(records: &[OutRecord]) -> usize {
    records.iter().map(OutRecord::size).sum()
}

/// All parts of a record's output, the last one included.
async fn all_parts(route: &Route, record: &Record) -> Vec<Vec<OutRecord>> {
    let mut parts = Vec::new();
    let last = route
        .route(std::slice::from_ref(record), &mut parts, &mut Refused::default())
        .await
        .unwrap();
    parts.push(last);
    parts
}

async fn parts(setting: &Setting, event: &Value) -> Vec<Vec<OutRecord>> {
    let route = Route::new(setting.deps(&setting.env.bus, setting.clock.clone()));
    all_parts(&route, &setting.record(event)).await
}

#[tokio::test]
async fn a_thousand_recipients_are_decided_in_parts_of_one_event() {
    on_router(async |setting| {
        let guests: Vec<Value> = (0..999)
            .map(|n| json!({"email": format!("g{n}@example.com"), "phone": format!("+49151{n:08}")}))
            .chain([json!({"user_id": "u-42"})])
            .collect();
        let routed = setting
            .route_event(&with(shipped("e-1"), "recipients", json!(guests)))
            .await;
        assert_eq!(routed.deliveries.len(), 999 * 2 + 3);
        let ids: HashSet<_> = routed
            .deliveries
            .iter()
            .map(|sent| sent.delivery.delivery_id)
            .collect();
        assert_eq!(ids.len(), routed.deliveries.len());

        assert!(routed.decided.len() > 1, "too much for one record");
        let numbers: Vec<u32> = routed.decided.iter().map(|decided| decided.part).collect();
        assert_eq!(
            numbers,
            (0..u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>()
        );
        let origins: HashSet<_> = routed.decided.iter().map(|decided| &decided.origin).collect();
        assert_eq!(origins.len(), 1);
        let with_event = routed.decided.iter().filter(|decided| decided.event.is_some());
        assert_eq!(with_event.count(), 1);
        assert!(routed.decided[0].event.is_some());
        assert_eq!(routed.decisions().len(), 3_000);
        let named: HashSet<_> = routed
            .decided
            .iter()
            .flat_map(|decided| {
                decided
                    .decisions
                    .iter()
                    .filter_map(|decision| decision.delivery_id)
            })
            .collect();
        assert_eq!(named, ids);
        assert!(routed.all.iter().all(|record| record.size() < MESSAGE));
    })
    .await;
}

#[tokio::test]
async fn output_larger_than_a_transaction_is_split_into_parts_that_are_the_same_when_repeated() {
    on_router(async |setting| {
        let guests: Vec<Value> = (0..1_000)
            .map(|n| json!({"email": format!("g{n}@example.com")}))
            .collect();
        let large = with(
            event("e-1", "Note", &json!({"text": "x".repeat(100_000)})),
            "recipients",
            json!(guests),
        );
        let record = setting.record(&large);
        let route = Route::new(setting.deps(&setting.env.bus, setting.clock.clone()));
        let parts = all_parts(&route, &record).await;
        assert!(parts.len() >= 6, "100 MB are {} parts", parts.len());
        for part in &parts {
            assert!(!part.is_empty());
            assert!(size(part) <= PART, "{} bytes", size(part));
        }
        let again = all_parts(&route, &record).await;
        let values = |parts: &[Vec<OutRecord>]| -> Vec<Vec<_>> {
            let values = |part: &Vec<OutRecord>| part.iter().map(|record| record.value.clone()).collect();
            parts.iter().map(values).collect()
        };
        assert!(values(&again) == values(&parts));
        let routed = Routed::new(setting.topics(), parts.into_iter().flatten());
        assert_eq!(
            (routed.deliveries.len(), routed.decisions().len()),
            (1_000, 1_000)
        );
    })
    .await;
}

#[tokio::test]
async fn each_record_fits_into_a_kafka_message_with_recipient_names_of_any_length() {
    on_router(async |setting| {
        // The largest content of an event, 256 KiB, which is repeated in the decisions and in the status.
        let ids: Vec<String> = (0..1_000).map(|n| format!("{n:04}{}", "u".repeat(240))).collect();
        let to = event("e-1", "Note", &json!({ "to": ids }));
        let to = with(to, "recipients", Value::Null);
        assert!(to.to_string().len() < 256 * 1024);
        let limits: Vec<Value> = (1..=8)
            .map(|n| json!({"channel": "email", "max": 1_000, "per": format!("{n}h")}))
            .collect();
        let catalog = json!({
            "types": {"Note": {
                "category": "c".repeat(128), "channels": {"order": ["email"]}, "recipients_from": ["/data/to"],
            }},
            "categories": {"c".repeat(128): {"limits": limits}},
        });
        let catalog = serde_json::from_value(catalog).unwrap();
        let store = &setting.env.store;
        store.catalog().put(&setting.tenant, &catalog, None).await.unwrap();
        for id in &ids {
            let put = UserPut {
                email: Some("same@example.com".to_owned()),
                ..UserPut::default()
            };
            setting.put_user(id, &put).await;
        }
        let parts = parts(setting, &to).await;
        let routed = Routed::new(setting.topics(), parts.into_iter().flatten());
        assert_eq!((routed.deliveries.len(), routed.decisions().len()), (1_000, 1_000));
        for record in &routed.all {
            assert!(record.size() < MESSAGE, "{} bytes on {}", record.size(), record.topic);
        }
    })
    .await;
}
