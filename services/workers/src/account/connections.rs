//! The connections of an account: the messages that may be under way at the same time. Their number may change while
//! messages wait, because a server of HTTP/2 says how many streams a connection may have, and the adaptive limit
//! (`concurrency.rs`) follows the provider's answers.

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
    /// Connections up to the lesser of `count` (`None`: any number) and the adaptive limit.
    pub(super) fn new(count: Option<watch::Receiver<usize>>, limit: watch::Receiver<usize>) -> Self {
        let count = count.unwrap_or_else(|| watch::channel(usize::MAX).1);
        Self {
            places: Counter::new(count.clone(), limit.clone(), 2),
            free: Counter::new(count, limit, 1),
        }
    }

    /// The number of connections in use.
    pub(super) fn in_use(&self) -> usize {
        *self.free.taken.lock()
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
    most: watch::Receiver<usize>,
    each: usize,
    taken: Mutex<usize>,
    freed: Notify,
}

impl Counter {
    fn new(count: watch::Receiver<usize>, most: watch::Receiver<usize>, each: usize) -> Arc<Self> {
        Arc::new(Self {
            count,
            most,
            each,
            taken: Mutex::new(0),
            freed: Notify::new(),
        })
    }

    fn limit(&self) -> usize {
        let count = (*self.count.borrow()).min(*self.most.borrow());
        count.max(1).saturating_mul(self.each)
    }

    /// Takes at least one; further ones only as far as they are free and wanted.
    async fn take(self: &Arc<Self>, wanted: usize) -> Taken {
        if let Some(taken) = self.try_take(wanted) {
            return taken;
        }
        let (mut count, mut most) = (self.count.clone(), self.most.clone());
        loop {
            // Created before the numbers are read, so that no change in between is missed.
            let freed = self.freed.notified();
            count.borrow_and_update();
            most.borrow_and_update();
            if let Some(taken) = self.try_take(wanted) {
                return taken;
            }
            tokio::select! {
                () = freed => {}
                () = changed(&mut count) => {}
                () = changed(&mut most) => {}
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

/// Waits for a change of a number; for ever if it is fixed.
async fn changed(number: &mut watch::Receiver<usize>) {
    if number.changed().await.is_err() {
        std::future::pending::<()>().await;
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

    fn any() -> watch::Receiver<usize> {
        watch::channel(usize::MAX).1
    }

    #[tokio::test]
    async fn the_adaptive_limit_bounds_the_connections_and_lets_waiters_go_on_when_it_grows() {
        let (limit, most) = watch::channel(1);
        let connections = Connections::new(None, most);
        let first = connections.connection().await;
        let mut waiting = Box::pin(connections.connection());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!((connections.count(), connections.in_use()), (1, 1));
        limit.send_replace(2);
        let second = waiting.await;
        assert_eq!(connections.in_use(), 2);
        drop((first, second));
        assert_eq!(connections.in_use(), 0);
    }

    #[tokio::test]
    async fn places_in_use_never_exceed_a_number_that_changes_meanwhile() {
        let (number, count) = watch::channel(1);
        let connections = Connections::new(Some(count), any());
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
        let connections = Connections::new(Some(watch::channel(2).1), any());
        let mut places = connections.places(9).await;
        assert_eq!(places.count(), 4);
        let apart = places.split_one().unwrap();
        let waiting = join_all((0..4).map(|_| connections.places(1)));
        drop((places, apart));
        assert_eq!(waiting.await.len(), 4);
    }
}
