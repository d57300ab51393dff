//! Who has seen which event (table `event_claims`): both halves of deduplication.
//!
//! The gateway claims an event before it publishes it (`pending` under a lease, then `published`), so a crash between
//! the two neither loses nor doubles it. The router claims it with the coordinates of the record that carried it, so
//! the same record read again after an aborted transaction is no duplicate, and any other is.

use std::{sync::Arc, time::Duration};

use carillon_domain::{EventId, TenantId, Timestamp, status::Origin};
use uuid::Uuid;

use crate::{db::Db, error::StoreError};

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
    /// Publish it, then call [`Events::mark_published`].
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

/// The events.
#[derive(Debug, Clone)]
pub struct Events {
    db: Db,
}

impl Events {
    /// Claims events for publishing, one verdict each in order. Concurrent callers share transactions.
    pub async fn claim_ingest(&self, claims: Vec<IngestClaim>) -> Result<Vec<IngestVerdict>, StoreError> {
        unimplemented!()
    }

    /// Notes that events are durably on the bus. Concurrent callers share transactions.
    pub async fn mark_published(&self, keys: Vec<EventKey>) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Gives back claims whose events were certainly not published.
    pub async fn abandon(&self, owner: Uuid, keys: &[EventKey]) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Claims events for routing, one verdict each in order.
    pub async fn claim_route(&self, claims: &[RouteClaim]) -> Result<Vec<RouteVerdict>, StoreError> {
        unimplemented!()
    }

    /// Claims of an id, one for each source that used it.
    pub async fn find(
        &self,
        tenant: &TenantId,
        event_id: &EventId,
        source: Option<&str>,
    ) -> Result<Vec<ClaimedEvent>, StoreError> {
        unimplemented!()
    }

    /// Forgets claims older than the deduplication window. The auditor's counts stay. Returns how many went.
    pub async fn prune(&self, window: Duration) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
