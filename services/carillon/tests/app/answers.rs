//! The scope of a provider's answer in the whole application.

use std::time::{Duration, Instant};

use carillon_domain::{Clock as _, SystemClock, clock::later};
use carillon_testkit::{eventually, installation::Installation, wait_for};
use serde_json::{Value, json};

use crate::with_installation;

const PATIENCE: Duration = Duration::from_secs(40);

fn to(id: &str, channel: &str, recipients: &Value) -> Value {
    json!({"id": id, "source": "/shop", "type": "OrderShipped", "channels": [channel], "recipients": recipients,
        "data": {"order_id": "1001", "carrier": "DHL"}})
}

async fn deliveries(carillon: &Installation, event: &str) -> Vec<Value> {
    let event = carillon.get(&format!("/v1/events/{event}")).await;
    event["deliveries"].as_array().cloned().unwrap_or_default()
}

/// Waits until all deliveries of an event have a status.
async fn until_all(carillon: &Installation, event: &str, status: &str, count: usize) -> Vec<Value> {
    wait_for("all deliveries have the status", PATIENCE, || async {
        let deliveries = deliveries(carillon, event).await;
        deliveries.len() == count && deliveries.iter().all(|delivery| delivery["status"] == status)
    })
    .await;
    deliveries(carillon, event).await
}

async fn dead_letters(carillon: &Installation) -> usize {
    carillon.get("/v1/dlq").await["items"].as_array().unwrap().len()
}

#[test]
fn a_relay_that_closes_idle_connections_with_451_costs_no_attempt_and_no_wait() {
    with_installation(|carillon| async move {
        carillon
            .faults(&json!([{"provider": "smtp", "idle_ms": 100, "status": 451, "code": "4.4.2"}]))
            .await;
        let guest = json!([{"email": "guest@example.org"}]);
        carillon.post(&to("first", "email", &guest)).await;
        until_all(&carillon, "first", "sent", 1).await;
        let sent = Instant::now();
        eventually("the connection is idle for long enough", || async {
            sent.elapsed() > Duration::from_millis(300)
        })
        .await;
        carillon.post(&to("second", "email", &guest)).await;
        let second = until_all(&carillon, "second", "sent", 1).await;
        assert_eq!(second[0]["attempt"], 1, "{second:?}");
    });
}

#[test]
fn a_domain_that_greylists_waits_alone() {
    with_installation(|carillon| async move {
        carillon
            .faults(&json!([{"provider": "smtp", "to": "*@grey.example", "greylist_ms": 600_000}]))
            .await;
        let grey: Vec<Value> = (0..8)
            .map(|n| json!({"email": format!("g{n}@grey.example")}))
            .collect();
        carillon.post(&to("grey", "email", &json!(grey))).await;
        until_all(&carillon, "grey", "retrying", 8).await;
        let others: Vec<Value> = (0..40)
            .map(|n| json!({"email": format!("o{n}@d{n}.example")}))
            .collect();
        carillon.post(&to("others", "email", &json!(others))).await;
        let sent = until_all(&carillon, "others", "sent", 40).await;
        assert!(sent.iter().all(|delivery| delivery["attempt"] == 1), "{sent:?}");
        let grey = deliveries(&carillon, "grey").await;
        assert!(
            grey.iter()
                .all(|delivery| delivery["attempt"].as_u64() <= Some(2)),
            "minutes have not passed: {grey:?}"
        );
    });
}

#[test]
fn a_platform_without_a_credential_waits_alone() {
    with_installation(|carillon| async move {
        let device = |platform: &str| json!({"platform": platform, "token": format!("{platform}-1")});
        for (user, platform) in [("reader", "web"), ("droid", "android")] {
            let body = json!({"devices": [device(platform)]});
            carillon.put(&format!("/v1/users/{user}"), &body).await;
        }
        carillon
            .faults(
                &json!([{"provider": "fcm", "to": "web-*", "status": 401, "code": "THIRD_PARTY_AUTH_ERROR"}]),
            )
            .await;
        carillon
            .post(&to("web", "push", &json!([{"user_id": "reader"}])))
            .await;
        until_all(&carillon, "web", "retrying", 1).await;
        carillon
            .post(&to("android", "push", &json!([{"user_id": "droid"}])))
            .await;
        let android = until_all(&carillon, "android", "sent", 1).await;
        assert_eq!(android[0]["attempt"], 1);
        carillon.faults(&json!([])).await;
        until_all(&carillon, "web", "sent", 1).await;
        assert_eq!(dead_letters(&carillon).await, 0);
    });
}

#[test]
fn a_wrong_service_account_costs_no_token_and_no_message() {
    with_installation(|carillon| async move {
        let users: Vec<String> = (0..50).map(|n| format!("many-{n}")).collect();
        for user in &users {
            let body = json!({"devices": [{"platform": "android", "token": format!("token-of-{user}")}]});
            carillon.put(&format!("/v1/users/{user}"), &body).await;
        }
        carillon
            .faults(&json!([{"provider": "fcm", "status": 403, "code": "SENDER_ID_MISMATCH"}]))
            .await;
        let recipients: Vec<Value> = users.iter().map(|user| json!({"user_id": user})).collect();
        carillon.post(&to("wrong", "push", &json!(recipients))).await;
        wait_for("the account is parked", PATIENCE, || async {
            let all = deliveries(&carillon, "wrong").await;
            all.iter()
                .filter(|delivery| delivery["status"] == "retrying")
                .count()
                >= 10
        })
        .await;
        carillon.faults(&json!([])).await;
        wait_for("all are sent", Duration::from_mins(2), || async {
            let all = deliveries(&carillon, "wrong").await;
            all.len() == 50 && all.iter().all(|delivery| delivery["status"] == "sent")
        })
        .await;
        for user in &users {
            let user = carillon.get(&format!("/v1/users/{user}")).await;
            assert!(user["devices"][0].get("dead").is_none(), "{user}");
        }
        assert_eq!(dead_letters(&carillon).await, 0);
    });
}

#[test]
fn a_retry_after_that_is_an_epoch_does_not_outlast_the_expiry() {
    with_installation(|carillon| async move {
        carillon
            .faults(&json!([{"provider": "twilio", "status": 429, "code": "20429", "retry_after": 1_764_633_600}]))
            .await;
        let mut event = to("late", "sms", &json!([{"phone": "+4915112345678"}]));
        event["expiresat"] = json!(later(SystemClock.now(), Duration::from_secs(4)));
        carillon.post(&event).await;
        until_all(&carillon, "late", "expired", 1).await;
        assert_eq!(dead_letters(&carillon).await, 0);
    });
}
