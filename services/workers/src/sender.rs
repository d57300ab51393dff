//! The interface between the deliver stage and a provider account.

use async_trait::async_trait;
use carillon_providers::{OutgoingMessage, SendOutcome};
use tokio::sync::watch;

/// Calls one provider account.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one message. Ends within the account's request timeout, counted from the time at which it has one of its
    /// [connections](Self::connections).
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome;

    /// The number of messages that it sends at the same time, which may change; further ones wait. `None`: no limit.
    fn connections(&self) -> Option<watch::Receiver<usize>> {
        None
    }
}
