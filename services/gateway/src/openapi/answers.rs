//! Schemas of answers whose types are in crates without OpenAPI. No answer is built from these types; a test compares
//! the document with real answers (`tests/gateway/answers.rs`).
#![expect(dead_code, reason = "only their schemas are used")]

mod addresses;
mod dead_letters;

use std::collections::BTreeMap;

use carillon_runtime::http::ProblemError;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::{
    addresses::{RegisteredEndpoint, Suppression, SuppressionPage, User},
    dead_letters::{DeadLetterDocument, DeadLetterGroup, DeadLetterGroups, DeadLetterPage, JobPage},
};
use crate::activity::FoundAs;

use super::schemas::{ChannelName, OutcomeName, ReasonName, RoleName, StatusName};

/// A page of deliveries, newest first.
#[derive(ToSchema)]
pub(crate) struct DeliveryPage {
    items: Vec<Delivery>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A delivery: one message to one address.
#[derive(ToSchema)]
pub(crate) struct Delivery {
    id: Uuid,
    event_id: String,
    source: String,
    /// The event's type.
    r#type: String,
    category: String,
    /// The recipient; null for a guest.
    #[schema(required)]
    user_id: Option<String>,
    channel: ChannelName,
    /// The address, masked; null until it is known.
    #[schema(required)]
    to_masked: Option<String>,
    status: StatusName,
    /// Why it has this status, as a stable word.
    #[schema(required)]
    reason: Option<String>,
    /// Why it has this status, as a sentence.
    #[schema(required)]
    detail: Option<String>,
    /// The provider account that was asked.
    #[schema(required)]
    provider: Option<String>,
    /// The provider's id of the message.
    #[schema(required)]
    provider_message_id: Option<String>,
    /// The structured code of an error.
    #[schema(required)]
    error_code: Option<String>,
    /// Number of the attempt, from 1; 0 before the first. Every attempt has a number of its own, also one that does not count.
    attempt: u32,
    /// The number of attempts so far that count against the retry policy (`retry.max_attempts`). An attempt does not count if the
    /// provider account was throttled or parked.
    attempts: u32,
    /// 0, plus 1 for each replay.
    generation: u32,
    /// The template that was rendered.
    #[schema(required)]
    template: Option<TemplateUsed>,
    /// When the next attempt is due, while the delivery waits for one.
    #[schema(nullable = false)]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When the bus took its event.
    created_at: DateTime<Utc>,
    /// When it reached its status.
    updated_at: DateTime<Utc>,
}

/// A template that was rendered.
#[derive(ToSchema)]
pub(crate) struct TemplateUsed {
    #[schema(example = "OrderShipped/email")]
    id: String,
    version: u32,
    /// The locale of the template, which was chosen for that of the recipient.
    locale: String,
}

/// A catalog that was stored.
#[derive(ToSchema)]
pub(crate) struct CatalogWritten {
    /// Event types by name.
    types: BTreeMap<String, Map<String, Value>>,
    /// Categories by name.
    categories: BTreeMap<String, Map<String, Value>>,
    /// Probable mistakes, such as a misspelt keyword of a schema; absent if there are none.
    #[schema(nullable = false)]
    warnings: Option<Vec<ProblemError>>,
}

/// A delivery with its timeline and the content of its message.
#[derive(ToSchema)]
pub(crate) struct DeliveryDocument {
    #[serde(flatten)]
    delivery: Delivery,
    /// The steps, oldest first.
    timeline: Vec<TimelineStep>,
    /// The content, rendered again from the template and the event; null if that is not possible.
    #[schema(required)]
    content: Option<MessageContent>,
    /// Whether sensitive values and addresses are masked.
    masked: bool,
}

/// A step of a delivery's timeline.
#[derive(ToSchema)]
pub(crate) struct TimelineStep {
    at: DateTime<Utc>,
    /// The status that it led to.
    status: StatusName,
    /// Number of the attempt, from 1; 0 before the first. Every attempt has a number of its own, also one that does not count.
    attempt: u32,
    /// The number of attempts up to this one that count against the retry policy.
    attempts: u32,
    generation: u32,
    /// The provider account that was asked.
    #[schema(required)]
    provider: Option<String>,
    /// A structured code.
    #[schema(required)]
    code: Option<String>,
    /// A sentence.
    #[schema(required)]
    detail: Option<String>,
    /// When the next attempt is due, if one follows.
    #[schema(nullable = false)]
    due_at: Option<DateTime<Utc>>,
}

/// The content of a message. The fields are those of its channel: `subject`, `text` and `html` of an e-mail, `text` of a
/// text message, `title`, `body`, `data` and `collapse` of a push message, `body` of a webhook, which is JSON.
#[derive(ToSchema)]
pub(crate) struct MessageContent {
    channel: ChannelName,
    #[schema(nullable = false)]
    subject: Option<String>,
    #[schema(nullable = false)]
    text: Option<String>,
    #[schema(nullable = false)]
    html: Option<String>,
    #[schema(nullable = false)]
    title: Option<String>,
    #[schema(nullable = false)]
    body: Option<String>,
    /// Values for the app.
    #[schema(nullable = false)]
    data: Option<BTreeMap<String, String>>,
    /// The key of messages that replace one another on the device.
    #[schema(nullable = false)]
    collapse: Option<String>,
}

/// An event with its decisions and deliveries.
#[derive(ToSchema)]
pub(crate) struct EventDocument {
    event_id: String,
    source: String,
    r#type: String,
    status: EventStatusName,
    /// The time until which a scheduled event waits.
    #[schema(nullable = false)]
    scheduled_for: Option<DateTime<Utc>>,
    /// Why it was skipped: `tombstone`, `deleted_row` or `no_recipient`.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The event as CloudEvents JSON; null until it is decided, and of a rejected one.
    #[schema(required)]
    event: Option<Map<String, Value>>,
    decisions: Vec<Decision>,
    deliveries: Vec<Delivery>,
    /// Whether sensitive values and addresses are masked.
    masked: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum EventStatusName {
    Accepted,
    Scheduled,
    Routed,
    Cancelled,
    Skipped,
    Rejected,
}

/// The decision for one recipient on one channel, and for each of their addresses if it is to send.
#[derive(ToSchema)]
pub(crate) struct Decision {
    /// The recipient for display.
    recipient: String,
    /// The recipient's id, if it is a known user.
    #[schema(nullable = false)]
    user_id: Option<String>,
    channel: ChannelName,
    category: String,
    outcome: OutcomeName,
    /// The reason, as a stable word.
    #[schema(example = "opted_out_category")]
    reason: String,
    /// The reason, as a sentence.
    sentence: String,
    /// The rules that were applied, in their order.
    steps: Vec<DecisionStep>,
    /// The address, masked.
    #[schema(nullable = false)]
    to_masked: Option<String>,
    /// The time until which the message waits; it is then decided again, or sent in its digest.
    #[schema(nullable = false)]
    until: Option<DateTime<Utc>>,
    /// The digest that the message joins: the id of the event by which it is sent.
    #[schema(nullable = false)]
    digest_id: Option<Uuid>,
    /// The deliveries on earlier channels of a fallback order that the message follows: it is sent unless one of them reaches
    /// the recipient.
    #[schema(nullable = false)]
    after: Option<Vec<Uuid>>,
    /// The resulting delivery, if there is one.
    #[schema(nullable = false)]
    delivery_id: Option<Uuid>,
}

/// A page of events, newest first.
#[derive(ToSchema)]
pub(crate) struct ActivityPage {
    items: Vec<Activity>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The meaning of the text `q`; null without a text, or if no event has it.
    #[schema(required)]
    found_as: Option<FoundAs>,
}

/// An event, with the outcomes for its recipients.
#[derive(ToSchema)]
pub(crate) struct Activity {
    event_id: String,
    source: String,
    /// The event's type.
    r#type: String,
    /// The time of its last decision.
    at: DateTime<Utc>,
    /// `routed`, `scheduled`, `cancelled`, `rejected` or `skipped`.
    #[schema(example = "routed")]
    status: String,
    /// The time until which the event waits; null if it does not.
    #[schema(required)]
    scheduled_for: Option<DateTime<Utc>>,
    /// At most 20; those that the filter found come first.
    #[schema(max_items = 20)]
    outcomes: Vec<ActivityOutcome>,
    /// Whether the event has more outcomes.
    has_more: bool,
}

/// The outcome for a recipient on a channel.
#[derive(ToSchema)]
pub(crate) struct ActivityOutcome {
    /// The time of the decision.
    at: DateTime<Utc>,
    /// The recipient for display.
    recipient: String,
    /// The recipient's id; null for a guest.
    #[schema(required)]
    user_id: Option<String>,
    channel: ChannelName,
    outcome: OutcomeName,
    /// The reason, as a stable word.
    reason: ReasonName,
    /// The reason, as a sentence.
    sentence: String,
    /// The address, masked; null if there is no delivery.
    #[schema(required)]
    to_masked: Option<String>,
    /// The time until which the message waits; null if it does not.
    #[schema(required)]
    until: Option<DateTime<Utc>>,
    /// The resulting delivery; null if there is none.
    #[schema(required)]
    delivery_id: Option<Uuid>,
    /// The present status of the delivery; null if there is none.
    #[schema(required)]
    status: Option<StatusName>,
    /// The error code of the delivery; null if it has none.
    #[schema(required)]
    code: Option<String>,
    /// Why the delivery has this status, as a sentence; null if the status has none.
    #[schema(required)]
    detail: Option<String>,
}

/// A page of decisions, newest first.
#[derive(ToSchema)]
pub(crate) struct DecisionPage {
    items: Vec<ListedDecision>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A decision of a list.
#[derive(ToSchema)]
pub(crate) struct ListedDecision {
    /// The time of the decision.
    at: DateTime<Utc>,
    event_id: String,
    source: String,
    /// The event's type.
    r#type: String,
    category: String,
    /// The recipient for display.
    recipient: String,
    /// The recipient's id; null for a guest.
    #[schema(required)]
    user_id: Option<String>,
    channel: ChannelName,
    outcome: OutcomeName,
    /// The reason, as a stable word.
    reason: ReasonName,
    /// The reason, as a sentence.
    sentence: String,
    /// The address, masked; null if there is no delivery.
    #[schema(required)]
    to_masked: Option<String>,
    /// The time until which the message waits; null if it does not.
    #[schema(required)]
    until: Option<DateTime<Utc>>,
    /// The resulting delivery; null if there is none.
    #[schema(required)]
    delivery_id: Option<Uuid>,
}

/// A rule that was applied.
#[derive(ToSchema)]
pub(crate) struct DecisionStep {
    #[schema(example = "preference")]
    rule: String,
    /// `pass`, `skip`, `stop` or `wait`.
    result: String,
    /// The values that the rule examined.
    inputs: Map<String, Value>,
}

/// The decisions that an event would get.
#[derive(ToSchema)]
pub(crate) struct SimulationDocument {
    event_id: String,
    source: String,
    /// The catalog's name of the event's type.
    r#type: String,
    /// The time of the decisions.
    at: DateTime<Utc>,
    status: SimulationStatusName,
    /// Why it would be skipped: `deleted_row` or `no_recipient`.
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Whether an event of this source and id was accepted before, so that a post of it would send nothing.
    duplicate: bool,
    /// The event as CloudEvents JSON; null if it cannot be masked.
    #[schema(required)]
    event: Option<Map<String, Value>>,
    decisions: Vec<SimulatedDecision>,
    /// The number of messages that were not rendered; at most 100 are rendered.
    messages_left_out: usize,
    /// Whether sensitive values and addresses are masked.
    masked: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum SimulationStatusName {
    Routed,
    Skipped,
}

/// A decision with its message. `delivery_id` is the id that the delivery would have.
#[derive(ToSchema)]
pub(crate) struct SimulatedDecision {
    #[serde(flatten)]
    decision: Decision,
    /// The message that would be sent; null if none would.
    #[schema(required)]
    message: Option<SimulatedMessage>,
}

/// A message that would be sent.
#[derive(ToSchema)]
pub(crate) struct SimulatedMessage {
    /// The template and its locale; null if the message cannot be rendered.
    #[schema(required)]
    template: Option<TemplateUsed>,
    /// The content; null if the message cannot be rendered.
    #[schema(required)]
    content: Option<MessageContent>,
    /// Why it cannot be rendered; null if it can.
    #[schema(required)]
    error: Option<MessageError>,
}

/// Why a message cannot be rendered. The code `masked` means that it can be rendered, but not with masked values.
#[derive(ToSchema)]
pub(crate) struct MessageError {
    code: String,
    detail: String,
}

/// The tenant's API keys.
#[derive(ToSchema)]
pub(crate) struct KeyList {
    items: Vec<KeyInfo>,
    /// Always null: all keys are on one page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An API key without its secret.
#[derive(ToSchema)]
pub(crate) struct KeyInfo {
    id: Uuid,
    name: String,
    role: RoleName,
    created_at: DateTime<Utc>,
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
    /// To the minute.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
}

/// A page of the audit log, newest first.
#[derive(ToSchema)]
pub(crate) struct AuditPage {
    items: Vec<AuditEntry>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An entry of the audit log.
#[derive(ToSchema)]
pub(crate) struct AuditEntry {
    id: Uuid,
    at: DateTime<Utc>,
    /// The API key that was used; nil if a provider's report lifted an opt-out.
    key_id: Uuid,
    /// The key's name, or `START to the provider account …`.
    key_name: String,
    /// `reveal`, `suppress`, `lift`, `import`, `replay`, `edit`, `discard`, `cancel`, `acknowledge`, `pause`, `resume`,
    /// `annotate`, `ignore`, `unignore`, `plan`, `publish` or `revoke`.
    #[schema(example = "reveal")]
    action: String,
    /// The requested path and query, in which addresses of the suppression list are masked; or the path of the job.
    route: String,
}

/// The installation's books.
#[derive(ToSchema)]
pub(crate) struct Stats {
    /// Events that gateways published, and records from elsewhere that routers read.
    acknowledged: u64,
    routed: u64,
    /// Records whose event had come with another record before.
    duplicate: u64,
    /// Records that are not valid events.
    rejected: u64,
    /// Records that lead to no message by design.
    skipped: u64,
    /// Events that were cancelled before they were decided.
    cancelled: u64,
    /// Events that wait until they are due.
    waiting: u64,
    /// Deliveries that were decided to be sent, deferred or collected.
    deliveries_produced: u64,
    /// Deliveries whose state is final.
    ended: u64,
    /// Deliveries whose state is not final yet.
    pending: u64,
    /// The sum of the accepted differences of events.
    accepted_events: i64,
    /// The sum of the accepted differences of deliveries.
    accepted_deliveries: i64,
    /// acknowledged − (routed + duplicate + rejected + skipped + cancelled + waiting) − accepted.
    events_difference: i64,
    /// produced − (ended + pending) − accepted.
    deliveries_difference: i64,
    accepted: Vec<AcceptedDifference>,
}

/// A difference that an operator has accepted.
#[derive(ToSchema)]
pub(crate) struct AcceptedDifference {
    at: DateTime<Utc>,
    /// The operator's name.
    by: String,
    reason: String,
    events: i64,
    deliveries: i64,
}
