//! Rows of dead letters as they are written, and views as they are read.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, TenantId, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    status::Origin,
};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

/// The state of a dead letter.
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
    /// It has been neither replayed nor discarded.
    Open,
    /// It was sent again.
    Replayed,
    /// It was given up.
    Discarded,
}

/// A dead letter. Its id is `ids::dead_letter_id` of `position`.
#[derive(Debug, Clone)]
pub struct DeadLetterRow {
    /// The position in the dead letter topic.
    pub position: Origin,
    /// The tenant.
    pub tenant: TenantId,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// The topic that the record came from.
    pub source_topic: Arc<str>,
    /// The description of the failure.
    pub letter: DeadLetter,
    /// The same for all letters with the same cause.
    pub fingerprint: String,
    /// The time at which it was put into the queue.
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

/// Conditions on dead letters. A list matches if any of its values does; an empty list always matches.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// State.
    pub state: Vec<DeadLetterState>,
    /// Queue: of a channel, or `None` for the queue of events.
    pub queue: Vec<Option<Channel>>,
    /// Class.
    pub class: Vec<FailureClass>,
    /// Provider account.
    pub provider: Vec<String>,
    /// Structured code.
    pub code: Vec<String>,
    /// Fingerprint.
    pub fingerprint: Vec<String>,
    /// Event type.
    pub event_type: Vec<String>,
    /// Earliest time of death.
    pub from: Option<Timestamp>,
    /// Time of death before this.
    pub to: Option<Timestamp>,
}

/// A dead letter as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// Its id.
    pub id: Uuid,
    /// The topic that the record came from.
    pub source_topic: String,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// The class of the error.
    pub class: String,
    /// The provider account, if one was asked.
    pub provider: Option<String>,
    /// The structured code.
    pub code: String,
    /// The same for all letters with the same cause.
    pub fingerprint: String,
    /// The reason as a sentence.
    pub reason: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The time at which the first attempt failed.
    pub first_failed_at: Timestamp,
    /// The time at which it was put into the queue.
    pub dead_at: Timestamp,
    /// Its state.
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

/// Dead letters with the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterGroup {
    /// The fingerprint of the cause.
    pub fingerprint: String,
    /// Queue: a channel's name or `events`.
    pub queue: String,
    /// The class of the error.
    pub class: String,
    /// The provider account.
    pub provider: Option<String>,
    /// The structured code.
    pub code: String,
    /// The number of open letters.
    pub open: u64,
    /// The number of all letters.
    pub total: u64,
    /// The time of the first letter.
    pub first_at: Timestamp,
    /// The time of the last letter.
    pub last_at: Timestamp,
    /// The id of the last letter.
    pub sample_id: Uuid,
    /// The reason of that letter.
    pub sample_reason: String,
}
