//! Fallbacks that wait, from the event to the messages: over a kill, with receipts, failures, acknowledgements and
//! cancellations.

use std::time::Duration;

use carillon_domain::Timestamp;
use carillon_testkit::{
    eventually,
    installation::{Installation, Setup},
    wait_for,
};
use serde_json::{Value, json};

use crate::{setup, with_installation, with_installation_of};

fn order(id: &str) -> Value {
    json!({"id": id, "source": "/shop", "type": "OrderShipped", "recipients": [{"user_id": "u-42"}],
        "data": {"order_id": "1001", "carrier": "DHL"}})
}

/// Puts a fallback order of two channels into force, and waits until the router knows it.
async fn put_order(carillon: &Installation, order_of_channels: [&str; 2], wait: &str) {
    let mut catalog = carillon.get("/v1/catalog").await;
    let [first, second] = order_of_channels;
    catalog["types"]["OrderShipped"]["channels"] =
        json!({"mode": "fallback", "order": [first, second], "wait": {second: wait}});
    assert_eq!(carillon.put("/v1/catalog", &catalog).await, 200);
    let known = json!([first, second, "webhook"]);
    let number = std::sync::atomic::AtomicU32::new(0);
    wait_for(
        "the router knows the catalog",
        Duration::from_secs(30),
        || async {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let id = format!("probe-{first}-{number}");
            // It sends nothing.
            let mut probe = order(&id);
            probe["channels"] = json!(["webhook"]);
            carillon.post_until_accepted(&probe).await;
            let event = decided(carillon, &id).await;
            let channels: Vec<&Value> = decisions(&event).iter().map(|one| &one["channel"]).collect();
            json!(channels) == known
        },
    )
    .await;
}

async fn decided(carillon: &Installation, id: &str) -> Value {
    eventually("the event is decided", || async {
        carillon.get(&format!("/v1/events/{id}")).await["status"] == "routed"
    })
    .await;
    carillon.get(&format!("/v1/events/{id}")).await
}

fn decisions(event: &Value) -> &Vec<Value> {
    event["decisions"].as_array().unwrap()
}

/// The status of an event's delivery on a channel; null before the event is decided.
async fn status(carillon: &Installation, id: &str, channel: &str) -> Value {
    let event = carillon.get(&format!("/v1/events/{id}")).await;
    let deliveries = event["deliveries"].as_array().unwrap();
    let own = deliveries.iter().find(|delivery| delivery["channel"] == channel);
    own.map_or(Value::Null, |delivery| delivery["status"].clone())
}

async fn until_status(carillon: &Installation, id: &str, channel: &str, expected: &str) {
    wait_for(
        &format!("{id} by {channel} is {expected}"),
        Duration::from_secs(30),
        || async { status(carillon, id, channel).await == expected },
    )
    .await;
}

async fn received(carillon: &Installation, id: &str, channel: &str) -> Vec<Value> {
    let messages = carillon
        .messages(&format!("event_id={id}&channel={channel}"))
        .await;
    messages.into_iter().collect()
}

#[test]
fn an_email_follows_a_push_once_and_not_before_its_time_even_over_a_kill() {
    with_installation(|mut carillon| async move {
        put_order(&carillon, ["push", "email"], "8s").await;
        carillon.post_until_accepted(&order("o-1")).await;
        carillon.post_until_accepted(&order("o-2")).await;
        let event = decided(&carillon, "o-1").await;
        let email = &decisions(&event)[1];
        assert_eq!(
            (&email["outcome"], &email["reason"]),
            (&json!("defer"), &json!("fallback_waits")),
            "{event}"
        );
        let until: Timestamp = email["until"].as_str().unwrap().parse().unwrap();
        until_status(&carillon, "o-2", "push", "sent").await;
        let said = carillon.cli(&["events", "cancel", "o-2"]);
        assert!(said.contains("1 are cancelled"), "{said}");

        carillon.kill_and_restart();
        wait_for("the e-mail", Duration::from_mins(1), || async {
            !received(&carillon, "o-1", "email").await.is_empty()
        })
        .await;
        let event = decided(&carillon, "o-1").await;
        let used = decisions(&event).last().unwrap();
        assert_eq!(
            (&used["outcome"], &used["reason"]),
            (&json!("send"), &json!("fallback_used")),
            "{event}"
        );
        until_status(&carillon, "o-2", "email", "cancelled").await;
        carillon.settle(2).await;
        let emails = received(&carillon, "o-1", "email").await;
        let [email] = &emails[..] else {
            panic!("{emails:?}")
        };
        let at: Timestamp = email["received_at"].as_str().unwrap().parse().unwrap();
        assert!(at >= until, "{at} {until}");
        assert_eq!(received(&carillon, "o-1", "push").await.len(), 1);
        assert!(received(&carillon, "o-2", "email").await.is_empty());
    });
}

