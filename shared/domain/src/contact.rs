//! Addresses: the rule for valid ones, which gateway, router and workers share, and their masking.

mod email;
mod endpoint;

pub use email::EmailAddress;
pub use endpoint::{SECRETS_AT_ONCE, SigningSecret, SigningSecretError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    channel::Channel,
    field_error::{FieldError, quoted},
    ids::ContactPointId,
    text::is_ignorable,
};

/// The operating system of a device.
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
    /// Android.
    Android,
    /// iOS and iPadOS.
    Ios,
    /// A browser.
    Web,
}

impl Platform {
    /// All platforms.
    pub const ALL: [Self; 3] = [Self::Android, Self::Ios, Self::Web];
}

/// The reason of a provider's refusal of an address, which holds for further messages too.
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
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeathReason {
    /// The address does not exist, or receives no messages of this kind.
    Gone,
    /// Its owner has told the provider to stop (STOP to a text message).
    OptedOut,
}

/// An address of a user on a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactPoint {
    /// A stable id. Deliveries refer to it, and the address is looked up when the message is sent.
    pub id: ContactPointId,
    /// The channel that it serves.
    pub channel: Channel,
    /// E-mail address, E.164 phone number, device token, or the URL of an endpoint.
    pub address: String,
    /// The platform of a device, for push.
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

/// The destination of a delivery: a contact point of a known user, or an address from the event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// A contact point, whose address is looked up when the message is sent.
    ContactPoint {
        /// The contact point.
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

/// The keyed hash of an address on a channel: the first 16 bytes of an HMAC-SHA256. Without the key it does not reveal
/// the address. It names a guest in identities, and every address in the suppression list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressHash(pub Uuid);

impl std::fmt::Display for AddressHash {
    /// 32 hex digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0.simple(), f)
    }
}

/// The key with which addresses are hashed.
#[derive(Clone)]
pub struct AddressKey([u8; 32]);

impl std::fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

impl AddressKey {
    /// A key of 32 secret bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The keyed hash of the normalised address on the channel.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn hash(&self, channel: Channel, address: &str) -> AddressHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(channel.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(normalise(channel, address).as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        AddressHash(Uuid::from_bytes(first))
    }

    /// Derives a key for another purpose. The derived key does not reveal this one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        // The input of an address's hash begins with a channel's name, and no channel is named `purpose`. A derived key
        // therefore never equals the hash of an address.
        mac.update(b"purpose\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The form in which two spellings of one address are equal.
#[must_use]
pub fn normalise(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => match EmailAddress::parse(address) {
            Ok(address) => address.normal(),
            Err(_) => address.trim().to_lowercase(),
        },
        Channel::Webhook => endpoint::normal(address),
        // E.164 numbers and device tokens have only one spelling.
        Channel::Sms | Channel::Push => address.to_owned(),
    }
}

