//! Webhooks through a whole installation: a registered endpoint at the simulator, which verifies signatures.

use std::time::Duration;

use carillon_testkit::{installation::Installation, wait_for};
use serde_json::{Value, json};

use crate::with_installation;

/// The secret of the simulator's endpoints.
const SECRET: &str = "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0";
const PATIENCE: Duration = Duration::from_secs(30);

async fn register(carillon: &Installation, name: &str, path: &str, secrets: &[&str]) -> u16 {
    let body = json!({"url": format!("{}/webhooks/{path}", carillon.simulator), "secrets": secrets});
    carillon
        .put(&format!("/v1/users/warehouse/webhooks/{name}"), &body)
        .await
}

fn stock_low(id: &str) -> Value {
    json!({"id": id, "source": "/shop/stock", "type": "StockLow", "time": "2026-11-24T09:00:00Z",
        "recipients": [{"user_id": "warehouse"}], "data": {"sku": "oak-desk", "product": "Oak \"desk\"", "left": 3}})
}

/// The delivery of an event with a status.
async fn delivery(carillon: &Installation, event: &str, status: &str) -> Value {
    let found = async || {
        let event = carillon.get(&format!("/v1/events/{event}")).await;
        let deliveries = event["deliveries"].as_array().cloned().unwrap_or_default();
        deliveries
            .into_iter()
            .find(|delivery| delivery["status"] == status)
    };
    wait_for(&format!("{event}: {status}"), PATIENCE, || async {
        found().await.is_some()
    })
    .await;
    let id = found().await.unwrap()["id"].as_str().unwrap().to_owned();
    carillon.get(&format!("/v1/deliveries/{id}")).await
}

#[test]
fn an_event_reaches_an_endpoint_signed_and_the_endpoint_can_throttle_fail_and_go() {
    with_installation(|carillon| async move {
        assert_eq!(carillon.put("/v1/users/warehouse", &json!({})).await / 100, 2);
        assert_eq!(register(&carillon, "erp", "erp", &[SECRET]).await, 201);
        let user = carillon.get("/v1/users/warehouse").await;
        assert_eq!(
            user["webhooks"],
            json!([{"name": "erp", "url": format!("{}/…", carillon.simulator), "secrets": 1}])
        );
        assert_eq!(carillon.post(&stock_low("s-1")).await.0, 202);
        let sent = delivery(&carillon, "s-1", "sent").await;
        let received = carillon.messages("channel=webhook").await.remove(0);
        assert_eq!(received["to"], "/webhooks/erp");
        assert_eq!(received["delivery_id"], sent["id"]);
        let body = json!({"type": "StockLow", "id": "s-1", "source": "/shop/stock", "timestamp": "2026-11-24T09:00:00Z",
            "data": {"sku": "oak-desk", "product": "Oak \"desk\"", "left": 3}});
        assert_eq!(received["data"], body);
        assert_eq!(sent["content"]["channel"], "webhook");
        let shown: Value = serde_json::from_str(sent["content"]["body"].as_str().unwrap()).unwrap();
        assert_eq!(shown, body);

        // While a secret is replaced, both sign. Afterwards the old one is refused, and the message is tried again.
        let other = "whsec_b3RoZXItd2ViaG9vay1zZWNyZXQtMDAx";
        assert_eq!(register(&carillon, "erp", "erp", &[other, SECRET]).await, 200);
        assert_eq!(carillon.post(&stock_low("s-2")).await.0, 202);
        delivery(&carillon, "s-2", "sent").await;
        assert_eq!(register(&carillon, "erp", "erp", &[other]).await, 200);
        assert_eq!(carillon.post(&stock_low("s-3")).await.0, 202);
        let refused = delivery(&carillon, "s-3", "retrying").await;
        assert_eq!(refused["error_code"], "http-401");
        assert_eq!(register(&carillon, "erp", "erp", &[SECRET]).await, 200);
        delivery(&carillon, "s-3", "sent").await;

        // An endpoint that is gone gets nothing more; the other one is not affected.
        assert_eq!(register(&carillon, "gone", "gone", &[SECRET]).await, 201);
        assert_eq!(carillon.post(&stock_low("s-4")).await.0, 202);
        delivery(&carillon, "s-4", "sent").await;
        let failed = delivery(&carillon, "s-4", "failed").await;
        assert_eq!(failed["error_code"], "http-410");
        let user = carillon.get("/v1/users/warehouse").await;
        assert_eq!(user["webhooks"][1]["name"], "gone");
        assert_eq!(user["webhooks"][1]["suppressed"]["reason"], "hard_bounce");
        assert!(user["webhooks"][0].get("suppressed").is_none());

        let faults =
            json!([{"provider": "webhook", "to": "/webhooks/erp", "status": 429, "retry_after": 600}]);
        carillon.faults(&faults).await;
        assert_eq!(carillon.post(&stock_low("s-5")).await.0, 202);
        let waiting = delivery(&carillon, "s-5", "retrying").await;
        assert_eq!(waiting["error_code"], "http-429");
        assert_eq!(register(&carillon, "other", "other", &[SECRET]).await, 201);
        assert_eq!(carillon.post(&stock_low("s-6")).await.0, 202);
        delivery(&carillon, "s-6", "sent").await;
        // In all: s-1 to s-4 once at the first endpoint, s-6 at the other one.
        assert_eq!(carillon.messages("channel=webhook").await.len(), 5);
    });
}

#[test]
fn a_url_inside_of_the_network_or_with_credentials_is_refused_when_it_is_registered() {
    with_installation(|carillon| async move {
        assert_eq!(carillon.put("/v1/users/warehouse", &json!({})).await / 100, 2);
        let path = "/v1/users/warehouse/webhooks/erp";
        for url in [
            "https://u:hunter2@hooks.example.com/",
            "ftp://hooks.example.com/",
            "hooks.example.com",
            // The development settings allow this machine, and nothing else that is not public.
            "https://10.255.255.1/",
            "https://[fd00::1]/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(carillon.put(path, &json!({ "url": url })).await, 422, "{url}");
        }
        for url in ["http://127.0.0.1:9/", "http://localhost:9/"] {
            assert_eq!(carillon.put(path, &json!({ "url": url })).await / 100, 2, "{url}");
        }
    });
}
