//! The deliveries of an event, on the topics of their channels and lanes.

use carillon_bus::headers;
use carillon_domain::{
    Channel, ContactPointId, Priority, Target,
    status::{EventVerdict, Origin},
};
use serde_json::{Value, json};

use crate::support::{event, on_router, shipped, with};

/// A structured event as a record in binary mode: attributes as headers, data as the value.
fn binary(mut record: carillon_bus::Record, event: &Value) -> carillon_bus::Record {
    for (name, value) in event.as_object().unwrap() {
        if let Some(text) = value.as_str() {
            record.headers.push(format!("ce_{name}"), text.to_owned());
        }
    }
    record.headers.push(headers::CONTENT_TYPE, "application/json");
    record.value = event["data"].to_string().into();
    record
}

#[tokio::test]
async fn a_structured_event_becomes_a_delivery_on_the_topic_of_each_channel() {
    on_router(async |setting| {
        let mut record = setting.record(&shipped("e-1"));
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        record.headers.push(headers::TRACEPARENT, traceparent);
        let routed = setting.route(&[record.clone()]).await;

        let key = "default|u-42";
        assert_eq!(routed.places(), [("email", key), ("sms", key), ("push", key)]);
        for record in &routed.all {
            assert_eq!(record.headers.get_str(headers::TENANT), Some("default"));
            assert_eq!(record.headers.get_str(headers::TRACEPARENT), Some(traceparent));
        }
        let email = &routed.on(Channel::Email).delivery;
        assert_eq!(
            (email.event_id.as_str(), &*email.source, &*email.event_type),
            ("e-1", "/shop/orders", "OrderShipped")
        );
        assert_eq!(
            email.data.get(),
            json!({"order_id": "1001", "carrier": "DHL"}).to_string()
        );
        let id = ContactPointId::primary(&setting.tenant, &"u-42".into(), Channel::Email);
        assert_eq!(email.target, Target::ContactPoint { id });
        assert_eq!(
            (email.locale.as_deref(), email.timezone.as_deref()),
            (Some("de"), Some("Europe/Berlin"))
        );

        let decided = routed.only();
        assert_eq!(decided.verdict, EventVerdict::Routed);
        assert!(!decided.via_gateway, "no gateway has claimed it");
        let origin = Origin {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
        };
        assert_eq!(decided.origin, origin);
        assert_eq!(
            routed.decisions(),
            ["email send allowed", "sms send allowed", "push send allowed"]
        );
        let named: Vec<_> = decided
            .decisions
            .iter()
            .map(|decision| decision.delivery_id)
            .collect();
        let sent: Vec<_> = routed
            .deliveries
            .iter()
            .map(|sent| Some(sent.delivery.delivery_id))
            .collect();
        assert_eq!(named, sent);
        let kept: Value = serde_json::from_str(decided.event.as_ref().unwrap().get()).unwrap();
        assert_eq!(
            (&kept["id"], &kept["data"]["carrier"]),
            (&json!("e-1"), &json!("DHL"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_binary_event_becomes_the_same_deliveries_as_a_structured_one() {
    on_router(async |setting| {
        let mut event = with(shipped("e-1"), "recipient", json!("u-42"));
        event.as_object_mut().unwrap().remove("recipients");
        let structured = setting.record(&event);
        let routed = setting.route(&[binary(structured.clone(), &event)]).await;
        assert_eq!(routed.verdicts(), [("e-1", EventVerdict::Routed)]);
        let places: Vec<_> = routed.places().into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(places, ["email", "sms", "push"]);
        assert_eq!(routed.bytes(), setting.route(&[structured]).await.bytes());
    })
    .await;
}

#[tokio::test]
async fn the_lane_is_that_of_the_event_or_of_its_type_or_the_normal_one() {
    on_router(async |setting| {
        setting
            .prefer("u-42", json!({"categories": {"marketing": {"email": true}}}))
            .await;
        let urgent = |event, priority| with(event, "priority", json!(priority));
        let note = |id| event(id, "Note", &json!({}));
        let letter = |id| event(id, "Newsletter", &json!({}));
        let events = [
            note("e-1"),
            urgent(note("e-2"), "high"),
            urgent(note("e-3"), "bulk"),
            letter("e-4"),
            urgent(letter("e-5"), "normal"),
        ];
        let records: Vec<_> = events.iter().map(|event| setting.record(event)).collect();
        let routed = setting.route(&records).await;
        let topics: Vec<_> = routed.places().into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(
            topics,
            ["email", "email.high", "email.bulk", "email.bulk", "email"]
        );
        let priorities: Vec<_> = routed
            .deliveries
            .iter()
            .map(|sent| sent.delivery.priority)
            .collect();
        let (high, normal, bulk) = (Priority::High, Priority::Normal, Priority::Bulk);
        assert_eq!(priorities, [normal, high, bulk, bulk, normal]);
    })
    .await;
}

#[tokio::test]
async fn an_event_goes_to_the_channels_that_it_requests_and_a_fallback_to_the_first_possible_one() {
    on_router(async |setting| {
        let only_sms = with(shipped("e-1"), "channels", json!("sms"));
        let routed = setting.route_event(&only_sms).await;
        assert_eq!(
            routed.decisions(),
            [
                "email suppress channel_not_requested",
                "sms send allowed",
                "push suppress channel_not_requested"
            ]
        );
        assert_eq!(routed.places(), [("sms", "default|u-42")]);

        let three = json!([{"user_id": "u-42"}, {"user_id": "u-42"}, {"user_id": "nobody"}]);
        let letter = with(
            event("e-3", "Newsletter", &json!({})),
            "channels",
            json!("sms,email"),
        );
        let routed = setting.route_event(&with(letter, "recipients", three)).await;
        assert_eq!(
            routed.decisions(),
            [
                "email suppress not_opted_in",
                "sms suppress channel_not_of_type",
                "email suppress unknown_user",
                "sms suppress channel_not_of_type",
                "email suppress repeated_recipient",
                "sms suppress repeated_recipient",
            ],
            "every requested channel of each recipient has a decision"
        );

        setting.put_reader("reader").await;
        let both = json!([{"user_id": "u-42"}, {"user_id": "reader"}]);
        let welcome = with(event("e-2", "Welcome", &json!({})), "recipients", both);
        let routed = setting.route_event(&welcome).await;
        assert_eq!(
            routed.decisions(),
            [
                "push send allowed",
                "email suppress fallback_not_needed",
                "sms suppress fallback_not_needed",
                "push suppress no_address",
                "email send allowed",
                "sms suppress fallback_not_needed",
            ]
        );
        assert_eq!(
            routed.places(),
            [("push", "default|u-42"), ("email", "default|reader")]
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_that_has_expired_is_decided_and_not_sent() {
    on_router(async |setting| {
        let late = with(
            event("e-1", "Note", &json!({})),
            "expiresat",
            json!("2026-11-24T10:00:00Z"),
        );
        let in_time = with(
            event("e-2", "Note", &json!({})),
            "expiresat",
            json!("2026-11-24T10:00:01Z"),
        );
        let routed = setting
            .route(&[setting.record(&late), setting.record(&in_time)])
            .await;
        assert_eq!(
            routed.verdicts(),
            [("e-1", EventVerdict::Routed), ("e-2", EventVerdict::Routed)]
        );
        assert_eq!(
            routed.decisions(),
            ["email suppress expired", "email send allowed"]
        );
        assert_eq!(routed.deliveries.len(), 1);
        assert!(routed.deliveries[0].delivery.expires_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn an_event_is_decided_by_the_catalog_and_users_of_its_tenant() {
    on_router(async |setting| {
        let tenant = "acme".into();
        setting.put_catalog(&tenant).await;
        let record = |id: &str| {
            let mut record = setting.record(&event(id, "Note", &json!({})));
            record.headers.push(headers::TENANT, "acme");
            record
        };
        let routed = setting.route(&[record("e-1")]).await;
        assert_eq!(routed.only().tenant, tenant);
        assert_eq!(
            routed.decisions(),
            ["email suppress unknown_user"],
            "u-42 is another tenant's user"
        );

        let put = carillon_store::users::UserPut {
            email: Some("ada@acme.example".to_owned()),
            ..Default::default()
        };
        setting.put_user_of(&tenant, "u-42", &put).await;
        let routed = setting.route(&[record("e-2")]).await;
        assert_eq!(routed.places(), [("email", "acme|u-42")]);
        let sent = &routed.deliveries[0];
        assert_eq!(sent.record.headers.get_str(headers::TENANT), Some("acme"));
        assert_eq!(sent.delivery.tenant, tenant);
        // The same event of another tenant is a different event.
        let routed = setting.route_event(&event("e-2", "Note", &json!({}))).await;
        assert_eq!(routed.places(), [("email", "default|u-42")]);
    })
    .await;
}
