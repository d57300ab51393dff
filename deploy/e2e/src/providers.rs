//! What goes wrong at the providers, all the time: refusals, throttles, and silence after a message was taken.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;

/// How often it is looked whether the script is in force: the simulator forgets it when it is killed.
const LOOK: Duration = Duration::from_millis(300);

/// Shares in percent. What is `recorded` was taken although nobody said so.
fn script() -> Value {
    json!([
        {"provider": "*", "percent": 20, "delay_ms": 30},
        {"provider": "fcm", "percent": 2, "status": 503, "code": "UNAVAILABLE"},
        {"provider": "twilio", "percent": 1, "status": 503},
        {"provider": "smtp", "percent": 2, "status": 432, "code": "4.3.2"},
        {"provider": "fcm", "percent": 0.2, "status": 429, "code": "QUOTA_EXCEEDED", "retry_after": 1},
        {"provider": "twilio", "percent": 0.2, "status": 429, "code": "20429", "retry_after": 1},
        {"provider": "smtp", "percent": 0.2, "status": 421, "code": "4.7.0", "action": "goaway"},
        {"provider": "*", "percent": 0.2, "action": "hang", "recorded": true},
        {"provider": "*", "percent": 0.1, "action": "hang"},
        {"provider": "*", "percent": 0.5, "action": "reset", "recorded": true},
        {"provider": "*", "percent": 0.5, "action": "reset"},
    ])
}

/// Keeps the script in force, for ever.
pub(crate) async fn misbehave(api: &Api, seed: u64) {
    let script = script();
    loop {
        let in_force: anyhow::Result<Vec<Value>> = api.simulated("/v1/faults").await;
        if in_force.is_ok_and(|rules| rules.is_empty()) {
            // It may be killed in this moment; then it is tried again.
            let _ = api.put_faults(seed, &script).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ends it. The simulator answers by now, or soon.
pub(crate) async fn behave(api: &Api) -> anyhow::Result<()> {
    let mut tries = 0;
    loop {
        match api.clear_faults().await {
            Ok(()) => return Ok(()),
            Err(error) if tries == 100 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(LOOK).await;
    }
}
