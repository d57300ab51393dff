//! Rows that are written to the read model, and views that are read from it.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, EventId, TenantId, Timestamp, UserId,
    decide::Decision,
    receipt::DeliveryReceipt,
    status::{EventVerdict, Origin, ReleaseOf, TemplateRef, TimelineStep, VerdictGiven},
};
use serde::Serialize;
use serde_json::value::RawValue;

/// A batch of the status topic.
#[derive(Debug, Default)]
pub struct Projection {
    /// The consumer group whose offsets are stored.
    pub consumer: String,
    /// Events that were decided.
    pub events: Vec<EventRow>,
    /// Changes of deliveries; several rows may concern one delivery.
    pub deliveries: Vec<DeliveryRow>,
    /// Steps of attempts.
    pub attempts: Vec<AttemptRow>,
    /// Receipts of providers.
    pub receipts: Vec<DeliveryReceipt>,
    /// Verdicts about dead letters.
    pub verdicts: Vec<VerdictGiven>,
    /// The consumer's offsets after this batch.
    pub offsets: Vec<StoredOffset>,
}

/// The offset from which a consumer reads a partition next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The next offset to read: the last one that was applied, plus 1.
    pub next: i64,
}

/// A decided event.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// The record of the event. It identifies the row (together with `part`), so that a repeated record counts once.
    pub origin: Origin,
    /// Number of the part, from 0. A very large fan-out comes in several parts, which count as one event.
    pub part: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    pub event_type: Arc<str>,
    /// The time of the decision.
    pub at: Timestamp,
    /// The verdict on its record.
    pub verdict: EventVerdict,
    /// Whether a gateway counted it as acknowledged.
    pub via_gateway: bool,
    /// The number of parts; 0 if it is not known.
    pub parts: u32,
    /// The release, if the record has waited before.
    pub release: Option<ReleaseOf>,
    /// The time until which it waits.
    pub due: Option<Timestamp>,
    /// The user of an event that waits, if it is for one known user alone.
    pub user_id: Option<UserId>,
    /// The event, CloudEvents JSON.
    pub event: Option<Box<RawValue>>,
    /// The decisions.
    pub decisions: Vec<Decision>,
}

/// A change of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The delivery.
    pub id: DeliveryId,
    /// The tenant.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    pub event_type: Arc<str>,
    /// Its category.
    pub category: Arc<str>,
    /// The recipient, if it is a known user.
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// Generation, attempt and status.
    pub state: DeliveryState,
    /// The time at which the bus took its event; the same in all rows of a delivery.
    pub created_at: Timestamp,
    /// The time at which it reached its state.
    pub at: Timestamp,
    /// Why it is in its state: the decision's reason, a stable word, while it is queued; later the sentence of its last
    /// step.
    pub reason: Option<String>,
    /// The structured error code.
    pub error_code: Option<String>,
    /// The address, masked for display.
    pub to_masked: Option<String>,
    /// The provider account that was asked.
    pub provider: Option<Arc<str>>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// The template that was rendered.
    pub template: Option<TemplateRef>,
    /// The decision that made the delivery, in the row of that decision only.
    pub queued: Option<Queued>,
}

/// The first step of a delivery's timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queued {
    /// The time of the decision.
    pub at: Timestamp,
    /// The decision's reason, a stable word.
    pub reason: &'static str,
    /// The decision as a sentence.
    pub detail: String,
}

/// The steps that one status record reports of an attempt.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The time at which the bus took its event; the same in all rows of a delivery.
    pub created_at: Timestamp,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// Number of the attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The number of attempts up to this one that count against the retry policy; `None` if the record does not say.
    pub counted: Option<u32>,
    /// The provider account that was asked.
    pub provider: Option<Arc<str>>,
    /// The due time of the next attempt, if one follows the last step.
    pub due_at: Option<Timestamp>,
    /// The steps, oldest first; a row without any is not stored.
    pub steps: Vec<TimelineStep>,
    /// [`DeliveryReceipt::receipt_id`], if the step is a provider's receipt. Rows with the same identity are one.
    pub receipt_id: Option<String>,
}

impl AttemptRow {
    /// The time of the first step.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        self.steps.first().map(|step| step.at)
    }
}

/// Conditions on deliveries. A list matches if any of its values does; an empty list always matches.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Status.
    pub status: Vec<DeliveryStatus>,
    /// Channel.
    pub channel: Vec<Channel>,
    /// Event type.
    pub event_type: Vec<String>,
    /// Category.
    pub category: Vec<String>,
    /// Recipient.
    pub user: Vec<String>,
    /// Provider account.
    pub provider: Vec<String>,
    /// Error code.
    pub code: Vec<String>,
    /// Earliest time of creation.
    pub from: Option<Timestamp>,
    /// Time of creation before this.
    pub to: Option<Timestamp>,
    /// Text contained in an id, the user, the type, the masked address or the provider's message id.
    pub q: Option<String>,
}

/// A delivery as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// The delivery.
    pub id: DeliveryId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its category.
    pub category: String,
    /// The recipient, if it is a known user.
    pub user_id: Option<UserId>,
    /// The channel.
    pub channel: Channel,
    /// The address, masked.
    pub to_masked: Option<String>,
    /// Its status.
    pub status: DeliveryStatus,
    /// Why it has this status, as a stable word: the decision's reason while it is queued, later the code of its last
    /// step. `None` if the step has no code.
    pub reason: Option<String>,
    /// Why it has this status, as a sentence.
    pub detail: Option<String>,
    /// The provider account that was asked.
    pub provider: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// The structured error code.
    pub error_code: Option<String>,
    /// Number of the attempt, from 1; 0 before the first. Every attempt has a number of its own, also one that does not count.
    pub attempt: u32,
    /// The number of attempts so far that count against the retry policy. An attempt does not count if the account was throttled or
    /// parked. The same as `attempt` where a worker of the former release did not say.
    pub attempts: u32,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// The template that was rendered.
    pub template: Option<TemplateRef>,
    /// The time that is set for the next attempt, while it waits for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// The time at which the bus took its event.
    pub created_at: Timestamp,
    /// The time at which it reached its status.
    pub updated_at: Timestamp,
}

/// A step of a timeline as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// The time of the step.
    pub at: Timestamp,
    /// The status that it led to.
    pub status: DeliveryStatus,
    /// Number of the attempt, from 1; 0 before the first. Every attempt has a number of its own, also one that does not count.
    pub attempt: u32,
    /// The number of attempts up to this one that count against the retry policy, as in [`DeliveryView::attempts`].
    pub attempts: u32,
    /// Generation: 0, plus 1 for each replay.
    pub generation: u32,
    /// The provider account that was asked.
    pub provider: Option<String>,
    /// A structured code.
    pub code: Option<String>,
    /// A detail as a sentence.
    pub detail: Option<String>,
    /// The due time of the next attempt, if one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// The decisions about an event.
#[derive(Debug, Clone)]
pub struct EventView {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// The time of the decision.
    pub at: Timestamp,
    /// `Routed` if any record of the event was routed, else the most informative verdict. `Duplicate` if the event's
    /// first record is older than the read model.
    pub verdict: EventVerdict,
    /// The time until which it waits, if it does.
    pub due: Option<Timestamp>,
    /// Whether all parts of its decisions are there.
    pub is_complete: bool,
    /// The event, CloudEvents JSON.
    pub event: Option<Box<RawValue>>,
    /// The decisions, in the order in which they were made.
    pub decisions: Vec<Decision>,
}