/// The reason for which a text is not an address. The sentences name the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An invisible character, or one that controls the characters around it.
    #[error("expected no invisible character: it contains U+{:04X}", u32::from(*.0))]
    Invisible(char),
    /// A space, a tab or a no-break space.
    #[error("expected no white space: it contains U+{:04X}", u32::from(*.0))]
    WhiteSpace(char),
    /// `Ada <ada@example.com>`.
    #[error(
        "expected an e-mail address alone, such as ada@example.com, without display name and angle brackets"
    )]
    DisplayName,
    /// `"two words"@example.com`.
    #[error("expected an e-mail address without quotes, such as ada@example.com")]
    Quoted,
    /// `a@[127.0.0.1]`.
    #[error("expected an e-mail address with a domain name after the @, not an address literal in brackets")]
    Literal,
    /// No `@`, or an empty side of it.
    #[error("expected an e-mail address, such as ada@example.com")]
    Parts,
    /// A character that is not allowed in the local part.
    #[error("expected no character {} before the @ of an e-mail address", quoted(.0))]
    LocalCharacter(char),
    /// A dot at the beginning, at the end or beside another one, in the local part.
    #[error("expected single dots between letters or digits before the @ of an e-mail address")]
    LocalDots,
    /// The local part is too long.
    #[error("expected at most 64 octets before the @ of an e-mail address")]
    LocalLength,
    /// The domain is not a domain name.
    #[error(
        "expected a domain name after the @ of an e-mail address: labels of 1 to 63 letters, digits and inner hyphens, \
         as example.com has, without a dot at the end"
    )]
    Domain,
    /// A single label, or an IP address.
    #[error("expected a full domain name after the @ of an e-mail address, such as example.com")]
    DomainNotFull,
    /// The whole address is too long.
    #[error("expected an e-mail address of at most 254 octets, its domain written in ASCII (punycode)")]
    Length,
    /// The phone number is not in E.164 form.
    #[error(
        "expected a phone number in E.164 form, such as +4915112345678: + and 7 to 15 digits, without spaces, hyphens \
         or brackets"
    )]
    Phone,
    /// The text is not a registration token.
    #[error("expected a registration token: 1 to 4096 visible ASCII characters")]
    Token,
    /// The text is not the URL of an endpoint.
    #[error(
        "expected an absolute https URL of at most {} visible ASCII characters, such as https://hooks.example.com/carillon, \
         without user, password and fragment",
        endpoint::MAX_URL
    )]
    Endpoint,
}

/// Checks that the text is an address of the channel.
pub fn check(channel: Channel, address: &str) -> Result<(), AddressError> {
    match channel {
        Channel::Email => EmailAddress::parse(address).map(drop),
        Channel::Sms => {
            visible(address)?;
            let digits = address.strip_prefix('+').unwrap_or("");
            let is_e164 = (7..=15).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.starts_with('0');
            if is_e164 { Ok(()) } else { Err(AddressError::Phone) }
        }
        Channel::Webhook => endpoint::check(address),
        Channel::Push => {
            let is_token =
                (1..=4096).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_graphic());
            if is_token {
                Ok(())
            } else {
                Err(AddressError::Token)
            }
        }
    }
}

/// Checks the address of a field. The error names the expected form and the masked value.
pub fn check_field(channel: Channel, address: &str, pointer: &str, errors: &mut Vec<FieldError>) {
    if address.contains('…') {
        let message = "expected the whole address; this is the masked form in which addresses are shown";
        errors.push(FieldError::new(pointer, "masked", message));
    } else if let Err(error) = check(channel, address) {
        let shown = if address.is_empty() {
            String::new()
        } else {
            mask(channel, address)
        };
        let message = format!("{error}; got {}", quoted(&shown));
        errors.push(FieldError::new(pointer, "format", message));
    }
}

/// Refuses characters that are invisible to a reader of the address.
fn visible(address: &str) -> Result<(), AddressError> {
    for c in address.chars() {
        if c.is_whitespace() {
            return Err(AddressError::WhiteSpace(c));
        }
        if c.is_control() || is_ignorable(c) {
            return Err(AddressError::Invisible(c));
        }
    }
    Ok(())
}

