//! The exchange of an account's state with other processes: the changes that this process reports, and the states that
//! it takes over.

use std::time::Duration;

use carillon_store::breakers::{BreakerChange, BreakerState, Closure};
use tokio::time::Instant;

use super::{NOTED_PAUSE, State};
use crate::{account::breaker::share::ProbeRight, policy::Cause};

impl State {
    /// The version of the common state that it has seen last.
    pub(in crate::account::breaker) fn seen(&self) -> u64 {
        self.shared.version
    }

    /// Whether it has changed since it was last told.
    pub(in crate::account::breaker) fn is_untold(&self) -> bool {
        self.shared.has_news
    }

    /// Lets the next report tell the present state.
    pub(in crate::account::breaker) fn tell_again(&mut self) {
        self.shared.has_news = true;
    }

    /// The change since the last report, if there is one.
    pub(in crate::account::breaker) fn take_news(&mut self, now: Instant) -> Option<BreakerChange> {
        let has_news = std::mem::take(&mut self.shared.has_news);
        let closure = has_news.then(|| self.closure(now))?;
        Some(closure.map_or(BreakerChange::Works, BreakerChange::Closed))
    }

    fn closure(&self, now: Instant) -> Option<Closure> {
        let left = self.paused_until(now).map_or(Duration::ZERO, |until| until - now);
        let is_closed = !left.is_zero() || self.parks > 0 || self.throttles > 0;
        is_closed.then(|| Closure {
            left,
            parks: self.parks,
            throttles: self.throttles,
            cause: self.cause().map(|cause| cause.code().to_owned()),
            run: self.run_since.map_or(Duration::ZERO, |since| now - since),
        })
    }

    /// Takes the common state over; returns whether that changed anything. Nothing is taken over before this process
    /// has told its own news.
    pub(in crate::account::breaker) fn adopt(&mut self, common: &BreakerState, now: Instant) -> bool {
        let is_first = !std::mem::replace(&mut self.shared.has_adopted, true);
        if self.shared.has_news || common.version == self.shared.version {
            return false;
        }
        self.shared.version = common.version;
        let Some(closure) = &common.closure else {
            let was_closed = self.closure(now).is_some();
            if common.version == 0 {
                // The common state was lost.
                self.shared.has_news = was_closed;
                return false;
            }
            self.refute();
            (self.parks, self.throttles, self.failures) = (0, 0, 0);
            (self.cause, self.paused_until) = (None, None);
            return was_closed;
        };
        let park = (closure.parks > 0).then(|| {
            // A newer release may know more causes.
            let cause = closure.cause.as_deref().and_then(|code| code.parse().ok());
            cause.unwrap_or(Cause::Operator)
        });
        // Another process's run of failures is its own fault if messages of this one were accepted meanwhile.
        let is_a_run = park.is_some_and(|cause| cause != Cause::Operator);
        if is_a_run && self.worked_at.is_some_and(|at| now - at < closure.run) {
            return false;
        }
        // After the start of a process, one message goes first at once: the operator may have repaired the fault.
        let left = if is_first && park.is_some() {
            Duration::ZERO
        } else {
            closure.left
        };
        (self.parks, self.throttles, self.cause) = (closure.parks, closure.throttles, park);
        self.paused_until = (!left.is_zero()).then(|| now + left);
        if park == Some(Cause::Refusals) {
            self.revoked.append(&mut self.unproven);
        }
        if park.is_some() || left >= NOTED_PAUSE {
            self.tell(now);
        }
        true
    }

    pub(in crate::account::breaker) fn probe_right(&self) -> ProbeRight {
        self.shared.right
    }

    pub(in crate::account::breaker) fn has_probe_right(&self) -> bool {
        matches!(self.shared.right, ProbeRight::Ours(_))
    }

    pub(in crate::account::breaker) fn set_probe_right(&mut self, right: ProbeRight) {
        self.shared.right = right;
    }
}
