//! Faults of the providers during the whole run: refusals, throttles, and no answer after a message was accepted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;

/// The interval at which the script is put into force again if necessary: the simulator loses it when it is killed.
const LOOK: Duration = Duration::from_millis(300);

/// The shares of the faults, in percent. A `recorded` message is accepted although its answer says otherwise or never
/// comes.
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

/// Keeps the script in force for ever.
pub(crate) async fn misbehave(api: &Api, seed: u64) {
    let script = script();
    loop {
        let in_force: anyhow::Result<Vec<Value>> = api.simulated("/v1/faults").await;
        if in_force.is_ok_and(|rules| rules.is_empty()) {
            // The simulator may be down; the next turn tries again.
            let _ = api.put_faults(seed, &script).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Removes the script. If the simulator does not answer yet, tries again up to 100 times.
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
