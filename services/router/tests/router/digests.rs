//! Messages that join a digest, and the event by which a digest is sent.

use std::time::Duration;

use carillon_bus::{OutRecord, headers};
use carillon_domain::{
    Catalog, Event, Recipient, Timestamp,
    event::Defaults,
    status::EventVerdict,
    waiting::{Waiting, WaitingContent},
};
use serde_json::{Value, json};

use crate::{
    routed::Routed,
    scheduled::release_after,
    support::{START, Setting, event, on_router, with},
};

const MINUTE: Duration = Duration::from_mins(1);

async fn put_catalog(setting: &Setting, category: Value) {
    let of = |order: &[&str]| json!({"category": "alerts", "channels": {"order": order}});
    let catalog = json!({
        "types": {"PriceDrop": of(&["email", "push", "sms"]), "AlertDigest": of(&["email", "push"])},
        "categories": {"alerts": category},
    });
    let catalog: Catalog = serde_json::from_value(catalog).unwrap();
    assert_eq!(catalog.validate(), []);
    setting
        .env
        .store
        .catalog()
        .put(&setting.tenant, &catalog, None)
        .await
        .unwrap();
}

fn price_drop(id: &str, product: &str) -> Value {
    event(id, "PriceDrop", &json!({"product": product}))
}

