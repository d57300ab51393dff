//! Cancelling events and deliveries. The first claim wins, so the answers are true: a message that was answered as cancelled
//! is not sent, and a message that a worker has claimed is not answered as cancelled.

mod delivery;
mod event;

use std::time::Duration;

use carillon_bus::{OutRecord, headers};
use carillon_domain::{DeliveryStatus, StatusRecord, TenantId};
use carillon_runtime::http::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::{
    delivery::{Ending, deliveries, delivery, key, next_attempt, publish, update},
    event::{event, of_erased},
};
use crate::{
    error::ApiError,
    openapi::{answers::EventStatusName, schemas},
    state::GatewayState,
};

/// `Retry-After` when the answer is not known yet.
const SOON: Duration = Duration::from_secs(1);

/// The effect of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelResult {
    /// No message is sent.
    Cancelled,
    /// A worker has claimed the attempt, or an earlier attempt is uncertain: the message may have gone out. Further attempts
    /// are not made.
    TooLate,
    /// It had ended before; the status says how.
    AlreadyFinal,
}

impl CancelResult {
    /// The result as a sentence about an event or a delivery.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Cancelled => "It was cancelled: no message is sent.",
            Self::TooLate => {
                "It was too late to cancel: a worker is sending the message at this moment, or it may have been sent before."
            }
            Self::AlreadyFinal => "It had ended before, so nothing was cancelled.",
        }
    }

    /// Its name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::TooLate => "too_late",
            Self::AlreadyFinal => "already_final",
        }
    }
}

/// The answer about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeliveryCancelled {
    pub(crate) result: CancelResult,
    /// The delivery's status afterwards.
    #[schema(value_type = schemas::StatusName)]
    pub(crate) status: DeliveryStatus,
}

/// Numbers of deliveries by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CancelCounts {
    pub(crate) cancelled: u64,
    pub(crate) too_late: u64,
    pub(crate) already_final: u64,
}

/// The answer about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EventCancelled {
    /// `cancelled` if the event, or at least one of its deliveries, was cancelled; else `too_late` if a delivery is being
    /// sent; else `already_final`.
    pub(crate) result: CancelResult,
    /// The event's status afterwards.
    #[schema(value_type = EventStatusName)]
    pub(crate) status: &'static str,
    /// Its deliveries; all 0 if the event was cancelled before it was decided.
    pub(crate) deliveries: CancelCounts,
}

impl CancelCounts {
    fn add(&mut self, result: CancelResult) {
        match result {
            CancelResult::Cancelled => self.cancelled += 1,
            CancelResult::TooLate => self.too_late += 1,
            CancelResult::AlreadyFinal => self.already_final += 1,
        }
    }

    fn result(self) -> CancelResult {
        match self {
            Self { cancelled: 1.., .. } => CancelResult::Cancelled,
            Self { too_late: 1.., .. } => CancelResult::TooLate,
            Self { .. } => CancelResult::AlreadyFinal,
        }
    }
}

/// A status record with its tenant.
fn record(state: &GatewayState, tenant: &TenantId, status: &StatusRecord) -> OutRecord {
    OutRecord::new(state.bus.topics().status(), status.record_key(), status.to_wire())
        .with(headers::TENANT, tenant.to_string())
}

/// The problem of an answer that is not known yet.
fn not_yet(detail: &str) -> ApiError {
    Problem::new(ProblemKind::Unavailable, detail)
        .with_retry_after(SOON)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_cancelled_if_any_delivery_was_and_too_late_if_one_is_being_sent() {
        use CancelResult::{AlreadyFinal, Cancelled, TooLate};
        let counts = |results: &[CancelResult]| {
            let mut counts = CancelCounts::default();
            for result in results {
                counts.add(*result);
            }
            counts.result()
        };
        assert_eq!(counts(&[AlreadyFinal, TooLate, Cancelled]), Cancelled);
        assert_eq!(counts(&[AlreadyFinal, TooLate]), TooLate);
        assert_eq!(counts(&[AlreadyFinal]), AlreadyFinal);
        assert_eq!(counts(&[]), AlreadyFinal);
        for result in [Cancelled, TooLate, AlreadyFinal] {
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
    }
}
