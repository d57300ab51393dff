//! Rows of dead letters as they are written, and views as they are read.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, TenantId, Timestamp,
    dead_letter::{DeadLetter, FailureClass, LetterVerdict, REPLAY_HEADER},
    status::Origin,
    stored_letter::StoredLetter,
};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::page::Cursor;

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

impl From<LetterVerdict> for DeadLetterState {
    fn from(verdict: LetterVerdict) -> Self {
        match verdict {
            LetterVerdict::Replayed => Self::Replayed,
            LetterVerdict::Discarded => Self::Discarded,
        }
    }
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

impl DeadLetterRow {
    /// The job that had put the record back, by its header.
    pub(crate) fn replay_job(&self) -> Option<Uuid> {
        let header = self.headers.iter().rev().find(|(name, _)| name == REPLAY_HEADER);
        header?.1.parse().ok()
    }
}

/// Conditions on dead letters. A list matches if any of its values does; an empty list always matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetterFilter {
    /// Ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<Uuid>,
    /// State.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<DeadLetterState>,
    /// Queue: of a channel, or `None` for the queue of events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Option<Channel>>,
    /// Class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class: Vec<FailureClass>,
    /// Provider account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provider: Vec<String>,
    /// Structured code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<String>,
    /// Fingerprint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fingerprint: Vec<String>,
    /// Fingerprints of which no letter matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Event type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_type: Vec<String>,
    /// The job that had put their records back before they died again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replayed_by: Vec<Uuid>,
    /// Earliest time of death.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Time of death before this.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// A dead letter with its record, as a job works it off.
#[derive(Debug, Clone)]
pub struct LetterRecord {
    /// Its id.
    pub id: Uuid,
    /// The time at which it was put into the queue.
    pub dead_at: Timestamp,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// The topic that the record came from.
    pub source_topic: String,
    /// All headers, in order.
    pub headers: Vec<(String, String)>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's bytes.
    pub value: Vec<u8>,
}

impl LetterRecord {
    /// The letter as a replay reads it.
    #[must_use]
    pub fn stored<'a>(&'a self, tenant: &'a TenantId) -> StoredLetter<'a> {
        StoredLetter {
            tenant,
            channel: self.channel,
            source_topic: &self.source_topic,
            headers: &self.headers,
            key: self.key.as_deref(),
            value: &self.value,
        }
    }
}

/// The next letters of a job, oldest first.
#[derive(Debug)]
pub struct LetterBatch {
    /// The letters.
    pub letters: Vec<LetterRecord>,
    /// The position of the last letter, after which the next batch begins; `None` if there are none.
    pub end: Option<Cursor>,
    /// Whether there are letters after these.
    pub has_more: bool,
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
    /// The number of those that died again after a job had put them back.
    pub again: u64,
    /// The number of all letters.
    pub total: u64,
    /// The number of letters that died within the last hour.
    pub last_hour: u64,
    /// The number of letters that died within the last 24 hours.
    pub last_day: u64,
    /// The time of the first letter.
    pub first_at: Timestamp,
    /// The time of the last letter.
    pub last_at: Timestamp,
    /// The id of the last letter.
    pub sample_id: Uuid,
    /// The reason of that letter.
    pub sample_reason: String,
    /// The event's type of that letter, if its record says one.
    pub sample_type: Option<String>,
}
