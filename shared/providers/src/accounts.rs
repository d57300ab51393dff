//! The named accounts of an installation, and their order for a channel.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use carillon_domain::{Channel, Platform, field_error::quoted};
use serde::{Deserialize, Serialize};

use crate::{ProviderConfig, ProviderKind, WebhookConfig, webhook::EndpointRules};

/// The platforms that each account of a list serves. A platform is served by the accounts that are the first choice for
/// it, or else by those that reach it through another provider.
#[must_use]
pub fn platforms_served(kinds: &[ProviderKind]) -> Vec<Vec<Platform>> {
    let has_first_choice = |platform: &Platform| kinds.iter().any(|kind| kind.platforms().contains(platform));
    let served = kinds.iter().map(|kind| {
        let others = kind.platforms_of_others().iter();
        let others = others.filter(|platform| !has_first_choice(platform));
        kind.platforms().iter().chain(others).copied().collect()
    });
    served.collect()
}

/// The account of webhooks in an installation that names none. It needs no credentials, so the channel works without settings.
static DEFAULT_WEBHOOKS: LazyLock<ProviderConfig> = LazyLock::new(|| WebhookConfig::default().into());

/// The name of the account of webhooks in an installation that names none.
const WEBHOOKS: &str = "webhooks";

/// The longest name of an account, in characters.
const LONGEST_NAME: usize = 50;

/// The accounts at providers, by name. The worker of a channel without an account does not start; webhooks have one in any case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProvidersConfig(BTreeMap<String, ProviderConfig>);

/// A name that no account can have, or an order that cannot be kept to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {expected}")]
pub struct AccountsError {
    /// The setting.
    pub key: String,
    /// The expected value.
    pub expected: String,
}

impl ProvidersConfig {
    /// Adds an account, or replaces the one of that name.
    pub fn insert(&mut self, name: &str, account: impl Into<ProviderConfig>) {
        self.0.insert(name.to_owned(), account.into());
    }

    /// All accounts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ProviderConfig)> {
        self.0.iter().map(|(name, account)| (&**name, account))
    }

    /// Whether there is an account of a name. Webhooks have one without settings.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name) || (name == WEBHOOKS && !self.serve(Channel::Webhook))
    }

    /// The endpoints that the accounts of webhooks may call.
    #[must_use]
    pub fn endpoint_rules(&self) -> EndpointRules {
        EndpointRules::of(self.0.values().filter_map(|account| match account {
            ProviderConfig::Webhook(config) => Some(config),
            _ => None,
        }))
    }

    /// Whether the settings name an account for a channel.
    #[must_use]
    pub fn serve(&self, channel: Channel) -> bool {
        self.0.values().any(|account| account.kind().channel() == channel)
    }

    /// The longest time of a call of all accounts; zero without accounts.
    #[must_use]
    pub fn longest_call(&self) -> Duration {
        let calls = self.0.values().map(ProviderConfig::longest_call);
        calls.max().unwrap_or_default()
    }

    /// Checks the names of all accounts, and their settings. A name stands in environment variables, where `__`
    /// separates, and in logs, metrics and URLs. Returns the mistakes, at most one in the settings of each account.
    #[must_use]
    pub fn validate(&self) -> Vec<AccountsError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && name.len() <= LONGEST_NAME
                && name.chars().all(fits)
                && !["__", "--", "-_", "_-"].iter().any(|two| name.contains(two))
        };
        let names = self.0.keys().filter(|name| !is_name(name)).map(|name| AccountsError {
            key: "providers".to_owned(),
            expected: format!(
                "expected names of at most {LONGEST_NAME} small letters and digits that begin with a letter, with single '-' or \
                 '_' between them, not {}",
                quoted(name)
            ),
        });
        let settings = self.0.iter().filter_map(|(name, account)| {
            let checked = account
                .check(name)
                .and_then(|()| account.receipts(name).map(drop));
            let fault = checked.err()?;
            Some(AccountsError {
                key: format!("providers.{name}.{}", fault.key),
                expected: fault.expected,
            })
        });
        names.chain(settings).collect()
    }

    /// Warnings about valid settings that are probably mistakes, each with the account's channel. A warning is a
    /// sentence without capital and full stop that begins with the setting.
    pub fn warnings(&self) -> impl Iterator<Item = (Channel, String)> {
        self.0.iter().filter_map(|(name, account)| {
            let warning = account.warning()?;
            Some((account.kind().channel(), format!("providers.{name}.{warning}")))
        })
    }

    /// The accounts of a channel, first choice first: those of the order, or else all of the channel's kinds by name. `key`
    /// is the section with the order.
    pub fn in_order(
        &self,
        channel: Channel,
        key: &str,
        order: Option<&[String]>,
    ) -> Result<Vec<(&str, &ProviderConfig)>, AccountsError> {
        let Some(order) = order else {
            if channel == Channel::Webhook && !self.serve(channel) {
                return Ok(vec![(WEBHOOKS, &*DEFAULT_WEBHOOKS)]);
            }
            let all = self.0.iter().map(|(name, account)| (&**name, account));
            return Ok(all
                .filter(|(_, account)| account.kind().channel() == channel)
                .collect());
        };
        let wrong = |expected: String| AccountsError {
            key: format!("{key}.accounts"),
            expected,
        };
        if order.is_empty() {
            let expected = "expected the name of an account of providers; without this setting, all are used";
            return Err(wrong(expected.to_owned()));
        }
        let mut accounts: Vec<(&str, &ProviderConfig)> = Vec::with_capacity(order.len());
        for name in order {
            let Some((name, account)) = self.0.get_key_value(name) else {
                return Err(wrong(format!(
                    "expected names of accounts of providers, not {}",
                    quoted(name)
                )));
            };
            let kind = account.kind();
            if kind.channel() != channel {
                return Err(wrong(format!(
                    "expected accounts that send by {channel}; {name} is of the kind {kind}, which sends by {}",
                    kind.channel()
                )));
            }
            if accounts.iter().any(|(other, _)| other == name) {
                return Err(wrong(format!("expected each account once, not {name} twice")));
            }
            accounts.push((name, account));
        }
        Ok(accounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ios_goes_to_apns_where_there_is_an_account_and_to_fcm_otherwise() {
        use Platform::{Android, Ios, Web};
        use ProviderKind::{Apns, Fcm};

        assert_eq!(platforms_served(&[Fcm]), [vec![Android, Web, Ios]]);
        assert_eq!(platforms_served(&[Apns]), [vec![Ios]]);
        assert_eq!(platforms_served(&[Fcm, Apns]), [vec![Android, Web], vec![Ios]]);
        assert_eq!(platforms_served(&[ProviderKind::Smtp]), [vec![]]);
    }
}
