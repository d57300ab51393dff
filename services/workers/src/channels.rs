//! The configuration of channels: the accounts that send, their order and weights, and the routes by which some messages
//! go to other accounts.

use std::collections::BTreeMap;

use carillon_domain::{Channel, Platform, field_error::quoted};
use carillon_providers::{AccountsError, ProviderConfig, ProviderKind, ProvidersConfig, platforms_served};
use carillon_runtime::config::comma_separated;
use serde::{Deserialize, Deserializer, Serialize};

/// The most digits of a number in E.164 form.
const LONGEST_NUMBER: usize = 15;

/// Settings of channels, by channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelsConfig(BTreeMap<Channel, ChannelConfig>);

/// Settings of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelConfig {
    /// The names of the provider accounts that send, first choice first; `None`: all of the channel's kinds by name.
    #[serde(deserialize_with = "some_names", skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<String>>,
    /// The weights by which messages are spread over the accounts; empty: in order.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// The messages that go to other accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteConfig>,
}

/// The accounts of some of a channel's messages. A message belongs to a route if it has all that the route names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The first characters of the recipient's number in E.164 form, such as `+49`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The accounts, first choice first.
    #[serde(with = "comma_separated")]
    pub accounts: Vec<String>,
    /// The weights by which messages are spread over the accounts; empty: in order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
}

fn some_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    comma_separated::deserialize(deserializer).map(Some)
}

impl ChannelsConfig {
    /// Sets the order of a channel's accounts.
    pub fn set(&mut self, channel: Channel, accounts: Vec<String>) {
        self.0.entry(channel).or_default().accounts = Some(accounts);
    }

    /// Sets all settings of a channel.
    pub fn configure(&mut self, channel: Channel, config: ChannelConfig) {
        self.0.insert(channel, config);
    }

    /// The settings of a channel, if it has any.
    #[must_use]
    pub fn of(&self, channel: Channel) -> Option<&ChannelConfig> {
        self.0.get(&channel)
    }

