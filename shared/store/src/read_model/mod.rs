//! The read model: what the status topic says, in the form in which it is asked for (tables `deliveries`,
//! `delivery_history`, `decided_events`, `projection_offsets` and the projection's part of `counters`).

mod rows;

pub use rows::{
    DeliveryFilter, DeliveryRow, DeliveryView, EventRow, EventView, HistoryRow, HistoryView, Projection,
    StoredOffset,
};

use carillon_domain::{DeliveryId, EventId, TenantId};

use crate::{
    db::Db,
    error::StoreError,
    page::{Page, PageOf},
};

/// The read model.
#[derive(Debug, Clone)]
pub struct ReadModel {
    db: Db,
}

impl ReadModel {
    /// Applies a batch and its offsets in one transaction. Applying rows again, or in another order, changes nothing.
    pub async fn apply(&self, projection: &Projection) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Where a consumer goes on reading.
    pub async fn offsets(&self, consumer: &str) -> Result<Vec<StoredOffset>, StoreError> {
        unimplemented!()
    }

    /// Forgets the whole projection and where its consumer was, in one transaction: the consumer then begins anew.
    pub async fn reset(&self, consumer: &str) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deliveries, newest first.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        page: Page,
    ) -> Result<PageOf<DeliveryView>, StoreError> {
        unimplemented!()
    }

    /// One delivery.
    pub async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryView>, StoreError> {
        unimplemented!()
    }

    /// A delivery's steps, oldest first.
    pub async fn timeline(&self, id: DeliveryId) -> Result<Vec<HistoryView>, StoreError> {
        unimplemented!()
    }

    /// What was decided about an event: one view for each source that used the id.
    pub async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
        source: Option<&str>,
    ) -> Result<Vec<EventView>, StoreError> {
        unimplemented!()
    }

    /// The deliveries of an event, oldest first.
    pub async fn event_deliveries(
        &self,
        tenant: &TenantId,
        id: &EventId,
        source: &str,
    ) -> Result<Vec<DeliveryView>, StoreError> {
        unimplemented!()
    }

    /// Drops steps of timelines that are older than the configured retention, and prepares the days to come.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
