//! The configuration of workers and channels.

use std::{collections::BTreeMap, time::Duration};

use carillon_domain::{Channel, Platform};
use carillon_providers::{AccountsError, ProviderConfig, ProviderKind, ProvidersConfig, platforms_served};
use carillon_runtime::config::{comma_separated, duration, number};
use serde::{Deserialize, Serialize};

/// Worker tuning: concurrency, lease and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// Records in flight on the high lane, for each channel.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub high_in_flight: usize,
    /// Records in flight on the normal lane and its retry topics, for each channel.
    #[serde(deserialize_with = "number::between::<_, _, 1, 100_000>")]
    pub normal_in_flight: usize,
    /// Records in flight on the bulk lane and its retry topics, for each channel.
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
        }
    }
}

/// Settings of channels, by channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelsConfig(BTreeMap<Channel, ChannelConfig>);

/// Settings of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// The names of the provider accounts that send, first choice first. While an account is paused or parked, the next
    /// one sends.
    #[serde(with = "comma_separated")]
    pub accounts: Vec<String>,
}

impl ChannelsConfig {
    /// Sets the order of a channel's accounts.
    pub fn set(&mut self, channel: Channel, accounts: Vec<String>) {
        self.0.insert(channel, ChannelConfig { accounts });
    }

    /// The accounts of a channel, first choice first: those that the channel names, or else all of its kinds by name.
    pub fn accounts<'a>(
        &self,
        channel: Channel,
        providers: &'a ProvidersConfig,
    ) -> Result<Vec<(&'a str, &'a ProviderConfig)>, AccountsError> {
        let order = self.0.get(&channel).map(|config| &*config.accounts);
        providers.in_order(channel, order)
    }

    /// The platforms whose devices no account serves, if push has accounts.
    pub fn unserved_platforms(&self, providers: &ProvidersConfig) -> Result<Vec<Platform>, AccountsError> {
        let accounts = self.accounts(Channel::Push, providers)?;
        let kinds: Vec<ProviderKind> = accounts.iter().map(|(_, config)| config.kind()).collect();
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let served = platforms_served(&kinds).concat();
        let is_unserved = |platform: &Platform| !served.contains(platform);
        Ok(Platform::ALL.into_iter().filter(is_unserved).collect())
    }

    /// Checks the names and settings of the accounts, and the order of each channel. Returns the mistakes.
    #[must_use]
    pub fn validate(&self, providers: &ProvidersConfig) -> Vec<AccountsError> {
        let orders = Channel::ALL.into_iter();
        let orders = orders.filter_map(|channel| self.accounts(channel, providers).err());
        providers.validate().into_iter().chain(orders).collect()
    }
}
