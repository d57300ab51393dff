//! The router's settings.

use std::time::Duration;

use carillon_runtime::config::duration;
use serde::{Deserialize, Serialize};

/// Settings of the router.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterConfig {
    /// The longest wait of a limited, non-critical event while limits cannot be counted. After that it is
    /// decided without them, and its decision says so.
    #[serde(
        deserialize_with = "duration::between::<_, 0, 2_592_000_000>",
        serialize_with = "duration::serialize"
    )]
    pub limits_patience: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            limits_patience: Duration::from_hours(1),
        }
    }
}
