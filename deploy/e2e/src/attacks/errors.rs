//! Inputs with very many errors.

use serde_json::{Map, Value, json};

use super::attacker::Attacker;

/// The most bytes of an answer.
const SHORT: usize = 1 << 20;

async fn is_answered_shortly(attacker: &Attacker, body: &Value) -> anyhow::Result<()> {
    let (status, answer) = attacker
        .ask(reqwest::Method::POST, "/v1/events", body.to_string())
        .await?;
    anyhow::ensure!(!status.is_server_error(), "{status} {answer:.300}");
    anyhow::ensure!(answer.len() < SHORT, "an answer of {} bytes", answer.len());
    Ok(())
}

fn event(kind: &str, data: &Value) -> Value {
    json!({"type": kind, "recipients": [{"email": "mallory@example.com"}], "data": data})
}

/// Posts batches of thirty events with 80,000 errors each, repeatedly.
pub(super) async fn full_batches(attacker: Attacker) -> anyhow::Result<()> {
    let data = json!({"deals": vec![json!({}); 80_000]});
    let batch = json!(vec![event("WeeklyDeals", &data); 30]);
    loop {
        is_answered_shortly(&attacker, &batch).await?;
    }
}

/// Posts events with many small keys: as fields of the event, as attributes, as fields of a recipient, and as data.
pub(super) async fn small_keys(attacker: Attacker) -> anyhow::Result<()> {
    let keys =
        |count: usize| -> Map<String, Value> { (0..count).map(|n| (format!("{n:x}"), json!(1))).collect() };
    let mut fields = event("OrderShipped", &json!({"order_id": "1", "carrier": "DHL"}));
    if let Some(fields) = fields.as_object_mut() {
        fields.extend(keys(25_000));
    }
    let mut attributes = fields.clone();
    attributes["specversion"] = json!("1.0");
    let mut recipient = event("OrderShipped", &json!({"order_id": "1", "carrier": "DHL"}));
    recipient["recipients"] = json!([keys(25_000)]);
    let mut data = keys(20_000);
    data.extend([
        ("order_id".to_owned(), json!("1")),
        ("carrier".to_owned(), json!("DHL")),
    ]);
    let data = event("OrderShipped", &json!(data));
    loop {
        for one in [&fields, &attributes, &recipient, &data] {
            is_answered_shortly(&attacker, one).await?;
        }
        is_answered_shortly(&attacker, &json!(vec![fields.clone(); 16])).await?;
    }
}

pub(super) async fn long_names(attacker: Attacker) -> anyhow::Result<()> {
    let long = "x".repeat(200_000);
    loop {
        for one in [
            event(&long, &json!({})),
            event("OrderShipped", &json!({"order_id": {&long: 1}, "carrier": "DHL"})),
            event("WeeklyDeals", &json!({&long: 1})),
            json!({&long: 1}),
        ] {
            is_answered_shortly(&attacker, &one).await?;
        }
    }
}
