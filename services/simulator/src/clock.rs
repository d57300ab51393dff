//! The only place that reads the wall clock. The simulator stands outside Carillon, as a provider does, so its time
//! is not injected.

use chrono::{DateTime, SubsecRound as _, Utc};

/// The current time in whole microseconds, which is the precision of the memory.
#[expect(
    clippy::disallowed_methods,
    reason = "a simulated provider has its own clock, like a real one; it decides nothing for Carillon"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
