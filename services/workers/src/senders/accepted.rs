//! The messages that a provider has lately accepted in answers to this process. In the provider's list such a message is another
//! delivery's, even if number, text and time are those of a send without an answer.

use std::collections::VecDeque;

use carillon_domain::DeliveryId;
use parking_lot::Mutex;

/// The number of messages that are remembered, about two megabytes.
const REMEMBERED: usize = 20_000;

/// The provider's ids of accepted messages with their deliveries, oldest first.
#[derive(Debug, Default)]
pub(super) struct AcceptedMessages(Mutex<VecDeque<(String, DeliveryId)>>);

impl AcceptedMessages {
    pub(super) fn note(&self, message_id: &str, delivery: DeliveryId) {
        let mut accepted = self.0.lock();
        if accepted.len() >= REMEMBERED {
            accepted.pop_front();
        }
        accepted.push_back((message_id.to_owned(), delivery));
    }

    /// Whether a message is known to be of another delivery than this one.
    pub(super) fn is_anothers(&self, message_id: &str, delivery: DeliveryId) -> bool {
        let accepted = self.0.lock();
        let mut newest_first = accepted.iter().rev();
        newest_first
            .find(|(id, _)| id == message_id)
            .is_some_and(|(_, owner)| *owner != delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_anothers_if_another_delivery_got_it_as_an_answer_lately() {
        let (accepted, ours, other) = (
            AcceptedMessages::default(),
            DeliveryId(uuid::Uuid::from_u128(1)),
            DeliveryId(uuid::Uuid::from_u128(2)),
        );
        accepted.note("SM1", ours);
        assert!(!accepted.is_anothers("SM1", ours));
        assert!(accepted.is_anothers("SM1", other));
        assert!(!accepted.is_anothers("SM2", other));
        for number in 0..REMEMBERED {
            accepted.note(&number.to_string(), other);
        }
        assert!(!accepted.is_anothers("SM1", other), "the oldest is forgotten");
        assert_eq!(accepted.0.lock().len(), REMEMBERED);
    }
}
