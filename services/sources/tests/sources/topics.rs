//! Records of a topic become events, once; others are skipped, or are dead letters.

use std::time::Duration;

use carillon_bus::{Queue, dead_letter, headers};
use carillon_domain::{Lane, TenantId, dead_letter::FailureClass};
use carillon_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Setting, Written, of, on_source};

/// Orders whose status becomes `shipped`.
fn shipped() -> Value {
    json!({"rules": [{
        "type": "OrderShipped", "when": {"field": "/status", "becomes": "shipped"},
        "data": {"order_id": "/after/id", "customer_id": "/after/customer"},
    }]})
}

/// The update of an order, at a position of the database's log.
fn update(order: usize, lsn: usize, before: &str, after: &str) -> String {
    json!({
        "before": {"id": order, "status": before, "customer": "u-42"},
        "after": {"id": order, "status": after, "customer": "u-42"},
        "op": "u", "source": {"lsn": lsn, "txId": 1, "ts_ms": 1_795_514_399_000_u64},
    })
    .to_string()
}

async fn publish(setting: &Setting, order: usize, value: impl Into<bytes::Bytes>) {
    setting.publish(&format!("{{\"id\":{order}}}"), value, &[]).await;
}

#[tokio::test]
async fn a_row_that_changes_becomes_an_event_of_its_tenant_and_a_deleted_one_none() {
    on_source(async |setting| {
        let tenant = TenantId::from("acme");
        let mut written = Written::of(setting);
        setting.put_sources_of(&tenant, &shipped()).await;
        let sources = setting.start_of(&tenant);
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        publish(
            setting,
            1,
            json!({"before": {"id": 1}, "after": null, "op": "d"}).to_string(),
        )
        .await;
        publish(setting, 1, "").await;
        publish(setting, 1, update(1, 11, "shipped", "shipped")).await;
        publish(setting, 1, update(1, 12, "returned", "shipped")).await;
        written
            .until("two events", |written| written.events.len() == 2)
            .await;
        sources.end().await;
        let record = &written.events[0];
        assert_eq!(record.topic, setting.env.bus.topics().events(Lane::Normal));
        // The type says where the user is, whose events stay in order.
        assert_eq!(record.key.as_deref(), Some(&b"acme|u-42"[..]));
        assert_eq!(record.headers.get_str(headers::TENANT), Some("acme"));
        assert_eq!(record.headers.get(headers::VIA), None, "the router checks it");
        let event = of(record);
        assert_eq!(event["type"], "OrderShipped");
        assert_eq!(event["source"], format!("/sources/{}", setting.topic));
        assert_eq!(event["data"], json!({"order_id": 1, "customer_id": "u-42"}));
        assert!(written.dead.is_empty(), "{:?}", written.dead);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_no_rule_can_convert_is_a_dead_letter_with_its_bytes_and_the_others_go_on() {
    on_source(async |setting| {
        let mut written = Written::of(setting);
        setting
            .put_sources(&json!({"rules": [
                {"type": "OrderShipped", "recipients": ["/after/customer"]},
                {"type": "Newsletter", "recipients": ["/after/reader"]},
            ]}))
            .await;
        let sources = setting.start();
        publish(setting, 1, "no JSON").await;
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        written
            .until("letters and an event", |written| {
                written.dead.len() == 2 && written.events.len() == 1
            })
            .await;
        sources.end().await;
        let [unreadable, missing] = [0, 1].map(|index| {
            let record = &written.dead[index];
            assert_eq!(record.headers.get_str(headers::TENANT), Some("default"));
            (record, dead_letter::parse(record, Queue::Events))
        });
        assert_eq!(&*unreadable.0.value, b"no JSON");
        assert_eq!(unreadable.1.source_topic, &*setting.topic);
        assert_eq!(unreadable.1.letter.class, FailureClass::Unparseable);
        assert_eq!(unreadable.1.letter.code, "malformed-json");
        assert_eq!(missing.1.letter.class, FailureClass::Invalid);
        assert_eq!(missing.1.letter.code, "no-value");
        assert!(
            missing
                .1
                .letter
                .reason
                .starts_with("/after/reader: expected a value"),
            "{}",
            missing.1.letter.reason
        );
        // The rule that applies has made its event.
        assert_eq!(of(&written.events[0])["type"], "OrderShipped");
    })
    .await;
}

#[tokio::test]
async fn a_record_goes_to_the_lane_of_its_type() {
    on_source(async |setting| {
        let mut written = Written::of(setting);
        setting
            .put_sources(&json!({"rules": [{"type": "Newsletter"}]}))
            .await;
        let sources = setting.start();
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        written
            .until("an event", |written| written.events.len() == 1)
            .await;
        sources.end().await;
        assert_eq!(
            written.events[0].topic,
            setting.env.bus.topics().events(Lane::Bulk)
        );
    })
    .await;
}

#[tokio::test]
async fn records_wait_until_the_catalog_has_rules_for_their_topic_and_while_it_has_none() {
    on_source(async |setting| {
        let mut written = Written::of(setting);
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        let sources = setting.start();
        eventually("a note", || async { setting.note().is_some() }).await;
        let note = setting.note().unwrap();
        assert!(
            note.contains("the catalog of default has no rules for it"),
            "{note}"
        );
        setting.put_sources(&shipped()).await;
        written
            .until("the first event", |written| written.events.len() == 1)
            .await;
        eventually("no note", || async { setting.note().is_none() }).await;
        // Without rules nothing is read, so nothing is lost.
        let empty = serde_json::from_value(json!({"types": {}, "categories": {}})).unwrap();
        setting.put_catalog(&TenantId::default(), empty).await;
        publish(setting, 2, update(2, 11, "paid", "shipped")).await;
        eventually("a note", || async { setting.note().is_some() }).await;
        setting.put_sources(&shipped()).await;
        written
            .until("the second event", |written| written.events.len() == 2)
            .await;
        sources.end().await;
    })
    .await;
}

#[tokio::test]
async fn sources_that_are_ended_in_the_midst_of_their_work_lose_nothing_and_double_nothing() {
    const ORDERS: usize = 2_000;
    on_source(async |setting| {
        let mut written = Written::of(setting);
        setting.put_sources(&shipped()).await;
        for order in 0..ORDERS {
            publish(setting, order, update(order, order, "paid", "shipped")).await;
        }
        let mut before = 0;
        while before < ORDERS {
            let sources = setting.start();
            written
                .until("progress", |written| written.events.len() > before)
                .await;
            sources.end().await;
            before = written.events.len();
        }
        let mut ids = written.ids();
        assert_eq!(ids.len(), ORDERS);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), ORDERS, "none is doubled");
        assert!(written.dead.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_change_that_the_connector_reports_again_is_the_same_event() {
    on_source(async |setting| {
        let mut written = Written::of(setting);
        setting.put_sources(&shipped()).await;
        let sources = setting.start();
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        written.until("both", |written| written.events.len() == 2).await;
        sources.end().await;
        let ids = written.ids();
        // The router routes the first record of an event.
        assert_eq!(ids[0], ids[1]);
    })
    .await;
}

#[tokio::test]
async fn the_sources_end_soon_while_there_is_nothing_to_read() {
    on_source(async |setting| {
        let sources = setting.start();
        eventually("readiness", || async { setting.readiness.is_ready() }).await;
        tokio::time::timeout(Duration::from_secs(20), sources.end())
            .await
            .unwrap();
        assert!(!setting.readiness.is_ready());
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_does_not_keep_the_others_waiting() {
    on_source(async |setting| {
        let mut written = Written::of(setting);
        setting.put_sources(&shipped()).await;
        let missing = format!("{}.missing", setting.topic);
        let rules = shipped();
        let of_type = json!({"category": "c", "channels": {"order": ["email"]}});
        let both = json!({"types": {"OrderShipped": of_type}, "categories": {"c": {}},
            "sources": {&*setting.topic: rules, &*missing: rules}});
        setting
            .put_catalog(&TenantId::default(), serde_json::from_value(both).unwrap())
            .await;
        let topic = |name: &str| name.parse().unwrap();
        let sources = setting.start_with(vec![topic(&missing), topic(&setting.topic)]);
        publish(setting, 1, update(1, 10, "paid", "shipped")).await;
        written
            .until("an event", |written| written.events.len() == 1)
            .await;
        if setting.env.bus.backend_name() == "embedded" {
            eventually("a note", || async { setting.note().is_some() }).await;
            let note = setting.note().unwrap();
            assert!(note.contains(&format!("{missing} is not read")), "{note}");
        }
        assert!(setting.readiness.is_ready());
        sources.end().await;
    })
    .await;
}
