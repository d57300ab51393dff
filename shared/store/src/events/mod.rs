//! Who has seen which event (table `event_claims`): both halves of deduplication.
//!
//! The gateway claims an event before it publishes it (`pending` under a lease, then `published`), so a crash between
//! the two neither loses nor doubles it. The router claims it with the coordinates of the record that carried it, so
//! the same record read again after an aborted transaction is no duplicate, and any other is.

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
    published::Published,
};
use crate::{
    batcher::Batcher,
    db::{Db, Input, Prunable, again, fetch, prunable},
    error::StoreError,
};

/// How long repeated events are recognised, and the verdicts of limits remembered.
pub const DEDUPE_WINDOW: Duration = Duration::from_hours(7 * 24);

const PENDING: &str = "pending";
const PUBLISHED: &str = "published";
const PRUNABLE: Prunable = prunable!("event_claims", "accepted_at");
/// About so many items go into one transaction of a batcher.
const BATCH: usize = 256;

/// The key of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub event_id: EventId,
    /// Its source.
    pub source: Arc<str>,
}

/// The gateway is about to publish an event.
#[derive(Debug, Clone)]
pub struct IngestClaim {
    /// Which event.
    pub key: EventKey,
    /// Its type.
    pub event_type: Arc<str>,
    /// `Event::fingerprint`.
    pub fingerprint: [u8; 32],
    /// Names the process that claims.
    pub owner: Uuid,
    /// Until when nobody else may.
    pub lease_until: Timestamp,
}

/// What became of a gateway's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestVerdict {
    /// Publish it, then call [`Events::note_published`].
    Claimed,
    /// It is on the bus already.
    Duplicate,
    /// An event of that id says something else.
    Conflict,
    /// Somebody is publishing it right now.
    InProgress,
}

/// The router is about to route the record of an event.
#[derive(Debug, Clone)]
pub struct RouteClaim {
    /// Which event.
    pub key: EventKey,
    /// Its type.
    pub event_type: Arc<str>,
    /// `Event::fingerprint`.
    pub fingerprint: [u8; 32],
    /// The record that carries it.
    pub origin: Origin,
}

/// What became of a router's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteVerdict {
    /// Route it: no other record carried this event before.
    First {
        /// Whether the gateway counted it as acknowledged ([`carillon_domain::status::EventDecided::via_gateway`]).
        via_gateway: bool,
        /// When the event was claimed first, which stays the same however often its record is read; absent where a
        /// gateway's claim was not read, whose records have the bus's own time.
        claimed_at: Option<Timestamp>,
    },
    /// Another record of the same event came first.
    Duplicate,
    /// Another record of the same id, which said something else, came first. It is not routed either.
    Conflict,
}

/// How far an event is known to have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The gateway is publishing it, or crashed while it did.
    Pending,
    /// It is on the bus.
    Published,
}

/// An event's claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEvent {
    /// Which event.
    pub key: EventKey,
    /// Its type.
    pub event_type: String,
    /// How far it is.
    pub state: ClaimState,
    /// Whether it came through the gateway.
    pub via_gateway: bool,
    /// When it was first seen.
    pub accepted_at: Timestamp,
    /// The record that the router took, once it did.
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

/// The events.
#[derive(Debug, Clone)]
pub struct Events {
    db: Db,
    /// Which rows of the counters this process writes.
    shard: i32,
    claims: Arc<Batcher<ClaimIngest>>,
    published: Published,
    /// Whether routers see events after they were marked.
    is_behind: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn new(db: Db, shard: i32) -> Self {
        Self {
            claims: Arc::new(Batcher::new(ClaimIngest(db.clone()), db.dialect(), BATCH)),
            published: Published::new(MarkPublished {
                db: db.clone(),
                shard,
            }),
            is_behind: Arc::default(),
            db,
            shard,
        }
    }

    /// Claims events for publishing, one verdict each in order. Concurrent callers share transactions.
    pub async fn claim_ingest(&self, claims: Vec<IngestClaim>) -> Result<Vec<IngestVerdict>, StoreError> {
        let keys: Vec<EventKey> = claims.iter().map(|claim| claim.key.clone()).collect();
        let mut verdicts = self.claims.submit(claims).await?;
        for (verdict, key) in verdicts.iter_mut().zip(&keys) {
            // One that is noted and not marked yet may even have been claimed anew, if its lease has ended.
            let is_new = matches!(verdict, IngestVerdict::InProgress | IngestVerdict::Claimed);
            if is_new && self.published.contains(key) {
                *verdict = IngestVerdict::Duplicate;
            }
        }
        Ok(verdicts)
    }

    /// Notes that events are durably on the bus. It is written half a second later, if no router has done so by then; a
    /// crash before leaves them as if they were still being published.
    pub async fn note_published(&self, keys: Vec<EventKey>) {
        self.published.add(keys).await;
    }

    /// As [`Self::note_published`], written at once together with all that was noted before.
    pub async fn mark_published(&self, keys: Vec<EventKey>) -> Result<(), StoreError> {
        self.published.add(keys).await;
        self.flush().await
    }

    /// Writes what was noted.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.published.flush().await
    }

    /// Gives back claims whose events were certainly not published.
    pub async fn abandon(&self, owner: Uuid, keys: &[EventKey]) -> Result<(), StoreError> {
        again(|| async {
            let mut tx = self.db.begin_batch(keys.len()).await?;
            ingest::abandon(&mut tx, owner, keys).await?;
            tx.commit().await
        })
        .await
    }

    /// Claims events for routing, one verdict each in order.
    pub async fn claim_route(&self, claims: &[RouteClaim]) -> Result<Vec<RouteVerdict>, StoreError> {
        again(|| route::claim(&self.db, claims, self.shard, &self.is_behind)).await
    }

    /// Claims of an id, one for each source that used it.
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

    /// Forgets claims older than the deduplication window. The auditor's counts stay. Returns how many went.
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
