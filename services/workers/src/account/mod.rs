//! A provider account: a sender with its breaker, its send rate and its connections.
//!
//! The breaker decides by earlier answers whether a message may go out (`breaker/`). An account has a number of connections
//! (`connections.rs`), which adapts to its answers (`concurrency.rs`), and may have a send rate (`rate.rs`). A worker waits
//! for room for its messages (`room.rs`) before it claims them, because a claim has a lease that would expire meanwhile.
//! Retries are a share of its messages (`budget.rs`).

mod breaker;
mod budget;
mod concurrency;
mod connections;
mod measures;
mod rate;
mod room;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc};

use carillon_domain::{Channel, Platform, conclusion::UncertainSend};
use carillon_providers::{Class, FoundMessage, OutgoingMessage, Scope, SendOutcome};
use tokio::time::Instant;

use self::{
    breaker::Breaker,
    budget::RetryBudget,
    concurrency::AdaptiveLimit,
    connections::{Connections, Taken},
    measures::{SendMeasures, limit_measure},
    rate::SendRate,
};
pub(crate) use self::{
    breaker::{Blame, Closed, Complaint, ParkedPart, Permit, Ruled, Sharing, Struck, Tries},
    room::{Reservation, Room},
};
use crate::{config::Tuning, sender::Sender};

/// A provider account.
pub struct Account {
    name: Arc<str>,
    sender: Arc<dyn Sender>,
    pub(crate) breaker: Breaker,
    rate: Option<SendRate>,
    connections: Connections,
    limit: AdaptiveLimit,
    retries: RetryBudget,
    /// The platforms of devices that it serves; `None`: all.
    platforms: Option<Vec<Platform>>,
    measures: SendMeasures,
}

impl Account {
    /// An account that works until it shows otherwise.
    #[must_use]
    pub fn new(name: &str, channel: Channel, sender: Arc<dyn Sender>, per_second: Option<u32>) -> Arc<Self> {
        Self::for_platforms(name, channel, sender, per_second, None)
    }

    /// An account that serves some platforms of devices; `None`: all.
    #[must_use]
    pub fn for_platforms(
        name: &str,
        channel: Channel,
        sender: Arc<dyn Sender>,
        per_second: Option<u32>,
        platforms: Option<Vec<Platform>>,
    ) -> Arc<Self> {
        Self::tuned(name, channel, sender, per_second, platforms, Tuning::default())
    }

    /// An account with tuning of its own.
    #[must_use]
    pub fn tuned(
        name: &str,
        channel: Channel,
        sender: Arc<dyn Sender>,
        per_second: Option<u32>,
        platforms: Option<Vec<Platform>>,
        tuning: Tuning,
    ) -> Arc<Self> {
        let name: Arc<str> = Arc::from(name);
        let Tuning {
            min_concurrency,
            max_concurrency,
            ..
        } = tuning;
        let limit = AdaptiveLimit::new(min_concurrency, max_concurrency, limit_measure(&name, channel));
        Arc::new(Self {
            breaker: Breaker::new(Arc::clone(&name), channel),
            rate: per_second.and_then(NonZeroU32::new).map(SendRate::new),
            connections: Connections::new(sender.connections(), limit.subscribe()),
            limit,
            retries: RetryBudget::new(tuning.retry_percent, tuning.retry_floor),
            platforms,
            measures: SendMeasures::new(&name, channel),
            name,
            sender,
        })
    }

    /// Its name in the configuration, in statuses and metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it serves a platform. A message whose platform is not known may go to any account.
    #[must_use]
    pub fn serves(&self, platform: Option<Platform>) -> bool {
        match (&self.platforms, platform) {
            (Some(served), Some(platform)) => served.contains(&platform),
            _ => true,
        }
    }

    /// The number of messages that may go out at once without a long wait for the send rate or a connection; 1 while
    /// the account is on probation.
    pub(crate) fn burst(&self) -> usize {
        if self.breaker.is_on_probation() {
            return 1;
        }
        let by_rate = self.rate.as_ref().map_or(usize::MAX, SendRate::burst);
        by_rate.min(self.connections.count()).max(1)
    }

    /// Whether a retry could go out now, as far as the retry budget is concerned.
    pub(crate) fn may_retry(&self) -> bool {
        self.retries.has_room()
    }

    /// Counts a message that goes out; `false`: it is a retry beyond the retry budget.
    pub(crate) fn admit(&self, is_retry: bool) -> bool {
        let is_admitted = self.retries.admit(is_retry);
        if is_retry && is_admitted {
            self.measures.retried();
        }
        is_admitted
    }

    /// Notes a retry beyond the budget, and returns the sentence about it.
    pub(crate) fn over_budget(&self) -> String {
        self.measures.retry_held();
        format!(
            "the provider account {} has used its retry budget: at most {} % of its messages in ten seconds are retries",
            self.name,
            self.retries.percent()
        )
    }

    /// Waits for the send rate.
    pub(crate) async fn rate(&self) {
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
    }

    /// Waits for a connection, which is released when the permit is dropped.
    pub(crate) async fn connection(&self) -> Taken {
        self.connections.connection().await
    }

    /// Whether the provider has a list in which an uncertain send can be looked up.
    pub(crate) fn has_list(&self) -> bool {
        self.sender.has_list()
    }

    /// Looks up the message of an uncertain send in the provider's list. Answers of the list say nothing about sending,
    /// so the breaker does not learn from them. The error is the code of an answer that leaves unknown whether the list
    /// has the message.
    pub(crate) async fn find(
        &self,
        message: &OutgoingMessage,
        sends: &[UncertainSend],
    ) -> Result<Option<FoundMessage>, String> {
        let found = self.sender.find(message, sends).await;
        let result = match &found {
            Ok(Some(_)) => "found",
            Ok(None) => "absent",
            Err(_) => "unanswered",
        };
        metrics::counter!("carillon_look_ups_total", "provider" => self.name.to_string(), "result" => result)
            .increment(1);
        found
    }

    /// Sends and learns from the outcome.
    pub(crate) async fn send(&self, permit: Permit<'_>, message: &OutgoingMessage, tries: Tries) -> Ruled {
        let started = Instant::now();
        let outcome = self.sender.send(message).await;
        self.measures.sent(outcome.class(), started.elapsed());
        self.limit
            .learn(started, is_throttle(&outcome), self.connections.in_use());
        permit.learn(outcome, message, tries)
    }
}

/// Whether the provider says that the account sends too much. A throttle of one recipient or domain does not.
fn is_throttle(outcome: &SendOutcome) -> bool {
    let scope = outcome.refusal().map(|refusal| refusal.scope);
    outcome.class() == Class::Throttle && matches!(scope, Some(Scope::Account | Scope::Connection))
}
