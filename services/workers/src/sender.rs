//! The interface between the deliver stage and a provider account.

use async_trait::async_trait;
use carillon_domain::{DeliveryId, EventId, Platform, Timestamp};
use carillon_render::Content;

use crate::outcome::SendOutcome;

/// A rendered message with its address.
#[derive(Clone)]
pub struct OutgoingMessage {
    /// The delivery. Senders put its id into the message, so that a second copy can be recognised.
    pub delivery_id: DeliveryId,
    /// The event of the message.
    pub event_id: EventId,
    /// E-mail address, E.164 phone number or device token.
    pub to: String,
    /// The device's platform, for push.
    pub platform: Option<Platform>,
    /// The rendered content.
    pub content: Content,
    /// The time after which the message must not be delivered.
    pub expires_at: Option<Timestamp>,
}

/// Calls one provider account.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one message. Ends within the account's request timeout, counted from the time at which it has one of its
    /// [connections](Self::connections).
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome;

    /// The number of messages that it sends at the same time; further ones wait. `None`: no limit.
    fn connections(&self) -> Option<usize> {
        None
    }
}
