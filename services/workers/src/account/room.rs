//! The send rate and the connections of an account. Workers wait for both before they claim messages.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::Account;

/// The time for which messages that a send rate lets through one by one are collected into a batch.
const GATHER: Duration = Duration::from_millis(50);

/// The connections of an account that has a number of them.
pub(super) struct Connections {
    /// Places of messages, two for each connection. The second place is for a message in preparation, so that
    /// no connection is idle meanwhile.
    room: Arc<Semaphore>,
    /// The free connections, one permit for each.
    pub(super) free: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new(count: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(2 * count)),
            free: Arc::new(Semaphore::new(count)),
        }
    }
}

/// Room for messages, after the wait for the send rate.
pub(crate) struct Room {
    account: Arc<Account>,
    permits: Option<OwnedSemaphorePermit>,
    count: usize,
}

/// Room for one message.
pub(crate) struct Reservation {
    account: Arc<Account>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Splits the room for one message off.
    pub(crate) fn reserve(&mut self) -> Reservation {
        Reservation {
            account: Arc::clone(&self.account),
            _permit: self.permits.as_mut().and_then(|permits| permits.split(1)),
        }
    }
}

impl Reservation {
    pub(crate) fn is_of(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }
}

impl Account {
    /// Waits for room for at least one message, and for up to `wanted` if that room comes soon.
    pub(crate) async fn room(self: &Arc<Self>, wanted: usize) -> Room {
        let wanted = wanted.min(self.burst()).max(1);
        let permits = match &self.connections {
            Some(connections) => take(&connections.room, wanted).await,
            None => None,
        };
        let mut count = permits.as_ref().map_or(wanted, OwnedSemaphorePermit::num_permits);
        if self.rate.is_some() {
            self.rate().await;
            let soon = Instant::now() + GATHER;
            let mut ready = 1;
            while ready < count && tokio::time::timeout_at(soon, self.rate()).await.is_ok() {
                ready += 1;
            }
            count = ready;
        }
        Room {
            account: Arc::clone(self),
            permits,
            count,
        }
    }
}

/// Takes at least one permit; further ones only as far as they are free and wanted.
pub(super) async fn take(from: &Arc<Semaphore>, wanted: usize) -> Option<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    let mut permits = Arc::clone(from).acquire_owned().await.ok()?;
    let more = from.available_permits().min(wanted.saturating_sub(1));
    if let Ok(more) = Arc::clone(from).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
        permits.merge(more);
    }
    Some(permits)
}
