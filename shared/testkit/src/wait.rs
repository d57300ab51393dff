use std::{future::Future, time::Duration};

/// The interval at which a condition is checked.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until a condition holds; fails after half a minute.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    wait_for(what, Duration::from_secs(30), condition).await;
}

/// Waits until a condition holds; fails after `limit`.
pub async fn wait_for<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) {
    let end = tokio::time::Instant::now() + limit;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "{what}: not within {limit:?}");
        tokio::time::sleep(LOOK).await;
    }
}
