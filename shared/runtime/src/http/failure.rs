//! The problem of a request that a store did not carry out. Text of the database stays in the log.

use std::{error::Error, time::Duration};

use super::{
    conditions::Unmet,
    problem::{Problem, ProblemKind},
};

/// The meaning of a store's error for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFailure {
    /// A condition of the request does not hold.
    Unmet(Unmet),
    /// The row to be changed does not exist; the text is its kind.
    NotFound(&'static str),
    /// The same request may succeed after this time.
    Passing(Duration),
    /// The same request would fail again.
    Lasting,
}

/// An error of a store, which says its meaning for a client.
pub trait Failure: Error {
    /// The meaning for a client.
    fn failure(&self) -> StoreFailure;
}

impl Problem {
    /// The problem of a store's error, which is logged unless it is the client's.
    pub fn of_store(error: &(impl Failure + 'static)) -> Self {
        match error.failure() {
            StoreFailure::Unmet(unmet) => Self::new(ProblemKind::PreconditionFailed, unmet.to_string()),
            StoreFailure::NotFound(what) => Self::no_such(what),
            StoreFailure::Passing(after) => {
                tracing::warn!(error = error as &dyn Error, "a request was not processed");
                Self::new(ProblemKind::Unavailable, format!("{error}; try again later"))
                    .with_retry_after(after)
            }
            StoreFailure::Lasting => {
                tracing::error!(error = error as &dyn Error, "the store failed");
                Self::new(ProblemKind::Internal, "the request could not be processed")
            }
        }
    }

    /// The problem of a resource that does not exist; `what` is its kind.
    #[must_use]
    pub fn no_such(what: &str) -> Self {
        Self::new(ProblemKind::NotFound, format!("there is no such {what}"))
    }
}
