//! The connections of an account that has a number of them. The number may change while messages wait, because a server
//! of HTTP/2 says how many streams a connection may have.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The connections of an account.
pub(super) struct Connections {
    /// Places of messages, two for each connection. The second place is for a message in preparation, so that
    /// no connection is idle meanwhile.
    places: Arc<Counter>,
    /// The free connections.
    free: Arc<Counter>,
}

impl Connections {
    pub(super) fn new(count: watch::Receiver<usize>) -> Self {
        Self {
            places: Counter::new(count.clone(), 2),
            free: Counter::new(count, 1),
        }
    }

    /// The number of connections.
    pub(super) fn count(&self) -> usize {
        self.free.limit()
    }

    /// Waits for the place of one message, and takes up to `wanted` that are free.
    pub(super) async fn places(&self, wanted: usize) -> Taken {
        self.places.take(wanted).await
    }

    /// Waits for a connection.
    pub(super) async fn connection(&self) -> Taken {
        self.free.take(1).await
    }
}

/// A counter of places in use, with a limit that may change.
struct Counter {
    count: watch::Receiver<usize>,
    each: usize,
    taken: Mutex<usize>,
    freed: Notify,
}

impl Counter {
    fn new(count: watch::Receiver<usize>, each: usize) -> Arc<Self> {
        Arc::new(Self {
            count,
            each,
            taken: Mutex::new(0),
            freed: Notify::new(),
        })
    }

    fn limit(&self) -> usize {
        self.count.borrow().max(1).saturating_mul(self.each)
    }

    /// Takes at least one; further ones only as far as they are free and wanted.
    async fn take(self: &Arc<Self>, wanted: usize) -> Taken {
        let mut count = self.count.clone();
        loop {
            // Created before the numbers are read, so that no change in between is missed.
            let freed = self.freed.notified();
            count.borrow_and_update();
            if let Some(taken) = self.try_take(wanted) {
                return taken;
            }
            let changed = async {
                if count.changed().await.is_err() {
                    // The number is fixed.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = freed => {}
                () = changed => {}
            }
        }
    }

    fn try_take(self: &Arc<Self>, wanted: usize) -> Option<Taken> {
        let mut taken = self.taken.lock();
        let free = self.limit().saturating_sub(*taken);
        if free == 0 {
            return None;
        }
        let count = wanted.clamp(1, free);
        *taken += count;
        if count < free {
            self.freed.notify_one();
        }
        Some(Taken {
            of: Arc::clone(self),
            count,
        })
    }
}

/// Some of a counter's places, which are given back when this is dropped.
pub(crate) struct Taken {
    of: Arc<Counter>,
    count: usize,
}

impl Taken {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Splits one off; `None` if none is left.
    pub(super) fn split_one(&mut self) -> Option<Self> {
        self.count = self.count.checked_sub(1)?;
        Some(Self {
            of: Arc::clone(&self.of),
            count: 1,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.count > 0 {
            *self.of.taken.lock() -= self.count;
            self.of.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join_all};

    use super::*;

    #[tokio::test]
    async fn places_in_use_never_exceed_a_number_that_changes_meanwhile() {
        let (number, count) = watch::channel(1);
        let connections = Connections::new(count);
        let first = connections.connection().await;
        assert!(connections.connection().now_or_never().is_none());
        let mut waiting = Box::pin(connections.connection());
        assert!(waiting.as_mut().now_or_never().is_none());
        number.send_replace(3);
        let second = waiting.await;
        let third = connections.connection().await;
        assert!(connections.connection().now_or_never().is_none());
        number.send_replace(1);
        drop((first, second));
        assert!(
            connections.connection().now_or_never().is_none(),
            "one is still taken"
        );
        drop(third);
        assert!(connections.connection().now_or_never().is_some());
    }

    #[tokio::test]
    async fn places_that_are_given_back_reach_every_waiter() {
        let connections = Connections::new(watch::channel(2).1);
        let mut places = connections.places(9).await;
        assert_eq!(places.count(), 4);
        let apart = places.split_one().unwrap();
        let waiting = join_all((0..4).map(|_| connections.places(1)));
        drop((places, apart));
        assert_eq!(waiting.await.len(), 4);
    }
}
