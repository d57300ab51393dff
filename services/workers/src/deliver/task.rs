//! A delivery in the deliver stage.

use std::ops::Deref;

use carillon_bus::{Inbound, headers};
use carillon_domain::{Delivery, Timestamp};

pub(super) use carillon_domain::conclusion::{Conclusion, Consequence};

use crate::attempt::DeliveryAttempt;

/// The header with the number of attempts that do not count (the account was throttled or parked).
pub(super) const UNCOUNTED: &str = "carillon-uncounted-attempts";

/// An attempt with its record, which is done when the attempt is concluded. It has the fields of the attempt.
pub(super) struct Task {
    pub(super) inbound: Inbound,
    pub(super) this: DeliveryAttempt,
}

impl Task {
    pub(super) fn new(inbound: Inbound, delivery: Delivery, now: Timestamp) -> Self {
        let number = |name| inbound.record.headers.get_u32(name);
        let this = DeliveryAttempt {
            attempt: number(headers::ATTEMPT).unwrap_or(1).max(1),
            uncounted: number(UNCOUNTED).unwrap_or(0),
            generation: number(headers::GENERATION).unwrap_or(0),
            delivery,
            started_at: now,
        };
        Self { inbound, this }
    }
}

impl Deref for Task {
    type Target = DeliveryAttempt;

    fn deref(&self) -> &DeliveryAttempt {
        &self.this
    }
}
