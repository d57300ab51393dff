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
    /// The time at which the bus took the event.
    pub accepted_at: Timestamp,
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

impl OutgoingMessage {
    /// Names and values that a provider keeps with a message and returns with its receipts, so that a receipt finds its
    /// attempt. They are the key of the send ledger, and tell nothing of a tenant, an event or a person: providers keep and
    /// show them. They consist of letters, digits, `_` and `-`, as SES demands.
    pub(crate) fn references(&self) -> [(&'static str, String); 4] {
        [
            ("carillon_delivery_id", self.delivery_id.to_string()),
            (
                "carillon_accepted_at",
                self.accepted_at.timestamp_micros().to_string(),
            ),
            ("carillon_generation", self.generation.to_string()),
            ("carillon_attempt", self.attempt.to_string()),
        ]
    }
}

/// The refusal of content of another channel than the provider's. `expected` is a noun with its article.
pub(crate) fn wrong_content(expected: &str) -> Refusal {
    Refusal::new(Scope::Message, "wrong-content", format!("expected {expected}"))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The second attempt at the first replay of a delivery.
    pub(crate) fn message(to: &str, content: Content) -> OutgoingMessage {
        OutgoingMessage {
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            event_id: "o 7".into(),
            accepted_at: "2026-11-24T10:00:00Z".parse().unwrap(),
            generation: 1,
            attempt: 2,
            to: to.to_owned(),
            platform: None,
            content,
            expires_at: None,
        }
    }
}
