//! The auditor's counts (table `counters`), and the differences that operators have accepted (table
//! `accepted_differences`). They are updated in the transactions that they count, so they are exact,
//! and reading them costs the same for any number of rows.

use carillon_domain::Timestamp;
use serde::Serialize;

use crate::{
    config::Dialect,
    counters::{self, Counter},
    db::{Db, fetch, write_one},
    error::StoreError,
    events::Events,
};

/// The counts of the auditor's two equations; each side is counted independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AuditCounts {
    /// Events that gateways published, and records from elsewhere that routers read.
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
    /// Events that were cancelled before they were decided.
    pub cancelled: u64,
    /// Events that a scheduler holds until they are due. An event that no router has decided counts as unaccounted for,
    /// not as waiting; otherwise a lost event would wait for ever.
    pub waiting: u64,
    /// Deliveries that were decided to be sent, deferred or collected.
    pub deliveries_produced: u64,
    /// Deliveries whose state is final.
    pub ended: u64,
    /// Deliveries whose state is not final yet.
    pub pending: u64,
    /// The sum of the accepted differences of events.
    pub accepted_events: i64,
    /// The sum of the accepted differences of deliveries.
    pub accepted_deliveries: i64,
}

/// A difference that an operator has accepted as explained, with its reason. It is never changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Accepted {
    /// The time of the acceptance.
    pub at: Timestamp,
    /// The name that the operator gave.
    #[serde(rename = "by")]
    pub accepted_by: String,
    /// The reason for the difference.
    pub reason: String,
    /// The accepted difference of events.
    pub events: i64,
    /// The accepted difference of deliveries.
    pub deliveries: i64,
}

/// The difference that an operator accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The operator's name.
    pub by: String,
    /// The reason for the difference.
    pub reason: String,
    /// The difference of events as it is shown.
    pub events: i64,
    /// The difference of deliveries as it is shown.
    pub deliveries: i64,
}

/// The reason for which a difference was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// A text is empty or too long.
    #[error("{0}")]
    Text(&'static str),
    /// Both differences are 0.
    #[error("expected a difference that is not 0")]
    Nothing,
    /// The present differences are others.
    #[error(
        "the present differences are {events} of events and {deliveries} of deliveries; accept these once they stay the same"
    )]
    Differs {
        /// The present difference of events.
        events: i64,
        /// The present difference of deliveries.
        deliveries: i64,
    },
    /// Another acceptance was stored at the same moment.
    #[error("another acceptance was stored at this moment: look at the differences again")]
    Concurrent,
    /// The database failed.
    #[error("the acceptance could not be stored")]
    Store(#[from] StoreError),
}

impl Acceptance {
    fn check(&self) -> Result<(), AcceptError> {
        let is_text = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most;
        if !is_text(&self.by, 128) {
            return Err(AcceptError::Text("by: expected a name of 1 to 128 characters"));
        }
        if !is_text(&self.reason, 1_000) {
            return Err(AcceptError::Text(
                "reason: expected a text of 1 to 1,000 characters",
            ));
        }
        if (self.events, self.deliveries) == (0, 0) {
            return Err(AcceptError::Nothing);
        }
        Ok(())
    }
}

impl AuditCounts {
    /// Events that are unaccounted for: acknowledged − (routed + duplicate + rejected + skipped + cancelled + waiting) − accepted
    /// differences. Events between gateway and tracker are included until they are projected; at rest the difference is 0.
    #[must_use]
    pub fn event_difference(&self) -> i64 {
        diff(
            self.acknowledged,
            self.routed + self.duplicate + self.rejected + self.skipped + self.cancelled + self.waiting,
        ) - self.accepted_events
    }

    /// Deliveries that are unaccounted for: produced − (ended + pending) − accepted differences.
    #[must_use]
    pub fn delivery_difference(&self) -> i64 {
        diff(self.deliveries_produced, self.ended + self.pending) - self.accepted_deliveries
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
        let (accepted_events, accepted_deliveries) = fetch!(
            one, self.db.read().await? => (i64, i64),
            "SELECT CAST(COALESCE(SUM(events), 0) AS BIGINT), CAST(COALESCE(SUM(deliveries), 0) AS BIGINT)
            FROM accepted_differences"
        )?;
        Ok(AuditCounts {
            acknowledged: of(Counter::GatewayPublished) + of(Counter::ReadElsewhere),
            routed: of(Counter::Routed),
            duplicate: of(Counter::Duplicate),
            rejected: of(Counter::Rejected),
            skipped: of(Counter::Skipped),
            cancelled: of(Counter::Cancelled),
            waiting: of(Counter::WaitingEvents),
            deliveries_produced: of(Counter::Produced),
            ended: of(Counter::Ended),
            pending: of(Counter::Pending),
            accepted_events,
            accepted_deliveries,
        })
    }

    /// All accepted differences, oldest first.
    pub async fn accepted(&self) -> Result<Vec<Accepted>, StoreError> {
        fetch!(
            all, self.db.read().await? => Accepted,
            "SELECT at, accepted_by, reason, events, deliveries FROM accepted_differences ORDER BY number"
        )
    }

    /// Accepts the present differences: from now on they are left out of both, and are shown beside them with their
    /// reason. Other differences than the present ones are refused, so a difference is not accepted unseen or twice.
    pub async fn accept(&self, acceptance: &Acceptance) -> Result<(), AcceptError> {
        acceptance.check()?;
        let number = i64::try_from(self.accepted().await?.len()).unwrap_or(i64::MAX - 1) + 1;
        let counts = self.counts().await?;
        let (events, deliveries) = (counts.event_difference(), counts.delivery_difference());
        if (events, deliveries) != (acceptance.events, acceptance.deliveries) {
            return Err(AcceptError::Differs { events, deliveries });
        }
        let written = write_one!(
            self.db,
            "INSERT INTO accepted_differences (number, at, accepted_by, reason, events, deliveries)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (number) DO NOTHING",
            number,
            self.db.now(),
            acceptance.by.trim(),
            acceptance.reason.trim(),
            events,
            deliveries
        )?;
        if written == 0 {
            return Err(AcceptError::Concurrent);
        }
        Ok(())
    }
}
