//! The settings of an Amazon SES account.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::duration_text;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{AccessKeyId, ConfigurationSet, Region, TopicArn};
use crate::{
    mail::MailSender,
    setting::{BaseUrl, hidden, read_timeout, request_timeout, secret},
};

/// Amazon SES, API v2, in one region.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SesConfig {
    /// The region, such as `eu-central-1`. Each region has its own senders and limits.
    pub region: Region,
    /// The id of an access key that may call `ses:SendEmail`.
    pub access_key_id: AccessKeyId,
    /// The secret of that key.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_access_key: Option<SecretString>,
    /// The session token of temporary credentials. When they expire, the account is parked.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub session_token: Option<SecretString>,
    /// The sender, such as `Shop <shop@example.com>`: an identity that is verified in the region.
    pub from: MailSender,
    /// The configuration set, through which receipts come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_set: Option<ConfigurationSet>,
    /// The SNS topic to which the configuration set publishes events; without it, no receipts are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts_topic: Option<TopicArn>,
    /// The server for certificates and confirmations, in place of SNS's own; only for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sns_endpoint: Option<BaseUrl>,
    /// The base URL of the API; without it, the region's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<BaseUrl>,
    /// The longest time of a request, to the end of the answer.
    #[serde(
        default = "request_timeout",
        deserialize_with = "read_timeout",
        serialize_with = "duration_text::serialize"
    )]
    pub request_timeout: Duration,
    /// The most messages a second; without it, no limit. SES refuses mails beyond the region's sending rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<NonZeroU32>,
}
