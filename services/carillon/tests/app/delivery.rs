use std::time::Duration;

use carillon_testkit::{
    eventually,
    installation::{Installation, is_distributed},
    wait_for,
};
use serde_json::json;

use crate::with_installation;

fn order(id: &str) -> serde_json::Value {
    json!({"id": id, "source": "/shop", "type": "OrderShipped", "recipients": [{"user_id": "u-42"}],
        "data": {"order_id": "1001", "carrier": "DHL"}})
}

#[test]
fn an_order_becomes_an_email_a_text_message_and_a_push_and_survives_a_kill() {
    with_installation(|mut carillon| async move {
        let (status, answer) = carillon.post(&order("o-1")).await;
        assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
        let limit = Duration::from_secs(if is_distributed() { 20 } else { 5 });
        wait_for("three messages", limit, || async {
            carillon.messages("").await.len() == 3
        })
        .await;
        let messages = carillon.messages("channel=email").await;
        let email = &messages[0];
        assert_eq!(email["to"], "ada@example.com");
        assert_eq!(email["event_id"], "o-1");
        assert!(
            email["subject"].as_str().unwrap().contains("est en route"),
            "French: {email}"
        );
        assert!(email["html"].as_str().unwrap().contains("1001"));
        carillon.settle(1).await;

        let event = carillon.get("/v1/events/o-1").await;
        assert_eq!(event["status"], "routed", "{event}");
        assert_eq!(event["decisions"].as_array().unwrap().len(), 3);
        let delivery = event["deliveries"][0]["id"].as_str().unwrap();
        let delivery = carillon.get(&format!("/v1/deliveries/{delivery}")).await;
        let steps: Vec<_> = delivery["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| &step["status"])
            .collect();
        assert_eq!(steps, ["queued", "sending", "sent"]);
        assert!(!delivery["content"].is_null());
        let listed = carillon.cli(&["deliveries", "list"]);
        assert_eq!(listed.matches(" sent ").count(), 3, "{listed}");

        carillon.kill_and_restart();
        carillon.post_until_accepted(&order("o-1")).await;
        let (status, answer) = carillon.post(&order("o-1")).await;
        assert_eq!((status, &answer["status"]), (200, &json!("duplicate")));
        carillon.post_until_accepted(&order("o-2")).await;
        wait_for("three more messages", Duration::from_secs(30), || async {
            carillon.messages("").await.len() == 6
        })
        .await;
        carillon.settle(2).await;
        assert_eq!(carillon.messages("").await.len(), 6, "the repeat sent nothing");
    });
}

#[test]
fn pushes_to_iphones_go_through_apns_and_wait_while_it_refuses_the_key_and_pushes_to_android_do_not_wait() {
    with_installation(|carillon| async move {
        let push = |id: &str, user: &str| {
            json!({"id": id, "source": "/shop", "type": "OrderShipped", "recipients": [{"user_id": user}],
                "channels": ["push"], "data": {"order_id": id, "carrier": "DHL"}})
        };
        let iphone = json!({"devices": [{"platform": "ios", "token": "a1".repeat(32)}]});
        carillon.put("/v1/users/u-7", &iphone).await;
        carillon.post(&push("i-1", "u-7")).await;
        let has = async |query: &str| !carillon.messages(query).await.is_empty();
        wait_for("a push to the iPhone", Duration::from_secs(20), || {
            has("channel=push")
        })
        .await;
        let message = carillon.messages("channel=push").await.remove(0);
        assert_eq!(
            (&message["provider"], &message["event_id"]),
            (&json!("apns"), &json!("i-1"))
        );
        assert_eq!(message["headers"]["apns-topic"], "dev.carillon.shop");

        carillon
            .faults(&json!([{"provider": "apns", "status": 403, "code": "InvalidProviderToken"}]))
            .await;
        carillon.post(&push("i-2", "u-7")).await;
        wait_for("a parked account", Duration::from_secs(20), || async {
            let event = carillon.get("/v1/events/i-2").await;
            event["deliveries"][0]["status"] == "retrying"
        })
        .await;
        carillon.post(&push("a-1", "u-42")).await;
        wait_for("a push to Android", Duration::from_secs(20), || {
            has("channel=push&to=demo-android-token-ada")
        })
        .await;
        carillon.faults(&json!([])).await;
        wait_for(
            "the second push to the iPhone",
            Duration::from_mins(1),
            || async { carillon.messages("channel=push").await.len() == 3 },
        )
        .await;
        carillon.settle(3).await;
    });
}

#[test]
fn a_provider_that_fails_is_asked_again_and_one_that_refuses_fills_the_dead_letter_queue() {
    with_installation(|carillon| async move {
        carillon
            .faults(&json!([{"provider": "fcm", "percent": 100, "status": 503, "code": "UNAVAILABLE"}]))
            .await;
        let mut event = order("again");
        event["channels"] = json!(["push"]);
        assert_eq!(carillon.post(&event).await.0, 202);
        eventually("a retry", || async {
            let list = carillon.get("/v1/deliveries?status=retrying").await;
            list["items"].as_array().unwrap().len() == 1
        })
        .await;
        carillon.faults(&json!([])).await;
        carillon.settle(1).await;
        let event = carillon.get("/v1/events/again").await;
        let delivery = &event["deliveries"][0];
        assert_eq!(delivery["status"], "sent");
        assert!(delivery["attempt"].as_u64() >= Some(2), "{delivery}");

        let refused = json!({"id": "refused", "type": "OrderShipped",
            "recipients": [{"email": "blocked@example.com"}, {"phone": "+15005550004"}, {"email": "fine@example.com"}],
            "data": {"order_id": "7", "carrier": "DHL"}});
        carillon
            .faults(&json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21612"}]))
            .await;
        assert_eq!(carillon.post(&refused).await.0, 202);
        eventually("a dead letter", || async {
            let list = carillon.get("/v1/dlq?channel=sms").await;
            list["items"].as_array().is_some_and(|items| items.len() == 1)
        })
        .await;
        let letters = carillon.get("/v1/dlq?channel=sms").await;
        let letter = &letters["items"][0];
        assert_eq!(
            (&letter["code"], &letter["class"], &letter["state"]),
            (&json!("21612"), &json!("terminal"), &json!("open"))
        );
        eventually("the good one", || async {
            carillon.messages("to=fine%40example.com").await.len() == 1
        })
        .await;
    });
}

#[test]
fn a_record_that_is_not_an_event_becomes_a_dead_letter_and_its_neighbours_are_delivered() {
    if !is_distributed() {
        return; // Without Kafka, the gateway is the only way in; it answers such bodies itself.
    }
    with_installation(|carillon| async move {
        let client = kafka_client(&carillon).await;
        let topic = client.topics().events(carillon_domain::Lane::Normal);
        let cloudevent = |id: &str| {
            json!({"specversion": "1.0", "id": id, "source": "/kafka", "type": "OrderShipped", "recipient": "u-42",
                "data": {"order_id": "9", "carrier": "UPS"}})
            .to_string()
        };
        let record = |value: String| carillon_bus::OutRecord::new(topic.clone(), "default|u-42", value);
        let binary = record(json!({"order_id": "10", "carrier": "UPS"}).to_string())
            .with("ce_specversion", "1.0")
            .with("ce_id", "binary")
            .with("ce_source", "/kafka")
            .with("ce_type", "OrderShipped")
            .with("ce_recipient", "u-42")
            .with("content-type", "application/json");
        let unknown = cloudevent("unknown").replace("OrderShipped", "NoSuchType");
        let records = vec![
            record(cloudevent("first")),
            record("\u{1}not json".to_owned()),
            record(unknown),
            binary,
            record(cloudevent("last")),
        ];
        client.publish(records).await.unwrap();
        carillon.settle(5).await;
        for id in ["first", "binary", "last"] {
            let event = carillon.get(&format!("/v1/events/{id}")).await;
            assert_eq!(event["deliveries"].as_array().map(Vec::len), Some(3), "{event}");
        }
        eventually("two dead letters", || async {
            carillon.get("/v1/dlq?channel=events").await["items"]
                .as_array()
                .is_some_and(|items| items.len() == 2)
        })
        .await;
        let letters = carillon.get("/v1/dlq?channel=events").await;
        let mut codes: Vec<_> = letters["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| letter["code"].as_str().unwrap())
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, ["malformed-json", "unknown-event-type"]);
    });
}

/// A Kafka client that knows only the brokers and topics of the installation.
async fn kafka_client(carillon: &Installation) -> carillon_bus::Bus {
    let kafka = carillon_bus::KafkaConfig {
        brokers: carillon_testkit::kafka_brokers().unwrap(),
        ..carillon_bus::KafkaConfig::default()
    };
    let config = carillon_bus::BusConfig {
        prefix: carillon.prefix.clone(),
        backend: carillon_bus::Backend::Kafka(Box::new(kafka)),
        retry: carillon_domain::retry::RetryPolicy::default(),
        topics: carillon_bus::TopicSettings::default(),
        sources: Vec::new(),
    };
    carillon_bus::Bus::connect(config, std::sync::Arc::new(carillon_domain::SystemClock))
        .await
        .unwrap()
}
