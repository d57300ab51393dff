//! Room for messages: their places at the connections, and their share of the send rate.

use std::sync::Arc;

use super::{Account, connections::Taken};

/// Room for messages, after the wait for the send rate.
pub(crate) struct Room {
    account: Arc<Account>,
    places: Taken,
    count: usize,
}

/// Room for one message.
pub(crate) struct Reservation {
    account: Arc<Account>,
    _place: Option<Taken>,
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
            _place: self.places.split_one(),
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
        let places = self.connections.places(wanted).await;
        let count = places.count();
        let count = match &self.rate {
            Some(rate) => rate.gather(count).await,
            None => count,
        };
        Room {
            account: Arc::clone(self),
            places,
            count,
        }
    }
}
