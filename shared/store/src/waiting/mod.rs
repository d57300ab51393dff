//! Rows that wait until a time (table `waiting`): whole events, and deferred deliveries of events. The scheduler adds
//! the records that routers have written to `notifications.scheduled`, and moves due rows to the outbox. A released row
//! stays as the claim of its record: of several records of one release, the router decides the first that it reads.

mod cancel;
mod release;

use std::time::Duration;

use carillon_domain::{
    EventId, TenantId, Timestamp, UserId,
    waiting::{Waiting, WaitingKind},
};
use uuid::Uuid;

pub use self::{
    cancel::{Cancellation, EventCancel},
    release::{ReleaseClaim, ReleaseVerdict, ReleasedBatch},
};
use crate::{
    columns::{int, unsigned},
    counters::{self, Changes, Counter},
    db::{Db, Input, Prunable, Tx, again, fetch, prunable},
    error::StoreError,
    events::EventKey,
    fallbacks,
    outbox::{Outbox, OutboxRecord},
};

const PRUNABLE: Prunable = prunable!("waiting", "changed_at", "state <> 'waiting'");

/// A row to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWaiting {
    /// Its description.
    pub waiting: Waiting,
    /// The record that is published at its release.
    pub record: OutboxRecord,
}

/// The number of rows that wait, and the oldest one that is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingDepth {
    /// Whole events.
    pub events: u64,
    /// Groups of deferred deliveries.
    pub deliveries: u64,
    /// The smallest due time.
    pub next_due: Option<Timestamp>,
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingView {
    /// Its id.
    pub id: Uuid,
    /// `event` or `deliveries`.
    pub kind: String,
    /// The reason, as a stable word.
    pub reason: String,
    /// The time before which it is not released.
    pub due: Timestamp,
    /// `waiting`, `released` or `cancelled`.
    pub state: String,
}

/// Rows that wait until a time.
#[derive(Debug, Clone)]
pub struct WaitingRecords {
    db: Db,
    shard: i32,
    outbox: Outbox,
}

impl WaitingRecords {
    pub(crate) fn new(db: Db, shard: i32, outbox: Outbox) -> Self {
        Self { db, shard, outbox }
    }

    /// Adds rows. A row that is known already, or was cancelled before it came, stays as it is. Returns the number of
    /// new rows.
    pub async fn add(&self, added: &[NewWaiting]) -> Result<u64, StoreError> {
        if added.is_empty() {
            return Ok(0);
        }
        again(|| async {
            let mut tx = self.db.begin_batch(added.len()).await?;
            let mut changes = Changes::default();
            let new = insert(&mut tx, added, self.db.now(), &mut changes).await?;
            changes.write(&mut tx, self.shard).await?;
            tx.commit().await?;
            Ok(new)
        })
        .await
    }

    /// The smallest due time of the waiting rows; one look into the index.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let (due,) = fetch!(
            one, self.db.read().await? => (Option<Timestamp>,),
            "SELECT MIN(due) FROM waiting WHERE state = 'waiting'"
        )?;
        Ok(due)
    }

    /// The number of rows that wait, from the counts that are written with them, and the smallest due time.
    pub async fn depth(&self) -> Result<WaitingDepth, StoreError> {
        let counts = counters::read(&self.db).await?;
        let of = |counter| unsigned(counts.get(&counter).copied().unwrap_or_default());
        Ok(WaitingDepth {
            events: of(Counter::WaitingEvents),
            deliveries: of(Counter::WaitingDeliveries),
            next_due: self.next_due().await?,
        })
    }

    /// The rows of an event, those that were released or cancelled included, in the order of their due times.
    pub async fn of_event(&self, key: &EventKey) -> Result<Vec<WaitingView>, StoreError> {
        fetch!(
            all, self.db.read().await? => WaitingView,
            "SELECT id, kind, reason, due, state FROM waiting
            WHERE tenant = $1 AND event_id = $2 AND source = $3 ORDER BY due, id",
            key.tenant.as_str(), key.event_id.as_str(), &*key.source
        )
    }

    /// The waiting events whose only recipient is this user.
    pub async fn of_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<(EventKey, String)>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => (String, String, String),
            "SELECT event_id, source, event_type FROM waiting
            WHERE tenant = $1 AND user_id = $2 AND state = 'waiting' AND kind = 'event' ORDER BY id",
            tenant.as_str(), user.as_str()
        )?;
        Ok(rows
            .into_iter()
            .map(|(event_id, source, event_type)| {
                (event_key(tenant.to_string(), event_id, source), event_type)
            })
            .collect())
    }

    /// Deletes rows that were released or cancelled longer ago than `window`. Returns their number.
    pub async fn prune(&self, window: Duration) -> Result<u64, StoreError> {
        self.db.prune(PRUNABLE, window).await
    }
}

