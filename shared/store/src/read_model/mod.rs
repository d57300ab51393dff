//! The read model: the content of the status topic in the form in which it is queried (tables `deliveries`,
//! `attempts`, `decided_events`, `decisions`, `delivery_messages`, `projection_offsets`, `projection_rebuilds` and the projection's part of `counters`).

pub mod activity;
mod attempts;
mod decided;
mod decisions;
mod deliveries;
mod merge;
mod messages;
mod offsets;
mod partitions;
mod query;
mod receipts;
mod rows;

pub use decisions::{DecisionFilter, DecisionView};
pub use rows::{
    AttemptRow, DeliveryFilter, DeliveryRow, DeliveryView, EventRow, EventView, Projection, Queued, StepView,
    StoredOffset,
};

use std::time::Duration;

use carillon_domain::{DeliveryId, EventId, TenantId, UserId};

use self::activity::{ActivityCursor, ActivityFilter, ActivityPage};
pub use self::offsets::Revision;
pub(crate) use self::offsets::advance;
use self::partitions::Partitions;
use crate::{
    config::Dialect,
    counters::{self, Changes},
    db::{Db, Tx, again, execute},
    dead_letters::settled::{Settled, settle},
    error::StoreError,
    page::{Page, PageOf},
};

/// The read model.
#[derive(Debug, Clone)]
pub struct ReadModel {
    db: Db,
    shard: i32,
    retention: Duration,
    partitions: Partitions,
}

impl ReadModel {
    pub(crate) fn new(db: Db, shard: i32, history_retention: Duration) -> Self {
        Self {
            db,
            shard,
            retention: history_retention,
            partitions: Partitions::new(history_retention),
        }
    }

    /// Applies a batch and its offsets in one transaction. Applying rows again, or in another order, has no effect.
    /// The offsets have to name the partitions from which the rows come: two members that both believe to own a
    /// partition then take turns, which keeps the counts exact.
    pub async fn apply(&self, projection: &Projection) -> Result<(), StoreError> {
        let attempts = projection.attempts.iter().filter_map(AttemptRow::at);
        let receipts = projection.receipts.iter().map(|receipt| receipt.step.at);
        self.partitions
            .prepare(&self.db, attempts.chain(receipts))
            .await?;
        again(|| self.try_apply(projection)).await
    }

    async fn try_apply(&self, projection: &Projection) -> Result<(), StoreError> {
        let mut tx = self.db.begin_batch(projection.deliveries.len()).await?;
        advance(&mut tx, &projection.consumer, &projection.offsets).await?;
        let mut changes = Changes::default();
        decided::apply(&mut tx, &projection.events, &mut changes).await?;
        deliveries::apply(&mut tx, &projection.deliveries, &mut changes).await?;
        messages::insert(&mut tx, &projection.deliveries).await?;
        attempts::insert(&mut tx, &projection.attempts).await?;
        // Receipts follow the decisions, because the same batch may contain the decision of a receipt's delivery.
        receipts::apply(&mut tx, &projection.receipts, &mut changes).await?;
        // After the deliveries: a replay reopens its delivery first, and only the delivery of an open letter is kept for long.
        let settled: Vec<Settled> = projection.verdicts.iter().map(Settled::from).collect();
        settle(&mut tx, &settled).await?;
        changes.write(&mut tx, self.shard).await?;
        tx.commit().await
    }

    /// The stored offsets of a consumer, from which it reads on.
    pub async fn offsets(&self, consumer: &str) -> Result<Vec<StoredOffset>, StoreError> {
        offsets::read(&mut self.db.read().await?, consumer).await
    }

