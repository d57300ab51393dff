//! The gateway's settings.

use std::time::Duration;

use carillon_runtime::config::{HttpUrl, duration, number};
use serde::{Deserialize, Serialize};

/// An invalid value: its key within `[gateway]`, and the expected value.
pub type BadLimit = (String, String);

/// The share of one API key, or of one tenant with all its keys. Requests beyond it are answered 429.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareConfig {
    /// The most requests a second; also the largest burst after a pause.
    #[serde(deserialize_with = "number::between::<_, _, 1, 4_294_967_295>")]
    pub requests_per_second: u32,
    /// The most posts of events that are being read or processed.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000_000>")]
    pub posts_in_flight: usize,
    /// The most other requests and pages that are being read or processed.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub others_in_flight: usize,
    /// The most bytes of bodies in memory. Bodies of at most 64 KiB are not counted.
    #[serde(deserialize_with = "number::between::<_, _, 65_536, 4_294_967_296>")]
    pub held_bytes: usize,
}

impl ShareConfig {
    /// A key's share: somewhat less than its tenant's, so that one key does not stop the tenant's others.
    fn of_key() -> Self {
        Self {
            requests_per_second: 40_000,
            posts_in_flight: 512,
            others_in_flight: 32,
            held_bytes: 24 << 20,
        }
    }

    fn of_tenant() -> Self {
        Self {
            requests_per_second: 50_000,
            posts_in_flight: 768,
            others_in_flight: 48,
            held_bytes: 32 << 20,
        }
    }
}

/// Limits of the HTTP edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// The most posts that are processed at the same time. Others are answered 503, except the first few of each
    /// tenant.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000_000>")]
    pub max_in_flight: usize,
    /// The most bytes of large bodies in memory at the same time; further requests are answered 503.
    #[serde(deserialize_with = "number::between::<_, _, 65_536, 4_294_967_296>")]
    pub max_held_bytes: usize,
    /// The most sign-ins to the dashboard with one key in a minute.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000_000>")]
    pub sign_ins_per_minute: u32,
    /// The share of one API key.
    pub key: ShareConfig,
    /// The share of one tenant.
    pub tenant: ShareConfig,
    /// The most bytes of a batch's body.
    #[serde(deserialize_with = "number::between::<_, _, 1_024, 1_073_741_824>")]
    pub max_batch_bytes: usize,
    /// The most calls with receipts of one provider account in a second.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000_000>")]
    pub receipts_per_second: u32,
    /// The most open live views of the dashboard, each of which holds a connection; 0 turns them off. One key has an eighth
    /// of them at most, and one tenant a quarter.
    #[serde(deserialize_with = "number::between::<_, _, 0, 100_000>")]
    pub max_live_views: usize,
    /// The time between two looks for rows that are new to live views.
    #[serde(
        deserialize_with = "duration::between::<_, 100, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub live_interval: Duration,
    /// The lease of a gateway's claim. After it, another gateway may publish an event whose publishing was not finished.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub claim_lease: Duration,
    /// The URL at which the gateway is reached from outside; `https` makes cookies secure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<HttpUrl>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            max_held_bytes: 64 << 20,
            sign_ins_per_minute: 30,
            key: ShareConfig::of_key(),
            tenant: ShareConfig::of_tenant(),
            max_batch_bytes: 8 << 20,
            receipts_per_second: 2_000,
            max_live_views: 256,
            live_interval: Duration::from_secs(2),
            claim_lease: Duration::from_secs(10),
            public_url: None,
        }
    }
}

impl GatewayConfig {
    /// Checks that a key's bounds do not exceed a tenant's, nor a tenant's the gateway's. Returns the mistakes.
    #[must_use]
    pub fn validate(&self) -> Vec<BadLimit> {
        let mut mistakes = Vec::new();
        let (key, tenant) = (&self.key, &self.tenant);
        let rates = [key.requests_per_second, tenant.requests_per_second].map(u64::from);
        let counts = |of: fn(&ShareConfig) -> usize, whole: Option<(usize, &'static str)>| {
            let [key, tenant] = [of(key), of(tenant)].map(|count| count as u64);
            ([key, tenant], whole.map(|(whole, name)| (whole as u64, name)))
        };
        let posts = Some((self.max_in_flight, "gateway.max_in_flight"));
        let bytes = Some((self.max_held_bytes, "gateway.max_held_bytes"));
        for (name, ([own, all], whole)) in [
            ("requests_per_second", (rates, None)),
            ("posts_in_flight", counts(|share| share.posts_in_flight, posts)),
            ("others_in_flight", counts(|share| share.others_in_flight, None)),
            ("held_bytes", counts(|share| share.held_bytes, bytes)),
        ] {
            if !(1..=all).contains(&own) {
                let expected = format!("expected 1 to {all}, which is gateway.tenant.{name}, not {own}");
                mistakes.push((format!("key.{name}"), expected));
            }
            if let Some((whole, of)) = whole.filter(|(whole, _)| all > *whole) {
                let expected = format!("expected at most {whole}, which is {of}, not {all}");
                mistakes.push((format!("tenant.{name}"), expected));
            }
        }
        if key.held_bytes < self.max_batch_bytes {
            let expected = format!(
                "expected no less than gateway.max_batch_bytes ({}), not {}",
                self.max_batch_bytes, key.held_bytes
            );
            mistakes.push(("key.held_bytes".to_owned(), expected));
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_named() {
        assert_eq!(GatewayConfig::default().validate(), []);
        let refused = |change: fn(&mut GatewayConfig)| {
            let mut config = GatewayConfig::default();
            change(&mut config);
            config.validate().swap_remove(0).0
        };
        assert_eq!(
            refused(|gateway| gateway.key.posts_in_flight = 0),
            "key.posts_in_flight"
        );
        assert_eq!(
            refused(|gateway| gateway.key.others_in_flight = 900),
            "key.others_in_flight"
        );
        assert_eq!(
            refused(|gateway| gateway.max_in_flight = 100),
            "tenant.posts_in_flight"
        );
        assert_eq!(
            refused(|gateway| gateway.max_batch_bytes = 1 << 30),
            "key.held_bytes"
        );
        assert_eq!(refused(|gateway| gateway.max_held_bytes = 1), "tenant.held_bytes");
    }
}
