//! The send ledger: claims of attempts (table `send_claims`) and their outcomes (`send_outcomes`). A worker claims an
//! attempt before it calls a provider. No transaction stays open during the call.

mod proofs;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use carillon_domain::{DeliveryId, Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    api_keys::Principal,
    audit_log::{self, AuditAction},
    batcher::{Batcher, Gathered, Work},
    columns::int,
    db::{Db, Document, Input, Prunable, Tx, again, fetch, prunable, write_one},
    error::StoreError,
    lease::Lease,
};

const CLAIMS: Prunable = prunable!("send_claims", "claimed_at");
const OUTCOMES: Prunable = prunable!("send_outcomes", "recorded_at");
/// The approximate number of outcomes in one transaction.
const BATCH: usize = 1_024;

macro_rules! claim {
    () => {
        "INSERT INTO send_claims (accepted_at, delivery_id, generation, attempt, owner, claimed_at, lease_until)
        SELECT accepted_at, delivery_id, generation, attempt, owner, claimed_at, lease_until FROM input WHERE true
        ON CONFLICT (accepted_at, delivery_id, generation, attempt) DO NOTHING"
    };
}

/// Claims that were made before, with their outcomes.
const STANDING: &str =
    "SELECT c.accepted_at, c.delivery_id, c.generation, c.attempt, c.owner, c.claimed_at, c.lease_until, o.outcome
    FROM input i JOIN send_claims c
    ON c.accepted_at = i.accepted_at AND c.delivery_id = i.delivery_id AND c.generation = i.generation
        AND c.attempt = i.attempt
    LEFT JOIN send_outcomes o
    ON o.accepted_at = i.accepted_at AND o.delivery_id = i.delivery_id AND o.generation = i.generation
        AND o.attempt = i.attempt";

/// Of two outcomes of an attempt, the first stays.
const RECORD: &str =
    "INSERT INTO send_outcomes (accepted_at, delivery_id, generation, attempt, recorded_at, outcome)
    SELECT accepted_at, delivery_id, generation, attempt, recorded_at, outcome FROM input WHERE true
    ON CONFLICT (accepted_at, delivery_id, generation, attempt) DO NOTHING";

/// One attempt of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendKey {
    /// The time at which the bus took the delivery's event, which never changes for a delivery. It is the first part
    /// of the key, so that claims of the same time are neighbours.
    pub accepted_at: Timestamp,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// A worker's claim of an attempt, made before it calls a provider.
#[derive(Debug, Clone)]
pub struct SendClaim {
    /// The attempt.
    pub key: SendKey,
    /// Its lease. The owner is the id of the claim. A claim is repeated if its answer was lost, and is then recognised by
    /// this id.
    pub lease: Lease,
}

/// The verdict on a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimVerdict {
    /// Call the provider, then [`SendLedger::record`] the outcome.
    Claimed,
    /// The attempt was claimed before.
    Taken(Taken),
}

/// An earlier claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The lease of the earlier claim.
    pub lease: Lease,
    /// The time of the earlier claim.
    pub claimed_at: Timestamp,
    /// The outcome, if it was recorded.
    pub outcome: Option<serde_json::Value>,
}

#[derive(sqlx::FromRow)]
struct Row {
    accepted_at: Timestamp,
    delivery_id: Uuid,
    generation: i32,
    attempt: i32,
    owner: Uuid,
    claimed_at: Timestamp,
    lease_until: Timestamp,
    outcome: Option<Document>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    accepted_at: Timestamp,
    delivery_id: Uuid,
    generation: i32,
    attempt: i32,
}

impl KeyRow {
    fn key(&self) -> SendKey {
        SendKey {
            accepted_at: self.accepted_at,
            delivery_id: DeliveryId(self.delivery_id),
            generation: self.generation.unsigned_abs(),
            attempt: self.attempt.unsigned_abs(),
        }
    }
}

/// The send ledger.
#[derive(Debug, Clone)]
pub struct SendLedger {
    db: Db,
    records: Arc<Batcher<Record>>,
}

