//! The router's half of deduplication: the first record of an event puts its coordinates into the claim.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

use carillon_domain::{Timestamp, status::Origin};

use super::{EventKey, RouteClaim, RouteVerdict, keys};
use crate::{
    config::Dialect,
    counters::{Changes, Counter},
    db::{Db, Input, Tx},
    error::StoreError,
};

/// A row after its claim.
#[derive(sqlx::FromRow)]
struct ClaimRow {
    tenant: String,
    event_id: String,
    source: String,
    fingerprint: Vec<u8>,
    via_gateway: bool,
    accepted_at: Timestamp,
    cancelled_at: Option<Timestamp>,
    /// Set if the gateway had not marked the event as published before the claim.
    owner: Option<uuid::Uuid>,
    topic: Option<String>,
    partition_id: Option<i32>,
    record_offset: Option<i64>,
    reads: i64,
}

/// Claims events. The coordinates, and the fingerprint that belongs to them, are those of the first claim. `reads` is
/// 1 for the first claim only, so that transitions are counted without reading the old row.
const CLAIM: &str = "INSERT INTO event_claims AS c
    (tenant, event_id, source, event_type, fingerprint, state, via_gateway, accepted_at,
        topic, partition_id, record_offset, reads)
    SELECT tenant, event_id, source, event_type, fingerprint, 'published', false, accepted_at,
        topic, partition_id, record_offset, 1
    FROM input WHERE true
    ON CONFLICT (tenant, event_id, source) DO UPDATE SET
        state = 'published',
        event_type = CASE WHEN c.reads = 0 THEN excluded.event_type ELSE c.event_type END,
        fingerprint = CASE WHEN c.reads = 0 THEN excluded.fingerprint ELSE c.fingerprint END,
        topic = COALESCE(c.topic, excluded.topic),
        partition_id = COALESCE(c.partition_id, excluded.partition_id),
        record_offset = COALESCE(c.record_offset, excluded.record_offset),
        reads = c.reads + 1
    RETURNING tenant, event_id, source, fingerprint, via_gateway, accepted_at, cancelled_at, owner, topic,
        partition_id, record_offset, reads";

pub(super) async fn claim(
    db: &Db,
    claims: &[RouteClaim],
    shard: i32,
    is_behind: &AtomicBool,
) -> Result<Vec<RouteVerdict>, StoreError> {
    // Among several records of one event in a batch, the first is written.
    let mut seen: HashSet<&EventKey> = HashSet::with_capacity(claims.len());
    let mut first: Vec<&RouteClaim> = claims.iter().filter(|claim| seen.insert(&claim.key)).collect();
    first.sort_by(|a, b| a.key.cmp(&b.key));

    let mut tx = db.begin_batch(first.len()).await?;
    let mut changes = Changes::default();
    let (expected, others) = match db.dialect() {
        // SQLite's only writer has no concurrent transaction.
        Dialect::Sqlite => claim_expected(&mut tx, first, &mut changes, is_behind).await?,
        Dialect::Postgres => (Vec::new(), first),
    };
    let rows: Vec<ClaimRow> = input(&others, db.now()).fetch(tx.conn(), CLAIM).await?;
    for row in rows.iter().filter(|row| row.reads == 1 && row.via_gateway) {
        changes.add(Counter::GatewayPublished, i64::from(row.owner.is_some()));
    }
    changes.write(&mut tx, shard).await?;
    tx.commit().await?;

    let rows = rows.iter().map(|row| (row.key(), row.first()));
    let expected = expected.iter().map(|claim| {
        let first = First {
            origin: Some(claim.origin.clone()),
            fingerprint: &claim.fingerprint,
            via_gateway: true,
            claimed_at: None,
            is_cancelled: false,
        };
        (key(&claim.key), first)
    });
    let first: HashMap<_, First<'_>> = rows.chain(expected).collect();
    claims
        .iter()
        .map(|claim| {
            let first = first.get(&key(&claim.key));
            let first = first.ok_or(StoreError::Corrupt {
                what: "an event's claim",
            })?;
            Ok(first.verdict(claim))
        })
        .collect()
}

/// The events that have no claim of a gateway with the coordinates of this record, or that are cancelled.
const UNEXPECTED: &str = "SELECT i.tenant, i.event_id, i.source FROM input i LEFT JOIN event_claims c
    ON c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source
    WHERE c.via_gateway IS NOT TRUE OR c.topic IS NOT i.topic OR c.partition_id IS NOT i.partition_id
        OR c.record_offset IS NOT i.record_offset OR c.cancelled_at IS NOT NULL";

/// Claims events that a gateway has claimed with the same content and that no router has seen, as nearly all are.
/// (Old and new values have the same total size, so the update stays in its page.)
macro_rules! claim_of {
    ($state:literal) => {
        concat!(
            "UPDATE event_claims AS c SET state = 'published', owner = NULL, lease_until = NULL, topic = i.topic,
                partition_id = i.partition_id, record_offset = i.record_offset, reads = 1
            FROM input AS i
            WHERE c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source
                AND c.fingerprint = i.fingerprint AND c.reads = 0 AND c.cancelled_at IS NULL AND c.state = '",
            $state,
            "'"
        )
    };
}

