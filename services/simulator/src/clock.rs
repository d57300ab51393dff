//! The simulator's only look at the wall clock: it stands outside Carillon, as a provider does, so nobody injects its time.

use chrono::{DateTime, SubsecRound as _, Utc};

/// Now, in whole microseconds (what the memory keeps).
#[expect(
    clippy::disallowed_methods,
    reason = "a simulated provider has its own clock, like a real one; it decides nothing for Carillon"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
