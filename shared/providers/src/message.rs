//! The message that a provider is to deliver.

use carillon_domain::{Content, DeliveryId, EventId, Platform, Timestamp};

use crate::outcome::{Refusal, Scope};

/// A rendered message with its address.
#[derive(Clone)]
pub struct OutgoingMessage {
    /// The delivery. Requests carry its id, so that a second copy can be recognised.
    pub delivery_id: DeliveryId,
    /// The event of the message.
    pub event_id: EventId,
    /// The delivery's generation: 0, and one more for each replay.
    pub generation: u32,
    /// The number of the attempt within the generation, from 1.
    pub attempt: u32,
    /// E-mail address, E.164 phone number or device token.
    pub to: String,
    /// The device's platform, for push.
    pub platform: Option<Platform>,
    /// The rendered content.
    pub content: Content,
    /// The time after which the message must not be delivered.
    pub expires_at: Option<Timestamp>,
}

/// The refusal of content of another channel than the provider's. `expected` is a noun with its article.
pub(crate) fn wrong_content(expected: &str) -> Refusal {
    Refusal::new(Scope::Message, "wrong-content", format!("expected {expected}"))
}