impl SendLedger {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            records: Arc::new(Batcher::new(Record(db.clone()), db.dialect(), BATCH)),
            db,
        }
    }

    /// Claims attempts; returns one verdict for each, in order. The first claim wins. An owner that repeats a claim
    /// because the answer was lost receives `Taken` by itself if it asks for another lease than the stored one.
    pub async fn claim(&self, claims: &[SendClaim]) -> Result<Vec<ClaimVerdict>, StoreError> {
        let mut first: Vec<&SendClaim> = claims.iter().collect();
        first.sort_by_key(|claim| claim.key);
        first.dedup_by_key(|claim| claim.key);
        let keys: Vec<SendKey> = first.iter().map(|claim| claim.key).collect();
        let now = self.db.now();

        let mut write = self.db.write_batch(keys.len()).await?;
        let claimed = key_input(&keys)
            .uuid("owner", first.iter().map(|claim| claim.lease.owner))
            .time("claimed_at", first.iter().map(|_| now))
            .time("lease_until", first.iter().map(|claim| claim.lease.until))
            .execute(write.conn(), claim!())
            .await?;
        // The usual case: all claims are new, and no row has to be read.
        if claimed == claims.len() as u64 {
            write.commit().await?;
            return Ok(vec![ClaimVerdict::Claimed; claims.len()]);
        }
        let rows: Vec<Row> = key_input(&keys).fetch(write.conn(), STANDING).await?;
        write.commit().await?;
        let mut standing = HashMap::with_capacity(rows.len());
        for row in rows {
            standing.insert(row.key(), row.taken()?);
        }
        let mut given = HashSet::new();
        claims
            .iter()
            .map(|claim| {
                let taken = standing.get(&claim.key);
                let taken = taken.ok_or(StoreError::Corrupt { what: "a send claim" })?;
                let is_this = taken.lease == claim.lease && taken.outcome.is_none();
                Ok(if is_this && given.insert(claim.key) {
                    ClaimVerdict::Claimed
                } else {
                    ClaimVerdict::Taken(taken.clone())
                })
            })
            .collect()
    }

    /// Cancels attempts that no worker has claimed: claims each and records its outcome in one transaction, so that a worker
    /// finds either no claim or the outcome. Returns one verdict for each, in order. If any attempt is cancelled, the audit
    /// log notes it in the same transaction. Each attempt may be named once.
    pub async fn cancel(
        &self,
        who: &Principal,
        route: &str,
        cancelled: &[(SendKey, Box<RawValue>)],
    ) -> Result<Vec<ClaimVerdict>, StoreError> {
        again(|| self.try_end(Some((who, route)), cancelled)).await
    }

    /// Ends attempts that no worker has claimed, as [`Self::cancel`] does, without an entry of the audit log.
    pub async fn end(&self, ended: &[(SendKey, Box<RawValue>)]) -> Result<Vec<ClaimVerdict>, StoreError> {
        again(|| self.try_end(None, ended)).await
    }

    async fn try_end(
        &self,
        cancelled_by: Option<(&Principal, &str)>,
        ended: &[(SendKey, Box<RawValue>)],
    ) -> Result<Vec<ClaimVerdict>, StoreError> {
        let now = self.db.now();
        let mut tx = self.db.begin_batch(ended.len()).await?;
        let verdicts = conclude_unclaimed(&mut tx, ended, now).await?;
        if let Some((who, route)) = cancelled_by
            && verdicts.contains(&ClaimVerdict::Claimed)
        {
            audit_log::append(&mut tx, who, AuditAction::Cancel, route, now).await?;
        }
        tx.commit().await?;
        Ok(verdicts)
    }

    /// The claims of attempts, with their outcomes; attempts that were not claimed are left out.
    pub async fn taken(&self, attempts: &[SendKey]) -> Result<Vec<(SendKey, Taken)>, StoreError> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.db.read().await?;
        let rows: Vec<Row> = key_input(attempts).fetch(session.conn(), STANDING).await?;
        rows.into_iter()
            .map(|row| Ok((row.key(), row.taken()?)))
            .collect()
    }

    /// Takes over an attempt whose lease has passed without an outcome; `seen` is the owner that [`Taken`] named.
    /// `false` if the attempt has an outcome by now, its lease still runs, or it has another owner.
    pub async fn take_over(&self, key: SendKey, seen: Uuid, lease: Lease) -> Result<bool, StoreError> {
        self.replace_owner(key, seen, self.db.now(), lease).await
    }

    /// Like [`Self::take_over`], but before the lease has passed: for an owner that is known to be dead.
    pub async fn take_over_from_dead(
        &self,
        key: SendKey,
        dead: Uuid,
        lease: Lease,
    ) -> Result<bool, StoreError> {
        self.replace_owner(key, dead, far_future(), lease).await
    }

    async fn replace_owner(
        &self,
        key: SendKey,
        seen: Uuid,
        run_out_before: Timestamp,
        lease: Lease,
    ) -> Result<bool, StoreError> {
        let taken = write_one!(
            self.db,
            "UPDATE send_claims SET owner = $1, claimed_at = $2, lease_until = $3
            WHERE accepted_at = $4 AND delivery_id = $5 AND generation = $6 AND attempt = $7
                AND owner = $8 AND lease_until <= $9
                AND NOT EXISTS (SELECT 1 FROM send_outcomes o WHERE o.accepted_at = $4 AND o.delivery_id = $5
                    AND o.generation = $6 AND o.attempt = $7)",
            lease.owner,
            self.db.now(),
            lease.until,
            key.accepted_at,
            key.delivery_id.0,
            int(key.generation),
            int(key.attempt),
            seen,
            run_out_before
        )?;
        Ok(taken == 1)
    }

    /// Records the outcomes of attempts; the first outcome stays. Returns whether these are certainly the first ones. If not, some
    /// attempt, perhaps one of another caller that shares the transaction, had an outcome before: that of an earlier call whose answer was
    /// lost, or a proof ([`Self::prove`]).
    pub async fn record(&self, outcomes: Vec<(SendKey, Box<RawValue>)>) -> Result<bool, StoreError> {
        let are_first = self.records.submit(outcomes).await?;
        Ok(are_first.into_iter().all(|is_first| is_first))
    }

    /// The time at which an attempt was claimed, which is shortly before its message was sent; `None` if the claim was
    /// deleted meanwhile.
    pub async fn claimed_at(&self, key: SendKey) -> Result<Option<Timestamp>, StoreError> {
        let mut session = self.db.read().await?;
        let row = fetch!(
            optional, session => (Timestamp,),
            "SELECT claimed_at FROM send_claims
            WHERE accepted_at = $1 AND delivery_id = $2 AND generation = $3 AND attempt = $4",
            key.accepted_at,
            key.delivery_id.0,
            int(key.generation),
            int(key.attempt)
        )?;
        Ok(row.map(|(claimed_at,)| claimed_at))
    }

    /// Deletes claims older than `age`, and then their outcomes. Returns the number of claims.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        let claims = self.db.prune(CLAIMS, age).await?;
        self.db.prune(OUTCOMES, age).await?;
        Ok(claims)
    }
}

