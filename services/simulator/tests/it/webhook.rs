//! Endpoints of webhooks: requests that they take, and requests that they refuse.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Running, now, start};

const BODY: &str = r#"{"type":"StockLow","id":"s-1","source":"/shop","data":{"left":3}}"#;

/// A request that the simulator's secret signs.
fn signed(running: &Running, path: &str, id: &str, seconds: i64, body: &str) -> reqwest::RequestBuilder {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"simulator-webhook-secret");
    let signature = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    running
        .http
        .post(running.url(path))
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(signature)))
        .body(body.to_owned())
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_signed_request_is_shown_with_its_body() {
    let running = start().await;
    assert_eq!(
        status(signed(&running, "/webhooks/erp/stock", "d-1", now(), BODY)).await,
        204
    );
    let shown = running.all().await.remove(0);
    assert_eq!(
        (&*shown.to, shown.channel.as_str()),
        ("/webhooks/erp/stock", "webhook")
    );
    assert_eq!(shown.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(shown.event_id.as_deref(), Some("s-1"));
    assert_eq!(shown.subject.as_deref(), Some("StockLow"));
    assert_eq!(shown.text.as_deref(), Some(BODY));
    assert_eq!(shown.data["data"], json!({"left": 3}));
    assert!(shown.header("webhook-signature").unwrap().starts_with("v1,"));
    let (code, page) = running.get("/?channel=webhook").await;
    assert_eq!(code, 200);
    assert!(
        page.as_str().unwrap().contains("POST /webhooks/erp/stock"),
        "{page}"
    );
}

#[tokio::test]
async fn a_request_that_is_not_genuine_or_no_json_is_refused_and_not_shown() {
    let running = start().await;
    let path = "/webhooks/erp";
    let old = signed(&running, path, "d-1", now() - 301, BODY);
    let other_body = signed(&running, path, "d-1", now(), BODY).body("{}");
    let plain = signed(&running, path, "d-1", now(), "hello");
    let plain_text = [(CONTENT_TYPE, HeaderValue::from_static("text/plain"))];
    let text = signed(&running, path, "d-1", now(), BODY).headers(plain_text.into_iter().collect());
    let unsigned = running
        .http
        .post(running.url(path))
        .header("content-type", "application/json")
        .body(BODY);
    assert_eq!(status(old).await, 401);
    assert_eq!(status(other_body).await, 401);
    assert_eq!(status(unsigned).await, 401);
    assert_eq!(status(plain).await, 400);
    assert_eq!(status(text).await, 415);
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn an_endpoint_can_be_gone_throttle_and_fail() {
    let running = start().await;
    let gone = signed(&running, "/webhooks/gone", "d-1", now(), BODY);
    assert_eq!(status(gone).await, 410);
    running
        .script(json!([
            {"provider": "webhook", "to": "/webhooks/slow", "status": 429, "retry_after": 7},
            {"provider": "webhook", "to": "/webhooks/broken*", "status": 502, "recorded": true},
        ]))
        .await;
    let slow = signed(&running, "/webhooks/slow", "d-2", now(), BODY);
    let answer = slow.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse::<reqwest::header::HeaderValue>().unwrap())
    );
    let broken = signed(&running, "/webhooks/broken-1", "d-3", now(), BODY);
    assert_eq!(status(broken).await, 502);
    let fine = signed(&running, "/webhooks/fine", "d-4", now(), BODY);
    assert_eq!(status(fine).await, 204);
    let ids: Vec<Value> = running
        .all()
        .await
        .into_iter()
        .map(|message| json!(message.delivery_id))
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&json!("d-3")) && ids.contains(&json!("d-4")));
}
