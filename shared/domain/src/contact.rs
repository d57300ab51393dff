//! Addresses, and how they are hidden.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

use crate::{channel::Channel, ids::ContactPointId};

/// What a device runs.
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
pub enum Platform {
    /// Android, through FCM.
    Android,
    /// iOS and iPadOS.
    Ios,
    /// A browser.
    Web,
}

/// One address of a user on one channel.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactPoint {
    /// Stable name; a delivery refers to it and the address is looked up when it is sent.
    pub id: ContactPointId,
    /// The channel that it serves.
    pub channel: Channel,
    /// E-mail address, E.164 phone number, or device token.
    pub address: String,
    /// For push.
    pub platform: Option<Platform>,
}

impl std::fmt::Debug for ContactPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContactPoint")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("address", &mask(self.channel, &self.address))
            .finish_non_exhaustive()
    }
}

/// Where a delivery goes: a contact point of a known user, or an address that the event itself carried.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// Looked up when it is sent.
    ContactPoint {
        /// Which one.
        id: ContactPointId,
    },
    /// A guest's address.
    Inline {
        /// E-mail address or E.164 phone number.
        address: String,
    },
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ContactPoint { id } => f.debug_struct("ContactPoint").field("id", id).finish(),
            Self::Inline { .. } => f.write_str("Inline(…)"),
        }
    }
}

/// The key with which inline addresses are hashed before they become part of an identity.
#[derive(Clone)]
pub struct AddressKey([u8; 32]);

impl std::fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

impl AddressKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// HMAC-SHA256 of the normalised address, as 32 hex digits. Nobody without the key can tell whose it is.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn hash(&self, channel: Channel, address: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(channel.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(normalise(channel, address).as_bytes());
        mac.finalize().into_bytes()[..16]
            .iter()
            .fold(String::with_capacity(32), |mut hex, byte| {
                use std::fmt::Write as _;
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }
}

/// The form in which two spellings of one address are equal.
#[must_use]
pub fn normalise(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => address.trim().to_lowercase(),
        Channel::Sms => address
            .chars()
            .filter(|c| *c == '+' || c.is_ascii_digit())
            .collect(),
        Channel::Push => address.to_owned(),
    }
}

/// Whether the text is an address of the channel.
#[must_use]
pub fn is_valid(channel: Channel, address: &str) -> bool {
    match channel {
        Channel::Email => {
            address.len() <= 254
                && !address.chars().any(char::is_control)
                && email_address::EmailAddress::is_valid(address)
        }
        Channel::Sms => {
            let digits = address.strip_prefix('+').unwrap_or("");
            (7..=15).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.starts_with('0')
        }
        Channel::Push => {
            !address.is_empty() && address.len() <= 4096 && address.bytes().all(|b| b.is_ascii_graphic())
        }
    }
}

/// An address as a dashboard may show it: `a…e@example.com`, `+49…89`, `dGhp…`.
#[must_use]
pub fn mask(channel: Channel, address: &str) -> String {
    let chars: Vec<char> = address.chars().collect();
    match channel {
        Channel::Email => match address.split_once('@') {
            Some((local, domain)) => {
                let first: String = local.chars().take(1).collect();
                format!("{first}…@{domain}")
            }
            None => "…".to_owned(),
        },
        Channel::Sms if chars.len() > 6 => {
            format!(
                "{}…{}",
                chars[..3].iter().collect::<String>(),
                chars[chars.len() - 2..].iter().collect::<String>()
            )
        }
        Channel::Push if chars.len() > 8 => format!("{}…", chars[..4].iter().collect::<String>()),
        Channel::Sms | Channel::Push => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_by_channel() {
        assert!(is_valid(Channel::Email, "ada@example.com"));
        assert!(!is_valid(Channel::Email, "ada@exa\r\nmple.com"));
        assert!(!is_valid(Channel::Email, "ada"));
        assert!(is_valid(Channel::Sms, "+4915112345678"));
        assert!(!is_valid(Channel::Sms, "015112345678"));
        assert!(!is_valid(Channel::Push, "a b"));
    }

    #[test]
    fn two_spellings_of_an_address_have_one_hash_and_channels_do_not_share_it() {
        let key = AddressKey::new([7; 32]);
        assert_eq!(
            key.hash(Channel::Email, "Ada@Example.com "),
            key.hash(Channel::Email, "ada@example.com")
        );
        assert_ne!(key.hash(Channel::Email, "x"), key.hash(Channel::Push, "x"));
        assert_ne!(
            key.hash(Channel::Email, "x"),
            AddressKey::new([8; 32]).hash(Channel::Email, "x")
        );
    }

    #[test]
    fn a_masked_address_does_not_give_the_address_away() {
        assert_eq!(mask(Channel::Email, "ada@example.com"), "a…@example.com");
        assert_eq!(mask(Channel::Sms, "+4915112345678"), "+49…78");
        assert_eq!(mask(Channel::Push, "tiny"), "…");
    }
}
