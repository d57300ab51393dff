//! Messages over a limit: they wait until it has room, or the next channel is used.

use std::time::Duration;

use carillon_bus::{Record, headers};
use carillon_domain::{
    Catalog, DeliveryStatus,
    waiting::{Waiting, WaitingContent},
};
use serde_json::{Value, json};

use crate::{
    routed::Routed,
    scheduled::release_after,
    support::{Setting, event, on_router, with},
};

/// A minute after the one at which tests begin.
const MINUTE: Duration = Duration::from_mins(1);

/// A catalog of one type, which is limited to one e-mail and one push an hour, and to three e-mails a day.
async fn put_catalog(setting: &Setting, overflow: &str) {
    let catalog = json!({
        "types": {"Offer": {"category": "offers", "channels": {"mode": "fallback", "order": ["push", "email", "sms"]}},
            "Bill": {"category": "bills", "channels": {"order": ["email"]}}},
        "categories": {
            "bills": {"overflow": "defer", "limits": [
                {"channel": "email", "max": 1, "per": "1h"}, {"channel": "email", "max": 3, "per": "1d"}]},
            "offers": {"overflow": overflow, "limits": [
                {"channel": "push", "max": 1, "per": "1h"}, {"channel": "email", "max": 1, "per": "1h"}]},
        },
    });
    let catalog: Catalog = serde_json::from_value(catalog).unwrap();
    assert_eq!(catalog.validate(), []);
    let catalogs = setting.env.store.catalog();
    catalogs.put(&setting.tenant, &catalog, None).await.unwrap();
}

fn offer(id: &str) -> Value {
    event(id, "Offer", &json!({}))
}

fn bill(id: &str) -> Value {
    event(id, "Bill", &json!({}))
}

fn waiting(routed: &Routed) -> Waiting {
    let [record] = &routed.waiting[..] else {
        panic!("{:?}", routed.waiting)
    };
    Waiting::parse(record.headers.get(headers::WAITS).unwrap()).unwrap()
}

