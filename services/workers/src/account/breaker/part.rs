//! The parts of an account: the domains that an e-mail account sends to, the platforms of a push account, the endpoints
//! of webhooks. Each has a pause of its own, so that one domain's greylisting, one platform's missing credential or one
//! endpoint's limit does not stop the others.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_domain::{Content, Platform};
use carillon_providers::OutgoingMessage;
use tokio::time::Instant;

use crate::policy::Reaction;

/// The time for which a part is remembered after its last pause. After that, its next pause counts as the
/// first.
const MEMORY: Duration = Duration::from_hours(1);
/// The number of parts above which old ones are searched for and forgotten.
const MANY: usize = 1_024;
/// The wait while another message of the part goes first: its answer comes within about this time.
pub(super) const MEANWHILE: Duration = Duration::from_secs(1);

/// A part of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AccountPart {
    /// An address's domain, in lower case.
    Domain(Arc<str>),
    /// A device's platform.
    Platform(Platform),
    /// The URL of an endpoint.
    Endpoint(Arc<str>),
}

impl AccountPart {
    /// The part that a message belongs to.
    pub(super) fn of(message: &OutgoingMessage) -> Option<Self> {
        match message.content {
            Content::Email { .. } => {
                let (_, domain) = message.to.rsplit_once('@')?;
                Some(Self::Domain(Arc::from(domain.to_lowercase())))
            }
            Content::Push { .. } => message.platform.map(Self::Platform),
            Content::Webhook { .. } => Some(Self::Endpoint(Arc::from(message.to.as_str()))),
            Content::Sms { .. } => None,
        }
    }
}

/// The parts that are or were paused.
#[derive(Debug, Default)]
pub(super) struct AccountParts(HashMap<AccountPart, Gate>);

#[derive(Debug)]
struct Gate {
    until: Instant,
    /// Pauses and parks since the part last accepted a message.
    pauses: u32,
    /// Whether the part was parked, so that one message goes first.
    is_parked: bool,
    probing: bool,
}

impl AccountParts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time for which a part is closed, if it is.
    pub(super) fn closed(&self, part: &AccountPart, now: Instant) -> Option<Duration> {
        let gate = self.0.get(part)?;
        if gate.until > now {
            return Some(gate.until - now);
        }
        gate.probing.then_some(MEANWHILE)
    }

    /// Lets a message go out to a part; returns whether it is the part's probe. The error is the time for
    /// which the part is closed.
    pub(super) fn enter(&mut self, part: &AccountPart, now: Instant) -> Result<bool, Duration> {
        if let Some(wait) = self.closed(part, now) {
            return Err(wait);
        }
        Ok(self.0.get_mut(part).is_some_and(|gate| {
            gate.probing = gate.is_parked;
            gate.probing
        }))
    }

    pub(super) fn end_probe(&mut self, part: &AccountPart) {
        if let Some(gate) = self.0.get_mut(part) {
            gate.probing = false;
        }
    }

    /// Pauses since the part last accepted a message.
    pub(super) fn pauses(&self, part: &AccountPart) -> u32 {
        self.0.get(part).map_or(0, |gate| gate.pauses)
    }

    pub(super) fn react(&mut self, part: &AccountPart, reaction: Reaction, now: Instant) {
        let (wait, is_parked) = match reaction {
            // A success does not end a pause, because this message may have been under way when the pause
            // began.
            Reaction::Works => {
                if self
                    .0
                    .get(part)
                    .is_some_and(|gate| gate.is_parked || gate.until <= now)
                {
                    self.0.remove(part);
                }
                return;
            }
            Reaction::Pause(wait) => (wait, false),
            Reaction::Park(wait, _) => (wait, true),
            Reaction::None | Reaction::Answers | Reaction::Fails | Reaction::Refuses => return,
        };
        if self.0.len() >= MANY {
            self.0.retain(|_, gate| gate.until + MEMORY > now);
        }
        let gate = self.0.entry(part.clone()).or_insert(Gate {
            until: now,
            pauses: 0,
            is_parked,
            probing: false,
        });
        // Messages that were under way when the pause began get the same answer; they do not extend it.
        if gate.until <= now {
            gate.pauses = if gate.until + MEMORY > now {
                gate.pauses.saturating_add(1)
            } else {
                1
            };
        }
        gate.is_parked = is_parked;
        gate.until = gate.until.max(now + wait);
    }
}
