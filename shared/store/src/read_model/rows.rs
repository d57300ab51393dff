//! Rows that go into the read model and views that come out of it.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, EventId, TenantId, Timestamp, UserId,
    decide::Decision,
    status::{EventVerdict, Origin, TemplateRef},
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
    /// What happened to deliveries; several rows may speak of one delivery.
    pub deliveries: Vec<DeliveryRow>,
    /// Steps of timelines.
    pub history: Vec<HistoryRow>,
    /// Where the consumer goes on reading after this batch.
    pub offsets: Vec<StoredOffset>,
}

/// Where a consumer goes on reading a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// Topic, with its prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The next offset to be read: the last one that was applied, plus 1.
    pub next: i64,
}

/// A decided event.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// The record that carried the event. A row is named by it (and by `part`), so that a doubled record counts once.
    pub origin: Origin,
    /// 0; a very large fan-out may come in several parts, counted as one event.
    pub part: u32,
    /// Whose.
    pub tenant: TenantId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    pub event_type: Arc<str>,
    /// When it was decided.
    pub at: Timestamp,
    /// What became of it.
    pub verdict: EventVerdict,
    /// Whether a gateway counted it as acknowledged.
    pub via_gateway: bool,
    /// The event, CloudEvents JSON.
    pub event: Option<Box<RawValue>>,
    /// What was decided.
    pub decisions: Vec<Decision>,
}

/// Something happened to a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Which delivery.
    pub id: DeliveryId,
    /// Whose.
    pub tenant: TenantId,
    /// Of which event.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's type.
    pub event_type: Arc<str>,
    /// Its category.
    pub category: Arc<str>,
    /// The recipient, if they are a known user.
    pub user_id: Option<UserId>,
    /// On which channel.
    pub channel: Channel,
    /// Generation, attempt and status.
    pub state: DeliveryState,
    /// When the bus took its event: the same in all rows of a delivery.
    pub created_at: Timestamp,
    /// When it got there.
    pub at: Timestamp,
    /// Why, in a word or a sentence.
    pub reason: Option<String>,
    /// The structured code of what went wrong.
    pub error_code: Option<String>,
    /// The address as a dashboard may show it.
    pub to_masked: Option<String>,
    /// Which provider account was asked.
    pub provider: Option<Arc<str>>,
    /// The provider's name for the message.
    pub provider_message_id: Option<String>,
    /// What was rendered.
    pub template: Option<TemplateRef>,
}

/// A step of a delivery's timeline.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// When the bus took its event: the same in all rows of a delivery.
    pub created_at: Timestamp,
    /// Generation, attempt and status.
    pub state: DeliveryState,
    /// When.
    pub at: Timestamp,
    /// Which provider account was asked.
    pub provider: Option<Arc<str>>,
    /// A structured code.
    pub code: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// When the next attempt is due, where one will follow.
    pub due_at: Option<Timestamp>,
}

/// Which deliveries; each list is an "or", an empty one lets everything pass.
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
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Text that an id, the user, the type, the masked address or the provider's message id contains.
    pub q: Option<String>,
}

/// A delivery as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Which delivery.
    pub id: DeliveryId,
    /// Of which event.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its category.
    pub category: String,
    /// The recipient, if they are a known user.
    pub user_id: Option<UserId>,
    /// On which channel.
    pub channel: Channel,
    /// The address, masked.
    pub to_masked: Option<String>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Why.
    pub reason: Option<String>,
    /// Which provider account was asked.
    pub provider: Option<String>,
    /// The provider's name for the message.
    pub provider_message_id: Option<String>,
    /// The structured code of what went wrong.
    pub error_code: Option<String>,
    /// 1 for the first; 0 before any.
    pub attempt: u32,
    /// 0; each replay adds 1.
    pub generation: u32,
    /// What was rendered.
    pub template: Option<TemplateRef>,
    /// When the bus took its event.
    pub created_at: Timestamp,
    /// When it got its status.
    pub updated_at: Timestamp,
}

/// A step of a timeline as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// Into which status.
    pub status: DeliveryStatus,
    /// 1 for the first.
    pub attempt: u32,
    /// 0; each replay adds 1.
    pub generation: u32,
    /// Which provider account was asked.
    pub provider: Option<String>,
    /// A structured code.
    pub code: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// When the next attempt is due, where one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// What was decided about an event.
#[derive(Debug, Clone)]
pub struct EventView {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// When it was decided.
    pub at: Timestamp,
    /// `Routed` if any record of it was, else `Rejected`, else `Duplicate` (its first record is older than the model).
    pub verdict: EventVerdict,
    /// The event, CloudEvents JSON.
    pub event: Option<Box<RawValue>>,
    /// What was decided, in the order in which it was.
    pub decisions: Vec<Decision>,
}
