//! The answer: the decisions, each with the message that would be sent.

use carillon_domain::{
    Event, EventId, Timestamp,
    decide::{Decision, Decisions},
    mask::Mask,
    status::EventVerdict,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::messages::{MessageDocument, Messages};
use crate::privacy::{Sight, mask_decisions, without_hashes};

/// The decisions that an event would get.
#[derive(Debug, Serialize)]
pub(crate) struct SimulationDocument {
    pub(crate) event_id: EventId,
    pub(crate) source: String,
    /// The catalog's name of the event's type.
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    /// The time of the decisions.
    pub(crate) at: Timestamp,
    /// `routed` or `skipped`.
    pub(crate) status: &'static str,
    /// Why it would be skipped: `deleted_row` or `no_recipient`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// Whether an event of this source and id was accepted before, so that a post of it would send nothing.
    pub(crate) duplicate: bool,
    pub(crate) event: Option<Box<RawValue>>,
    pub(crate) decisions: Vec<SimulatedDecision>,
    /// The number of messages that were not rendered, because the event has too many recipients.
    pub(crate) messages_left_out: usize,
    /// Whether sensitive values and addresses are masked.
    pub(crate) masked: bool,
}

/// A decision with its message.
#[derive(Debug, Serialize)]
pub(crate) struct SimulatedDecision {
    #[serde(flatten)]
    pub(crate) decision: Decision,
    /// The message that would be sent; null if none would.
    pub(crate) message: Option<MessageDocument>,
}

/// The result of a simulation.
pub(super) struct Decided {
    pub(super) at: Timestamp,
    pub(super) is_repeat: bool,
    pub(super) decisions: Decisions,
    pub(super) messages: Messages,
}

/// Makes the answer for a caller.
pub(super) fn document(
    sight: Sight,
    masks: impl Iterator<Item = Mask>,
    event: &Event,
    type_name: &str,
    decided: Decided,
) -> SimulationDocument {
    let mut decisions = decided.decisions.decisions;
    let json = String::from_utf8(event.to_wire()).ok();
    let mut wire = json.and_then(|json| RawValue::from_string(json).ok());
    without_hashes(&mut decisions);
    if !sight.is_revealed() {
        mask_decisions(&mut decisions);
        for mask in masks {
            wire = wire.and_then(|event| mask.event(event.get()));
        }
    }
    let verdict = match event.recipients.is_empty() {
        false => EventVerdict::Routed,
        true if event.is_deleted_row() => EventVerdict::DeletedRow,
        true => EventVerdict::NoRecipient,
    };
    let Messages { mut of, left_out } = decided.messages;
    let decisions = decisions.into_iter().map(|decision| SimulatedDecision {
        message: decision.delivery_id.and_then(|id| of.remove(&id)),
        decision,
    });
    SimulationDocument {
        event_id: event.id.clone(),
        source: event.source.to_string(),
        event_type: type_name.to_owned(),
        at: decided.at,
        status: if verdict.is_skipped() { "skipped" } else { "routed" },
        reason: verdict.is_skipped().then(|| verdict.into()),
        duplicate: decided.is_repeat,
        event: wire,
        decisions: decisions.collect(),
        messages_left_out: left_out,
        masked: !sight.is_revealed(),
    }
}