    /// The accounts of a channel, first choice first: those that the channel names, or else all of its kinds by name;
    /// then those that only routes name.
    pub fn accounts<'a>(
        &self,
        channel: Channel,
        providers: &'a ProvidersConfig,
    ) -> Result<Vec<(&'a str, &'a ProviderConfig)>, AccountsError> {
        let config = self.of(channel);
        let order = config.and_then(|config| config.accounts.as_deref());
        let mut accounts = providers.in_order(channel, &format!("channels.{channel}"), order)?;
        for (number, route) in config.iter().flat_map(|config| config.routes.iter().enumerate()) {
            let key = route_key(channel, number);
            for (name, account) in providers.in_order(channel, &key, Some(&route.accounts))? {
                if accounts.iter().all(|(other, _)| *other != name) {
                    accounts.push((name, account));
                }
            }
        }
        Ok(accounts)
    }

    /// The accounts of the messages without a route.
    pub(crate) fn usual<'a>(
        &self,
        channel: Channel,
        providers: &'a ProvidersConfig,
    ) -> Result<Vec<(&'a str, &'a ProviderConfig)>, AccountsError> {
        let order = self.of(channel).and_then(|config| config.accounts.as_deref());
        providers.in_order(channel, &format!("channels.{channel}"), order)
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

    /// Checks the names and settings of the accounts, and the order, the weights and the routes of each channel. Returns
    /// the mistakes.
    #[must_use]
    pub fn validate(&self, providers: &ProvidersConfig) -> Vec<AccountsError> {
        let channels = Channel::ALL.into_iter();
        let channels = channels.flat_map(|channel| self.mistakes(channel, providers));
        providers.validate().into_iter().chain(channels).collect()
    }

    fn mistakes(&self, channel: Channel, providers: &ProvidersConfig) -> Vec<AccountsError> {
        let mut mistakes = Vec::new();
        let (Some(config), key) = (self.of(channel), format!("channels.{channel}")) else {
            return Vec::new();
        };
        match self.usual(channel, providers) {
            Ok(usual) => {
                let names: Vec<&str> = usual.iter().map(|(name, _)| *name).collect();
                mistakes.extend(weights_fault(&key, &names, &config.weights));
            }
            Err(error) => mistakes.push(error),
        }
        for (number, route) in config.routes.iter().enumerate() {
            let key = route_key(channel, number);
            let earlier = &config.routes[..number];
            mistakes.extend(self.route_fault(channel, &key, route, earlier, providers));
        }
        mistakes
    }

    /// The first mistake of a route.
    fn route_fault(
        &self,
        channel: Channel,
        key: &str,
        route: &RouteConfig,
        earlier: &[RouteConfig],
        providers: &ProvidersConfig,
    ) -> Option<AccountsError> {
        let wrong = |field: &str, expected: String| {
            Some(AccountsError {
                key: format!("{key}{field}"),
                expected,
            })
        };
        let texts = [("tenant", &route.tenant), ("category", &route.category)];
        for (field, value) in texts {
            if value.as_ref().is_some_and(String::is_empty) {
                return wrong(
                    &format!(".{field}"),
                    format!("expected a {field}, not an empty text"),
                );
            }
        }
        if let Some(prefix) = &route.prefix {
            if channel != Channel::Sms {
                let expected =
                    format!("expected none: only text messages have numbers, and {channel} does not");
                return wrong(".prefix", expected);
            }
            if let Some(expected) = prefix_fault(prefix) {
                return wrong(".prefix", expected);
            }
        }
        let conditions =
            |route: &RouteConfig| (route.tenant.clone(), route.category.clone(), route.prefix.clone());
        if conditions(route) == (None, None, None) {
            let expected = format!(
                "expected a tenant, a category or a prefix; channels.{channel}.accounts are all others"
            );
            return wrong("", expected);
        }
        if let Some(same) = earlier
            .iter()
            .position(|other| conditions(other) == conditions(route))
        {
            let expected = format!(
                "expected another tenant, category or prefix than in {}, which gets these messages",
                route_key(channel, same)
            );
            return wrong("", expected);
        }
        let accounts = match providers.in_order(channel, key, Some(&route.accounts)) {
            Ok(accounts) => accounts,
            Err(error) => return Some(error),
        };
        let names: Vec<&str> = accounts.iter().map(|(name, _)| *name).collect();
        if let Some(fault) = weights_fault(key, &names, &route.weights) {
            return Some(fault);
        }
        let platform = self.platform_without_account(channel, &names, providers)?;
        let expected = format!(
            "expected an account that serves {} devices too, as the channel's other accounts do",
            <&str>::from(platform)
        );
        wrong(".accounts", expected)
    }

    /// A platform that accounts of the channel serve, and none of these.
    fn platform_without_account(
        &self,
        channel: Channel,
        names: &[&str],
        providers: &ProvidersConfig,
    ) -> Option<Platform> {
        if channel != Channel::Push {
            return None;
        }
        let all = self.accounts(channel, providers).ok()?;
        let kinds: Vec<ProviderKind> = all.iter().map(|(_, config)| config.kind()).collect();
        let served = platforms_served(&kinds);
        let of_route = all
            .iter()
            .zip(&served)
            .filter(|((name, _), _)| names.contains(name));
        let of_route: Vec<Platform> = of_route
            .flat_map(|(_, platforms)| platforms.iter().copied())
            .collect();
        let mut by_others = served.iter().flatten().copied();
        by_others.find(|platform| !of_route.contains(platform))
    }
}

/// The key of a route.
fn route_key(channel: Channel, number: usize) -> String {
    format!("channels.{channel}.routes.{number}")
}

/// The error of weights, if they have one.
fn weights_fault(key: &str, names: &[&str], weights: &BTreeMap<String, u32>) -> Option<AccountsError> {
    let wrong = |expected: String| {
        Some(AccountsError {
            key: format!("{key}.weights"),
            expected,
        })
    };
    if weights.is_empty() {
        return None;
    }
    if let Some(unknown) = weights.keys().find(|name| !names.contains(&name.as_str())) {
        return wrong(format!(
            "expected weights of the accounts ({}); {unknown} is not one of them",
            names.join(", ")
        ));
    }
    if weights.values().all(|weight| *weight == 0) {
        return wrong(
            "expected a weight above 0: an account without one gets only what the others do not take"
                .to_owned(),
        );
    }
    None
}

/// The error of a prefix, if it has one.
fn prefix_fault(prefix: &str) -> Option<String> {
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    let fits = (1..=LONGEST_NUMBER).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    (!fits).then(|| {
        let given = quoted(prefix);
        format!("expected + and the first digits of numbers in E.164 form, such as +49, not {given}")
    })
}
