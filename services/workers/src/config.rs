//! The configuration of workers.

use std::{collections::BTreeMap, time::Duration};

use carillon_domain::field_error::quoted;
use carillon_providers::{AccountsError, ProvidersConfig};
use carillon_runtime::config::{duration, number};
use serde::{Deserialize, Serialize};

/// Worker tuning: concurrency, lease and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// Records in flight on the high lane, for each channel.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub high_in_flight: usize,
    /// Records in flight on the normal lane, and as many on its retry topics, for each channel.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub normal_in_flight: usize,
    /// Records in flight on the bulk lane, and as many on its retry topics, for each channel.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub bulk_in_flight: usize,
    /// The lease of a claim. It is longer than any provider's request timeout, so that by its end the attempt has
    /// certainly ended.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 3_600_000>",
        serialize_with = "duration::serialize"
    )]
    pub lease: Duration,
    /// The longest wait of an account, a domain or a message after consecutive throttles without a
    /// `Retry-After`.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 86_400_000>",
        serialize_with = "duration::serialize"
    )]
    pub longest_back_off: Duration,
    /// The time since its first failure after which a delivery that has only been told to wait becomes a dead letter.
    #[serde(
        deserialize_with = "duration::between::<_, 1_000, 31_536_000_000>",
        serialize_with = "duration::serialize"
    )]
    pub give_up_after: Duration,
    /// The most retries among an account's messages, in percent, over ten seconds.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100>")]
    pub retry_percent: u8,
    /// The retries of an account in ten seconds that are possible regardless of its other messages.
    #[serde(deserialize_with = "number::between::<_, _, 1, 1_000_000>")]
    pub retry_floor: u32,
    /// The least number to which throttles and slow answers lower the messages of an account that are under way.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub min_concurrency: usize,
    /// The most messages of an account that are under way in this process.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub max_concurrency: usize,
    /// Other values for some accounts, by name.
    pub accounts: BTreeMap<String, AccountConfig>,
}

/// Tuning of one account, where it differs from that of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountConfig {
    /// The most retries among its messages, in percent.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 100>",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_percent: Option<u8>,
    /// The retries in ten seconds that are possible regardless of its other messages.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 1_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_floor: Option<u32>,
    /// The least number to which throttles and slow answers lower its messages that are under way.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 100_000>",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_concurrency: Option<usize>,
    /// Its most messages that are under way in this process.
    #[serde(
        deserialize_with = "number::between_or_none::<_, _, 1, 100_000>",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_concurrency: Option<usize>,
}

/// The tuning of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// The most retries among its messages, in percent.
    pub retry_percent: u8,
    /// The retries in ten seconds that are possible regardless of its other messages.
    pub retry_floor: u32,
    /// The least number to which throttles and slow answers lower its messages that are under way.
    pub min_concurrency: usize,
    /// Its most messages that are under way in this process.
    pub max_concurrency: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        WorkersConfig::default().tuning("")
    }
}

impl WorkersConfig {
    /// The tuning of an account.
    #[must_use]
    pub fn tuning(&self, account: &str) -> Tuning {
        let own = self.accounts.get(account).cloned().unwrap_or_default();
        Tuning {
            retry_percent: own.retry_percent.unwrap_or(self.retry_percent),
            retry_floor: own.retry_floor.unwrap_or(self.retry_floor),
            min_concurrency: own.min_concurrency.unwrap_or(self.min_concurrency),
            max_concurrency: own.max_concurrency.unwrap_or(self.max_concurrency),
        }
    }

    /// Checks that each account that is tuned exists, and the limits of concurrency. Returns the mistakes.
    #[must_use]
    pub fn validate(&self, providers: &ProvidersConfig) -> Vec<AccountsError> {
        let mut mistakes: Vec<AccountsError> = Vec::new();
        mistakes.extend(limits_fault(
            "workers",
            self.min_concurrency,
            self.max_concurrency,
        ));
        for name in self.accounts.keys() {
            if providers.has(name) {
                let tuning = self.tuning(name);
                let key = format!("workers.accounts.{name}");
                let fault = limits_fault(&key, tuning.min_concurrency, tuning.max_concurrency);
                mistakes.extend(fault.filter(|_| mistakes.is_empty()));
            } else {
                mistakes.push(AccountsError {
                    key: "workers.accounts".to_owned(),
                    expected: format!("expected names of accounts of providers, not {}", quoted(name)),
                });
            }
        }
        mistakes
    }
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            high_in_flight: 256,
            normal_in_flight: 512,
            bulk_in_flight: 256,
            lease: Duration::from_secs(12),
            longest_back_off: Duration::from_mins(15),
            give_up_after: Duration::from_hours(72),
            retry_percent: 20,
            retry_floor: 100,
            min_concurrency: 4,
            max_concurrency: 1_024,
            accounts: BTreeMap::new(),
        }
    }
}

fn limits_fault(key: &str, least: usize, most: usize) -> Option<AccountsError> {
    (least > most).then(|| AccountsError {
        key: format!("{key}.min_concurrency"),
        expected: format!("expected no more than max_concurrency ({most}), not {least}"),
    })
}

#[cfg(test)]
mod tests {
    use carillon_providers::WebhookConfig;
    use serde_json::json;

    use super::*;

    fn mistakes(config: serde_json::Value) -> Vec<String> {
        let config: WorkersConfig = serde_json::from_value(config).unwrap();
        let mut providers = ProvidersConfig::default();
        providers.insert("hooks", WebhookConfig::default());
        let mistakes = config.validate(&providers).into_iter();
        mistakes.map(|mistake| mistake.to_string()).collect()
    }

    #[test]
    fn an_account_has_its_own_tuning_where_it_differs() {
        let config =
            json!({"retry_percent": 30, "accounts": {"hooks": {"retry_floor": 5, "max_concurrency": 9}}});
        let config: WorkersConfig = serde_json::from_value(config).unwrap();
        let own = config.tuning("hooks");
        assert_eq!(
            (own.retry_percent, own.retry_floor, own.max_concurrency),
            (30, 5, 9)
        );
        assert_eq!(
            config.tuning("other").retry_floor,
            WorkersConfig::default().retry_floor
        );
    }

    #[test]
    fn unknown_accounts_and_limits_that_cannot_be_kept_are_mistakes() {
        assert!(mistakes(json!({"accounts": {"hooks": {"retry_percent": 5}}})).is_empty());
        assert_eq!(
            mistakes(json!({"accounts": {"hook": {}}})),
            ["workers.accounts: expected names of accounts of providers, not \"hook\""]
        );
        assert_eq!(
            mistakes(json!({"min_concurrency": 8, "max_concurrency": 4})),
            ["workers.min_concurrency: expected no more than max_concurrency (4), not 8"]
        );
        assert_eq!(
            mistakes(json!({"accounts": {"hooks": {"max_concurrency": 3}}})),
            ["workers.accounts.hooks.min_concurrency: expected no more than max_concurrency (3), not 4"]
        );
        let percent: Result<WorkersConfig, _> = serde_json::from_value(json!({"retry_percent": 101}));
        assert!(percent.is_err());
    }
}