/// Claims attempts that nobody has claimed, and records the outcome of each; a part of the caller's transaction. Returns one
/// verdict for each, in order. Each attempt may be named once.
pub(crate) async fn conclude_unclaimed(
    tx: &mut Tx,
    attempts: &[(SendKey, Box<RawValue>)],
    now: Timestamp,
) -> Result<Vec<ClaimVerdict>, StoreError> {
    // Rows in one order cannot deadlock.
    let mut sorted: Vec<&(SendKey, Box<RawValue>)> = attempts.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    let keys: Vec<SendKey> = sorted.iter().map(|(key, _)| *key).collect();
    let won: Vec<KeyRow> = key_input(&keys)
        .uuid("owner", keys.iter().map(|_| Uuid::now_v7()))
        .time("claimed_at", keys.iter().map(|_| now))
        .time("lease_until", keys.iter().map(|_| now))
        .fetch(
            tx.conn(),
            concat!(
                claim!(),
                " RETURNING accepted_at, delivery_id, generation, attempt"
            ),
        )
        .await?;
    let won: HashSet<SendKey> = won.iter().map(KeyRow::key).collect();
    let (ours, others): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|(key, _)| won.contains(key));
    let our_keys: Vec<SendKey> = ours.iter().map(|(key, _)| *key).collect();
    key_input(&our_keys)
        .time("recorded_at", ours.iter().map(|_| now))
        .json(
            "outcome",
            ours.iter().map(|(_, outcome)| Some(Cow::Borrowed(outcome.get()))),
        )
        .execute(tx.conn(), RECORD)
        .await?;
    let other_keys: Vec<SendKey> = others.iter().map(|(key, _)| *key).collect();
    let standing: Vec<Row> = key_input(&other_keys).fetch(tx.conn(), STANDING).await?;
    let mut taken = HashMap::with_capacity(standing.len());
    for row in standing {
        taken.insert(row.key(), row.taken()?);
    }
    attempts
        .iter()
        .map(|(key, _)| {
            if won.contains(key) {
                return Ok(ClaimVerdict::Claimed);
            }
            let taken = taken.remove(key).map(ClaimVerdict::Taken);
            taken.ok_or(StoreError::Corrupt { what: "a send claim" })
        })
        .collect()
}

