//! Floods: more requests than one tenant's share, of many kinds.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::attacker::Attacker;

/// The number of clients in a flood.
const CLIENTS: usize = 32;
const PAUSE: Duration = Duration::from_millis(5);

/// Makes clients send requests in a loop. Any status is accepted, but each request must be answered.
async fn flood<F>(clients: usize, ask: impl Fn(usize) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut asking = JoinSet::new();
    for number in 0..clients {
        asking.spawn(ask(number));
    }
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    Ok(())
}

/// Opens 1,100 posts whose bodies never arrive.
pub(super) async fn held_posts(attacker: Attacker) -> anyhow::Result<()> {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\n{{",
        attacker.key
    );
    let mut streams = Vec::new();
    for _ in 0..1_100 {
        streams.push(attacker.connect(&head).await?);
    }
    std::future::pending().await
}

/// Posts bodies of eight megabytes that are not JSON, sixteen at a time.
pub(super) async fn large_bodies(attacker: Attacker) -> anyhow::Result<()> {
    flood(16, |_| {
        let attacker = attacker.clone();
        async move {
            loop {
                // The gateway may close the connection before the body is sent; then its answer cannot be read.
                let body = format!("[{}", "{},".repeat(2_600_000));
                let _ = attacker.ask(Method::POST, "/v1/events", body).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
    .await
}

/// Requests the most expensive lists, without a pause.
pub(super) async fn requests(attacker: Attacker) -> anyhow::Result<()> {
    flood(CLIENTS * 2, |_| {
        let attacker = attacker.clone();
        async move {
            loop {
                for path in ["/v1/deliveries?limit=500", "/v1/dlq?limit=500", "/v1/stats"] {
                    let _ = attacker.ask(Method::GET, path, String::new()).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
    .await
}

/// Posts events of the high lane in a loop. The gateway accepts some and refuses the others.
pub(super) async fn posts(attacker: Attacker) -> anyhow::Result<()> {
    flood(CLIENTS, |number| {
        let attacker = attacker.clone();
        async move {
            loop {
                let event = json!({
                    "type": "OrderShipped", "data": {"order_id": "1", "carrier": "DHL"},
                    "recipients": [{"email": format!("mallory-{number}@example.com")}],
                });
                let _ = attacker.post(&event).await;
                tokio::time::sleep(PAUSE * 4).await;
            }
        }
    })
    .await
}

pub(super) async fn made_up_keys(attacker: Attacker) -> anyhow::Result<()> {
    flood(CLIENTS * 2, |_| {
        let attacker = attacker.clone();
        async move {
            loop {
                let key = format!("ck_{:032x}_{}", rand::random::<u128>(), "0".repeat(64));
                let request = attacker
                    .http
                    .get(format!("{}/v1/stats", attacker.url))
                    .bearer_auth(key);
                let _ = request.send().await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
    .await
}

/// The form's token is only compared with its cookie, so an attacker can make up both.
pub(super) async fn sign_ins(attacker: Attacker) -> anyhow::Result<()> {
    flood(CLIENTS, |_| {
        let attacker = attacker.clone();
        async move {
            loop {
                let request = attacker
                    .http
                    .post(format!("{}/sign-in", attacker.url))
                    .header("cookie", "carillon_sign_in=t")
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(format!("csrf=t&next=%2F&key={}", attacker.key));
                let _ = request.send().await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
    .await
}
