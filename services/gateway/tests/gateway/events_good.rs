//! All forms in which events are accepted.

use carillon_bus::headers;
use carillon_domain::{Event, Lane, event::Defaults};
use serde_json::{Value, json};

use crate::support::{Ask, Setting, on_gateway, shipped};

async fn only_event(setting: &Setting) -> Event {
    let records = setting.published().await;
    assert_eq!(records.len(), 1, "{records:?}");
    let defaults = Defaults::at("2000-01-01T00:00:00Z".parse().unwrap());
    Event::from_cloudevent(&records[0].value, defaults).unwrap()
}

#[tokio::test]
async fn a_plain_event_is_on_the_bus_when_it_is_answered() {
    on_gateway(async |setting| {
        let answer = setting.post(&shipped("order-1001-shipped")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let expected = json!({
            "event_id": "order-1001-shipped", "source": "/shop/orders", "status": "accepted",
            "status_url": "/v1/events/order-1001-shipped?source=%2Fshop%2Forders",
        });
        assert_eq!(answer.json(), expected);

        let records = setting.published().await;
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        assert_eq!(record.topic, setting.env.bus.topics().events(Lane::Normal));
        assert_eq!(record.key.as_deref(), Some(&b"default|u-42"[..]));
        assert_eq!(record.headers.get_str(headers::TENANT), Some("default"));
        assert_eq!(
            record.headers.get_str(headers::CONTENT_TYPE),
            Some("application/cloudevents+json")
        );
        assert_eq!(record.headers.get_str(headers::VIA), Some("gateway"));
        let wire: Value = serde_json::from_slice(&record.value).unwrap();
        assert_eq!(wire["data"], json!({"order_id": "1001", "carrier": "DHL"}));
        assert_eq!(wire["time"], "2026-11-24T10:00:00Z");
    })
    .await;
}

#[tokio::test]
async fn an_event_without_id_and_source_gets_them() {
    on_gateway(async |setting| {
        let mut event = shipped("x");
        event
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name != "id" && name != "source");
        let answer = setting.post(&event).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let id: uuid::Uuid = answer.json()["event_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(answer.json()["source"], "/");
        assert_eq!(only_event(setting).await.id.as_str(), id.to_string());
    })
    .await;
}

#[tokio::test]
async fn a_structured_cloudevent_is_recognised_by_its_media_type_or_by_its_specversion() {
    on_gateway(async |setting| {
        let mut event = json!({
            "specversion": "1.0", "id": "ce-1", "source": "/shop", "type": "OrderShipped", "recipient": "u-42",
            "priority": "high", "myextension": "kept", "data": {"order_id": "1", "carrier": "DHL"},
        });
        let structured = Ask::post("/v1/events").text("application/cloudevents+json; charset=utf-8", event.to_string());
        assert_eq!(setting.ask(structured).await.status, 202);
        let published = only_event(setting).await;
        assert_eq!(published.recipients[0].user_id.as_ref().unwrap().as_str(), "u-42");
        assert_eq!(published.extensions["myextension"].get(), "\"kept\"");
        assert_eq!(setting.published_in(Lane::High).await.len(), 1);

        event["id"] = json!("ce-2");
        assert_eq!(setting.post(&event).await.status, 202);
        assert_eq!(setting.published_in(Lane::High).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_binary_cloudevent_has_its_attributes_in_headers() {
    on_gateway(async |setting| {
        let ask = Ask::post("/v1/events")
            .header("ce-specversion", "1.0")
            .header("ce-id", "bin-1")
            .header("ce-source", "/shop")
            .header("ce-type", "OrderShipped")
            .header("ce-recipient", "u-42,u-43")
            .header("ce-channels", "email,sms")
            .json(&json!({"order_id": "1", "carrier": "DHL"}));
        let answer = setting.ask(ask).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let event = only_event(setting).await;
        assert_eq!((event.id.as_str(), &*event.source), ("bin-1", "/shop"));
        assert_eq!((event.recipients.len(), event.channels.len()), (2, 2));
    })
    .await;
}

#[tokio::test]
async fn recipients_are_found_at_the_places_that_the_catalog_names() {
    on_gateway(async |setting| {
        let event = json!({
            "type": "OrderShipped", "data": {"order_id": "1", "carrier": "DHL", "customer_id": "u-42"},
        });
        assert_eq!(setting.post(&event).await.status, 202);
        assert_eq!(
            only_event(setting).await.recipients[0]
                .user_id
                .as_ref()
                .unwrap()
                .as_str(),
            "u-42"
        );
    })
    .await;
}

#[tokio::test]
async fn the_lane_is_the_events_own_or_its_types() {
    on_gateway(async |setting| {
        let newsletter = json!({"type": "Newsletter", "recipients": ["u-42"], "data": {}});
        assert_eq!(setting.post(&newsletter).await.status, 202);
        let mut urgent = newsletter.clone();
        urgent["priority"] = json!("high");
        assert_eq!(setting.post(&urgent).await.status, 202);
        assert_eq!(setting.published_in(Lane::Bulk).await.len(), 1);
        assert_eq!(setting.published_in(Lane::High).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_batch_comes_as_array_as_cloudevents_batch_or_as_lines() {
    on_gateway(async |setting| {
        let cloudevent = |id: &str| {
            let mut event = shipped(id);
            event["specversion"] = json!("1.0");
            event
        };
        let array = json!([shipped("a-0"), cloudevent("a-1")]).to_string();
        let batch = json!([cloudevent("b-0"), cloudevent("b-1")]).to_string();
        let lines = format!("{}\n\n{}\r\n", shipped("c-0"), cloudevent("c-1"));
        for (media_type, name, body) in [
            ("application/json", 'a', array),
            ("application/cloudevents-batch+json", 'b', batch),
            ("application/x-ndjson", 'c', lines),
        ] {
            let answer = setting.ask(Ask::post("/v1/events").text(media_type, body)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let expected = json!({"items": [
                {"index": 0, "event_id": format!("{name}-0"), "status": "accepted"},
                {"index": 1, "event_id": format!("{name}-1"), "status": "accepted"},
            ]});
            assert_eq!(answer.json(), expected);
        }
        assert_eq!(setting.published().await.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_thousand_events_are_one_batch() {
    on_gateway(async |setting| {
        let events: Vec<Value> = (0..1_000).map(|number| shipped(&format!("e-{number}"))).collect();
        let answer = setting.post(&json!(events)).await;
        assert_eq!(answer.status, 202);
        let items = answer.json()["items"].as_array().unwrap().clone();
        assert!(items.iter().all(|item| item["status"] == "accepted"));
        assert_eq!(setting.published().await.len(), 1_000);
    })
    .await;
}

#[tokio::test]
async fn a_guest_and_a_known_user_beside_an_unknown_one_are_accepted() {
    on_gateway(async |setting| {
        let mut guest = shipped("guest");
        guest["recipients"] = json!([{"email": "guest@example.com", "locale": "fr-CA"}]);
        assert_eq!(setting.post(&guest).await.status, 202);
        let mut mixed = shipped("mixed");
        mixed["recipients"] = json!([{"user_id": "nobody"}, {"user_id": "u-42"}]);
        assert_eq!(setting.post(&mixed).await.status, 202);
        assert_eq!(setting.published().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_empty_batch_of_any_media_type_is_accepted_and_has_no_items() {
    on_gateway(async |setting| {
        for (media_type, body) in [
            ("application/json", "[]"),
            ("application/json", " [ ] "),
            ("application/cloudevents-batch+json", "[]"),
            ("application/x-ndjson", ""),
            ("application/x-ndjson", "\n\n"),
        ] {
            let ask = || Ask::post("/v1/events").text(media_type, body);
            let answer = setting.ask(ask()).await;
            assert_eq!(
                (answer.status, answer.json()),
                (202, json!({"items": []})),
                "{media_type}"
            );
            let key = format!("empty {media_type} {}", body.len());
            let keyed = setting.ask(ask().header("idempotency-key", &key)).await;
            assert_eq!(keyed.status, 202);
        }
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_plain_event_without_data_is_an_event_with_empty_data() {
    on_gateway(async |setting| {
        for data in ["", r#","data":null"#] {
            let body = format!(r#"{{"type":"Newsletter","recipients":["u-42"]{data}}}"#);
            let answer = setting
                .ask(Ask::post("/v1/events").text("application/json", body))
                .await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        for record in setting.published().await {
            let event = Event::from_cloudevent(
                &record.value,
                Defaults::at("2000-01-01T00:00:00Z".parse().unwrap()),
            );
            assert_eq!(event.unwrap().data.get(), "{}");
        }
        let lacking = json!({"type": "OrderShipped", "recipients": ["u-42"]});
        let errors = setting.post(&lacking).await.problem(422, "validation");
        assert_eq!(errors, ["/data schema", "/data schema"], "the schema decides");
    })
    .await;
}

#[tokio::test]
async fn recipients_in_the_data_are_found_in_the_plain_form_too() {
    on_gateway(async |setting| {
        let event = json!({"type": "Newsletter", "data": {"recipients": ["u-42"]}});
        assert_eq!(setting.post(&event).await.status, 202);
        let recipients = only_event(setting).await.recipients;
        assert_eq!(recipients[0].user_id.as_ref().unwrap().as_str(), "u-42");
    })
    .await;
}
