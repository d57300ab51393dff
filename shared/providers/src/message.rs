//! The message that a provider is to deliver.

use carillon_domain::{Content, DeliveryId, EventId, Platform, TenantId, Timestamp, contact::SigningSecret};

use crate::{
    outcome::{Refusal, Scope},
    reference::{Reference, ReferenceKey},
};

/// A rendered message with its address.
#[derive(Clone)]
pub struct OutgoingMessage {
    /// The tenant.
    pub tenant: TenantId,
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
    /// E-mail address, E.164 phone number, device token, or the URL of an endpoint.
    pub to: String,
    /// The device's platform, for push.
    pub platform: Option<Platform>,
    /// The rendered content.
    pub content: Content,
    /// The time after which the message must not be delivered.
    pub expires_at: Option<Timestamp>,
    /// The key that signs the reference of its receipts.
    pub reference_key: ReferenceKey,
    /// The link by which the recipient of a mail unsubscribes with one click (RFC 8058), in ASCII.
    pub unsubscribe_url: Option<String>,
    /// The secrets that sign a request to an endpoint; empty on other channels.
    pub secrets: Vec<SigningSecret>,
}

impl OutgoingMessage {
    /// The signed reference, by which a receipt finds this attempt.
    pub(crate) fn reference(&self) -> String {
        self.reference_key.sign(&Reference {
            tenant: self.tenant.clone(),
            event_id: self.event_id.clone(),
            delivery_id: self.delivery_id,
            accepted_at: self.accepted_at,
            generation: self.generation,
            attempt: self.attempt,
        })
    }

    /// Names and values that a provider keeps with a message and returns with its receipts. They consist of letters, digits,
    /// `_` and `-`, as SES demands. They name no person, because providers keep and show them.
    pub(crate) fn references(&self) -> [(&'static str, String); 2] {
        [
            ("carillon_delivery_id", self.delivery_id.to_string()),
            ("carillon_reference", self.reference()),
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
            tenant: TenantId::default(),
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            event_id: "o 7".into(),
            accepted_at: "2026-11-24T10:00:00Z".parse().unwrap(),
            generation: 1,
            attempt: 2,
            to: to.to_owned(),
            platform: None,
            content,
            expires_at: None,
            reference_key: ReferenceKey::of(&carillon_domain::contact::AddressKey::new([7; 32])),
            unsubscribe_url: None,
            secrets: Vec::new(),
        }
    }
}
