//! The posted events in order, and the outcome of each.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::events::{Event, To};

/// A posted event.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    /// The number of tries.
    pub(crate) tries: u32,
    /// The time from the first try to the answer.
    pub(crate) took: Duration,
    began: Instant,
    /// `None` while the post is in progress.
    pub(crate) outcome: Option<Outcome>,
    /// Set if the same call contained another event of the same user and was repeated: the order of the two is then
    /// unknown.
    pub(crate) overlapped: bool,
    /// The answer to the request to cancel it, once there is one.
    pub(crate) cancelled: Option<Cancelled>,
}

/// The answer to a request to cancel an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cancelled {
    /// `cancelled`, `too_late` or `already_final`.
    pub(crate) result: String,
    /// Whether an earlier try had no answer, and may have cancelled the event.
    pub(crate) is_repeated: bool,
}

/// The answer to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Refused(String),
}

/// All events. Those of one user are in the order in which they were posted, each after the acceptance of the one
/// before.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Entry>>);

impl Journal {
    /// Notes events that are about to be posted; returns their positions.
    pub(crate) fn begin(&self, events: &[Event]) -> std::ops::Range<usize> {
        let mut entries = self.0.lock();
        let first = entries.len();
        entries.extend(events.iter().map(|event| Entry {
            event: event.clone(),
            tries: 0,
            took: Duration::ZERO,
            began: Instant::now(),
            outcome: None,
            overlapped: false,
            cancelled: None,
        }));
        first..entries.len()
    }

    /// Notes the outcome of events.
    pub(crate) fn end(&self, place: std::ops::Range<usize>, tries: u32, refused: &[(String, String)]) {
        let mut entries = self.0.lock();
        let entries = &mut entries[place];
        let mut of_user: HashMap<usize, usize> = HashMap::new();
        for entry in entries.iter() {
            if let To::User(user) = entry.event.to {
                *of_user.entry(user).or_default() += 1;
            }
        }
        for entry in entries {
            let reason = refused.iter().find(|(id, _)| *id == entry.event.id);
            entry.tries = tries;
            entry.took = entry.began.elapsed();
            entry.outcome = Some(match reason {
                Some((_, reason)) => Outcome::Refused(reason.clone()),
                None => Outcome::Accepted,
            });
            let company = |user: &usize| of_user.get(user).is_some_and(|events| *events > 1);
            entry.overlapped = tries > 1 && matches!(&entry.event.to, To::User(user) if company(user));
        }
    }

    /// Notes the answer to a request to cancel an event.
    pub(crate) fn cancelled(&self, place: usize, answer: Cancelled) {
        if let Some(entry) = self.0.lock().get_mut(place) {
            entry.cancelled = Some(answer);
        }
    }

    /// The number of accepted events, and of those in progress.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let entries = self.0.lock();
        let accepted = entries
            .iter()
            .filter(|entry| entry.outcome == Some(Outcome::Accepted))
            .count();
        (
            accepted,
            entries.iter().filter(|entry| entry.outcome.is_none()).count(),
        )
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().clone()
    }
}

impl Entry {
    /// The time at which it was accepted or refused.
    pub(crate) fn decided_at(&self) -> Instant {
        self.began + self.took
    }

    pub(crate) fn is_accepted(&self) -> bool {
        self.outcome == Some(Outcome::Accepted)
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::Lane;

    use super::*;
    use crate::events::{Kind, Waits};

    fn event(id: &str, to: To) -> Event {
        Event {
            id: id.to_owned(),
            kind: Kind::OrderShipped,
            to,
            lane: Lane::Normal,
            channels: Vec::new(),
            waits: Waits::default(),
        }
    }

    #[test]
    fn a_batch_that_was_posted_again_gives_no_order_of_its_events() {
        let journal = Journal::default();
        let batch = [
            event("a", To::User(1)),
            event("b", To::User(1)),
            event("c", To::User(2)),
        ];
        let place = journal.begin(&batch);
        journal.end(place, 2, &[]);
        let place = journal.begin(&batch);
        journal.end(place, 1, &[]);
        let overlapped: Vec<bool> = journal.entries().iter().map(|entry| entry.overlapped).collect();
        assert_eq!(overlapped, [true, true, false, false, false, false]);
    }

    #[test]
    fn a_refused_event_does_not_count_as_accepted() {
        let journal = Journal::default();
        let place = journal.begin(&[event("a", To::Guest(1)), event("b", To::Guest(2))]);
        assert_eq!(journal.counts(), (0, 2));
        journal.end(place, 1, &[("b".to_owned(), "validation".to_owned())]);
        assert_eq!(journal.counts(), (1, 0));
    }
}
