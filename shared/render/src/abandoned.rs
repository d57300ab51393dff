//! Abandoned work. Long work on another thread checks from time to time whether its caller still waits, and ends
//! early if not, because its result would not be read.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

thread_local! {
    static CALLED: RefCell<Option<Called>> = const { RefCell::new(None) };
}

/// Waits for a piece of work. Dropping it abandons the work.
#[derive(Debug, Default)]
pub(crate) struct Waiter(Arc<()>);

/// The view of its caller that work has.
#[derive(Debug, Clone)]
pub(crate) struct Called(Weak<()>);

impl Waiter {
    pub(crate) fn called(&self) -> Called {
        Called(Arc::downgrade(&self.0))
    }
}

impl Called {
    fn has_left(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Runs a piece of work on this thread; `None` if its caller has already left.
pub(crate) fn while_called<T>(called: Called, work: impl FnOnce() -> T) -> Option<T> {
    struct Restored(Option<Called>);
    impl Drop for Restored {
        fn drop(&mut self) {
            CALLED.set(self.0.take());
        }
    }
    if called.has_left() {
        return None;
    }
    let _restored = Restored(CALLED.replace(Some(called)));
    Some(work())
}

/// Whether the caller of the work on this thread has left. Work without a caller is never abandoned.
pub(crate) fn is_abandoned() -> bool {
    CALLED.with_borrow(|called| called.as_ref().is_some_and(Called::has_left))
}
