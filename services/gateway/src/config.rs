//! What the gateway takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of the HTTP edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Posts that are worked on at the same time; more are answered 503.
    pub max_in_flight: usize,
    /// Bytes of a batch's body.
    pub max_batch_bytes: usize,
    /// After this long somebody else may publish an event whose publishing was begun and not finished.
    #[serde(with = "humantime_serde")]
    pub claim_lease: Duration,
    /// Where the gateway is reached from outside; `https` makes cookies secure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            max_batch_bytes: 8 << 20,
            claim_lease: Duration::from_secs(10),
            public_url: None,
        }
    }
}
