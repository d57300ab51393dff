//! Identities. Notifications and deliveries have derived ids, so that repeated work gives the same ids: `notification
//! = UUIDv5(tenant, source, event id, recipient)`, `delivery = UUIDv5(notification, channel, contact point or keyed
//! hash of the inline address)`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{channel::Channel, clock::Timestamp};

/// The namespace of all UUIDv5 that Carillon makes. Changing it would change all ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_51c8_90a4_4c8e_8f6b_0b1a_2c9d_4e57);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id in its original spelling.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

text_id!(
    /// A tenant. Each row, key and record belongs to one tenant; an installation for one tenant uses `default`.
    TenantId
);
text_id!(
    /// The id by which the event source knows a user.
    UserId
);
text_id!(
    /// The id of an event, unique within (tenant, source).
    EventId
);
uuid_id!(
    /// A notification: one event for one recipient.
    NotificationId
);
uuid_id!(
    /// A delivery: one notification on one channel to one contact point.
    DeliveryId
);
uuid_id!(
    /// A digest: the messages of a category to one recipient on one channel in one window.
    DigestId
);
uuid_id!(
    /// A contact point: the e-mail address, the phone or one device of a user.
    ContactPointId
);

/// The error of a name that no tenant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a tenant's name of 1 to {} bytes without control characters and without '|'",
    TenantId::MAX_BYTES
)]
pub struct InvalidTenant;

impl TenantId {
    /// The longest name, in bytes, which fits into all indexes of the databases.
    pub const MAX_BYTES: usize = 128;

    /// Checks a name from outside. (`From` checks nothing.) It must not contain `|`, which ends it in record
    /// keys and in the names of counters.
    pub fn parse(name: &str) -> Result<Self, InvalidTenant> {
        let is_foreign = |c: char| c.is_control() || c == '|';
        if name.is_empty() || name.len() > Self::MAX_BYTES || name.chars().any(is_foreign) {
            return Err(InvalidTenant);
        }
        Ok(Self::from(name))
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self::from("default")
    }
}

impl EventId {
    /// A new time-ordered id, for an event that came without one.
    #[must_use]
    pub fn generate() -> Self {
        Self::from(Uuid::now_v7().to_string())
    }

    /// The id of an event without one in a batch with an `Idempotency-Key`: UUIDv5 of tenant, key and position.
    #[must_use]
    pub fn of_item(tenant: &TenantId, key: &str, index: usize) -> Self {
        let index = (index as u64).to_be_bytes();
        let name = name_of(&[b"batch-item", tenant.as_str().as_bytes(), key.as_bytes(), &index]);
        Self::from(name.to_string())
    }

    /// The id of an event without one in a record: UUIDv5 of topic, partition and offset.
    #[must_use]
    pub fn of_record(topic: &str, partition: i32, offset: i64) -> Self {
        let place = [&partition.to_be_bytes()[..], &offset.to_be_bytes()[..]];
        Self::from(name_of(&[b"record", topic.as_bytes(), place[0], place[1]]).to_string())
    }

    /// The id of a change of a database row that a topic reports: UUIDv5 of the topic and the change's position in the
    /// database's log.
    #[must_use]
    pub fn of_change(topic: &str, position: &str) -> Self {
        Self::from(name_of(&[b"change", topic.as_bytes(), position.as_bytes()]).to_string())
    }
}

impl DigestId {
    /// The id of the digest of a category for one recipient on one channel, for the window that ends at a time; `key` is the
    /// value by which its digests are divided. `recipient` is [`crate::Recipient::identity`].
    #[must_use]
    pub fn derive(
        tenant: &TenantId,
        recipient: &str,
        category: &str,
        key: Option<&str>,
        channel: Channel,
        end: Timestamp,
    ) -> Self {
        Self(name_of(&[
            b"digest",
            tenant.as_str().as_bytes(),
            recipient.as_bytes(),
            category.as_bytes(),
            if key.is_some() { b"key" } else { b"" },
            key.unwrap_or_default().as_bytes(),
            channel.as_str().as_bytes(),
            &end.timestamp_micros().to_be_bytes(),
        ]))
    }
}

/// A UUID of several parts. Each part is preceded by its length, so that different lists of parts give different
/// bytes.
fn name_of(parts: &[&[u8]]) -> Uuid {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Uuid::new_v5(&NAMESPACE, &bytes)
}

impl NotificationId {
    /// The id of one event for one recipient; `recipient` is [`crate::Recipient::identity`].
    #[must_use]
    pub fn derive(tenant: &TenantId, source: &str, event: &EventId, recipient: &str) -> Self {
        Self(name_of(&[
            b"notification",
            tenant.as_str().as_bytes(),
            source.as_bytes(),
            event.as_str().as_bytes(),
            recipient.as_bytes(),
        ]))
    }
}

impl DeliveryId {
    /// The delivery that a preview shows. No notification has it.
    pub const SAMPLE: Self = Self(Uuid::from_u128(0x0000_0000_0000_5000_8000_0000_0000_0000));

