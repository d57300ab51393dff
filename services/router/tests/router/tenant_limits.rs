//! Limits of the whole tenant, and of a user over all categories: counted once, with the overflow of the message's category.

use std::time::Duration;

use carillon_bus::headers;
use carillon_domain::{Catalog, TenantId, Timestamp, waiting::Waiting};
use serde_json::{Value, json};

use crate::{
    routed::Routed,
    scheduled::release_after,
    support::{START, Setting, event, on_router, with},
};

const MINUTE: Duration = Duration::from_mins(1);

/// A catalog of three categories on one channel, and their limits.
async fn put_catalog(setting: &Setting, tenant: &TenantId, limits: &Value) {
    let of = |category: &str| json!({"category": category, "channels": {"order": ["email"]}});
    let catalog = json!({
        "types": {"News": of("news"), "Bill": of("bills"), "Code": with(of("bills"), "critical", json!(true)),
            "Offer": {"category": "offers", "channels": {"mode": "fallback", "order": ["email", "sms"]}}},
        "categories": {"news": {}, "bills": {"overflow": "defer"}, "offers": {"overflow": "downgrade"}},
        "limits": limits,
    });
    let catalog: Catalog = serde_json::from_value(catalog).unwrap();
    assert_eq!(catalog.validate(), []);
    let catalogs = setting.env.store.catalog();
    catalogs.put(tenant, &catalog, None).await.unwrap();
}

fn limits(of: &str, max: u32) -> Value {
    json!({of: [{"channel": "email", "max": max, "per": "1h"}]})
}

fn to(id: &str, event_type: &str, user: &str) -> Value {
    with(
        event(id, event_type, &json!({})),
        "recipients",
        json!([{"user_id": user}]),
    )
}

fn due(routed: &Routed) -> Timestamp {
    let [record] = &routed.waiting[..] else {
        panic!("{:?}", routed.waiting)
    };
    Waiting::parse(record.headers.get(headers::WAITS).unwrap())
        .unwrap()
        .due
}

#[tokio::test]
async fn a_limit_of_the_tenant_counts_the_messages_to_all_users_once_and_each_category_overflows_in_its_way()
{
    on_router(async |setting| {
        put_catalog(setting, &setting.tenant, &limits("tenant", 3)).await;
        for user in ["u-1", "u-2", "u-3"] {
            setting.put_reader(user).await;
        }
        let records: Vec<_> = [
            ("e-1", "News", "u-1"),
            ("e-2", "Bill", "u-2"),
            ("e-3", "Offer", "u-3"),
        ]
        .map(|(id, event_type, user)| setting.record(&to(id, event_type, user)))
        .into();
        // Read again, as after an aborted transaction, they count once.
        for _ in 0..3 {
            let routed = setting.route(&records).await;
            assert_eq!(
                routed.decisions(),
                [
                    "email send allowed",
                    "email send allowed",
                    "email send allowed",
                    "sms suppress fallback_not_needed"
                ]
            );
        }
        let critical = setting.route_event(&to("e-4", "Code", "u-1")).await;
        assert_eq!(critical.decisions(), ["email send critical"]);
        let dropped = setting.route_event(&to("e-5", "News", "u-2")).await;
        assert_eq!(dropped.decisions(), ["email drop over_limit"]);
        let decision = &dropped.only().decisions[0];
        assert_eq!(
            decision.sentence,
            "Dropped: the limit of the whole tenant on email is used up."
        );
        let step = decision.steps.list().pop().unwrap();
        assert_eq!(
            step.inputs,
            json!({"of": "tenant", "channel": "email", "max": 3, "per": "1h"})
        );
        let downgraded = setting.route_event(&to("e-6", "Offer", "u-42")).await;
        assert_eq!(
            downgraded.decisions(),
            ["email drop over_limit", "sms send downgraded"]
        );
        assert_eq!(
            downgraded.only().decisions[0].sentence,
            "Not sent by email: the limit of the whole tenant on email is used up, so sms is used instead."
        );
        let waits = setting.route_event(&to("e-7", "Bill", "u-3")).await;
        assert_eq!(waits.decisions(), ["email defer over_limit"]);
        assert!(
            waits.only().decisions[0]
                .sentence
                .ends_with(": the limit of the whole tenant on email is used up.")
        );

        // Another tenant has limits of its own.
        let other = TenantId::from("other".to_owned());
        put_catalog(setting, &other, &limits("tenant", 1)).await;
        let guest = with(
            event("e-1", "News", &json!({})),
            "recipients",
            json!([{"email": "guest@example.com"}]),
        );
        let mut record = setting.record(&guest);
        record.headers.insert(headers::TENANT, "other");
        assert_eq!(setting.route(&[record]).await.decisions(), ["email send allowed"]);
    })
    .await;
}

