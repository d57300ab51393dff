//! The interface between the deliver stage and a provider account.

use async_trait::async_trait;
use carillon_domain::conclusion::UncertainSend;
use carillon_providers::{FoundMessage, OutgoingMessage, SendOutcome};
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

    /// Whether the provider has a list in which a message can be looked up whose send had no answer.
    fn has_list(&self) -> bool {
        false
    }

    /// Looks up the message of one of these sends in the provider's list; `None` if the list has no such message. The
    /// error is the code of an answer that leaves this unknown.
    async fn find(
        &self,
        _message: &OutgoingMessage,
        _sends: &[UncertainSend],
    ) -> Result<Option<FoundMessage>, String> {
        Err("no-list".to_owned())
    }
}
