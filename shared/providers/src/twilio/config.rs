//! The settings of a Twilio account.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use carillon_domain::{duration_text, field_error::quoted};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::setting::{BaseUrl, by_text, hidden, read_timeout, request_timeout, secret};

/// Twilio's Messages API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// The account's id, `AC…`.
    pub account_sid: AccountSid,
    /// The account's secret token.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_token: Option<SecretString>,
    /// The sender: a number, a short code or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SenderId>,
    /// A messaging service, `MG…`; set instead of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<ServiceSid>,
    /// Carillon's public URL, for status callbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<BaseUrl>,
    /// The base URL of the API.
    #[serde(default = "base_url")]
    pub base_url: BaseUrl,
    /// The longest time of a request, to the end of the answer.
    #[serde(
        default = "request_timeout",
        deserialize_with = "read_timeout",
        serialize_with = "duration_text::serialize"
    )]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<NonZeroU32>,
}

#[expect(
    clippy::expect_used,
    reason = "the text is a URL, as every test that reads an account shows"
)]
fn base_url() -> BaseUrl {
    "https://api.twilio.com".parse().expect("a URL")
}

/// An account's id: `AC` with letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountSid(String);

/// A messaging service's id: `MG` with letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceSid(String);

/// The sender of text messages: a number in E.164 such as `+15550001111`, a short code of 3 to 8 digits, or a name of up to
/// 11 ASCII letters, digits, spaces and `&`, `+`, `-`, `_` with at least one letter
/// (<https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SenderId(String);

by_text!(AccountSid, ServiceSid, SenderId);

/// Reads an id with a prefix of two letters.
fn sid(text: &str, prefix: &str) -> Result<String, String> {
    let rest = text.strip_prefix(prefix);
    if rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric())) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected {prefix} followed by letters and digits, as Twilio's console shows it, not {}",
        quoted(text)
    ))
}

impl FromStr for AccountSid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        sid(text, "AC").map(Self)
    }
}

impl FromStr for ServiceSid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        sid(text, "MG").map(Self)
    }
}

impl FromStr for SenderId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let is_number = text.strip_prefix('+').is_some_and(|number| {
            (7..=15).contains(&number.len()) && digits(number) && !number.starts_with('0')
        });
        let is_short_code = (3..=8).contains(&text.len()) && digits(text);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '&' | '+' | '-' | '_');
        let is_name = (1..=11).contains(&text.len())
            && text.chars().all(fits)
            && text.contains(|c: char| c.is_ascii_alphabetic())
            && text.trim() == text;
        if is_number || is_short_code || is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected a number such as +15550001111, a short code, or a name of at most 11 ASCII letters, digits and spaces, \
             not {}",
            quoted(text)
        ))
    }
}

impl AccountSid {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ServiceSid {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl SenderId {
    /// The sender as Twilio takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_a_number_a_short_code_or_a_name_that_twilio_takes() {
        for text in ["+15550001111", "12345", "Shop", "My Shop 24", "A&B"] {
            text.parse::<SenderId>().unwrap();
        }
        for text in [
            "",
            "15550001111",
            "+1 555 000 1111",
            "+0155500011",
            "+1555000111122223333",
            "12",
            "Läden",
            "TwelveLetter",
            " Shop",
            "whatsapp:+15550001111",
        ] {
            let said = text.parse::<SenderId>().unwrap_err();
            assert!(said.starts_with("expected a number"), "{text}: {said}");
        }
    }

    #[test]
    fn an_id_of_twilio_begins_with_the_letters_of_its_kind() {
        "AC0123456789abcdef".parse::<AccountSid>().unwrap();
        "MG0123456789abcdef".parse::<ServiceSid>().unwrap();
        for text in ["", "AC", "MG1", "AC/1", "ac1"] {
            assert!(text.parse::<AccountSid>().is_err(), "{text}");
        }
        assert!("AC1".parse::<ServiceSid>().is_err());
    }
}
