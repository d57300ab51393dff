//! Time is injected. Every timestamp has microseconds: PostgreSQL keeps no more, so neither does anything else.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};

/// A point in time, UTC, truncated to microseconds.
pub type Timestamp = DateTime<Utc>;

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time, truncated to microseconds.
    fn now(&self) -> Timestamp;
}

/// A clock shared by a whole process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Utc::now().trunc_subsecs(6)
    }
}

/// Truncates a foreign timestamp to the precision that every store keeps.
#[must_use]
pub fn truncate(at: Timestamp) -> Timestamp {
    at.trunc_subsecs(6)
}
