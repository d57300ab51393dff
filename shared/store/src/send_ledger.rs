//! Who may call a provider for which attempt, and what came of it (table `send_claims`). A worker claims before it
//! calls; no transaction stays open meanwhile.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_domain::{DeliveryId, Timestamp};
use uuid::Uuid;

use crate::{
    batcher::{Batcher, Work},
    columns::int,
    db::{Db, Document, Input, Prunable, execute, prunable},
    error::StoreError,
};

const PRUNABLE: Prunable = prunable!("send_claims", "claimed_at");
/// About so many outcomes go into one transaction.
const BATCH: usize = 1_024;

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
    /// Names the claim: whoever makes it again, because the answer was lost, knows it as its own.
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

#[derive(sqlx::FromRow)]
struct Key {
    delivery_id: Uuid,
    generation: i32,
    attempt: i32,
}

#[derive(sqlx::FromRow)]
struct Row {
    delivery_id: Uuid,
    generation: i32,
    attempt: i32,
    owner: Uuid,
    claimed_at: Timestamp,
    lease_until: Timestamp,
    outcome: Option<Document>,
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct SendLedger {
    db: Db,
    records: Arc<Batcher<Record>>,
}

impl SendLedger {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            records: Arc::new(Batcher::spawn(Record(db.clone()), 1, BATCH)),
            db,
        }
    }

    /// Claims attempts, one verdict each in order. The first claim wins.
    pub async fn claim(&self, claims: &[SendClaim]) -> Result<Vec<ClaimVerdict>, StoreError> {
        let mut first: Vec<&SendClaim> = claims.iter().collect();
        first.sort_by_key(|claim| claim.key);
        first.dedup_by_key(|claim| claim.key);
        let keys: Vec<SendKey> = first.iter().map(|claim| claim.key).collect();
        let now = self.db.now();

        let mut session = self.db.write().await?;
        let claimed: Vec<Key> = key_input(&keys)
            .uuid("owner", first.iter().map(|claim| claim.owner))
            .time("claimed_at", first.iter().map(|_| now))
            .time("lease_until", first.iter().map(|claim| claim.lease_until))
            .fetch(
                session.conn(),
                "INSERT INTO send_claims (delivery_id, generation, attempt, owner, claimed_at, lease_until)
                SELECT delivery_id, generation, attempt, owner, claimed_at, lease_until FROM input WHERE true
                ON CONFLICT (delivery_id, generation, attempt) DO NOTHING
                RETURNING delivery_id, generation, attempt",
            )
            .await?;
        let mut won: HashMap<SendKey, bool> = claimed.iter().map(|key| (key.key(), false)).collect();
        // What was not claimed, and what stands in the batch twice.
        let mut counts: HashMap<SendKey, usize> = HashMap::with_capacity(claims.len());
        for claim in claims {
            *counts.entry(claim.key).or_default() += 1;
        }
        let taken: Vec<SendKey> = keys
            .into_iter()
            .filter(|key| !won.contains_key(key) || counts[key] > 1)
            .collect();
        let rows: Vec<Row> = key_input(&taken)
            .fetch(
                session.conn(),
                "SELECT c.delivery_id, c.generation, c.attempt, c.owner, c.claimed_at, c.lease_until, c.outcome
                FROM input i JOIN send_claims c
                ON c.delivery_id = i.delivery_id AND c.generation = i.generation AND c.attempt = i.attempt",
            )
            .await?;
        drop(session);
        let mut standing = HashMap::with_capacity(rows.len());
        for row in rows {
            standing.insert(row.key(), row.taken()?);
        }
        claims
            .iter()
            .map(|claim| match won.get_mut(&claim.key) {
                Some(given) if !*given => {
                    *given = true;
                    Ok(ClaimVerdict::Claimed)
                }
                _ => standing
                    .get(&claim.key)
                    .cloned()
                    .map(ClaimVerdict::Taken)
                    .ok_or(StoreError::Corrupt { what: "a send claim" }),
            })
            .collect()
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
        let now = self.db.now();
        self.replace_owner(key, seen, now, owner, lease_until).await
    }

    /// As [`Self::take_over`], before the claim has run out: for an owner that is known to have died.
    pub async fn take_over_from_dead(
        &self,
        key: SendKey,
        dead: Uuid,
        owner: Uuid,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.replace_owner(key, dead, far_future(), owner, lease_until)
            .await
    }

    async fn replace_owner(
        &self,
        key: SendKey,
        seen: Uuid,
        run_out_before: Timestamp,
        owner: Uuid,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let taken = execute!(
            self.db.write().await?,
            "UPDATE send_claims SET owner = $1, claimed_at = $2, lease_until = $3
            WHERE delivery_id = $4 AND generation = $5 AND attempt = $6
                AND owner = $7 AND lease_until <= $8 AND outcome IS NULL",
            owner,
            self.db.now(),
            lease_until,
            key.delivery_id.0,
            int(key.generation),
            int(key.attempt),
            seen,
            run_out_before
        )?;
        Ok(taken == 1)
    }

    /// Keeps what came of attempts; the first outcome stays. Concurrent callers share transactions.
    pub async fn record(&self, outcomes: Vec<(SendKey, serde_json::Value)>) -> Result<(), StoreError> {
        self.records.submit(outcomes).await.map(|_| ())
    }

    /// Forgets claims older than `age`. Returns how many went.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        self.db.prune(PRUNABLE, age).await
    }
}

