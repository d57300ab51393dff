//! The settings of a SendGrid account.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::duration_text;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Categories, WebhookKey};
use crate::{
    mail::MailSender,
    setting::{BaseUrl, hidden, read_timeout, request_timeout, secret},
};

/// SendGrid's v3 API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendGridConfig {
    /// An API key with the permission Mail Send, `SG.…`.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub api_key: Option<SecretString>,
    /// The sender, such as `Shop <shop@example.com>`: an address or domain that SendGrid has verified.
    pub from: MailSender,
    /// The categories of the account's mails in SendGrid's statistics.
    #[serde(default, skip_serializing_if = "Categories::is_empty")]
    pub categories: Categories,
    /// Whether SendGrid only checks mails and delivers none.
    #[serde(default)]
    pub sandbox: bool,
    /// The verification key of the event webhook; without it, no receipts are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_key: Option<WebhookKey>,
    /// A second key while keys are rotated: calls that it verifies are accepted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_webhook_key: Option<WebhookKey>,
    /// The base URL of the API; for a subuser of the region EU, `https://api.eu.sendgrid.com`.
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
    "https://api.sendgrid.com".parse().expect("a URL")
}
