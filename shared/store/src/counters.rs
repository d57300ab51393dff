//! The auditor's counts (table `counters`), updated in the transactions that they count.

use std::collections::BTreeMap;

use strum::{EnumString, IntoStaticStr};

use crate::{
    db::{Db, Input, Tx, execute, fetch},
    error::StoreError,
};

/// A counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Counter {
    /// Events that a gateway put onto the bus.
    GatewayPublished,
    /// Decided records that no gateway has counted.
    ReadElsewhere,
    /// Decided records with the verdict `routed`.
    Routed,
    /// Decided records with the verdict `duplicate`.
    Duplicate,
    /// Decided records with the verdict `rejected`.
    Rejected,
    /// Decided records with the verdict `skipped`.
    Skipped,
    /// Events that were cancelled before they were decided.
    Cancelled,
    /// Events that the scheduler holds.
    WaitingEvents,
    /// Groups of deferred deliveries that the scheduler holds.
    WaitingDeliveries,
    /// Members of digests that the scheduler holds.
    WaitingMembers,
    /// Decisions to send, to defer or for a digest, each delivery once.
    Produced,
    /// Deliveries whose state is final.
    Ended,
    /// Deliveries whose state is not final yet.
    Pending,
}

/// The counters that a rebuild of the read model resets.
const OF_PROJECTION: [Counter; 9] = [
    Counter::ReadElsewhere,
    Counter::Routed,
    Counter::Duplicate,
    Counter::Rejected,
    Counter::Skipped,
    Counter::Cancelled,
    Counter::Produced,
    Counter::Ended,
    Counter::Pending,
];

impl Counter {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Changes of counters in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Counter, i64>);

impl Changes {
    pub(crate) fn add(&mut self, counter: Counter, by: i64) {
        *self.0.entry(counter).or_default() += by;
    }

    /// Writes the changes into one shard of each counter. Writers with different shards do not wait for each other.
    pub(crate) async fn write(self, tx: &mut Tx, shard: i32) -> Result<(), StoreError> {
        let changes: Vec<(Counter, i64)> = self.0.into_iter().filter(|(_, by)| *by != 0).collect();
        Input::new(changes.len())
            .text("name", changes.iter().map(|(counter, _)| counter.as_str()))
            .int("shard", changes.iter().map(|_| shard))
            .big("value", changes.iter().map(|(_, by)| *by))
            .execute(
                tx.conn(),
                "INSERT INTO counters (name, shard, value) SELECT name, shard, value FROM input WHERE true
                ON CONFLICT (name, shard) DO UPDATE SET value = counters.value + excluded.value",
            )
            .await?;
        Ok(())
    }
}

/// All counts, in one snapshot. Counters that this version does not know are ignored.
pub(crate) async fn read(db: &Db) -> Result<BTreeMap<Counter, i64>, StoreError> {
    let rows = fetch!(
        all, db.read().await? => (String, i64),
        "SELECT name, CAST(SUM(value) AS BIGINT) FROM counters GROUP BY name"
    )?;
    Ok(rows
        .into_iter()
        .filter_map(|(name, value)| Some((name.parse().ok()?, value)))
        .collect())
}

/// Resets the projection's counters.
pub(crate) async fn reset_projection(tx: &mut Tx) -> Result<(), StoreError> {
    for counter in OF_PROJECTION {
        execute!(tx, "DELETE FROM counters WHERE name = $1", counter.as_str())?;
    }
    Ok(())
}