/// Records outcomes in groups.
struct Record(Db);

#[async_trait]
impl Work for Record {
    type Item = (SendKey, serde_json::Value);
    type Output = ();

    async fn run(&self, outcomes: &[Self::Item]) -> Result<Vec<()>, StoreError> {
        let mut first: Vec<&Self::Item> = outcomes.iter().collect();
        first.sort_by_key(|(key, _)| *key);
        first.dedup_by_key(|(key, _)| *key);
        let keys: Vec<SendKey> = first.iter().map(|(key, _)| *key).collect();
        key_input(&keys)
            .json(
                "outcome",
                first
                    .iter()
                    .map(|(_, outcome)| Some(Cow::Owned(outcome.to_string()))),
            )
            .execute(
                self.0.write().await?.conn(),
                "UPDATE send_claims AS c SET outcome = i.outcome FROM input AS i
                WHERE c.delivery_id = i.delivery_id AND c.generation = i.generation AND c.attempt = i.attempt
                    AND c.outcome IS NULL",
            )
            .await?;
        Ok(vec![(); outcomes.len()])
    }
}

fn key_input(keys: &[SendKey]) -> Input<'static> {
    Input::new(keys.len())
        .uuid("delivery_id", keys.iter().map(|key| key.delivery_id.0))
        .int("generation", keys.iter().map(|key| int(key.generation)))
        .int("attempt", keys.iter().map(|key| int(key.attempt)))
}

fn far_future() -> Timestamp {
    Timestamp::from_timestamp(253_402_300_799, 0).unwrap_or(Timestamp::MAX_UTC)
}

fn key(delivery_id: Uuid, generation: i32, attempt: i32) -> SendKey {
    SendKey {
        delivery_id: DeliveryId(delivery_id),
        generation: generation.unsigned_abs(),
        attempt: attempt.unsigned_abs(),
    }
}

impl Key {
    fn key(&self) -> SendKey {
        key(self.delivery_id, self.generation, self.attempt)
    }
}

impl Row {
    fn key(&self) -> SendKey {
        key(self.delivery_id, self.generation, self.attempt)
    }

    fn taken(self) -> Result<Taken, StoreError> {
        Ok(Taken {
            owner: self.owner,
            claimed_at: self.claimed_at,
            lease_until: self.lease_until,
            outcome: self
                .outcome
                .map(|outcome| outcome.parse("an outcome"))
                .transpose()?,
        })
    }
}
