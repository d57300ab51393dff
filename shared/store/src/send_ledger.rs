//! Who may call a provider for which attempt, and what came of it (table `send_claims`). A worker claims before it
//! calls; no transaction stays open meanwhile.

use std::time::Duration;

use carillon_domain::{DeliveryId, Timestamp};
use uuid::Uuid;

use crate::{db::Db, error::StoreError};

/// One attempt of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendKey {
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// 0; each replay adds 1.
    pub generation: u32,
    /// 1 for the first.
    pub attempt: u32,
}

/// A worker is about to call a provider.
#[derive(Debug, Clone)]
pub struct SendClaim {
    /// Which attempt.
    pub key: SendKey,
    /// Names the worker process.
    pub owner: Uuid,
    /// Until when the worker is surely done, one way or the other.
    pub lease_until: Timestamp,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimVerdict {
    /// Call the provider, then [`SendLedger::record`] what came of it.
    Claimed,
    /// Somebody claimed it before; perhaps this worker itself, if its claim's answer was lost.
    Taken(Taken),
}

/// An earlier claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Who has it.
    pub owner: Uuid,
    /// Since when.
    pub claimed_at: Timestamp,
    /// Until when they are surely done.
    pub lease_until: Timestamp,
    /// What came of it, if they said.
    pub outcome: Option<serde_json::Value>,
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct SendLedger {
    db: Db,
}

impl SendLedger {
    /// Claims attempts, one verdict each in order. The first claim wins.
    pub async fn claim(&self, claims: &[SendClaim]) -> Result<Vec<ClaimVerdict>, StoreError> {
        unimplemented!()
    }

    /// Takes an attempt over whose claim has run out without an outcome; `seen` is the owner that [`Taken`] named.
    /// `false` if it has an outcome by now, still runs, or somebody else took it.
    pub async fn take_over(
        &self,
        key: SendKey,
        seen: Uuid,
        owner: Uuid,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// As [`Self::take_over`], before the claim has run out: for an owner that is known to have died.
    pub async fn take_over_from_dead(
        &self,
        key: SendKey,
        dead: Uuid,
        owner: Uuid,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Keeps what came of attempts; the first outcome stays. Concurrent callers share transactions.
    pub async fn record(&self, outcomes: Vec<(SendKey, serde_json::Value)>) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Forgets claims older than `age`. Returns how many went.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
