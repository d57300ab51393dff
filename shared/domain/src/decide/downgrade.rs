//! Downgrades: messages over a limit of a category whose overflow is `downgrade`, for which the next channel of the
//! type is in turn. Verdicts of limits come after the rules, so the event is evaluated again with these verdicts, until
//! no further message is over a limit. Repeated checks count once.

use std::collections::HashSet;

use super::{Draft, LimitVerdict};
use crate::{catalog::Overflow, channel::Channel, ids::NotificationId};

/// The messages of an event that are over a limit and for which the next channel is in turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Downgrades(HashSet<(NotificationId, Channel)>);

impl Downgrades {
    /// Adds the messages that verdicts have found over a limit; the verdicts are those of the drafts' checks, in order.
    /// Returns whether there are new ones, so that the event has to be evaluated again.
    pub fn add<'d>(&mut self, drafts: impl Iterator<Item = &'d Draft>, verdicts: &[LimitVerdict]) -> bool {
        let before = self.0.len();
        let mut rest = verdicts;
        for draft in drafts {
            let (own, others) = rest.split_at(draft.checks.len().min(rest.len()));
            rest = others;
            self.0.extend(draft.downgraded(own));
        }
        self.0.len() > before
    }

    /// The channels on which a notification is over a limit.
    pub(super) fn of(&self, notification: NotificationId) -> Vec<Channel> {
        let own = self.0.iter().filter(|(of, _)| *of == notification);
        own.map(|(_, channel)| *channel).collect()
    }

    /// Whether there is none, which is the usual case.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Draft {
    /// The message, if a limit has no room for it and the next channel is in turn.
    fn downgraded(&self, verdicts: &[LimitVerdict]) -> Option<(NotificationId, Channel)> {
        let is_over = verdicts
            .iter()
            .any(|verdict| matches!(verdict, LimitVerdict::Exceeded(_)));
        let (_, first) = self.targets.first()?;
        (is_over && self.overflow.treatment == Overflow::Downgrade)
            .then_some((first.notification_id, first.channel))
    }
}
