//! The settings of an account that sends webhooks.

use std::{num::NonZeroU32, time::Duration};

use carillon_domain::duration_text;
use serde::{Deserialize, Serialize};

use super::Networks;
use crate::setting::{read_timeout, request_timeout};

/// Requests to endpoints of users. The account has no credentials: each endpoint has its own URL and secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Whether endpoints may have `http` URLs. It is for development: their requests can be read on the way.
    #[serde(default)]
    pub allow_http: bool,
    /// Networks that are not public, such as `10.1.0.0/16`, whose addresses endpoints may have nevertheless.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub allowed_networks: Networks,
    /// The longest time of a request, to the head of the answer.
    #[serde(
        default = "request_timeout",
        deserialize_with = "read_timeout",
        serialize_with = "duration_text::serialize"
    )]
    pub request_timeout: Duration,
    /// The most messages a second to all endpoints together; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<NonZeroU32>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            allow_http: false,
            allowed_networks: Networks::default(),
            request_timeout: request_timeout(),
            rate_per_second: None,
        }
    }
}