/// Claims expected events, whose rows need not be read: on SQLite reading costs more than writing. Returns the claims
/// that succeeded and the others.
async fn claim_expected<'a>(
    tx: &mut Tx,
    claims: Vec<&'a RouteClaim>,
    changes: &mut Changes,
    is_behind: &AtomicBool,
) -> Result<(Vec<&'a RouteClaim>, Vec<&'a RouteClaim>), StoreError> {
    let all = claims.len() as u64;
    // A router that keeps up sees events before they are marked; one that has fallen behind sees them after.
    let was_behind = is_behind.load(Ordering::Relaxed);
    let mut claimed = 0;
    for is_marked in [was_behind, !was_behind] {
        let statement = if is_marked {
            claim_of!("published")
        } else {
            claim_of!("pending")
        };
        let rows = coordinates(&claims).execute(tx.conn(), statement).await?;
        if !is_marked {
            changes.add(Counter::GatewayPublished, rows.cast_signed());
        }
        if rows * 2 > all {
            is_behind.store(is_marked, Ordering::Relaxed);
        }
        claimed += rows;
        if claimed == all {
            return Ok((claims, Vec::new()));
        }
    }
    let unexpected: Vec<(String, String, String)> = coordinates(&claims).fetch(tx.conn(), UNEXPECTED).await?;
    let unexpected: HashSet<_> = unexpected
        .iter()
        .map(|(tenant, id, source)| (&**tenant, &**id, &**source))
        .collect();
    let (others, expected) = claims
        .into_iter()
        .partition(|claim| unexpected.contains(&key(&claim.key)));
    Ok((expected, others))
}

/// The first claim of an event.
struct First<'a> {
    origin: Option<Origin>,
    fingerprint: &'a [u8],
    via_gateway: bool,
    claimed_at: Option<Timestamp>,
    is_cancelled: bool,
}

impl First<'_> {
    fn verdict(&self, claim: &RouteClaim) -> RouteVerdict {
        if self.origin.as_ref() == Some(&claim.origin) && self.is_cancelled {
            RouteVerdict::Cancelled {
                via_gateway: self.via_gateway,
            }
        } else if self.origin.as_ref() == Some(&claim.origin) {
            RouteVerdict::First {
                via_gateway: self.via_gateway,
                claimed_at: self.claimed_at,
            }
        } else if self.fingerprint == claim.fingerprint {
            RouteVerdict::Duplicate
        } else {
            RouteVerdict::Conflict
        }
    }
}

impl ClaimRow {
    fn key(&self) -> (&str, &str, &str) {
        (&self.tenant, &self.event_id, &self.source)
    }

    fn first(&self) -> First<'_> {
        let origin = match (&self.topic, self.partition_id, self.record_offset) {
            (Some(topic), Some(partition), Some(offset)) => Some(Origin {
                topic: topic.as_str().into(),
                partition,
                offset,
            }),
            _ => None,
        };
        First {
            origin,
            fingerprint: &self.fingerprint,
            via_gateway: self.via_gateway,
            claimed_at: Some(self.accepted_at),
            is_cancelled: self.cancelled_at.is_some(),
        }
    }
}

fn key(key: &EventKey) -> (&str, &str, &str) {
    (key.tenant.as_str(), key.event_id.as_str(), &key.source)
}

fn coordinates<'a>(claims: &[&'a RouteClaim]) -> Input<'a> {
    let event_keys: Vec<&EventKey> = claims.iter().map(|claim| &claim.key).collect();
    keys(&event_keys)
        .text("topic", claims.iter().map(|claim| &*claim.origin.topic))
        .int("partition_id", claims.iter().map(|claim| claim.origin.partition))
        .big("record_offset", claims.iter().map(|claim| claim.origin.offset))
        .bytes(
            "fingerprint",
            claims.iter().map(|claim| Some(claim.fingerprint.as_slice())),
        )
}

fn input<'a>(claims: &[&'a RouteClaim], now: Timestamp) -> Input<'a> {
    coordinates(claims)
        .text("event_type", claims.iter().map(|claim| &*claim.event_type))
        .time("accepted_at", claims.iter().map(|_| now))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carillon_domain::{SystemClock, TenantId};

    use super::*;
    use crate::config::StoreConfig;

    #[tokio::test]
    async fn sqlite_looks_up_each_event_of_a_batch_and_scans_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let config = StoreConfig::new(format!("sqlite://{}", path.display()));
        let (db, _model) = Db::connect(&config, Arc::new(SystemClock)).await.unwrap();
        let claims: Vec<RouteClaim> = (0..256)
            .map(|n| RouteClaim {
                key: EventKey {
                    tenant: TenantId::default(),
                    event_id: format!("e-{n}").into(),
                    source: "/shop".into(),
                },
                event_type: "t".into(),
                fingerprint: [0; 32],
                origin: Origin {
                    topic: "t".into(),
                    partition: 0,
                    offset: n,
                },
            })
            .collect();
        for size in [1, 8, 256] {
            for statement in [claim_of!("pending"), claim_of!("published"), UNEXPECTED] {
                let some: Vec<&RouteClaim> = claims.iter().take(size).collect();
                let mut tx = db.begin().await.unwrap();
                let plan = coordinates(&some).plan(tx.conn(), statement).await;
                assert!(
                    plan.iter().any(|step| step.starts_with("SEARCH c USING")),
                    "{plan:?}"
                );
                assert!(!plan.iter().any(|step| step.starts_with("SCAN c")), "{plan:?}");
            }
        }
    }
}
