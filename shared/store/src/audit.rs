//! The auditor's counts (table `counters`). They are updated in the transactions that they count, so they are exact,
//! and reading them costs the same for any number of rows.

use crate::{
    config::Dialect,
    counters::{self, Counter},
    db::Db,
    error::StoreError,
    events::Events,
};

/// The counts of the auditor's two equations; each side is counted independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct AuditCounts {
    /// Events that gateways published, and records that routers read which came from elsewhere.
    pub acknowledged: u64,
    /// Events that were routed.
    pub routed: u64,
    /// Records whose event had come with another record before.
    pub duplicate: u64,
    /// Records that are not valid events.
    pub rejected: u64,
    /// Records that lead to no message by design: tombstones, deleted rows, and events without recipients
    /// whose type allows that.
    pub skipped: u64,
    /// Events that a scheduler holds until they are due. No scheduler exists yet, so this is 0. An event that no
    /// router has decided counts as unaccounted for, not as waiting; otherwise a lost event would wait for ever.
    pub waiting: u64,
    /// Decisions to send.
    pub deliveries_produced: u64,
    /// Deliveries whose state is final.
    pub ended: u64,
    /// Deliveries whose state is not final yet.
    pub pending: u64,
}

impl AuditCounts {
    /// Events that are unaccounted for: acknowledged − (routed + duplicate + rejected + skipped + waiting). Events
    /// between gateway and tracker are included until they are projected; at rest the difference is 0.
    #[must_use]
    pub fn event_difference(&self) -> i64 {
        diff(
            self.acknowledged,
            self.routed + self.duplicate + self.rejected + self.skipped + self.waiting,
        )
    }

    /// Deliveries that are unaccounted for: produced − (ended + pending).
    #[must_use]
    pub fn delivery_difference(&self) -> i64 {
        diff(self.deliveries_produced, self.ended + self.pending)
    }
}

fn diff(left: u64, right: u64) -> i64 {
    left.cast_signed().wrapping_sub(right.cast_signed())
}

/// The auditor's counts.
#[derive(Debug, Clone)]
pub struct Audit {
    db: Db,
    model: Db,
    events: Events,
}

impl Audit {
    pub(crate) fn new(db: Db, model: Db, events: Events) -> Self {
        Self { db, model, events }
    }

    /// Reads all counts; first marks the events that this process has published. On SQLite, where the counts lie in
    /// two files, the read model's are read first: events between the two reads then cause a positive difference that
    /// disappears, never a negative one.
    pub async fn counts(&self) -> Result<AuditCounts, StoreError> {
        self.events.flush().await?;
        let mut counts = counters::read(&self.model).await?;
        if self.db.dialect() == Dialect::Sqlite {
            counts.extend(counters::read(&self.db).await?);
        }
        let of = |counter| {
            counts
                .get(&counter)
                .copied()
                .unwrap_or_default()
                .max(0)
                .cast_unsigned()
        };
        Ok(AuditCounts {
            acknowledged: of(Counter::GatewayPublished) + of(Counter::ReadElsewhere),
            routed: of(Counter::Routed),
            duplicate: of(Counter::Duplicate),
            rejected: of(Counter::Rejected),
            skipped: of(Counter::Skipped),
            waiting: 0,
            deliveries_produced: of(Counter::Produced),
            ended: of(Counter::Ended),
            pending: of(Counter::Pending),
        })
    }
}
