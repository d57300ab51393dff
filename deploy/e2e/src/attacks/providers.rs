//! Answers of providers. They affect only the channels of those providers, because one-time passwords go by
//! SMS.

use serde_json::json;

use super::attacker::Attacker;

async fn with_faults(attacker: Attacker, faults: serde_json::Value) -> anyhow::Result<()> {
    let url = format!("{}/v1/faults", attacker.simulator);
    attacker
        .http
        .put(url)
        .json(&faults)
        .send()
        .await?
        .error_for_status()?;
    for number in 0..200 {
        let user = format!("mallory-{number}");
        let profile = json!({
            "email": format!("{user}@example.com"),
            "devices": [{"platform": "android", "token": format!("a-device-token-of-{user}")}],
        });
        attacker
            .ask(
                reqwest::Method::PUT,
                &format!("/v1/users/{user}"),
                profile.to_string(),
            )
            .await?;
        let event = json!({
            "type": "OrderShipped", "recipients": [{"user_id": user}], "channels": ["push", "email"],
            "data": {"order_id": "1", "carrier": "DHL"},
        });
        attacker.post(&event).await?;
    }
    Ok(())
}

pub(super) async fn retry_after_epoch(attacker: Attacker) -> anyhow::Result<()> {
    let faults = json!([
        {"provider": "fcm", "percent": 50, "status": 429, "code": "QUOTA_EXCEEDED", "retry_after": 1_764_633_600},
        {"provider": "fcm", "status": 503, "code": "UNAVAILABLE", "retry_after": u32::MAX},
    ]);
    with_faults(attacker, faults).await
}

pub(super) async fn hang(attacker: Attacker) -> anyhow::Result<()> {
    let faults = json!([{"provider": "fcm", "action": "hang"}, {"provider": "smtp", "action": "hang"}]);
    with_faults(attacker, faults).await
}