#[derive(sqlx::FromRow)]
struct Inserted {
    kind: String,
}

/// The counter of the rows of a kind.
fn counter(kind: &str) -> Counter {
    if kind == <&str>::from(WaitingKind::Event) {
        Counter::WaitingEvents
    } else {
        Counter::WaitingDeliveries
    }
}

pub(crate) async fn insert(
    tx: &mut Tx,
    added: &[NewWaiting],
    now: Timestamp,
    changes: &mut Changes,
) -> Result<u64, StoreError> {
    let mut rows: Vec<&NewWaiting> = added.iter().collect();
    rows.sort_by_key(|row| row.waiting.release.id);
    rows.dedup_by_key(|row| row.waiting.release.id);
    let each = || rows.iter().map(|row| &row.waiting);
    let records = || rows.iter().map(|row| &row.record);
    let inserted: Vec<Inserted> = Input::new(rows.len())
        .uuid("id", each().map(|one| one.release.id))
        .text("tenant", each().map(|one| one.tenant.as_str()))
        .text("event_id", each().map(|one| one.event_id.as_str()))
        .text("source", each().map(|one| &*one.source))
        .text("event_type", each().map(|one| &*one.event_type))
        .opt_text("user_id", each().map(|one| one.user_id.as_ref().map(UserId::as_str)))
        .text("kind", each().map(|one| <&str>::from(one.release.content.kind())))
        .text("reason", each().map(|one| &*one.reason))
        .int("number", each().map(|one| int(one.release.number)))
        .time("due", each().map(|one| one.due))
        .time("changed_at", each().map(|_| now))
        .text("out_topic", records().map(|record| &*record.topic))
        .bytes("record_key", records().map(|record| record.key.as_deref()))
        .bytes("headers", records().map(|record| Some(&*record.headers)))
        .bytes("value", records().map(|record| Some(&*record.value)))
        .fetch(
            tx.conn(),
            "INSERT INTO waiting (id, tenant, event_id, source, event_type, user_id, kind, reason, number, due, state,
                changed_at, out_topic, record_key, headers, value)
            SELECT id, tenant, event_id, source, event_type, user_id, kind, reason, number, due, 'waiting',
                changed_at, out_topic, record_key, headers, value
            FROM input WHERE true
            ON CONFLICT (id) DO NOTHING RETURNING kind",
        )
        .await?;
    fallbacks::insert(tx, each(), now).await?;
    for Inserted { kind } in &inserted {
        changes.add(counter(kind), 1);
    }
    Ok(inserted.len() as u64)
}

/// The key of an event as text.
fn text_key(key: &EventKey) -> (&str, &str, &str) {
    (key.tenant.as_str(), key.event_id.as_str(), &key.source)
}

/// The key of an event.
fn event_key(tenant: String, event_id: String, source: String) -> EventKey {
    EventKey {
        tenant: TenantId::from(tenant),
        event_id: EventId::from(event_id),
        source: source.into(),
    }
}
