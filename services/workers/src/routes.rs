//! The accounts of a message, in the order in which they are asked. The order is the same each time that a delivery is
//! read, so that a repeated attempt asks the same account first.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use carillon_domain::{Channel, Delivery, DeliveryId, Target};
use carillon_providers::{AccountsError, ProvidersConfig};
use uuid::Uuid;

use crate::channels::{ChannelsConfig, RouteConfig};

/// The routes of a channel.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    usual: Order,
    /// Those with a longer prefix first, otherwise as configured.
    routes: Vec<Route>,
}

/// The accounts of one route, by their positions among the channel's accounts.
#[derive(Debug, Clone, Default)]
struct Order {
    accounts: Vec<usize>,
    names: Vec<String>,
    /// The weight of each account; empty: in order.
    weights: Vec<u32>,
    /// The route's conditions as a text for the timeline; empty for messages without a route.
    conditions: String,
}

#[derive(Debug, Clone)]
struct Route {
    tenant: Option<String>,
    category: Option<String>,
    prefix: Option<String>,
    order: Order,
}

/// The accounts that a message may go to, first choice first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice<'a> {
    /// Positions among the channel's accounts.
    pub(crate) accounts: Cow<'a, [usize]>,
    /// The reason for these accounts, for the timeline; `None` if the channel has neither routes nor weights.
    pub(crate) why: Option<String>,
}

impl Routes {
    /// All messages go to all accounts, in order.
    #[must_use]
    pub fn in_order(accounts: usize) -> Self {
        Self {
            usual: Order {
                accounts: (0..accounts).collect(),
                ..Order::default()
            },
            routes: Vec::new(),
        }
    }

    /// The routes of a channel by its configuration.
    pub fn of(
        channels: &ChannelsConfig,
        channel: Channel,
        providers: &ProvidersConfig,
    ) -> Result<Self, AccountsError> {
        let all = channels.accounts(channel, providers)?;
        let all: Vec<&str> = all.into_iter().map(|(name, _)| name).collect();
        let usual = channels.usual(channel, providers)?;
        let usual = usual.into_iter().map(|(name, _)| name.to_owned()).collect();
        let nothing = crate::ChannelConfig::default();
        let config = channels.of(channel).unwrap_or(&nothing);
        let mut routes: Vec<Route> = config
            .routes
            .iter()
            .map(|route| Route::new(route, &all))
            .collect();
        // The sort keeps the order of those with equally long prefixes.
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.as_ref().map_or(0, String::len)));
        Ok(Self {
            usual: Order::new(usual, &config.weights, String::new(), &all),
            routes,
        })
    }

    /// The accounts of a message to an address.
    pub(crate) fn choice(&self, delivery: &Delivery, to: &str) -> Choice<'_> {
        let order = self.order(delivery, to);
        Choice {
            accounts: order.of(delivery.delivery_id),
            why: order.why(!self.routes.is_empty()),
        }
    }

    fn order(&self, delivery: &Delivery, to: &str) -> &Order {
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.takes(delivery) && route.takes_to(to));
        route.map_or(&self.usual, |route| &route.order)
    }

    /// The accounts that a message may go to, as far as that is known before its address is looked up.
    pub(crate) fn candidates(&self, delivery: &Delivery) -> Cow<'_, [usize]> {
        if let Target::Inline { address } = &delivery.target {
            return self.order(delivery, address).of(delivery.delivery_id);
        }
        let possible = || self.routes.iter().filter(|route| route.takes(delivery));
        if possible().all(|route| route.prefix.is_none()) {
            let order = possible().next().map_or(&self.usual, |route| &route.order);
            return order.of(delivery.delivery_id);
        }
        // The address may lead to any of these.
        let without_prefix = possible().find(|route| route.prefix.is_none());
        let first = without_prefix.map_or(&self.usual, |route| &route.order);
        let mut accounts = first.of(delivery.delivery_id).into_owned();
        for route in possible().filter(|route| route.prefix.is_some()) {
            let others = route
                .order
                .accounts
                .iter()
                .filter(|account| !accounts.contains(account));
            let others: Vec<usize> = others.copied().collect();
            accounts.extend(others);
        }
        Cow::Owned(accounts)
    }
}

