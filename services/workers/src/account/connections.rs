//! The connections of an account that has a number of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections of an account.
pub(super) struct Connections {
    count: usize,
    /// Places of messages, two for each connection. The second place is for a message in preparation, so that
    /// no connection is idle meanwhile.
    places: Arc<Semaphore>,
    /// The free connections, one permit for each.
    free: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            places: Arc::new(Semaphore::new(2 * count)),
            free: Arc::new(Semaphore::new(count)),
        }
    }

    /// The number of connections.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits for the place of one message, and takes up to `wanted` that are free.
    pub(super) async fn places(&self, wanted: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.places, wanted).await
    }

    /// Waits for a connection.
    pub(super) async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.free, 1).await
    }
}

/// Takes at least one permit; further ones only as far as they are free and wanted.
async fn take(from: &Arc<Semaphore>, wanted: usize) -> Option<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    let mut permits = Arc::clone(from).acquire_owned().await.ok()?;
    let more = from.available_permits().min(wanted.saturating_sub(1));
    if let Ok(more) = Arc::clone(from).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
        permits.merge(more);
    }
    Some(permits)
}
