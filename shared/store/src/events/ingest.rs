//! The gateway's half of deduplication: claim, publish, mark.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use async_trait::async_trait;
use carillon_domain::Timestamp;
use uuid::Uuid;

use super::{EventKey, IngestClaim, IngestVerdict, PUBLISHED, keys};
use crate::{
    batcher::{Gathered, Work},
    config::Dialect,
    counters::{Changes, Counter},
    db::{Db, Input, Statements, Tx},
    error::StoreError,
};

/// Claims events. A pending row whose lease has passed is claimed again, but only for the same content, because its
/// owner may have published it.
macro_rules! claim {
    () => {
        "INSERT INTO event_claims
    (tenant, event_id, source, event_type, fingerprint, state, via_gateway, accepted_at, owner, lease_until, reads)
    SELECT tenant, event_id, source, event_type, fingerprint, 'pending', true, accepted_at, owner, lease_until, 0
    FROM input WHERE true
    ON CONFLICT (tenant, event_id, source) DO UPDATE
    SET owner = excluded.owner, lease_until = excluded.lease_until
    WHERE event_claims.state = 'pending' AND event_claims.lease_until < excluded.accepted_at
        AND event_claims.fingerprint = excluded.fingerprint"
    };
}

/// The most claims that are made at once by the statement that returns their rows.
const FEW: usize = 3;

/// Claims events in groups.
pub(super) struct ClaimIngest(pub(super) Db);

/// A row that existed before the claim.
#[derive(sqlx::FromRow)]
struct Standing {
    tenant: String,
    event_id: String,
    source: String,
    fingerprint: Vec<u8>,
    state: String,
    topic: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Key {
    tenant: String,
    event_id: String,
    source: String,
}

#[async_trait]
impl Work for ClaimIngest {
    type Item = IngestClaim;
    type Output = IngestVerdict;

    /// Up to [`FEW`] claims are made by the statement that returns their rows; more are undone if one fails.
    fn statements(claims: usize) -> Statements {
        if claims <= FEW {
            Statements::One
        } else {
            Statements::Several
        }
    }

    async fn run(&self, batch: &Arc<Gathered<Self>>) -> Result<Vec<IngestVerdict>, StoreError> {
        let mut write = self.0.write_rows(Arc::<Gathered<Self>>::clone(batch)).await?;
        let claims = batch.items();
        // A statement may write a row only once, and rows in one order cannot deadlock.
        let mut first: Vec<&IngestClaim> = claims.iter().collect();
        first.sort_by(|a, b| a.key.cmp(&b.key));
        first.dedup_by(|a, b| a.key == b.key);

        let now = self.0.now();
        let is_sqlite = self.0.dialect() == Dialect::Sqlite;
        if is_sqlite && first.len() > FEW && first.len() == claims.len() {
            // The claim of all nearly always succeeds, and then no row has to be read, which on SQLite costs more than
            // writing it.
            let claimed = claim_input(&first, now).execute(write.conn(), claim!()).await?;
            if claimed == first.len() as u64 {
                write.commit().await?;
                return Ok(vec![IngestVerdict::Claimed; claims.len()]);
            }
            // The turn's several statements are undone.
            drop(write);
            write = self.0.write_batch(first.len()).await?;
        }
        let claimed: Vec<Key> = claim_input(&first, now)
            .fetch(
                write.conn(),
                concat!(claim!(), " RETURNING tenant, event_id, source"),
            )
            .await?;
        let mut won: HashMap<(&str, &str, &str), [u8; 32]> = HashMap::with_capacity(claimed.len());
        let by_key: HashMap<_, _> = first.iter().map(|claim| (text_key(&claim.key), *claim)).collect();
        for key in &claimed {
            let key = (key.tenant.as_str(), key.event_id.as_str(), key.source.as_str());
            if let Some((key, claim)) = by_key.get_key_value(&key) {
                won.insert(*key, claim.fingerprint);
            }
        }
        let lost: Vec<&EventKey> = first
            .iter()
            .map(|claim| &claim.key)
            .filter(|key| !won.contains_key(&text_key(key)))
            .collect();
        let standing: Vec<Standing> = keys(&lost).fetch(write.conn(), STANDING).await?;
        write.commit().await?;

        let standing: HashMap<_, _> = standing
            .iter()
            .map(|row| {
                (
                    (row.tenant.as_str(), row.event_id.as_str(), row.source.as_str()),
                    row,
                )
            })
            .collect();
        let mut given = won.clone();
        Ok(claims
            .iter()
            .map(|claim| {
                let key = text_key(&claim.key);
                // Among several claims of one id in a batch, one wins; the others count as being published.
                if let Entry::Occupied(winner) = given.entry(key)
                    && *winner.get() == claim.fingerprint
                {
                    winner.remove();
                    return IngestVerdict::Claimed;
                }
                match (won.get(&key), standing.get(&key)) {
                    (Some(fingerprint), _) if *fingerprint == claim.fingerprint => IngestVerdict::InProgress,
                    (Some(_), _) => IngestVerdict::Conflict,
                    (None, Some(row)) => row.verdict(&claim.fingerprint),
                    // The row was given back between the two statements.
                    (None, None) => IngestVerdict::InProgress,
                }
            })
            .collect())
    }
}

impl Standing {
    fn verdict(&self, fingerprint: &[u8; 32]) -> IngestVerdict {
        if self.fingerprint != fingerprint {
            IngestVerdict::Conflict
        } else if self.state == PUBLISHED || self.topic.is_some() {
            IngestVerdict::Duplicate
        } else {
            IngestVerdict::InProgress
        }
    }
}

fn text_key(key: &EventKey) -> (&str, &str, &str) {
    (key.tenant.as_str(), key.event_id.as_str(), &key.source)
}

fn claim_input<'a>(claims: &[&'a IngestClaim], now: Timestamp) -> Input<'a> {
    Input::new(claims.len())
        .text("tenant", claims.iter().map(|claim| claim.key.tenant.as_str()))
        .text("event_id", claims.iter().map(|claim| claim.key.event_id.as_str()))
        .text("source", claims.iter().map(|claim| &*claim.key.source))
        .text("event_type", claims.iter().map(|claim| &*claim.event_type))
        .bytes(
            "fingerprint",
            claims.iter().map(|claim| Some(claim.fingerprint.as_slice())),
        )
        .time("accepted_at", claims.iter().map(|_| now))
        .uuid("owner", claims.iter().map(|claim| claim.lease.owner))
        .time("lease_until", claims.iter().map(|claim| claim.lease.until))
}