impl Route {
    fn new(config: &RouteConfig, all: &[&str]) -> Self {
        let mut conditions = Vec::new();
        for (name, value) in [
            ("tenant", &config.tenant),
            ("category", &config.category),
            ("prefix", &config.prefix),
        ] {
            conditions.extend(value.as_ref().map(|value| format!("the {name} {value}")));
        }
        Self {
            tenant: config.tenant.clone(),
            category: config.category.clone(),
            prefix: config.prefix.clone(),
            order: Order::new(
                config.accounts.clone(),
                &config.weights,
                conditions.join(" and "),
                all,
            ),
        }
    }

    /// Whether tenant and category are the route's.
    fn takes(&self, delivery: &Delivery) -> bool {
        let fits =
            |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|wanted| wanted == given);
        fits(&self.tenant, delivery.tenant.as_str()) && fits(&self.category, &delivery.category)
    }

    fn takes_to(&self, address: &str) -> bool {
        self.prefix
            .as_deref()
            .is_none_or(|prefix| address.starts_with(prefix))
    }
}

impl Order {
    fn new(names: Vec<String>, weights: &BTreeMap<String, u32>, conditions: String, all: &[&str]) -> Self {
        let position = |name: &String| all.iter().position(|other| other == name);
        Self {
            accounts: names.iter().filter_map(position).collect(),
            weights: if weights.is_empty() {
                Vec::new()
            } else {
                let weight = |name| weights.get(name).copied().unwrap_or_default();
                names.iter().map(weight).collect()
            },
            names,
            conditions,
        }
    }

    /// The accounts in the order in which they are asked for a delivery: by weighted rendezvous hashing, so that each
    /// account is first for its share of deliveries, and a changed weight moves as few of them as possible. Accounts
    /// without a weight come last, in order.
    fn of(&self, delivery: DeliveryId) -> Cow<'_, [usize]> {
        if self.weights.is_empty() {
            return Cow::Borrowed(&self.accounts);
        }
        let weighted = self.names.iter().zip(&self.weights);
        let scores = weighted.map(|(name, weight)| score(delivery, name, *weight));
        let mut ranking: Vec<(f64, usize)> = scores.zip(self.accounts.iter().copied()).collect();
        ranking.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        Cow::Owned(ranking.into_iter().map(|(_, account)| account).collect())
    }

    fn why(&self, is_one_of_several: bool) -> Option<String> {
        if self.weights.is_empty() && !is_one_of_several {
            return None;
        }
        let mut why = if self.conditions.is_empty() {
            "the channel's usual accounts".to_owned()
        } else {
            format!("the route for {}", self.conditions)
        };
        if self.weights.is_empty() {
            why.push_str(", in order: ");
        } else {
            why.push_str(", by weight: ");
        }
        for (number, name) in self.names.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            // Writing to a text cannot fail.
            let _ = write!(why, "{comma}{name}");
            if let Some(weight) = self.weights.get(number) {
                let _ = write!(why, " {weight}");
            }
        }
        Some(why)
    }
}

/// The score of an account for a delivery; the greatest is the first choice.
fn score(delivery: DeliveryId, account: &str, weight: u32) -> f64 {
    if weight == 0 {
        return 0.0;
    }
    // The first 48 bits of a UUIDv5 are those of a hash. The share lies between 0 and 1 and is neither.
    let (high, _) = Uuid::new_v5(&delivery.0, account.as_bytes()).as_u64_pair();
    #[expect(clippy::cast_precision_loss, reason = "48 bits fit an f64")]
    let share = ((high >> 16) as f64 + 0.5) / (1_u64 << 48) as f64;
    -f64::from(weight) / share.ln()
}

#[cfg(test)]
mod tests;