#[test]
fn an_acknowledgement_stops_the_following_delivery_and_a_failed_push_is_followed_at_once() {
    with_installation(|carillon| async move {
        put_order(&carillon, ["push", "email"], "1h").await;
        carillon.post_until_accepted(&order("o-1")).await;
        decided(&carillon, "o-1").await;
        until_status(&carillon, "o-1", "push", "sent").await;
        let event = carillon.get("/v1/events/o-1").await;
        let deliveries = event["deliveries"].as_array().unwrap();
        let push = deliveries.iter().find(|one| one["channel"] == "push").unwrap();
        let push = push["id"].as_str().unwrap();
        let said = carillon.cli(&["deliveries", "acknowledge", push]);
        assert_eq!(
            said.trim(),
            "acknowledged: the delivery is acknowledged; of those that follow it 1 are stopped, 0 are being sent, 0 had ended"
        );
        until_status(&carillon, "o-1", "push", "acknowledged").await;
        until_status(&carillon, "o-1", "email", "suppressed").await;
        // The row that waited is released at once, and the decision is recorded.
        wait_for("the decision", Duration::from_secs(30), || async {
            let event = carillon.get("/v1/events/o-1").await;
            decisions(&event).last().unwrap()["reason"] == "fallback_reached"
        })
        .await;
        let listed = carillon.cli(&["decisions", "--event", "o-1", "--reason", "fallback_reached"]);
        assert!(listed.contains("was acknowledged"), "{listed}");
        let again = carillon.cli(&["deliveries", "acknowledge", push, "--json"]);
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["result"], json!("already_acknowledged"));
        let shown = carillon.get(&format!("/v1/deliveries/{push}")).await;
        let steps = shown["timeline"].as_array().unwrap();
        let seen = steps.iter().filter(|step| step["status"] == "acknowledged");
        assert_eq!(seen.count(), 1, "{shown}");

        carillon
            .faults(&json!([{"provider": "fcm", "status": 400, "code": "INVALID_ARGUMENT"}]))
            .await;
        carillon.post_until_accepted(&order("o-2")).await;
        wait_for("the e-mail", Duration::from_secs(30), || async {
            received(&carillon, "o-2", "email").await.len() == 1
        })
        .await;
        carillon.faults(&json!([])).await;
        carillon.settle(2).await;
        assert!(received(&carillon, "o-1", "email").await.is_empty());
        assert_eq!(received(&carillon, "o-2", "email").await.len(), 1);
    });
}

#[test]
fn a_text_message_whose_delivery_is_reported_is_not_followed_by_an_email() {
    let with_receipts = Setup {
        settings: vec![("SIMULATOR__RECEIPTS_AFTER".to_owned(), "200ms".to_owned())],
        ..setup()
    };
    with_installation_of(with_receipts, |carillon| async move {
        put_order(&carillon, ["sms", "email"], "1h").await;
        carillon.post_until_accepted(&order("o-1")).await;
        decided(&carillon, "o-1").await;
        until_status(&carillon, "o-1", "sms", "delivered").await;
        until_status(&carillon, "o-1", "email", "suppressed").await;
        carillon.settle(1).await;
        assert_eq!(received(&carillon, "o-1", "sms").await.len(), 1);
        assert!(received(&carillon, "o-1", "email").await.is_empty());
    });
}
