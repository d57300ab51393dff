//! The settings of a Twilio account.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use carillon_domain::{duration_text, field_error::quoted};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::setting::{BaseUrl, SettingError, by_text, hidden, read_timeout, request_timeout, secret};

/// Twilio's Messages API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// The account's id, `AC…`; not the id of an API key, `SK…`.
    pub account_sid: AccountSid,
    /// The account's secret token, 32 hexadecimal digits.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_token: Option<SecretString>,
    /// Twilio's secondary token, while tokens are rotated: status callbacks that it signs are accepted too.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub secondary_auth_token: Option<SecretString>,
    /// The sender: a number, a short code or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SenderId>,
    /// A messaging service, `MG…`; set instead of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_service_sid: Option<ServiceSid>,
    /// Carillon's public URL, to which Twilio posts status callbacks; without it, there are none.
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

/// An account's id: `AC` with 32 hexadecimal digits (<https://www.twilio.com/docs/glossary/what-is-a-sid>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountSid(String);

/// A messaging service's id: `MG` with 32 hexadecimal digits.
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

/// The hexadecimal digits of an id and of an account's token.
const DIGITS: usize = 32;

fn is_hexadecimal(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads an id with a prefix of two letters.
fn sid(text: &str, prefix: &str) -> Result<String, String> {
    if text.strip_prefix(prefix).is_some_and(is_hexadecimal) {
        return Ok(text.to_owned());
    }
    let expected =
        format!("expected {prefix} followed by {DIGITS} hexadecimal digits, as Twilio's console shows it");
    // A text of hexadecimal digits alone may be the account's token, so the error does not repeat it.
    if is_hexadecimal(text) {
        return Err(format!("{expected}, not digits alone"));
    }
    let is_other = |kind: &str| text.strip_prefix(kind).is_some_and(is_hexadecimal);
    let kind = [
        ("SK", "an API key"),
        ("AC", "an account"),
        ("MG", "a messaging service"),
    ]
    .into_iter()
    .find_map(|(kind, of)| is_other(kind).then(|| format!(", which is the id of {of}")));
    Err(format!(
        "{expected}, not {}{}",
        quoted(text),
        kind.unwrap_or_default()
    ))
}

/// Checks an account's token, the value of the setting `key`. The error contains no part of the token.
pub(super) fn check_token(key: &'static str, token: &str) -> Result<(), SettingError> {
    if is_hexadecimal(token) {
        return Ok(());
    }
    let expected =
        format!("expected the {DIGITS} hexadecimal digits that Twilio's console shows as the auth token");
    Err(SettingError::new(key, expected))
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
    fn an_id_of_twilio_has_the_letters_of_its_kind_and_32_hexadecimal_digits() {
        let digits = "0123456789abcdef0123456789ABCDEF";
        let account = |text: &str| text.parse::<AccountSid>().map(drop);
        let service = |text: &str| text.parse::<ServiceSid>().map(drop);
        account(&format!("AC{digits}")).unwrap();
        service(&format!("MG{digits}")).unwrap();
        for text in [
            "",
            "AC",
            "AC0123456789abcdef",
            &format!("AC{digits}0"),
            &format!("ac{digits}"),
        ] {
            let said = account(text).unwrap_err();
            assert_eq!(
                said,
                format!(
                    "expected AC followed by 32 hexadecimal digits, as Twilio's console shows it, not {}",
                    quoted(text)
                )
            );
        }
        let said = account(&format!("SK{digits}")).unwrap_err();
        assert!(said.ends_with("which is the id of an API key"), "{said}");
        let said = service(&format!("AC{digits}")).unwrap_err();
        assert!(said.ends_with("which is the id of an account"), "{said}");
        let said = account(digits).unwrap_err();
        assert!(
            said.ends_with("not digits alone") && !said.contains(digits),
            "a token is not shown: {said}"
        );
    }

    #[test]
    fn a_token_of_twilio_has_32_hexadecimal_digits_and_errors_do_not_show_it() {
        check_token("auth_token", "0123456789abcdef0123456789abcdef").unwrap();
        for token in [
            "t",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdeg",
        ] {
            let said = check_token("auth_token", token).unwrap_err().to_string();
            assert_eq!(
                said,
                "auth_token: expected the 32 hexadecimal digits that Twilio's console shows as the auth token"
            );
        }
    }
}
