//! The router's half: the first record that carries an event names its coordinates.

use std::collections::{HashMap, HashSet};

use carillon_domain::{Timestamp, status::Origin};

use super::{EventKey, RouteClaim, RouteVerdict, keys};
use crate::{
    config::Dialect,
    counters::{Changes, Counter},
    db::{Db, Input, Tx},
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
    let mut changes = Changes::default();
    let (expected, others) = match db.dialect() {
        // Its one writer is alone with the rows.
        Dialect::Sqlite => claim_expected(&mut tx, first, &mut changes).await?,
        Dialect::Postgres => (Vec::new(), first),
    };
    let rows: Vec<Claimed> = input(&others, db.now()).fetch(tx.conn(), CLAIM).await?;
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

/// Events that a gateway claimed with the same content and that no router has seen: nearly all.
const UNEXPECTED: &str = "SELECT i.tenant, i.event_id, i.source FROM input i LEFT JOIN event_claims c
    ON c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source
    WHERE c.reads IS NULL OR c.reads <> 0 OR c.fingerprint <> i.fingerprint";

macro_rules! claim_of {
    ($state:literal) => {
        concat!(
            "UPDATE event_claims AS c SET state = 'published', topic = i.topic, partition_id = i.partition_id,
                record_offset = i.record_offset, reads = 1
            FROM input AS i
            WHERE c.tenant = i.tenant AND c.event_id = i.event_id AND c.source = i.source AND c.reads = 0
                AND c.state = '",
            $state,
            "'"
        )
    };
}

/// Claims what is expected, whose rows need not be read: on SQLite that costs more than writing them. Returns those and
/// the others.
async fn claim_expected<'a>(
    tx: &mut Tx,
    claims: Vec<&'a RouteClaim>,
    changes: &mut Changes,
) -> Result<(Vec<&'a RouteClaim>, Vec<&'a RouteClaim>), StoreError> {
    let event_keys: Vec<&EventKey> = claims.iter().map(|claim| &claim.key).collect();
    let unexpected: Vec<(String, String, String)> = keys(&event_keys)
        .bytes(
            "fingerprint",
            claims.iter().map(|claim| Some(claim.fingerprint.as_slice())),
        )
        .fetch(tx.conn(), UNEXPECTED)
        .await?;
    let unexpected: HashSet<_> = unexpected
        .iter()
        .map(|(tenant, id, source)| (&**tenant, &**id, &**source))
        .collect();
    let (others, expected): (Vec<_>, Vec<_>) = claims
        .into_iter()
        .partition(|claim| unexpected.contains(&key(&claim.key)));
    let pending = coordinates(&expected)
        .execute(tx.conn(), claim_of!("pending"))
        .await?;
    changes.add(Counter::GatewayPublished, pending.cast_signed());
    if pending < expected.len() as u64 {
        coordinates(&expected)
            .execute(tx.conn(), claim_of!("published"))
            .await?;
    }
    Ok((expected, others))
}

/// The claim that came first.
struct First<'a> {
    origin: Option<Origin>,
    fingerprint: &'a [u8],
    via_gateway: bool,
}

impl First<'_> {
    fn verdict(&self, claim: &RouteClaim) -> RouteVerdict {
        if self.origin.as_ref() == Some(&claim.origin) {
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

impl Claimed {
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
}

fn input<'a>(claims: &[&'a RouteClaim], now: Timestamp) -> Input<'a> {
    coordinates(claims)
        .text("event_type", claims.iter().map(|claim| &*claim.event_type))
        .bytes(
            "fingerprint",
            claims.iter().map(|claim| Some(claim.fingerprint.as_slice())),
        )
        .time("accepted_at", claims.iter().map(|_| now))
}