/// Records outcomes, in groups.
struct Record(Db);

#[async_trait]
impl Work for Record {
    type Item = (SendKey, Box<RawValue>);
    /// Whether the outcomes of the whole transaction are the first ones.
    type Output = bool;

    async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<bool>, StoreError> {
        let mut write = self.0.write_rows(Arc::<Gathered<Self>>::clone(batch)).await?;
        let outcomes = batch.items();
        // Of two outcomes of an attempt, the first is inserted. Rows in one order cannot deadlock.
        let mut sorted: Vec<&Self::Item> = outcomes.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        let keys: Vec<SendKey> = sorted.iter().map(|(key, _)| *key).collect();
        let now = self.0.now();
        let recorded = key_input(&keys)
            .time("recorded_at", keys.iter().map(|_| now))
            .json(
                "outcome",
                sorted
                    .iter()
                    .map(|(_, outcome)| Some(Cow::Borrowed(outcome.get()))),
            )
            .execute(write.conn(), RECORD)
            .await?;
        write.commit().await?;
        Ok(vec![recorded == outcomes.len() as u64; outcomes.len()])
    }
}

fn key_input(keys: &[SendKey]) -> Input<'static> {
    Input::new(keys.len())
        .time("accepted_at", keys.iter().map(|key| key.accepted_at))
        .uuid("delivery_id", keys.iter().map(|key| key.delivery_id.0))
        .int("generation", keys.iter().map(|key| int(key.generation)))
        .int("attempt", keys.iter().map(|key| int(key.attempt)))
}

fn far_future() -> Timestamp {
    Timestamp::from_timestamp(253_402_300_799, 0).unwrap_or(Timestamp::MAX_UTC)
}

impl Row {
    fn key(&self) -> SendKey {
        SendKey {
            accepted_at: self.accepted_at,
            delivery_id: DeliveryId(self.delivery_id),
            generation: self.generation.unsigned_abs(),
            attempt: self.attempt.unsigned_abs(),
        }
    }

    fn taken(self) -> Result<Taken, StoreError> {
        Ok(Taken {
            lease: Lease {
                owner: self.owner,
                until: self.lease_until,
            },
            claimed_at: self.claimed_at,
            outcome: self
                .outcome
                .map(|outcome| outcome.parse("an outcome"))
                .transpose()?,
        })
    }
}
