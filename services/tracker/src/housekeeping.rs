//! Retention: deletes expired rows, creates the partitions of the coming days, and moves over rows that roles of the
//! former release have written. At its start a tracker also does the work that an earlier tracker has left undone.

use std::{future::Future, time::Duration};

use carillon_bus::{Bus, TopicKind};
use carillon_runtime::Shutdown;
use carillon_store::{Store, StoreError, events::DEDUPE_WINDOW};

/// The interval.
const INTERVAL: Duration = Duration::from_hours(1);
/// The time for which outcomes of attempts are kept, longer than any retry or redelivery takes.
const LEDGER_WINDOW: Duration = Duration::from_hours(14 * 24);

/// The time for which acknowledgements are kept: longer than any fallback waits.
const ACKNOWLEDGED_WINDOW: Duration = Duration::from_hours(30 * 24);

/// The time for which a verdict is kept beyond the retention of the dead letter topics. Kafka deletes whole segments,
/// so a letter may be read for longer than its topic's retention says.
const VERDICT_SLACK: Duration = Duration::from_hours(14 * 24);

/// The age at which a verdict about a dead letter can be deleted, because no topic contains the letter any more.
fn verdict_window(bus: &Bus) -> Duration {
    let is_queue = |kind| matches!(kind, TopicKind::DeadLetters(_) | TopicKind::EventDeadLetters);
    let queues = bus.topics().all().iter().filter(|topic| is_queue(topic.kind));
    queues.map(|topic| topic.retention).max().unwrap_or_default() + VERDICT_SLACK
}

/// Deletes expired rows at the start and every hour, until the shutdown.
pub(crate) async fn run(bus: &Bus, store: &Store, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = shutdown.soft() => return,
        }
        hash_addresses(store).await;
        done("fallbacks that are due at once", store.fallbacks().hasten_all()).await;
        done("history", store.read_model().maintain()).await;
        done("deliveries and decisions", store.read_model().prune()).await;
        done("dead letters", store.dead_letters().prune()).await;
        done("verdicts", store.dead_letter_jobs().prune(verdict_window(bus))).await;
        done(
            "planned replays",
            store.dead_letter_groups().prune(verdict_window(bus)),
        )
        .await;
        done("claims of events", store.events().prune(DEDUPE_WINDOW)).await;
        done(
            "released and cancelled waits",
            store.waiting().prune(DEDUPE_WINDOW),
        )
        .await;
        done("closed digests", store.digests().prune(DEDUPE_WINDOW)).await;
        done("acknowledgements", store.fallbacks().prune(ACKNOWLEDGED_WINDOW)).await;
        done("idempotency keys", store.idempotency().prune()).await;
        done("suppressions that have ended", store.suppressions().prune()).await;
        done("claims of attempts", store.send_ledger().prune(LEDGER_WINDOW)).await;
    }
}

/// Updates the hashes of addresses: those computed under another key, and those that roles of the former release left
/// out. Converts the verdicts about addresses that such roles have written.
async fn hash_addresses(store: &Store) {
    let suppressions = store.suppressions();
    let hashed = match suppressions.follow_key().await {
        Ok(_) => suppressions.adopt().await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = hashed {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "not all addresses are hashed for the suppression list; trying again in an hour"
        );
    }
}

async fn done<T: std::fmt::Debug>(what: &'static str, work: impl Future<Output = Result<T, StoreError>>) {
    match work.await {
        Ok(gone) => tracing::debug!(what, ?gone, "old rows were deleted"),
        Err(error) => tracing::warn!(
            what,
            error = &error as &dyn std::error::Error,
            "old rows were not deleted; trying again in an hour"
        ),
    }
}