const STANDING: &str = "SELECT c.tenant, c.event_id, c.source, c.fingerprint, c.state, c.topic
    FROM input i JOIN event_claims c
    ON c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source";

/// Marks events as published, in groups.
#[derive(Debug)]
pub(super) struct MarkPublished {
    pub(super) db: Db,
    pub(super) shard: i32,
}

impl MarkPublished {
    pub(super) async fn run(&self, marked: &[EventKey]) -> Result<(), StoreError> {
        let mut unique: Vec<&EventKey> = marked.iter().collect();
        unique.sort_unstable();
        unique.dedup();
        let mut tx = self.db.begin_batch(unique.len()).await?;
        let mark = match self.db.dialect() {
            Dialect::Sqlite => MARK,
            Dialect::Postgres => MARK_IN_ORDER,
        };
        let published = keys(&unique).execute(tx.conn(), mark).await?;
        let mut changes = Changes::default();
        changes.add(Counter::GatewayPublished, published.cast_signed());
        changes.write(&mut tx, self.shard).await?;
        tx.commit().await
    }
}

const MARK: &str = "UPDATE event_claims AS c SET state = 'published', owner = NULL, lease_until = NULL
    FROM input AS i
    WHERE c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source AND c.state = 'pending'";

/// Marks in the order of the keys' bytes, in which routers claim the same rows. A join would lock rows in any order,
/// which can deadlock with a router; PostgreSQL resolves a deadlock only after a second.
const MARK_IN_ORDER: &str =
    "UPDATE event_claims AS c SET state = 'published', owner = NULL, lease_until = NULL
    FROM (
        SELECT e.tenant, e.event_id, e.source FROM event_claims e JOIN input i
        ON e.tenant = i.tenant AND e.event_id = i.event_id AND e.source = i.source
        WHERE e.state = 'pending'
        ORDER BY e.tenant COLLATE \"C\", e.event_id COLLATE \"C\", e.source COLLATE \"C\"
        FOR UPDATE OF e
    ) AS locked
    WHERE c.tenant = locked.tenant AND c.event_id = locked.event_id AND c.source = locked.source
        AND c.state = 'pending'";

/// Gives back the claims that `owner` holds, except of events that a router has seen.
pub(super) async fn abandon(tx: &mut Tx, owner: Uuid, abandoned: &[EventKey]) -> Result<(), StoreError> {
    let mut unique: Vec<&EventKey> = abandoned.iter().collect();
    unique.sort_unstable();
    unique.dedup();
    keys(&unique)
        .uuid("owner", unique.iter().map(|_| owner))
        .execute(
            tx.conn(),
            "DELETE FROM event_claims WHERE state = 'pending' AND topic IS NULL
                AND (tenant, event_id, source, owner) IN (SELECT tenant, event_id, source, owner FROM input)",
        )
        .await?;
    Ok(())
}
