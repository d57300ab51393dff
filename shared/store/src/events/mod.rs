//! Claims of events (table `event_claims`), for both halves of deduplication.
//!
//! The gateway claims an event before it publishes it (`pending` under a lease, then `published`), so a crash between
//! the two neither loses nor doubles it. The router claims it with the coordinates of its record: the same record
//! read again after an aborted transaction is no duplicate, and any other record of the event is one.

mod again;
mod ingest;
mod published;
mod route;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use carillon_domain::{EventId, TenantId, Timestamp, status::Origin};
use uuid::Uuid;

use self::{
    ingest::{ClaimIngest, MarkPublished},
    published::Unmarked,
};
use crate::{
    batcher::Batcher,
    db::{Db, Input, Prunable, again, fetch, prunable},
    error::StoreError,
    lease::Lease,
};

/// The time for which repeated events are recognised and the verdicts of limits remembered.
pub const DEDUPE_WINDOW: Duration = Duration::from_hours(7 * 24);

const PENDING: &str = "pending";
const PUBLISHED: &str = "published";
/// The claim of an event that waits is kept: it recognises repeats of the event, and is where the event is cancelled.
const PRUNABLE: Prunable = prunable!(
    "event_claims",
    "accepted_at",
    "NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.tenant = event_claims.tenant
        AND waiting.event_id = event_claims.event_id AND waiting.source = event_claims.source
        AND waiting.state = 'waiting')"
);
/// The approximate number of items in one transaction of a batcher.
const BATCH: usize = 256;

/// The key of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id.
    pub event_id: EventId,
    /// Its source.
    pub source: Arc<str>,
}

/// A gateway's claim of an event that it is about to publish.
#[derive(Debug, Clone)]
pub struct IngestClaim {
    /// The event.
    pub key: EventKey,
    /// Its type.
    pub event_type: Arc<str>,
    /// `Event::fingerprint`.
    pub fingerprint: [u8; 32],
    /// The lease of the process that claims. Until its end no other process may claim.
    pub lease: Lease,
}

/// The verdict on a gateway's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestVerdict {
    /// Publish it, then call [`Events::note_published`].
    Claimed,
    /// The event is on the bus already.
    Duplicate,
    /// Another event with this id and source has different content.
    Conflict,
    /// The event is being published, by this process or another.
    InProgress,
}

/// A router's claim of an event whose record it is about to route.
#[derive(Debug, Clone)]
pub struct RouteClaim {
    /// The event.
    pub key: EventKey,
    /// Its type.
    pub event_type: Arc<str>,
    /// `Event::fingerprint`.
    pub fingerprint: [u8; 32],
    /// The record that carries it.
    pub origin: Origin,
}

/// The verdict on a router's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteVerdict {
    /// Route the event: no other record of it came before.
    First {
        /// Whether the gateway counted it as acknowledged ([`carillon_domain::status::EventDecided::via_gateway`]).
        via_gateway: bool,
        /// The time of the first claim, which stays the same however often the record is read. `None` if a gateway's
        /// claim was not read; the records of such claims have the bus's own time.
        claimed_at: Option<Timestamp>,
    },
    /// The event was cancelled before a router claimed it, and this record is its first.
    Cancelled {
        /// Whether the gateway counted it as acknowledged.
        via_gateway: bool,
    },
    /// Another record of the same event came first.
    Duplicate,
    /// Another record with the same id and source and different content came first. This one is not routed either.
    Conflict,
}

/// The state of an event's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The gateway is publishing the event, or crashed while it did.
    Pending,
    /// The event is on the bus.
    Published,
}

/// An event with its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEvent {
    /// The event.
    pub key: EventKey,
    /// Its type.
    pub event_type: String,
    /// The state of the claim.
    pub state: ClaimState,
    /// Whether the event came through the gateway.
    pub via_gateway: bool,
    /// The time of the first claim.
    pub accepted_at: Timestamp,
    /// The record that the router has claimed, if it has.
    pub origin: Option<Origin>,
}

#[derive(sqlx::FromRow)]
struct Row {
    source: String,
    event_type: String,
    state: String,
    via_gateway: bool,
    accepted_at: Timestamp,
    topic: Option<String>,
    partition_id: Option<i32>,
    record_offset: Option<i64>,
}