#[tokio::test]
async fn a_message_over_a_limit_waits_until_it_has_room_and_is_counted_when_it_is_sent() {
    on_router(async |setting| {
        put_catalog(setting, "defer").await;
        let first = setting.route_event(&bill("e-1")).await;
        assert_eq!(first.decisions(), ["email send allowed"]);
        setting.clock.advance(MINUTE * 20);
        let second = setting.record(&bill("e-2"));
        let deferred = setting.route(std::slice::from_ref(&second)).await;
        assert_eq!(deferred.decisions(), ["email defer over_limit"]);
        let decision = &deferred.only().decisions[0];
        assert_eq!(
            decision.sentence,
            "Held back until 12:00, 24 Nov (Europe/Berlin): the limit of the category bills on email is used up for this recipient."
        );
        let steps = decision.steps.list();
        let limit = steps.iter().find(|step| step.rule == "limit").unwrap();
        assert_eq!(&*limit.result, "wait");
        assert_eq!(limit.inputs["until"], json!("2026-11-24T11:00:00Z"));
        let waits = waiting(&deferred);
        assert_eq!(waits.due, "2026-11-24T11:00:00Z".parse::<carillon_domain::Timestamp>().unwrap());
        assert_eq!(&*waits.reason, "over_limit");
        assert!(matches!(&waits.release.content, WaitingContent::Deliveries { parts, .. } if parts.len() == 1));

        // Read again, as after an aborted transaction, it waits for the same time.
        setting.clock.advance(MINUTE);
        let again = setting.route(&[second]).await;
        assert_eq!(waiting(&again), waits);

        let released = release_after(setting, &deferred.waiting[0], MINUTE * 39).await;
        // The release is sent, and read again it is the same message and counts once.
        for _ in 0..2 {
            let sent = setting.route(std::slice::from_ref(&released)).await;
            assert_eq!(sent.decisions(), ["email send allowed"]);
            assert_eq!(sent.deliveries[0].delivery.delivery_id, decision.delivery_id.unwrap());
        }
        let third = setting.route_event(&bill("e-3")).await;
        assert_eq!(third.decisions(), ["email defer over_limit"]);
        let due = waiting(&third).due;
        assert_eq!(due, "2026-11-24T12:00:00Z".parse::<carillon_domain::Timestamp>().unwrap());
        // Three messages were counted against the limit of the day: two that were sent, and the one that comes now.
        let released = release_after(setting, &third.waiting[0], MINUTE * 60).await;
        assert_eq!(setting.route(&[released]).await.decisions(), ["email send allowed"]);
        setting.clock.advance(MINUTE * 60);
        let fourth = setting.route_event(&bill("e-4")).await;
        let due = waiting(&fourth).due;
        assert_eq!(due, "2026-11-25T10:00:00Z".parse::<carillon_domain::Timestamp>().unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_waits_again_at_its_release_waits_for_the_next_room() {
    on_router(async |setting| {
        put_catalog(setting, "defer").await;
        setting.route_event(&bill("e-1")).await;
        let deferred = setting.route_event(&bill("e-2")).await;
        let released = release_after(setting, &deferred.waiting[0], MINUTE * 60).await;
        // Another message takes the room at the same moment.
        assert_eq!(
            setting.route_event(&bill("e-3")).await.decisions(),
            ["email send allowed"]
        );
        let again = setting.route(&[released]).await;
        assert_eq!(again.decisions(), ["email defer over_limit"]);
        let (first, second) = (waiting(&deferred), waiting(&again));
        assert_eq!((first.release.number, second.release.number), (1, 2));
        assert_ne!(first.release.id, second.release.id);
        assert!(again.updates.is_empty() && again.deliveries.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_would_expire_before_the_limit_has_room_is_dropped() {
    on_router(async |setting| {
        put_catalog(setting, "defer").await;
        setting.route_event(&bill("e-1")).await;
        let short = with(bill("e-2"), "expiresat", json!("2026-11-24T11:00:00Z"));
        let dropped = setting.route_event(&short).await;
        assert_eq!(dropped.decisions(), ["email drop over_limit"]);
        assert!(dropped.waiting.is_empty());
        assert!(
            dropped.only().decisions[0].sentence.ends_with(
                "and the event expires before it has room again at 12:00, 24 Nov (Europe/Berlin)."
            ),
            "{:?}",
            dropped.only().decisions[0]
        );
        let long = with(bill("e-3"), "expiresat", json!("2026-11-24T11:00:01Z"));
        assert_eq!(
            setting.route_event(&long).await.decisions(),
            ["email defer over_limit"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_over_a_limit_is_downgraded_to_the_next_channel_and_both_decisions_say_so() {
    on_router(async |setting| {
        put_catalog(setting, "downgrade").await;
        let records: Vec<Record> = (0..4).map(|n| setting.record(&offer(&format!("e-{n}")))).collect();
        let routed = setting.route(&records).await;
        let not_needed = "sms suppress fallback_not_needed";
        assert_eq!(
            routed.decisions(),
            [
                "push send allowed", "email suppress fallback_not_needed", not_needed,
                "push drop over_limit", "email send downgraded", not_needed,
                "push drop over_limit", "email drop over_limit", "sms send downgraded",
                "push drop over_limit", "email drop over_limit", "sms send downgraded",
            ]
        );
        assert_eq!(routed.deliveries.len(), 4);
        let sentences = |event: usize| -> Vec<&str> {
            let decisions = routed.decided[event].decisions.iter();
            decisions.map(|decision| decision.sentence.as_str()).collect()
        };
        assert_eq!(
            sentences(1)[..2],
            [
                "Not sent by push: the limit of the category offers on push is used up for this recipient, so email is used instead.",
                "To be sent by email: a limit on push is used up.",
            ]
        );
        let steps = routed.decided[1].decisions[1].steps.list();
        assert_eq!((&*steps[0].rule, &*steps[0].result), ("downgrade", "pass"));
        assert_eq!(steps[0].inputs, json!({"from": "push"}));

        // Read again, in one batch and from the last to the first, nothing counts twice.
        assert_eq!(setting.route(&records).await.bytes(), routed.bytes());
        for (record, decided) in records.iter().zip(&routed.decided).rev() {
            let again = setting.route(std::slice::from_ref(record)).await;
            assert_eq!(again.only().decisions, decided.decisions);
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_that_has_waited_is_downgraded_at_its_release() {
    on_router(async |setting| {
        put_catalog(setting, "downgrade").await;
        setting
            .prefer("u-42", json!({"quiet_hours": [{"from": "10:00", "to": "12:00"}], "types": {"Offer": {"email": false}}}))
            .await;
        let waits = setting.route_event(&offer("e-1")).await;
        assert_eq!(waits.decisions()[0], "push defer quiet_hours");
        let waited = waits.only().decisions[0].delivery_id.unwrap();
        let released = release_after(setting, &waits.waiting[0], MINUTE * 60).await;
        assert_eq!(setting.route_event(&offer("e-2")).await.decisions()[0], "push send allowed");
        for _ in 0..2 {
            let routed = setting.route(std::slice::from_ref(&released)).await;
            assert_eq!(
                routed.decisions(),
                ["push drop over_limit", "email suppress opted_out_type", "sms send downgraded"]
            );
            assert!(routed.only().decisions[0].sentence.ends_with("so sms is used instead."));
            assert_eq!(routed.deliveries.len(), 1);
            // The delivery that has waited ends, so that the books balance.
            let [ended] = &routed.updates[..] else { panic!("{:?}", routed.updates) };
            assert_eq!(ended.delivery_id, waited);
            assert_eq!(ended.steps[0].status, DeliveryStatus::Failed);
        }
    })
    .await;
}
