//! Dead letters on their way in and out.

use std::sync::Arc;

use carillon_domain::{Channel, DeliveryId, TenantId, Timestamp, dead_letter::DeadLetter, status::Origin};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

/// What became of a dead letter.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DeadLetterState {
    /// Nobody did anything about it yet.
    Open,
    /// It was sent again.
    Replayed,
    /// Somebody gave it up.
    Discarded,
}

/// A dead letter. Its id is `ids::dead_letter_id` of `position`.
#[derive(Debug, Clone)]
pub struct DeadLetterRow {
    /// Where it lies in the dead letter topic.
    pub position: Origin,
    /// Whose.
    pub tenant: TenantId,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// The topic that the record came from.
    pub source_topic: Arc<str>,
    /// What is said about it.
    pub letter: DeadLetter,
    /// What groups letters of one cause.
    pub fingerprint: String,
    /// When it was put into the queue.
    pub dead_at: Timestamp,
    /// The delivery, if the record is one.
    pub delivery_id: Option<DeliveryId>,
    /// The event's type, if the record says one.
    pub event_type: Option<String>,
    /// All headers, in order; values that are not UTF-8 as base64 after `base64:`.
    pub headers: Vec<(String, String)>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's bytes.
    pub value: Vec<u8>,
}

/// Which dead letters; each list is an "or", an empty one lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// State.
    pub state: Vec<DeadLetterState>,
    /// Queue: a channel's name or `events`.
    pub queue: Vec<String>,
    /// Class, by name.
    pub class: Vec<String>,
    /// Provider account.
    pub provider: Vec<String>,
    /// Structured code.
    pub code: Vec<String>,
    /// Fingerprint.
    pub fingerprint: Vec<String>,
    /// Event type.
    pub event_type: Vec<String>,
    /// Died at or after.
    pub from: Option<Timestamp>,
    /// Died before.
    pub to: Option<Timestamp>,
}

/// A dead letter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// Its id.
    pub id: Uuid,
    /// The topic that the record came from.
    pub source_topic: String,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// Why.
    pub class: String,
    /// Which provider account, if one was asked.
    pub provider: Option<String>,
    /// The structured code.
    pub code: String,
    /// What groups letters of one cause.
    pub fingerprint: String,
    /// A sentence for people.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the first one failed.
    pub first_failed_at: Timestamp,
    /// When it was put into the queue.
    pub dead_at: Timestamp,
    /// What became of it.
    pub state: DeadLetterState,
    /// The delivery, if the record is one.
    pub delivery_id: Option<DeliveryId>,
    /// The event's type, if the record says one.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// All headers, in order; they may hold personal data or secrets.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
    /// The record's bytes; they may hold personal data or secrets.
    #[serde(skip)]
    pub value: Vec<u8>,
}

/// Dead letters of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterGroup {
    /// The cause.
    pub fingerprint: String,
    /// Queue: a channel's name or `events`.
    pub queue: String,
    /// Why.
    pub class: String,
    /// Which provider account.
    pub provider: Option<String>,
    /// The structured code.
    pub code: String,
    /// How many are open.
    pub open: u64,
    /// How many there were in all.
    pub total: u64,
    /// The first one's time.
    pub first_at: Timestamp,
    /// The last one's time.
    pub last_at: Timestamp,
    /// One of them, the last.
    pub sample_id: Uuid,
    /// Its sentence.
    pub sample_reason: String,
}
