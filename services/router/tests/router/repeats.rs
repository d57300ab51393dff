//! Repetitions: the same record read again, and another record of the same event.

use std::time::Duration;

use carillon_bus::{Record, headers};
use carillon_domain::{Event, event::Defaults, status::EventVerdict};
use carillon_store::{
    Lease,
    events::{EventKey, IngestClaim, IngestVerdict},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{START, Setting, event, on_router, shipped, with};

use EventVerdict::{Duplicate, Rejected, Routed};

/// The event at another position of the topic.
fn moved(record: &Record) -> Record {
    Record {
        offset: record.offset + 1_000,
        ..record.clone()
    }
}

/// Claims the event as a gateway does; returns the verdict, the event's key and its record.
async fn ingest(setting: &Setting, event: &Value) -> (IngestVerdict, EventKey, Record) {
    let now = START.parse().unwrap();
    let json = event.to_string();
    let parsed = Event::from_cloudevent(json.as_bytes(), Defaults::at(now)).unwrap();
    let key = EventKey {
        tenant: setting.tenant.clone(),
        event_id: parsed.id.clone(),
        source: parsed.source.clone(),
    };
    let claim = IngestClaim {
        key: key.clone(),
        event_type: parsed.event_type.clone(),
        fingerprint: parsed.fingerprint(),
        lease: Lease {
            owner: Uuid::now_v7(),
            until: now + Duration::from_secs(10),
        },
    };
    let verdict = setting
        .env
        .store
        .events()
        .claim_ingest(vec![claim])
        .await
        .unwrap()[0];
    let mut record = setting.raw(parsed.to_wire());
    record.headers.push(headers::VIA, "gateway");
    (verdict, key, record)
}

/// A gateway claims the event and publishes it.
async fn through_gateway(setting: &Setting, event: &Value) -> Record {
    let (verdict, key, record) = ingest(setting, event).await;
    assert_eq!(verdict, IngestVerdict::Claimed);
    let events = setting.env.store.events();
    events.mark_published(vec![key]).await.unwrap();
    record
}

#[tokio::test]
async fn the_same_records_read_again_give_the_same_deliveries_and_are_no_duplicates() {
    on_router(async |setting| {
        let guests = json!([{"user_id": "u-42"}, {"email": "guest@example.com"}, {"user_id": "stranger"}]);
        let records = [
            setting.record(&shipped("e-1")),
            setting.record(&with(shipped("e-2"), "recipients", guests)),
            setting.raw("this is no event"),
        ];
        let first = setting.route(&records).await;
        assert_eq!((first.deliveries.len(), first.dead.len()), (7, 1));
        for _ in 0..2 {
            let again = setting.route(&records).await;
            assert_eq!(again.bytes(), first.bytes());
            assert_eq!(again.places(), first.places());
            assert_eq!(again.verdicts(), first.verdicts());
            assert_eq!(again.decisions(), first.decisions());
        }
        // Later, in another batch, it is still the same event with the same message.
        setting.clock.advance(Duration::from_hours(1));
        let later = setting.route(&records[1..2]).await;
        assert_eq!(later.verdicts(), [("e-2", Routed)]);
        let ids = |routed: &crate::routed::Routed| -> Vec<_> {
            let deliveries = routed.deliveries.iter();
            deliveries.map(|sent| sent.delivery.delivery_id).collect()
        };
        assert_eq!(ids(&later), ids(&first)[3..]);
    })
    .await;
}

#[tokio::test]
async fn another_record_of_the_same_event_is_a_duplicate_and_stays_one() {
    on_router(async |setting| {
        let first = setting.record(&shipped("e-1"));
        let second = moved(&first);
        // Another time of occurrence does not make it another event.
        let mut third = setting.record(&with(shipped("e-1"), "time", json!("2026-11-24T09:00:00Z")));
        third.topic = setting.topics().events(carillon_domain::Lane::Bulk);
        let batch = [first.clone(), second.clone()];
        for records in [&batch[..], &batch[..]] {
            let routed = setting.route(records).await;
            assert_eq!(routed.deliveries.len(), 3);
            assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Duplicate)]);
            let duplicate = &routed.decided[1];
            assert_eq!(duplicate.origin.offset, second.offset);
            assert!(duplicate.event.is_none() && duplicate.decisions.is_empty());
        }
        for record in [second, third] {
            let routed = setting.route(&[record]).await;
            assert_eq!(routed.verdicts(), [("e-1", Duplicate)]);
            assert_eq!(routed.all.len(), 1, "nothing but the status");
        }
        let routed = setting.route(&[first]).await;
        assert_eq!(routed.verdicts(), [("e-1", Routed)]);
    })
    .await;
}

