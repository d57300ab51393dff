//! The auditor's counts (table `counters`): kept up to date inside the transactions that they count, so they are exact
//! and cheap to read however many rows there are.

use crate::{
    config::Dialect,
    counters::{self, Counter},
    db::Db,
    error::StoreError,
    events::Events,
};

/// Independent counts of the two equations of §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct AuditCounts {
    /// Events that gateways published, plus records that routers read from elsewhere.
    pub acknowledged: u64,
    /// Events that were routed.
    pub routed: u64,
    /// Records of events that another record had brought.
    pub duplicate: u64,
    /// Records that are no event of ours.
    pub rejected: u64,
    /// Records that lead to no message by design: tombstones, deleted rows, and events without recipients
    /// whose type allows that.
    pub skipped: u64,
    /// Events that a scheduler holds until they are due. There is none yet, so it is 0. An event that no router has decided
    /// is not waiting but unaccounted for, else a lost one would be waiting for ever.
    pub waiting: u64,
    /// Decisions to send.
    pub deliveries_produced: u64,
    /// Deliveries whose state has ended.
    pub ended: u64,
    /// Deliveries whose state has not ended.
    pub pending: u64,
}

impl AuditCounts {
    /// Events that are unaccounted for: acknowledged − (routed + duplicate + rejected + skipped + waiting).
    /// Events on their way from the gateway through router and tracker count until they are projected; at
    /// rest it is 0.
    #[must_use]
    pub fn event_difference(&self) -> i64 {
        diff(
            self.acknowledged,
            self.routed + self.duplicate + self.rejected + self.skipped + self.waiting,
        )
    }

    /// Deliveries that nobody can account for: produced − (ended + pending).
    #[must_use]
    pub fn delivery_difference(&self) -> i64 {
        diff(self.deliveries_produced, self.ended + self.pending)
    }
}

fn diff(left: u64, right: u64) -> i64 {
    left.cast_signed().wrapping_sub(right.cast_signed())
}

/// The counts.
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

    /// Reads all counts, with what this process has published up to now. Where they lie in two files, what was projected is
    /// read first: what happens between the two is a difference that goes away, not one below 0.
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
