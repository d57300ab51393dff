//! The operator's view of a closed account.

use std::{fmt, time::Duration};

use crate::policy::Cause;

/// The reason for which nothing is sent through an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// A sentence without a full stop.
    pub(crate) cause: String,
    /// The time until the next message is sent; `None` if a probe, a single message, may be sent now.
    pub(crate) left: Option<Duration>,
    /// The cause of a park; `None` if the provider asked for a pause.
    pub(crate) park: Option<Cause>,
}

impl Complaint {
    /// A park has a cause, a pause has none.
    pub(super) fn new(account: &str, park: Option<Cause>, left: Option<Duration>) -> Self {
        let cause = match park {
            Some(cause) => format!("the provider account {account} is parked: {}", cause.as_str()),
            None => format!("the provider account {account} is paused at the provider's request"),
        };
        Self { cause, left, park }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left {
            Some(left) => write!(
                f,
                "{}; the next message goes out in {} s",
                self.cause,
                left.as_secs() + 1
            ),
            None => write!(f, "{}; one message goes first", self.cause),
        }
    }
}
