//! A provider account: a sender with its breaker, its send rate and its connections.
//!
//! The breaker decides by earlier answers whether a message may go out (`breaker/`). If the account has a send rate
//! (`rate.rs`) or a limited number of connections (`connections.rs`), a worker waits for room for its messages
//! (`room.rs`) before it claims them, because a claim has a lease that would expire meanwhile.

mod breaker;
mod connections;
mod measures;
mod rate;
mod room;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc};

use carillon_domain::{Channel, Platform};
use carillon_providers::OutgoingMessage;
use tokio::time::Instant;

use self::{
    breaker::Breaker,
    connections::{Connections, Taken},
    measures::SendMeasures,
    rate::SendRate,
};
pub(crate) use self::{
    breaker::{Blame, Complaint, Permit, Ruled, Tries},
    room::{Reservation, Room},
};
use crate::sender::Sender;

/// A provider account.
pub struct Account {
    name: Arc<str>,
    sender: Arc<dyn Sender>,
    pub(crate) breaker: Breaker,
    rate: Option<SendRate>,
    connections: Option<Connections>,
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
        let name: Arc<str> = Arc::from(name);
        Arc::new(Self {
            breaker: Breaker::new(Arc::clone(&name), channel),
            rate: per_second.and_then(NonZeroU32::new).map(SendRate::new),
            connections: sender.connections().map(Connections::new),
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
        let by_connections = self.connections.as_ref().map_or(usize::MAX, Connections::count);
        by_rate.min(by_connections).max(1)
    }

    /// Waits for the send rate.
    pub(crate) async fn rate(&self) {
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
    }

    /// Waits for a connection, which is released when the permit is dropped.
    pub(crate) async fn connection(&self) -> Option<Taken> {
        Some(self.connections.as_ref()?.connection().await)
    }

    /// Sends and learns from the outcome.
    pub(crate) async fn send(&self, permit: Permit<'_>, message: &OutgoingMessage, tries: Tries) -> Ruled {
        let started = Instant::now();
        let outcome = self.sender.send(message).await;
        self.measures.sent(outcome.class(), started.elapsed());
        permit.learn(outcome, message, tries)
    }
}