    /// The state of the read model and the dead letters: it differs from an earlier one if a tracker has written since.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        offsets::revision(&mut self.db.read().await?).await
    }

    /// The number of rebuilds of a projection.
    pub async fn rebuilds(&self, consumer: &str) -> Result<u32, StoreError> {
        offsets::rebuilds(&mut self.db.read().await?, consumer).await
    }

    /// Counts a rebuild that is about to begin.
    pub async fn begin_rebuild(&self, consumer: &str) -> Result<(), StoreError> {
        offsets::begin_rebuild(&self.db, consumer).await
    }

    /// Deletes the whole projection and its consumer's offsets, in one transaction; the consumer then starts from the
    /// beginning.
    pub async fn reset(&self, consumer: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        offsets::forget(&mut tx, consumer).await?;
        match self.db.dialect() {
            // Without a condition, SQLite frees all pages at once.
            Dialect::Sqlite => {
                execute!(tx, "DELETE FROM deliveries")?;
                execute!(tx, "DELETE FROM attempts")?;
                execute!(tx, "DELETE FROM decided_events")?;
                execute!(tx, "DELETE FROM decisions")?;
                execute!(tx, "DELETE FROM delivery_messages")?;
            }
            Dialect::Postgres => {
                execute!(
                    tx,
                    "TRUNCATE deliveries, attempts, decided_events, decisions, delivery_messages"
                )?;
            }
        }
        counters::reset_projection(&mut tx).await?;
        tx.commit().await
    }

    /// Deliveries, newest first.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        page: Page,
    ) -> Result<PageOf<DeliveryView>, StoreError> {
        query::page(&mut self.db.read().await?, tenant, filter, page).await
    }

    /// A delivery.
    pub async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryView>, StoreError> {
        query::one(&mut self.db.read().await?, tenant, id).await
    }

    /// A delivery's steps, oldest first. The caller has checked the tenant of the delivery.
    pub async fn timeline(&self, id: DeliveryId) -> Result<Vec<StepView>, StoreError> {
        attempts::timeline(&mut self.db.read().await?, id).await
    }

    /// The decisions about an event: one view for each source that used the id.
    pub async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
        source: Option<&str>,
    ) -> Result<Vec<EventView>, StoreError> {
        decided::views(&mut self.db.read().await?, tenant, id, source).await
    }

    /// Decisions, newest first.
    pub async fn decisions(
        &self,
        tenant: &TenantId,
        filter: &DecisionFilter,
        page: Page,
    ) -> Result<PageOf<DecisionView>, StoreError> {
        decisions::page(&mut self.db.read().await?, tenant, filter, page).await
    }

    /// Events, newest first, each with the outcomes for its recipients.
    pub async fn activity(
        &self,
        tenant: &TenantId,
        filter: &ActivityFilter,
        after: Option<&ActivityCursor>,
        limit: u32,
    ) -> Result<ActivityPage, StoreError> {
        activity::page(&mut self.db.read().await?, tenant, filter, after, limit).await
    }

    /// The database's plans of the queries by which the events of a filter are found, one step a line; for tests.
    #[doc(hidden)]
    pub async fn activity_plan(
        &self,
        tenant: &TenantId,
        filter: &ActivityFilter,
    ) -> Result<Vec<String>, StoreError> {
        activity::explained(&mut self.db.read().await?, tenant, filter).await
    }

    /// Renews PostgreSQL's statistics, as its autovacuum does; for tests of plans.
    #[doc(hidden)]
    pub async fn analyze(&self) -> Result<(), StoreError> {
        if self.db.dialect() == Dialect::Postgres {
            execute!(
                self.db.read().await?,
                "ANALYZE decided_events, decisions, deliveries, delivery_messages"
            )?;
        }
        Ok(())
    }

    /// The deliveries of a tenant with these ids, oldest first.
    pub async fn by_ids(
        &self,
        tenant: &TenantId,
        ids: impl Iterator<Item = DeliveryId> + Send,
    ) -> Result<Vec<DeliveryView>, StoreError> {
        query::by_ids(&mut self.db.read().await?, tenant, ids).await
    }

    /// Deletes steps of timelines that are older than the configured retention, and creates partitions for the coming
    /// days. Has to be called at start and at least daily.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        self.partitions.maintain(&self.db).await
    }

    /// Deletes deliveries that ended before the configured retention, and events that were decided before it.
    /// Deliveries that have not ended stay. The auditor's counts stay. Returns the number of rows.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let deliveries = deliveries::prune(&self.db, self.retention).await?;
        let decisions = decisions::prune(&self.db, self.retention).await?;
        let messages = messages::prune(&self.db, self.retention).await?;
        Ok(deliveries + decisions + messages + decided::prune(&self.db, self.retention).await?)
    }
}

/// Erases a user's data in the read model.
pub(crate) async fn erase_user(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
    decided::erase_user(tx, tenant, user).await?;
    decisions::erase_user(tx, tenant, user).await?;
    deliveries::erase_user(tx, tenant, user).await
}