#[tokio::test]
async fn messages_that_wait_for_the_tenant_come_back_each_at_its_own_moment_and_ever_further_apart() {
    on_router(async |setting| {
        put_catalog(setting, &setting.tenant, &limits("tenant", 2)).await;
        let begun: Timestamp = START.parse().unwrap();
        for id in ["a", "b"] {
            let sent = setting.route_event(&to(id, "Bill", "u-42")).await;
            assert_eq!(sent.decisions(), ["email send allowed"]);
        }
        let mut waiting = Vec::new();
        for n in 0..12 {
            let routed = setting.route_event(&to(&format!("e-{n}"), "Bill", "u-42")).await;
            assert_eq!(routed.decisions(), ["email defer over_limit"]);
            waiting.push(routed);
        }
        let room = begun + MINUTE * 60;
        let dues: Vec<Timestamp> = waiting.iter().map(due).collect();
        // At 2 messages an hour, the limit has room every half hour.
        assert!(
            dues.iter().all(|due| *due >= room && *due < room + MINUTE * 30),
            "{dues:?}"
        );
        let mut distinct = dues.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), dues.len());

        // Other messages take the room. A message that has waited in vain gets its next time from a period twice as
        // long.
        let (first, due) = (&waiting[0], dues[0]);
        let until = |time: Timestamp| (time - setting.env.store.now()).to_std().unwrap();
        setting.clock.advance(until(room));
        for id in ["c", "d"] {
            let sent = setting.route_event(&to(id, "Bill", "u-42")).await;
            assert_eq!(sent.decisions(), ["email send allowed"]);
        }
        let released = release_after(setting, &first.waiting[0], until(due)).await;
        let again = setting.route(std::slice::from_ref(&released)).await;
        assert_eq!(again.decisions(), ["email defer over_limit"]);
        let next = room + MINUTE * 60;
        let second = self::due(&again);
        assert!(second >= next && second < next + MINUTE * 60, "{second}");
        // Read again, the release waits for the same moment.
        assert_eq!(self::due(&setting.route(&[released]).await), second);

        let released = release_after(setting, &again.waiting[0], until(second)).await;
        assert_eq!(
            setting.route(&[released]).await.decisions(),
            ["email send allowed"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_a_user_counts_all_categories_of_that_user() {
    on_router(async |setting| {
        put_catalog(setting, &setting.tenant, &limits("user", 2)).await;
        setting.put_reader("u-1").await;
        let mut decisions = Vec::new();
        for (id, event_type, user) in [
            ("e-1", "News", "u-42"),
            ("e-2", "Bill", "u-42"),
            ("e-3", "News", "u-42"),
            ("e-4", "News", "u-1"),
        ] {
            let routed = setting.route_event(&to(id, event_type, user)).await;
            decisions.extend(routed.decisions());
            if id == "e-3" {
                assert_eq!(
                    routed.only().decisions[0].sentence,
                    "Dropped: the limit of all categories on email is used up for this recipient."
                );
            }
        }
        assert_eq!(
            decisions,
            [
                "email send allowed",
                "email send allowed",
                "email drop over_limit",
                "email send allowed"
            ]
        );
    })
    .await;
}