/// An address, masked for display: `a…@example.com`, `+49…89`, `…3f9c`, `https://hooks.example.com/…`. Paths and queries of
/// endpoints are often secret. A device's token shows its end, because the
/// ends differ between a user's devices: a third of the token, at most four characters.
#[must_use]
pub fn mask(channel: Channel, address: &str) -> String {
    let chars: Vec<char> = address.chars().collect();
    match channel {
        Channel::Email => match address.rsplit_once('@') {
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
        Channel::Webhook => endpoint::mask(address),
        Channel::Push => {
            let shown = (chars.len() / 3).min(4);
            format!("…{}", chars[chars.len() - shown..].iter().collect::<String>())
        }
        Channel::Sms => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_by_channel() {
        assert_eq!(check(Channel::Email, "ada@example.com"), Ok(()));
        assert_eq!(check(Channel::Sms, "+4915112345678"), Ok(()));
        assert_eq!(check(Channel::Push, "a:b-c_d"), Ok(()));
        assert_eq!(check(Channel::Push, "a b"), Err(AddressError::Token));
        assert_eq!(check(Channel::Push, "a\u{200b}b"), Err(AddressError::Token));
        assert_eq!(check(Channel::Push, ""), Err(AddressError::Token));
    }

    #[test]
    fn a_phone_number_is_e164_without_separators_and_invisible_characters() {
        for (number, expected) in [
            ("015112345678", AddressError::Phone),
            ("+49-151-12345678", AddressError::Phone),
            ("+49(151)12345678", AddressError::Phone),
            ("+0915112345678", AddressError::Phone),
            ("+49151١٢٣٤٥٦٧٨", AddressError::Phone),
            ("+", AddressError::Phone),
            ("+49 151 12345678", AddressError::WhiteSpace(' ')),
            ("+4915112345678\u{a0}", AddressError::WhiteSpace('\u{a0}')),
            (
                "\u{202a}+4915112345678\u{202c}",
                AddressError::Invisible('\u{202a}'),
            ),
            ("+4915112345678\u{200b}", AddressError::Invisible('\u{200b}')),
            ("+4915112345678\0", AddressError::Invisible('\0')),
        ] {
            assert_eq!(check(Channel::Sms, number), Err(expected), "{number:?}");
        }
    }

    #[test]
    fn an_error_of_a_field_names_the_expected_value_and_shows_the_given_one_masked() {
        let mut errors = Vec::new();
        check_field(
            Channel::Email,
            "Ada L <ada@example.com>",
            "/recipients/0/email",
            &mut errors,
        );
        check_field(Channel::Email, &"x".repeat(10_000), "/email", &mut errors);
        check_field(
            Channel::Email,
            &format!("a@{}", "x".repeat(10_000)),
            "/email",
            &mut errors,
        );
        assert_eq!(errors[0].pointer, "/recipients/0/email");
        assert_eq!(errors[0].code, "format");
        assert_eq!(
            errors[0].message,
            "expected an e-mail address alone, such as ada@example.com, without display name and angle brackets; \
             got \"A…@example.com>\""
        );
        assert!(errors.iter().all(|error| error.message.len() < 400));
    }

    #[test]
    fn two_spellings_of_an_address_have_one_hash_and_channels_do_not_share_it() {
        let key = AddressKey::new([7; 32]);
        for (one, other) in [
            ("Ada@Example.com", "ada@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@bu\u{308}cher.example"),
            ("jo\u{308}rg@example.com", "JÖRG@example.com"),
        ] {
            assert_eq!(
                key.hash(Channel::Email, one),
                key.hash(Channel::Email, other),
                "{one}"
            );
        }
        assert_ne!(key.hash(Channel::Email, "x"), key.hash(Channel::Push, "x"));
        assert_ne!(
            key.hash(Channel::Email, "x"),
            AddressKey::new([8; 32]).hash(Channel::Email, "x")
        );
    }

    #[test]
    fn the_hash_of_an_address_is_frozen() {
        let hash = AddressKey::new([7; 32]).hash(Channel::Email, "ada@example.com");
        assert_eq!(hash.to_string(), "88d1a33fdfe037beb47fc3648e70db98");
    }

    #[test]
    fn a_masked_address_does_not_give_the_address_away() {
        assert_eq!(mask(Channel::Email, "ada@example.com"), "a…@example.com");
        assert_eq!(mask(Channel::Sms, "+4915112345678"), "+49…78");
    }

    #[test]
    fn masked_tokens_of_devices_differ_and_show_four_characters_at_most() {
        assert_eq!(mask(Channel::Push, "dGhpcyBpcyBhIHRva2VuIDNmOWM"), "…mOWM");
        assert_eq!(mask(Channel::Push, "ios-1"), "…1");
        assert_eq!(mask(Channel::Push, "phone-12"), "…12");
        assert_eq!(mask(Channel::Push, "ab"), "…");
    }
}
