//! The auditor: two equations between independent counts, both of which have to be 0.
//!
//! Events: what was acknowledged (rows that gateways published, records that routers read from elsewhere) is routed,
//! duplicate, rejected, skipped or waiting (for its time, in a scheduler). Deliveries: what routers produced has ended or is
//! pending. What is on its way through the bus, or behind in it, shows as a difference for as long as it travels; one that
//! stays is a loss, or a double.

use std::time::Duration;

use carillon_runtime::Shutdown;
use carillon_store::{Store, StoreError, audit::AuditCounts};

/// How often it counts.
const INTERVAL: Duration = Duration::from_secs(5);
/// After how many counts with the same difference it is logged.
const PATIENCE: u32 = 6;

/// What the counts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub counts: AuditCounts,
    /// Acknowledged events that nobody can account for.
    pub events: i64,
    /// Produced deliveries that nobody can account for.
    pub deliveries: i64,
}

/// Counts, and exports what it counted.
#[derive(Debug)]
pub struct Auditor {
    store: Store,
}

impl Auditor {
    /// An auditor of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Counts once.
    pub async fn report(&self) -> Result<Report, StoreError> {
        let counts = self.store.audit().counts().await?;
        Ok(Report {
            counts,
            events: counts.event_difference(),
            deliveries: counts.delivery_difference(),
        })
    }

    /// Counts every few seconds until the shutdown.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(INTERVAL);
        let (mut last, mut repeats) = ((0, 0), 0);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = shutdown.soft() => return,
            }
            match self.count().await {
                Ok(report) => {
                    let difference = (report.events, report.deliveries);
                    repeats = if difference == last && difference != (0, 0) {
                        repeats + 1
                    } else {
                        0
                    };
                    last = difference;
                    if repeats == PATIENCE {
                        tracing::error!(events = report.events, deliveries = report.deliveries, counts = ?report.counts,
                            "the books do not balance");
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the auditor could not count"
                ),
            }
        }
    }

    async fn count(&self) -> Result<Report, StoreError> {
        let report = self.report().await?;
        export(&report);
        for (queue, open) in self.store.dead_letters().open_counts().await? {
            gauge("carillon_dlq_open", "queue", queue, open);
        }
        Ok(report)
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
fn export(report: &Report) {
    metrics::gauge!("carillon_auditor_events_difference").set(report.events as f64);
    metrics::gauge!("carillon_auditor_deliveries_difference").set(report.deliveries as f64);
    let counts = &report.counts;
    for (term, count) in [
        ("acknowledged", counts.acknowledged),
        ("routed", counts.routed),
        ("duplicate", counts.duplicate),
        ("rejected", counts.rejected),
        ("skipped", counts.skipped),
        ("waiting", counts.waiting),
        ("deliveries_produced", counts.deliveries_produced),
        ("ended", counts.ended),
        ("pending", counts.pending),
    ] {
        gauge("carillon_auditor_count", "term", term.to_owned(), count);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
fn gauge(name: &'static str, label: &'static str, value: String, count: u64) {
    metrics::gauge!(name, label => value).set(count as f64);
}