#[tokio::test]
async fn a_record_with_other_content_under_the_same_id_is_not_routed() {
    on_router(async |setting| {
        let first = setting.record(&shipped("e-1"));
        let other = event("e-1", "OrderShipped", &json!({"order_id": "another"}));
        let other = setting.record(&other);
        let routed = setting.route(&[first.clone(), other.clone()]).await;
        assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Duplicate)]);
        assert!(
            routed
                .deliveries
                .iter()
                .all(|sent| sent.delivery.data.get().contains("1001"))
        );
        // The order in which they are read again makes no difference.
        let routed = setting.route(&[other, first]).await;
        assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Duplicate)]);
        assert_eq!(routed.deliveries.len(), 3);
        assert!(
            routed
                .deliveries
                .iter()
                .all(|sent| sent.delivery.data.get().contains("1001"))
        );
    })
    .await;
}

#[tokio::test]
async fn the_same_id_from_another_source_is_another_event() {
    on_router(async |setting| {
        let records = [
            setting.record(&shipped("e-1")),
            setting.record(&with(shipped("e-1"), "source", json!("/crm"))),
        ];
        let routed = setting.route(&records).await;
        assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Routed)]);
        let mut ids: Vec<_> = routed
            .deliveries
            .iter()
            .map(|sent| sent.delivery.delivery_id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn only_the_routed_record_of_an_event_is_reported_as_via_gateway() {
    on_router(async |setting| {
        let record = through_gateway(setting, &shipped("e-1")).await;
        let twice = [record.clone(), moved(&record)];
        for _ in 0..2 {
            let routed = setting.route(&twice).await;
            assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Duplicate)]);
            let via: Vec<_> = routed.decided.iter().map(|decided| decided.via_gateway).collect();
            assert_eq!(via, [true, false]);
        }
        let counts = setting.env.store.audit().counts().await.unwrap();
        assert_eq!((counts.acknowledged, counts.waiting), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_event_with_repeated_recipients_and_channels_is_recognised_when_it_is_posted_again() {
    on_router(async |setting| {
        let twice = json!([{"user_id": "u-42"}, {"user_id": "u-42"}]);
        let event = with(shipped("e-1"), "recipients", twice);
        let event = with(event, "channels", json!("sms,email,sms"));
        let record = through_gateway(setting, &event).await;
        let routed = setting.route(&[record]).await;
        assert_eq!(routed.places().len(), 2);
        let told = routed.only().event.as_ref().unwrap().get();
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["channels"], "sms,email");
        assert_eq!(told["recipients"], json!([{"user_id": "u-42"}]));
        let (verdict, ..) = ingest(setting, &event).await;
        assert_eq!(verdict, IngestVerdict::Duplicate);
    })
    .await;
}

#[tokio::test]
async fn an_event_of_a_gateway_is_passed_on_byte_for_byte() {
    on_router(async |setting| {
        let record = through_gateway(setting, &shipped("e-1")).await;
        let routed = setting.route(std::slice::from_ref(&record)).await;
        let told = routed.only().event.as_ref().unwrap().get();
        assert_eq!(told.as_bytes(), record.value);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_a_gateway_accepted_is_routed_even_if_its_record_is_larger() {
    on_router(async |setting| {
        let users: Vec<String> = (0..1_000).map(|n| format!("u{n}")).collect();
        let data = json!({"text": "x".repeat(250_000)});
        let posted = with(event("e-1", "Note", &data), "recipients", json!(users));
        let record = through_gateway(setting, &posted).await;
        let limit = 256 * 1024;
        assert!(posted.to_string().len() <= limit && record.value.len() > limit);
        let routed = setting.route(&[record]).await;
        assert!(routed.decided.iter().all(|decided| decided.verdict == Routed));
        assert_eq!(routed.decisions().len(), 1_000);
    })
    .await;
}

#[tokio::test]
async fn a_via_header_without_a_gateways_claim_is_not_believed() {
    on_router(async |setting| {
        let mut record = setting.record(&shipped("e-1"));
        record.headers.push(headers::VIA, "gateway");
        let mut bad = setting.record(&with(shipped("e-2"), "type", json!("Unheard")));
        bad.headers.push(headers::VIA, "gateway");
        let routed = setting.route(&[record, bad]).await;
        assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-2", Rejected)]);
        assert!(routed.decided.iter().all(|decided| !decided.via_gateway));
    })
    .await;
}

#[tokio::test]
async fn the_id_of_a_rejected_event_stays_free_for_the_corrected_one() {
    on_router(async |setting| {
        let wrong = setting.record(&event("e-1", "OrderShipped", &json!({"order_id": 1001})));
        let routed = setting
            .route(&[wrong.clone(), setting.record(&shipped("e-1"))])
            .await;
        assert_eq!(routed.verdicts(), [("e-1", Routed), ("e-1", Rejected)]);
        assert_eq!(routed.deliveries.len(), 3);
        assert_eq!(setting.route(&[wrong]).await.verdicts(), [("e-1", Rejected)]);
    })
    .await;
}

#[tokio::test]
async fn an_event_of_a_gateway_that_the_catalog_no_longer_allows_is_accounted_for_once() {
    on_router(async |setting| {
        let gone = with(shipped("e-1"), "type", json!("Withdrawn"));
        let record = through_gateway(setting, &gone).await;
        for _ in 0..2 {
            let routed = setting.route(std::slice::from_ref(&record)).await;
            assert_eq!(routed.verdicts(), [("e-1", Rejected)]);
            assert!(routed.only().via_gateway);
        }
        let counts = setting.env.store.audit().counts().await.unwrap();
        assert_eq!((counts.acknowledged, counts.waiting), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_event_without_id_and_time_gets_the_same_ones_whenever_its_record_is_read() {
    on_router(async |setting| {
        let mut nameless = shipped("e-1");
        for attribute in ["id", "time"] {
            nameless.as_object_mut().unwrap().remove(attribute);
        }
        let mut binary = setting.raw(r#"{"order_id":"1001"}"#);
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_type", "OrderShipped"),
            ("ce_recipient", "u-42"),
        ] {
            binary.headers.push(name, value);
        }
        for record in [setting.record(&nameless), binary] {
            let first = setting.route(std::slice::from_ref(&record)).await;
            setting.clock.advance(Duration::from_mins(1));
            let again = setting.route(std::slice::from_ref(&record)).await;
            assert_eq!(again.verdicts(), first.verdicts());
            for (first, again) in first.deliveries.iter().zip(&again.deliveries) {
                assert_eq!(first.delivery.delivery_id, again.delivery.delivery_id);
                assert_eq!(first.delivery.event_time, record.timestamp);
                assert_eq!(again.delivery.event_time, record.timestamp);
            }
            let other = setting.route(&[moved(&record)]).await;
            assert_eq!(other.only().verdict, Routed, "another record is another event");
            assert_ne!(other.only().event_id, first.only().event_id);
        }
    })
    .await;
}
