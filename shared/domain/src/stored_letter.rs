//! A stored dead letter and the event in it, as a replay examines them before it puts the letter back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    channel::Channel,
    clock::Timestamp,
    ids::{EventId, TenantId},
    status::Origin,
};

/// A dead letter as it is stored, with its record.
#[derive(Debug, Clone, Copy)]
pub struct StoredLetter<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The channel whose queue it is in; `None` for the queue of events.
    pub channel: Option<Channel>,
    /// The topic that the record came from.
    pub source_topic: &'a str,
    /// The headers of the dead letter; values that are not text are in base64 after `base64:`.
    pub headers: &'a [(String, String)],
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's bytes.
    pub value: &'a [u8],
}

/// The identity of an event whose record was rejected, and the position of that record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedEvent {
    /// The event's id.
    pub event_id: EventId,
    /// The event's source.
    pub source: Arc<str>,
    /// The rejected record.
    pub origin: Origin,
}

/// The first record of an event that was put back. Attributes that the event lacks are derived from it, so that the event
/// has the same id however often it is put back, and a record that is published twice is a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRecord {
    /// Its position.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its time.
    pub at: Timestamp,
}
