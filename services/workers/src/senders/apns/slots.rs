//! The streams of one connection: their limit, their number, and whether another one may be opened.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The most streams of one connection, even if the server allows more.
const MOST_STREAMS: usize = 1_000;

/// The streams of one connection.
pub(super) struct Slots {
    state: Mutex<State>,
    /// Tells the pool of a change.
    changed: Arc<Notify>,
}

struct State {
    open: usize,
    limit: usize,
    is_closed: bool,
    /// Whether an answer is overdue, so that a ping has to show first that the server is still there.
    is_doubted: bool,
}

impl Slots {
    /// One stream until the server's settings arrive.
    pub(super) fn new(changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                open: 0,
                limit: 1,
                is_closed: false,
                is_doubted: false,
            }),
            changed,
        })
    }

    /// Takes a stream, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.state.lock();
        if state.is_closed || state.is_doubted || state.open >= state.limit {
            return None;
        }
        state.open += 1;
        Some(Slot(Arc::clone(self)))
    }

    /// Sets the server's limit; returns the limit that holds, if it has changed.
    pub(super) fn limit(&self, limit: usize) -> Option<usize> {
        let limit = limit.min(MOST_STREAMS);
        let mut state = self.state.lock();
        if state.limit == limit {
            return None;
        }
        state.limit = limit;
        drop(state);
        self.changed.notify_waiters();
        Some(limit)
    }

    /// Prevents further streams; open ones continue.
    pub(super) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    pub(super) fn doubt(&self, is_doubted: bool) {
        self.change(|state| state.is_doubted = is_doubted);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_waiters();
    }
}

/// A stream of a connection.
pub(super) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open -= 1;
        drop(state);
        self.0.changed.notify_one();
    }
}
