//! Metrics of waiting rows, the outbox and jobs. All instances export the same counts, because they read them from the
//! database.

use std::time::Duration;

use carillon_runtime::Shutdown;
use carillon_store::{Store, StoreError};

/// The interval between two counts.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts at intervals until the shutdown.
pub(crate) async fn run(store: &Store, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            // After that this future stays pending: the publisher and the runner end the scheduler.
            () = shutdown.soft() => return std::future::pending().await,
        }
        if let Err(error) = count(store).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "waiting rows, outbox and jobs were not counted"
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
async fn count(store: &Store) -> Result<(), StoreError> {
    let depth = store.outbox().depth().await?;
    let age = depth.oldest.map(|oldest| store.now() - oldest);
    let age = age.and_then(|age| age.to_std().ok()).unwrap_or_default();
    metrics::gauge!("carillon_outbox_records").set(depth.records as f64);
    metrics::gauge!("carillon_outbox_oldest_seconds").set(age.as_secs_f64());
    let waiting = store.waiting().depth().await?;
    let digests = store.digests().depth().await?;
    let next_due = waiting.next_due.into_iter().chain(digests.next_due).min();
    let overdue = next_due.map(|due| store.now() - due);
    let overdue = overdue.and_then(|age| age.to_std().ok()).unwrap_or_default();
    metrics::gauge!("carillon_waiting_items", "kind" => "event").set(waiting.events as f64);
    metrics::gauge!("carillon_waiting_items", "kind" => "deliveries").set(waiting.deliveries as f64);
    metrics::gauge!("carillon_waiting_items", "kind" => "member").set(digests.members as f64);
    metrics::gauge!("carillon_waiting_overdue_seconds").set(overdue.as_secs_f64());
    let (jobs, letters) = store.dead_letter_jobs().running().await?;
    metrics::gauge!("carillon_dlq_jobs_running").set(jobs as f64);
    metrics::gauge!("carillon_dlq_jobs_letters_left").set(letters as f64);
    Ok(())
}
