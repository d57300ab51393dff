//! The reference that a provider keeps with a message and returns with its receipts. It names the attempt, so a receipt
//! is recorded without a search. It is signed, so a receipt can concern only the delivery for which the message was
//! sent.
//!
//! Its form is base64url without padding over: version (1 byte), the time at which the bus took the event
//! (microseconds, 8 bytes), the delivery (16), generation (4), attempt (4), the length of the tenant's name (1), the
//! name, the event's id, and the first 16 bytes of an HMAC-SHA256 over all before. Numbers are big-endian. Its usual
//! length is about 125 characters, and its greatest is 582.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use carillon_domain::{DeliveryId, EventId, TenantId, Timestamp, contact::AddressKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// The version of the form.
const VERSION: u8 = 1;
/// The length of the parts before the tenant's name.
const FIXED: usize = 34;
/// The length of the signature.
const SIGNATURE: usize = 16;

/// The time after which a reference is not accepted any more. Mails are opened and complained about for weeks; the timelines
/// of older deliveries are deleted by then (`database.history_retention`).
pub const REFERENCE_LIFETIME: Duration = Duration::from_hours(90 * 24);

/// The attempt to which a message belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The tenant.
    pub tenant: TenantId,
    /// The event, whose id chooses the partition of the status topic.
    pub event_id: EventId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The time at which the bus took the event.
    pub accepted_at: Timestamp,
    /// The delivery's generation.
    pub generation: u32,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

/// Why a reference is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// It is malformed.
    #[error("the reference is malformed")]
    Malformed,
    /// It was not signed with this key.
    #[error("the reference has another signature")]
    Forged,
    /// It is older than [`REFERENCE_LIFETIME`].
    #[error("the reference has expired")]
    Expired,
}

impl BadReference {
    /// The reason's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "reference-malformed",
            Self::Forged => "reference-forged",
            Self::Expired => "reference-expired",
        }
    }
}

/// The key with which an installation signs its references. Clones share it.
#[derive(Clone)]
pub struct ReferenceKey(Arc<Hmac<Sha256>>);

impl std::fmt::Debug for ReferenceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReferenceKey(…)")
    }
}

impl ReferenceKey {
    /// Derives the key from an installation's secret.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn of(secret: &AddressKey) -> Self {
        let key = secret.derive("references of receipts");
        Self(Arc::new(
            Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
        ))
    }

    /// The reference as signed text of letters, digits, `-` and `_`.
    #[must_use]
    pub fn sign(&self, reference: &Reference) -> String {
        let (tenant, event) = (reference.tenant.as_str(), reference.event_id.as_str());
        let mut bytes = Vec::with_capacity(FIXED + tenant.len() + event.len() + SIGNATURE);
        bytes.push(VERSION);
        bytes.extend(reference.accepted_at.timestamp_micros().to_be_bytes());
        bytes.extend(reference.delivery_id.0.as_bytes());
        bytes.extend(reference.generation.to_be_bytes());
        bytes.extend(reference.attempt.to_be_bytes());
        // The length fits into a byte, because `TenantId::MAX_BYTES` is 128.
        bytes.push(u8::try_from(tenant.len()).unwrap_or(u8::MAX));
        bytes.extend(tenant.as_bytes());
        bytes.extend(event.as_bytes());
        let mut mac = Hmac::clone(&self.0);
        mac.update(&bytes);
        bytes.extend(&mac.finalize().into_bytes()[..SIGNATURE]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies a text made by [`ReferenceKey::sign`], and returns the attempt that it names.
    pub fn open(&self, text: &str, now: Timestamp) -> Result<Reference, BadReference> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| BadReference::Malformed)?;
        let signed = bytes.len().checked_sub(SIGNATURE);
        let (signed, signature) = bytes.split_at(
            signed
                .filter(|length| *length > FIXED)
                .ok_or(BadReference::Malformed)?,
        );
        let mut mac = Hmac::clone(&self.0);
        mac.update(signed);
        mac.verify_truncated_left(signature)
            .map_err(|_| BadReference::Forged)?;
        let reference = read(signed).ok_or(BadReference::Malformed)?;
        if now
            .signed_duration_since(reference.accepted_at)
            .to_std()
            .is_ok_and(|age| age > REFERENCE_LIFETIME)
        {
            return Err(BadReference::Expired);
        }
        Ok(reference)
    }
}

/// Reads the signed bytes.
fn read(signed: &[u8]) -> Option<Reference> {
    let (version, rest) = signed.split_first()?;
    let (accepted_at, rest) = rest.split_first_chunk()?;
    let (delivery, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (attempt, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let (tenant, event) = rest.split_at_checked(usize::from(*length))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    (*version == VERSION).then_some(())?;
    Some(Reference {
        tenant: TenantId::parse(&text(tenant)?).ok()?,
        event_id: EventId::from(text(event)?),
        delivery_id: DeliveryId(Uuid::from_bytes(*delivery)),
        accepted_at: Timestamp::from_timestamp_micros(i64::from_be_bytes(*accepted_at))?,
        generation: u32::from_be_bytes(*generation),
        attempt: u32::from_be_bytes(*attempt),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8) -> ReferenceKey {
        ReferenceKey::of(&AddressKey::new([secret; 32]))
    }

    fn reference(tenant: &str, event: &str) -> Reference {
        Reference {
            tenant: tenant.to_owned().into(),
            event_id: event.into(),
            delivery_id: DeliveryId(Uuid::from_u128(7)),
            accepted_at: "2026-11-24T10:00:00.123456Z".parse().unwrap(),
            generation: 1,
            attempt: 70_000,
        }
    }

    fn now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_reference_is_read_as_it_was_signed_and_has_only_letters_digits_and_two_signs() {
        for (tenant, event) in [
            ("default", "018f3c1e-0000-7000-8000-000000000000"),
            ("é", "ö|7\n"),
            (&"t".repeat(128), &"e".repeat(255)),
        ] {
            let reference = reference(tenant, event);
            let text = key(7).sign(&reference);
            assert!(text.len() <= 582, "{}", text.len());
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            assert!(text.chars().all(fits), "{text}");
            assert_eq!(key(7).open(&text, now()), Ok(reference));
        }
        assert_eq!(key(7).sign(&reference("default", &"e".repeat(36))).len(), 124);
    }

    #[test]
    fn a_reference_with_any_other_character_is_refused() {
        let text = key(7).sign(&reference("default", "o-7"));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The unused bits of the last character have to be 0.
            let refused = key(7).open(&changed, now()).unwrap_err();
            assert!(
                matches!(refused, BadReference::Forged | BadReference::Malformed),
                "{at}: {refused}"
            );
        }
        for at in 0..text.len() {
            key(7).open(&text[..at], now()).unwrap_err();
        }
        assert_eq!(
            key(7).open(&format!("{text}AAAA"), now()),
            Err(BadReference::Forged)
        );
        assert_eq!(key(7).open("not base64!", now()), Err(BadReference::Malformed));
    }

    #[test]
    fn another_installations_reference_and_one_of_three_months_ago_are_refused() {
        let text = key(8).sign(&reference("default", "o-7"));
        assert_eq!(key(7).open(&text, now()), Err(BadReference::Forged));
        let later = |days: u64| reference("default", "o-7").accepted_at + Duration::from_hours(days * 24);
        key(8).open(&text, later(90)).unwrap();
        assert_eq!(key(8).open(&text, later(91)), Err(BadReference::Expired));
    }
}
