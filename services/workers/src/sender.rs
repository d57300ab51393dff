//! One provider account, seen from the deliver stage.

use async_trait::async_trait;
use carillon_domain::{DeliveryId, EventId, Platform, Timestamp};
use carillon_render::Content;

use crate::outcome::SendOutcome;

/// A rendered message with its address.
#[derive(Clone)]
pub struct OutgoingMessage {
    /// The delivery; senders put it into the message, so that a second copy can be told.
    pub delivery_id: DeliveryId,
    /// The event that it tells of.
    pub event_id: EventId,
    /// E-mail address, E.164 phone number or device token.
    pub to: String,
    /// The device's platform, for push.
    pub platform: Option<Platform>,
    /// What it says.
    pub content: Content,
    /// Not to be delivered after.
    pub expires_at: Option<Timestamp>,
}

/// Speaks to one provider account.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one message. Ends within the account's request timeout, once it has one of its [connections](Self::connections).
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome;

    /// How many messages it sends at the same time; what is more waits. `None`: as many as there are.
    fn connections(&self) -> Option<usize> {
        None
    }
}
