//! The auditor: two equations between independent counts, whose differences have to be 0.
//!
//! Events: acknowledged events (rows that gateways published, records that routers read from elsewhere) are routed,
//! duplicate, rejected, skipped, cancelled, or waiting in a scheduler. Deliveries: those that routers produced have
//! ended or are pending. Records on their way through the bus cause a difference that disappears when they are
//! projected; a difference that stays is a loss or a duplicate. A difference that an operator has accepted, for example
//! after a restore, is left out of the result and exported beside it.

use std::{collections::BTreeMap, time::Duration};

use carillon_bus::Queue;
use carillon_domain::{Channel, dead_letter::FailureClass};
use carillon_runtime::Shutdown;
use carillon_store::{Store, StoreError, audit::AuditCounts, dead_letters::OpenCount};
use tracing::{Instrument as _, field::Empty};

/// The interval between two counts.
const INTERVAL: Duration = Duration::from_secs(5);
/// The number of repetitions of a difference after which it is logged.
const PATIENCE: u32 = 6;

/// The counts and the two differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub counts: AuditCounts,
    /// Acknowledged events that are unaccounted for.
    pub events: i64,
    /// Produced deliveries that are unaccounted for.
    pub deliveries: i64,
}

/// Counts, and exports the counts as metrics.
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

    /// Counts at intervals until the shutdown.
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
        let span = tracing::debug_span!(
            "audit",
            carillon.events_difference = Empty,
            carillon.deliveries_difference = Empty
        );
        let report = self.report().instrument(span.clone()).await?;
        span.record("carillon.events_difference", report.events);
        span.record("carillon.deliveries_difference", report.deliveries);
        export(&report);
        tell_open(self.store.dead_letters().open_counts().await?);
        Ok(report)
    }
}

/// Sets two gauges for each queue and class, also where no letter is open any more.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
fn tell_open(counts: Vec<OpenCount>) {
    let queues = Channel::ALL.map(|channel| Queue::Channel(channel).as_str());
    let mut open: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for queue in queues.into_iter().chain([Queue::Events.as_str()]) {
        for class in FailureClass::ALL {
            open.insert((queue.to_owned(), class.to_string()), (0, 0));
        }
    }
    let counts = counts.into_iter();
    open.extend(counts.map(|count| ((count.queue, count.class), (count.open, count.ignored))));
    for ((queue, class), (open, ignored)) in open {
        metrics::gauge!("carillon_dlq_open", "queue" => queue.clone(), "class" => class.clone())
            .set(open as f64);
        metrics::gauge!("carillon_dlq_ignored", "queue" => queue, "class" => class).set(ignored as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
fn export(report: &Report) {
    metrics::gauge!("carillon_auditor_events_difference").set(report.events as f64);
    metrics::gauge!("carillon_auditor_deliveries_difference").set(report.deliveries as f64);
    let counts = &report.counts;
    metrics::gauge!("carillon_auditor_events_accepted").set(counts.accepted_events as f64);
    metrics::gauge!("carillon_auditor_deliveries_accepted").set(counts.accepted_deliveries as f64);
    for (term, count) in [
        ("acknowledged", counts.acknowledged),
        ("routed", counts.routed),
        ("duplicate", counts.duplicate),
        ("rejected", counts.rejected),
        ("skipped", counts.skipped),
        ("cancelled", counts.cancelled),
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