fn members(routed: &Routed) -> Vec<Waiting> {
    let read = |record: &OutRecord| Waiting::parse(record.headers.get(headers::WAITS).unwrap()).unwrap();
    routed.waiting.iter().map(read).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_message_joins_the_digest_of_its_window_on_the_channels_of_the_digests_type() {
    on_router(async |setting| {
        put_catalog(
            setting,
            json!({"digest": {"type": "AlertDigest", "at": ["18:00"], "max": 7}}),
        )
        .await;
        let record = setting.record(&price_drop("e-1", "desk"));
        let routed = setting.route(std::slice::from_ref(&record)).await;
        assert_eq!(
            routed.decisions(),
            ["email digest digest", "push digest digest", "sms send allowed"]
        );
        assert_eq!(routed.deliveries.len(), 1);
        let [email, push] = &members(&routed)[..] else {
            panic!()
        };
        let decisions = &routed.only().decisions;
        let digest = email.digest.as_ref().unwrap();
        assert_eq!(
            decisions[0].sentence,
            format!(
                "Collected until 18:00, 24 Nov (Europe/Berlin), in digest {}.",
                digest.id
            )
        );
        assert_eq!(decisions[0].digest_id, Some(digest.id));
        assert_eq!(
            (decisions[0].until, email.due),
            (Some(email.due), at("2026-11-24T17:00:00Z"))
        );
        assert_eq!((&*digest.event_type, digest.max), ("AlertDigest", 7));
        assert_eq!(digest.recipient, Recipient::user("u-42"));
        assert_ne!(
            push.digest.as_ref().unwrap().id,
            digest.id,
            "each channel has its own"
        );
        let WaitingContent::Deliveries { parts, .. } = &email.release.content else {
            panic!()
        };
        assert_eq!(parts[0].deliveries, [decisions[0].delivery_id.unwrap()]);
        // The record is the event for this recipient, which the scheduler reads.
        let read = Event::from_cloudevent(&routed.waiting[0].value, Defaults::at(at(START))).unwrap();
        assert_eq!(
            (read.id.as_str(), read.data.get()),
            ("e-1", r#"{"product":"desk"}"#)
        );

        // Read again, as after an aborted transaction, it joins the same digest.
        assert_eq!(setting.route(&[record]).await.bytes(), routed.bytes());
        // Another event of the window joins it too; one after it joins the next.
        let second = members(&setting.route_event(&price_drop("e-2", "lamp")).await);
        assert_eq!(second[0].digest.as_ref().unwrap().id, digest.id);
        assert_ne!(second[0].release.id, email.release.id);
        setting.clock.advance(MINUTE * 60 * 7);
        let third = members(&setting.route_event(&price_drop("e-3", "chair")).await);
        assert_ne!(third[0].digest.as_ref().unwrap().id, digest.id);
    })
    .await;
}

#[tokio::test]
async fn each_recipient_and_each_key_has_a_digest_of_its_own() {
    on_router(async |setting| {
        put_catalog(
            setting,
            json!({"digest": {"type": "AlertDigest", "every": "1h", "key": "/data/product"}}),
        )
        .await;
        let both = json!([{"user_id": "u-42"}, {"email": "guest@example.com", "locale": "fr"}]);
        let routed = setting
            .route_event(&with(price_drop("e-1", "desk"), "recipients", both))
            .await;
        let [email, _, guest] = &members(&routed)[..] else {
            panic!("{:?}", routed.decisions())
        };
        let (email, guest) = (email.digest.as_ref().unwrap(), guest.digest.as_ref().unwrap());
        assert_ne!(email.id, guest.id);
        assert_eq!(guest.recipient.email.as_deref(), Some("guest@example.com"));
        assert_eq!(guest.recipient.locale.as_deref(), Some("fr"));
        let read = Event::from_cloudevent(&routed.waiting[2].value, Defaults::at(at(START))).unwrap();
        assert_eq!(read.recipients, std::slice::from_ref(&guest.recipient));
        let other = members(&setting.route_event(&price_drop("e-2", "lamp")).await);
        assert_ne!(other[0].digest.as_ref().unwrap().id, email.id);
        let same = members(&setting.route_event(&price_drop("e-3", "desk")).await);
        assert_eq!(same[0].digest.as_ref().unwrap().id, email.id);
    })
    .await;
}

#[tokio::test]
async fn a_late_member_is_decided_again_and_joins_the_next_digest() {
    on_router(async |setting| {
        put_catalog(setting, json!({"digest": {"type": "AlertDigest", "every": "1h"}})).await;
        let routed = setting.route_event(&price_drop("e-1", "desk")).await;
        let first = members(&routed).remove(0);
        // The scheduler, which has closed the digest, lets it wait by itself.
        let released = release_after(setting, &routed.waiting[0], MINUTE * 61).await;
        for _ in 0..2 {
            let again = setting.route(std::slice::from_ref(&released)).await;
            assert_eq!(again.decisions(), ["email digest digest"]);
            let [late] = &members(&again)[..] else { panic!() };
            assert_eq!(late.due, at("2026-11-24T12:00:00Z"));
            assert_ne!(
                late.digest.as_ref().unwrap().id,
                first.digest.as_ref().unwrap().id
            );
            assert_eq!(late.release.number, 2);
            assert_eq!(
                late.release.content.parts()[0].deliveries,
                first.release.content.parts()[0].deliveries
            );
            assert!(again.updates.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn the_event_of_a_digest_is_sent_and_not_collected_again() {
    on_router(async |setting| {
        put_catalog(
            setting,
            json!({"digest": {"type": "AlertDigest", "every": "1h"}, "overflow": "digest",
                "limits": [{"channel": "email", "max": 1, "per": "1h"}]}),
        )
        .await;
        let digest = |id: &str| {
            let digest = event(id, "AlertDigest", &json!({"count": 1, "items": []}));
            with(
                with(digest, "source", json!("/carillon/digests")),
                "channels",
                json!("email"),
            )
        };
        // Only messages over the limit are collected.
        let first = setting.route_event(&price_drop("e-1", "desk")).await;
        assert_eq!(
            first.decisions(),
            ["email send allowed", "push send allowed", "sms send allowed"]
        );
        let second = setting.route_event(&price_drop("e-2", "desk")).await;
        assert_eq!(
            second.decisions(),
            ["email digest over_limit", "push send allowed", "sms send allowed"]
        );
        assert!(
            second.only().decisions[0]
                .sentence
                .starts_with("Collected until 12:00, 24 Nov (Europe/Berlin), in digest ")
        );
        assert!(
            second.only().decisions[0]
                .sentence
                .ends_with("is used up for this recipient.")
        );
        assert_eq!(members(&second).len(), 1);

        setting.clock.advance(MINUTE * 60);
        let record = setting.record(&digest("d-1"));
        let doubled = setting.record(&digest("d-1"));
        let routed = setting.route(&[record, doubled]).await;
        assert_eq!(routed.decisions()[0], "email send allowed");
        assert_eq!(
            routed.verdicts(),
            [("d-1", EventVerdict::Routed), ("d-1", EventVerdict::Duplicate)]
        );
        assert_eq!(routed.deliveries.len(), 1);
        // A digest over the limit waits, and joins no other.
        let over = setting.route_event(&digest("d-2")).await;
        assert_eq!(over.decisions()[0], "email defer over_limit");
    })
    .await;
}
