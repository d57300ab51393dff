//! The router's half: the first record that carries an event names its coordinates.

use std::collections::{HashMap, HashSet};

use super::{EventKey, RouteClaim, RouteVerdict};
use crate::{
    counters::{Changes, Counter},
    db::{Db, Input},
    error::StoreError,
};

/// The row after it was claimed.
#[derive(sqlx::FromRow)]
struct Claimed {
    tenant: String,
    event_id: String,
    source: String,
    fingerprint: Vec<u8>,
    via_gateway: bool,
    /// Still there if the gateway had not yet said that it published.
    owner: Option<uuid::Uuid>,
    topic: Option<String>,
    partition_id: Option<i32>,
    record_offset: Option<i64>,
    reads: i64,
}

/// The coordinates, and the fingerprint that belongs to them, are those of the first claim; `reads` is 1 for it alone,
/// which is how transitions are counted without reading the row before.
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
    RETURNING tenant, event_id, source, fingerprint, via_gateway, owner, topic, partition_id, record_offset, reads";

pub(super) async fn claim(
    db: &Db,
    claims: &[RouteClaim],
    shard: i32,
) -> Result<Vec<RouteVerdict>, StoreError> {
    // Of records of one event in one batch, the first in the order of the batch is written.
    let mut seen: HashSet<&EventKey> = HashSet::with_capacity(claims.len());
    let mut first: Vec<&RouteClaim> = claims.iter().filter(|claim| seen.insert(&claim.key)).collect();
    first.sort_by(|a, b| a.key.cmp(&b.key));

    let mut tx = db.begin().await?;
    let rows: Vec<Claimed> = input(&first, db.now()).fetch(tx.conn(), CLAIM).await?;
    let mut changes = Changes::default();
    for row in rows.iter().filter(|row| row.reads == 1 && row.via_gateway) {
        changes.add(Counter::GatewayPublished, i64::from(row.owner.is_some()));
    }
    changes.write(&mut tx, shard).await?;
    tx.commit().await?;

    let rows: HashMap<(&str, &str, &str), &Claimed> = rows
        .iter()
        .map(|row| {
            (
                (row.tenant.as_str(), row.event_id.as_str(), row.source.as_str()),
                row,
            )
        })
        .collect();
    claims
        .iter()
        .map(|claim| {
            let key = (
                claim.key.tenant.as_str(),
                claim.key.event_id.as_str(),
                &*claim.key.source,
            );
            rows.get(&key)
                .map(|row| row.verdict(claim))
                .ok_or(StoreError::Corrupt {
                    what: "an event's claim",
                })
        })
        .collect()
}

impl Claimed {
    fn verdict(&self, claim: &RouteClaim) -> RouteVerdict {
        let origin = &claim.origin;
        let same_record = self.topic.as_deref() == Some(&origin.topic)
            && self.partition_id == Some(origin.partition)
            && self.record_offset == Some(origin.offset);
        if same_record {
            RouteVerdict::First {
                via_gateway: self.via_gateway,
            }
        } else if self.fingerprint == claim.fingerprint {
            RouteVerdict::Duplicate
        } else {
            RouteVerdict::Conflict
        }
    }
}

fn input<'a>(claims: &[&'a RouteClaim], now: carillon_domain::Timestamp) -> Input<'a> {
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
        .text("topic", claims.iter().map(|claim| &*claim.origin.topic))
        .int("partition_id", claims.iter().map(|claim| claim.origin.partition))
        .big("record_offset", claims.iter().map(|claim| claim.origin.offset))
}