    /// The id of one notification on one channel to one target; `target` is the contact point's id or the keyed hash
    /// of an inline address.
    #[must_use]
    pub fn derive(notification: NotificationId, channel: Channel, target: &str) -> Self {
        Self(name_of(&[
            b"delivery",
            notification.0.as_bytes(),
            channel.as_str().as_bytes(),
            target.as_bytes(),
        ]))
    }
}

impl ContactPointId {
    /// The id of the user's e-mail address or phone, of which there is one each. It stays when the address changes,
    /// so that messages in progress go to the new address.
    #[must_use]
    pub fn primary(tenant: &TenantId, user: &UserId, channel: Channel) -> Self {
        Self(name_of(&[
            b"contact",
            tenant.as_str().as_bytes(),
            user.as_str().as_bytes(),
            channel.as_str().as_bytes(),
        ]))
    }

    /// The id of an endpoint of the user, derived from its name. It stays when the URL changes, so that messages in progress
    /// go to the new URL.
    #[must_use]
    pub fn endpoint(tenant: &TenantId, user: &UserId, name: &str) -> Self {
        Self(name_of(&[
            b"endpoint",
            tenant.as_str().as_bytes(),
            user.as_str().as_bytes(),
            name.as_bytes(),
        ]))
    }

    /// The id of a device of the user, derived from its token.
    #[must_use]
    pub fn device(tenant: &TenantId, user: &UserId, token: &str) -> Self {
        Self(name_of(&[
            b"device",
            tenant.as_str().as_bytes(),
            user.as_str().as_bytes(),
            token.as_bytes(),
        ]))
    }
}

/// The id of a dead letter, derived from its position: `UUIDv5(topic, partition, offset)`.
#[must_use]
pub fn dead_letter_id(topic: &str, partition: i32, offset: i64) -> Uuid {
    name_of(&[
        b"dead-letter",
        topic.as_bytes(),
        &partition.to_be_bytes(),
        &offset.to_be_bytes(),
    ])
}

/// The id of a notification's part in a digest; `former` is the release with which it came, if it has waited before.
pub(crate) fn member_id(digest: DigestId, notification: NotificationId, former: Option<Uuid>) -> Uuid {
    name_of(&[
        b"digest-member",
        digest.0.as_bytes(),
        notification.0.as_bytes(),
        former.as_ref().map_or(&[][..], |former| former.as_bytes()),
    ])
}

/// The id of a notification's deliveries on a channel that wait for earlier channels; `former` is the release with which they
/// came, if they have waited before.
pub(crate) fn fallback_id(notification: NotificationId, channel: Channel, former: Option<Uuid>) -> Uuid {
    name_of(&[
        b"fallback",
        notification.0.as_bytes(),
        channel.as_str().as_bytes(),
        former.as_ref().map_or(&[][..], |former| former.as_bytes()),
    ])
}

/// The id of an event that waits (`due` is `None`), or of some of its deliveries that wait until a time.
pub(crate) fn waiting_id(
    tenant: &TenantId,
    source: &str,
    event: &EventId,
    former: Option<Uuid>,
    due: Option<Timestamp>,
) -> Uuid {
    let due = due.map(|due| due.timestamp_micros().to_be_bytes());
    name_of(&[
        b"waiting",
        tenant.as_str().as_bytes(),
        source.as_bytes(),
        event.as_str().as_bytes(),
        former.as_ref().map_or(&[][..], |former| former.as_bytes()),
        due.as_ref().map_or(&[][..], |due| due),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_name_and_a_moved_boundary_gives_another() {
        let tenant = TenantId::default();
        let a = NotificationId::derive(&tenant, "/shop", &EventId::from("1"), "user:u-1");
        assert_eq!(
            a,
            NotificationId::derive(&tenant, "/shop", &EventId::from("1"), "user:u-1")
        );
        assert_ne!(
            a,
            NotificationId::derive(&tenant, "/shop1", &EventId::from(""), "user:u-1")
        );
    }

    #[test]
    fn a_tenant_has_a_name_that_headers_and_indexes_can_carry() {
        for name in ["default", "é", &"t".repeat(128)] {
            assert_eq!(TenantId::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "a\nb", "a\0", "a|b", &"t".repeat(129)] {
            assert_eq!(TenantId::parse(name), Err(InvalidTenant), "{name:?}");
        }
    }

    #[test]
    fn identities_are_frozen() {
        let id = NotificationId::derive(&TenantId::default(), "/", &EventId::from("e"), "user:u");
        let delivery = DeliveryId::derive(id, Channel::Email, "x");
        assert_eq!(id.to_string(), "e4bc9985-a247-5fe0-a8a8-9c6750f5e71b");
        assert_eq!(delivery.to_string(), "3875df26-0df5-5cb9-8fa1-594d27365355");
        assert_ne!(delivery, DeliveryId::derive(id, Channel::Sms, "x"));
        assert_eq!(delivery.0.get_version_num(), 5);
    }
}
