//! The signature of SendGrid's event webhook
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>): ECDSA
//! on the curve P-256 with SHA-256 over the timestamp and the body as it was sent.

use std::str::FromStr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::{Timestamp, field_error::quoted};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::receipt::read;
use crate::{
    receipt::{Callback, NotGenuine, Receipt, SignedReceipts, UnreadableCall, check_time},
    setting::by_text,
};

/// A public key for an event webhook, as SendGrid shows it: base64 of a SubjectPublicKeyInfo of the curve P-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookKey(String);

by_text!(WebhookKey);

/// The bytes before the point in a SubjectPublicKeyInfo of P-256 (RFC 5480): algorithm, curve, and the length of the
/// point.
const BEFORE_POINT: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The uncompressed point of a key: `4`, and two coordinates of 32 bytes.
fn point(text: &str) -> Option<Vec<u8>> {
    let der = BASE64_STANDARD.decode(text).ok()?;
    let point = der.strip_prefix(&BEFORE_POINT)?;
    (point.len() == 65 && point.first() == Some(&4)).then(|| point.to_vec())
}

impl FromStr for WebhookKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if point(text).is_some() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected the verification key of SendGrid's event webhook, which begins with MFkwEwYHKoZIzj0, not {}",
            quoted(text)
        ))
    }
}

/// The lengths of a signature: a DER sequence of two positive integers of at most 33 bytes each.
const SIGNATURE_LENGTHS: std::ops::RangeInclusive<usize> = 8..=72;
/// The tag of a DER sequence.
const SEQUENCE: u8 = 0x30;

/// Verifies and reads the calls to one account.
pub(super) struct SendGridReceipts {
    /// One key, or two while they are changed.
    keys: Vec<UnparsedPublicKey<Vec<u8>>>,
}

impl SendGridReceipts {
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a WebhookKey>) -> Self {
        let points = keys.filter_map(|key| point(&key.0));
        Self {
            keys: points
                .map(|point| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point))
                .collect(),
        }
    }
}

/// The headers of a call that prove its origin.
struct Proof<'a> {
    signature: Vec<u8>,
    /// The signed time as it was sent.
    timestamp: &'a str,
    seconds: i64,
}

impl<'a> Proof<'a> {
    fn of(call: &'a Callback<'_>) -> Result<Self, NotGenuine> {
        let signature = call
            .header("x-twilio-email-event-webhook-signature")
            .ok_or(NotGenuine::Unsigned)?;
        let timestamp = call
            .header("x-twilio-email-event-webhook-timestamp")
            .ok_or(NotGenuine::Unsigned)?;
        let signature = BASE64_STANDARD
            .decode(signature)
            .map_err(|_| NotGenuine::Unsigned)?;
        if !SIGNATURE_LENGTHS.contains(&signature.len()) || signature.first() != Some(&SEQUENCE) {
            return Err(NotGenuine::Unsigned);
        }
        let seconds = timestamp.parse::<i64>().map_err(|_| NotGenuine::Unsigned)?;
        Ok(Self {
            signature,
            timestamp,
            seconds,
        })
    }

    fn check_time(&self, now: Timestamp) -> Result<(), NotGenuine> {
        let at = Timestamp::from_timestamp(self.seconds, 0).ok_or(NotGenuine::OutOfTime)?;
        check_time(at, now)
    }
}

impl SignedReceipts for SendGridReceipts {
    fn check_head(&self, head: &Callback<'_>, now: Timestamp) -> Result<(), NotGenuine> {
        Proof::of(head)?.check_time(now)
    }

    fn verify(&self, call: &Callback<'_>, now: Timestamp) -> Result<(), NotGenuine> {
        let proof = Proof::of(call)?;
        let content = [proof.timestamp.as_bytes(), call.body].concat();
        if !self
            .keys
            .iter()
            .any(|key| key.verify(&content, &proof.signature).is_ok())
        {
            return Err(NotGenuine::WrongSignature);
        }
        proof.check_time(now)
    }

    fn read(&self, call: &Callback<'_>) -> Result<Vec<Receipt>, UnreadableCall> {
        read(call.body)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    // The test vector of SendGrid's own libraries (sendgrid-nodejs, packages/eventwebhook).
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    const SIGNATURE: &str =
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    const TIMESTAMP: &str = "1600112502";
    const BODY: &str = concat!(
        r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
        "\r\n"
    );

    fn judge(
        signature: &str,
        timestamp: &str,
        body: &str,
        keys: &[&str],
        now: i64,
    ) -> Result<(), NotGenuine> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-twilio-email-event-webhook-signature", signature),
            ("x-twilio-email-event-webhook-timestamp", timestamp),
        ] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let keys: Vec<WebhookKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let call = Callback {
            query: None,
            headers: &headers,
            body: body.as_bytes(),
        };
        SendGridReceipts::new(keys.iter()).verify(&call, Timestamp::from_timestamp(now, 0).unwrap())
    }

    const OTHER: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==";
    const NOW: i64 = 1_600_112_510;

    #[test]
    fn the_vector_of_sendgrids_libraries_is_genuine_and_any_change_of_it_is_not() {
        judge(SIGNATURE, TIMESTAMP, BODY, &[KEY], NOW).unwrap();
        judge(SIGNATURE, TIMESTAMP, BODY, &[OTHER, KEY], NOW).unwrap();
        let wrong = Err(NotGenuine::WrongSignature);
        assert_eq!(judge(SIGNATURE, TIMESTAMP, BODY, &[OTHER], NOW), wrong);
        assert_eq!(judge(SIGNATURE, "1600112503", BODY, &[KEY], NOW), wrong);
        assert_eq!(judge(SIGNATURE, TIMESTAMP, BODY.trim_end(), &[KEY], NOW), wrong);
        assert_eq!(judge(SIGNATURE, TIMESTAMP, "[]", &[KEY], NOW), wrong);
        for (signature, timestamp) in [
            ("", TIMESTAMP),
            (SIGNATURE, ""),
            ("no base64!", TIMESTAMP),
            (SIGNATURE, "soon"),
        ] {
            assert_eq!(
                judge(signature, timestamp, BODY, &[KEY], NOW),
                Err(NotGenuine::Unsigned)
            );
        }
    }

    #[test]
    fn a_call_is_taken_while_sendgrid_repeats_it_and_not_later_or_ahead_of_time() {
        for (now, expected) in [
            (NOW + 24 * 3_600, Ok(())),
            (NOW + 26 * 3_600, Err(NotGenuine::OutOfTime)),
            (NOW - 300, Ok(())),
            (NOW - 3_600, Err(NotGenuine::OutOfTime)),
        ] {
            assert_eq!(judge(SIGNATURE, TIMESTAMP, BODY, &[KEY], now), expected);
        }
    }

    #[test]
    fn a_key_is_the_one_that_sendgrid_shows_without_pem_lines() {
        for text in [
            "",
            "SG.hunter2",
            &KEY[..KEY.len() - 4],
            &format!("-----BEGIN PUBLIC KEY-----{KEY}"),
        ] {
            let said = text.parse::<WebhookKey>().unwrap_err();
            assert!(said.starts_with("expected the verification key"), "{said}");
        }
    }
}
