//! Entries of the suppression list, and the requests to write them.

use std::sync::Arc;

use carillon_domain::{
    Channel, DeliveryId, TenantId, Timestamp,
    contact::AddressHash,
    suppression::{Suppression, SuppressionReason},
};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{columns, error::StoreError};

/// An entry of the suppression list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuppressionView {
    /// The channel on which the address takes no messages.
    pub channel: Channel,
    /// The address, masked; `None` after the user that had it was erased.
    pub address_masked: Option<String>,
    /// Why the address takes no messages.
    pub reason: SuppressionReason,
    /// The provider account whose answer is the cause, also of an entry that a person wrote over a provider's verdict.
    pub provider: Option<String>,
    /// The provider's structured code.
    pub code: Option<String>,
    /// The delivery that caused it.
    pub delivery_id: Option<DeliveryId>,
    /// The name of the API key with which a person gave the entry its reason.
    pub actor: Option<String>,
    /// A person's note.
    pub note: Option<String>,
    /// The time since which the address takes no messages.
    pub created_at: Timestamp,
    /// The time at which the entry stops counting.
    pub expires_at: Option<Timestamp>,
}

/// A provider's refusal of an address, which puts the address on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// The tenant.
    pub tenant: TenantId,
    /// The channel of the address.
    pub channel: Channel,
    /// The address to which the message was sent.
    pub address_hash: AddressHash,
    /// The address, masked for display.
    pub masked: String,
    /// The reason that follows from the refusal.
    pub reason: SuppressionReason,
    /// The provider's structured code.
    pub code: String,
    /// The provider account that refused it.
    pub provider: Arc<str>,
    /// The delivery that was refused.
    pub delivery_id: DeliveryId,
    /// The time at which the message was sent. An address that was registered or lifted since then is not struck.
    pub seen_at: Timestamp,
}

/// A request's change of an optional field of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field stays as it is.
    #[default]
    Keep,
    /// The field gets this value, or none.
    Set(Option<T>),
}

impl<T> Change<T> {
    /// The change with another type of value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Set(value) => Change::Set(value.map(f)),
        }
    }

    /// The value that is written, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Keep => None,
            Self::Set(value) => value.as_ref(),
        }
    }

    /// The field after the change.
    pub(crate) fn of(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Keep => present,
            Self::Set(value) => value,
        }
    }
}

/// Reads a field that is present; null removes its value. For an absent field, the containing type has to use the
/// default, [`Change::Keep`].
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Set)
    }
}

/// An entry as a person writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuppressionPut {
    /// A note for other people.
    pub note: Change<String>,
    /// The time at which the entry stops counting; without it, never.
    pub expires_at: Change<Timestamp>,
}

/// A line of a file. The caller has checked the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The channel.
    pub channel: Channel,
    /// The address.
    pub address: String,
    /// The reason.
    pub reason: SuppressionReason,
    /// A note for other people.
    pub note: Option<String>,
    /// The time at which the entry stops counting; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Conditions on a list of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuppressionFilter {
    /// Any of these channels; empty: all.
    pub channels: Vec<Channel>,
    /// Any of these reasons; empty: all.
    pub reasons: Vec<SuppressionReason>,
}

/// A row of the table.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) address_hash: Uuid,
    channel: String,
    reason: String,
    masked: Option<String>,
    pub(super) note: Option<String>,
    provider: Option<String>,
    code: Option<String>,
    delivery_id: Option<Uuid>,
    pub(super) actor: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) version: i64,
}

/// Whether an entry that ends at this time still counts.
pub(crate) fn counts(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_none_or(|expires_at| expires_at > now)
}

/// The stored name of a reason.
pub(crate) fn reason(text: &str) -> Result<SuppressionReason, StoreError> {
    columns::parse(text, "why an address is suppressed")
}

impl Row {
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        counts(self.expires_at, now)
    }

    pub(super) fn reason(&self) -> Result<SuppressionReason, StoreError> {
        reason(&self.reason)
    }

    pub(super) fn view(self) -> Result<SuppressionView, StoreError> {
        Ok(SuppressionView {
            channel: columns::parse(&self.channel, "a channel")?,
            reason: self.reason()?,
            address_masked: self.masked,
            provider: self.provider,
            code: self.code,
            delivery_id: self.delivery_id.map(DeliveryId),
            actor: self.actor,
            note: self.note,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// The columns that a decision needs.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Short {
    pub(super) address_hash: Uuid,
    reason: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl Short {
    /// The entry, if it still counts.
    pub(super) fn suppression(&self, now: Timestamp) -> Result<Option<Suppression>, StoreError> {
        if !counts(self.expires_at, now) {
            return Ok(None);
        }
        Ok(Some(Suppression {
            reason: reason(&self.reason)?,
            since: self.created_at,
        }))
    }
}