/// The claims of events.
#[derive(Debug, Clone)]
pub struct Events {
    db: Db,
    /// The shard of the counters to which this process writes.
    shard: i32,
    claims: Arc<Batcher<ClaimIngest>>,
    published: Unmarked,
    /// Whether routers have fallen behind so far that they see events only after they were marked.
    is_behind: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn new(db: Db, shard: i32) -> Self {
        Self {
            claims: Arc::new(Batcher::new(ClaimIngest(db.clone()), db.dialect(), BATCH)),
            published: Unmarked::new(MarkPublished {
                db: db.clone(),
                shard,
            }),
            is_behind: Arc::default(),
            db,
            shard,
        }
    }

    /// Claims events for publishing; returns one verdict for each, in order. Concurrent callers share transactions.
    pub async fn claim_ingest(&self, claims: Vec<IngestClaim>) -> Result<Vec<IngestVerdict>, StoreError> {
        let keys: Vec<EventKey> = claims.iter().map(|claim| claim.key.clone()).collect();
        let mut verdicts = self.claims.submit(claims).await?;
        for (verdict, key) in verdicts.iter_mut().zip(&keys) {
            // An event that is noted and not marked yet may even have been claimed again, if its lease has ended.
            let is_new = matches!(verdict, IngestVerdict::InProgress | IngestVerdict::Claimed);
            if is_new && self.published.contains(key) {
                *verdict = IngestVerdict::Duplicate;
            }
        }
        Ok(verdicts)
    }

    /// Notes that events are durably on the bus. The mark is written half a second later unless a router has claimed
    /// them by then. After a crash before that, they count as still being published.
    pub async fn note_published(&self, keys: Vec<EventKey>) {
        self.published.add(keys).await;
    }

    /// Like [`Self::note_published`], but writes the marks at once, with all marks noted before.
    pub async fn mark_published(&self, keys: Vec<EventKey>) -> Result<(), StoreError> {
        self.published.add(keys).await;
        self.flush().await
    }

    /// Writes the marks that were noted.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.published.flush().await
    }

    /// Gives back claims of events that were certainly not published.
    pub async fn abandon(&self, owner: Uuid, keys: &[EventKey]) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin_batch(keys.len()).await?;
            ingest::abandon(&mut tx, owner, keys).await?;
            tx.commit().await
        })
        .await
    }

    /// Claims events for routing; returns one verdict for each, in order.
    pub async fn claim_route(&self, claims: &[RouteClaim]) -> Result<Vec<RouteVerdict>, StoreError> {
        again(|| route::claim(&self.db, claims, self.shard, &self.is_behind)).await
    }

    /// The claims of an id, one for each source that used it.
    pub async fn find(
        &self,
        tenant: &TenantId,
        event_id: &EventId,
        source: Option<&str>,
    ) -> Result<Vec<ClaimedEvent>, StoreError> {
        let rows = fetch!(
            all, self.db.read().await? => Row,
            "SELECT source, event_type, state, via_gateway, accepted_at, topic, partition_id, record_offset
            FROM event_claims
            WHERE tenant = $1 AND event_id = $2 AND ($3 IS NULL OR source = $3) ORDER BY source",
            tenant.as_str(), event_id.as_str(), source
        )?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_event(tenant, event_id))
            .collect())
    }

    /// Deletes claims older than the deduplication window. The auditor's counts stay. Returns the number of claims
    /// deleted.
    pub async fn prune(&self, window: Duration) -> Result<u64, StoreError> {
        self.db.prune(PRUNABLE, window).await
    }
}

impl Row {
    fn into_event(self, tenant: &TenantId, event_id: &EventId) -> ClaimedEvent {
        ClaimedEvent {
            key: EventKey {
                tenant: tenant.clone(),
                event_id: event_id.clone(),
                source: Arc::from(self.source),
            },
            event_type: self.event_type,
            state: if self.state == PENDING {
                ClaimState::Pending
            } else {
                ClaimState::Published
            },
            via_gateway: self.via_gateway,
            accepted_at: self.accepted_at,
            origin: match (self.topic, self.partition_id, self.record_offset) {
                (Some(topic), Some(partition), Some(offset)) => Some(Origin {
                    topic: Arc::from(topic),
                    partition,
                    offset,
                }),
                _ => None,
            },
        }
    }
}

fn keys<'a>(keys: &[&'a EventKey]) -> Input<'a> {
    Input::new(keys.len())
        .text("tenant", keys.iter().map(|key| key.tenant.as_str()))
        .text("event_id", keys.iter().map(|key| key.event_id.as_str()))
        .text("source", keys.iter().map(|key| &*key.source))
}
