//! One call of the provider: the permission for it, and the lesson of its answer.

use std::time::Duration;

use carillon_providers::{OutgoingMessage, SendOutcome};
use tokio::time::Instant;

use super::{
    Breaker,
    doubt::Proof,
    part::AccountPart,
    state::{self, NOTED_PAUSE},
};
use crate::policy::{Course, Reaction};

/// Permission to send one message, which may be a probe. Dropping the permission ends the probe in every case: after
/// the provider's answer, when the task is aborted, and when no message is sent.
pub(crate) struct Permit<'a> {
    pub(super) breaker: &'a Breaker,
    pub(in crate::account) is_probe: bool,
    pub(super) part: Option<AccountPart>,
    pub(super) is_probe_of_part: bool,
}

/// Why a message cannot go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The account is paused, or another message goes first.
    Account,
    /// The message's domain, country, endpoint or platform is paused for this long, or for about this long if another message
    /// goes first.
    Part(Duration),
}

/// The previous tries of a message, and the longest time for which it may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    /// Waits that were no attempts.
    pub(crate) waits: u32,
    /// Attempts, this one included.
    pub(crate) attempts: u32,
    /// The longest wait without a provider's `Retry-After`.
    pub(crate) longest_back_off: Duration,
}

/// An outcome, and its consequence for the message.
#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) outcome: SendOutcome,
    pub(crate) course: Course,
    /// The evidence at the time of the answer.
    pub(super) proof: Proof,
}

impl Permit<'_> {
    /// Learns from the outcome.
    pub(in crate::account) fn learn(
        self,
        outcome: SendOutcome,
        message: &OutgoingMessage,
        tries: Tries,
    ) -> Ruled {
        let (breaker, part) = (self.breaker, self.part.as_ref());
        let now = Instant::now();
        let proof = *breaker.proof.borrow();
        let (mut state, mut parts) = (breaker.state.lock(), breaker.parts.lock());
        let mut history = state.history(&outcome, message, part, now);
        history.pauses = part.map_or(0, |part| parts.pauses(part));
        (history.waits, history.attempts) = (tries.waits, tries.attempts);
        let ruling = state::ruling(&outcome, &history, tries.longest_back_off);
        let was_open = state.paused_until(now).is_none();
        let learnt = state.react(ruling.account, now);
        if learnt.parked.is_some()
            && let Some(refusal) = outcome.refusal()
        {
            state.parked_by(&refusal.code);
        }
        if let Reaction::Pause(wait) = ruling.account
            && was_open
            && wait >= NOTED_PAUSE
        {
            state.tell(now);
            tracing::warn!(provider = %breaker.account, channel = %breaker.channel, seconds = wait.as_secs(),
                "the provider account is paused at the provider's request");
        }
        let answers = matches!(
            ruling.account,
            Reaction::Works | Reaction::Answers | Reaction::Refuses
        );
        let closed_for = if answers { state.take_return(now) } else { None };
        if let Some(part) = part {
            parts.react(part, ruling.part, now);
        }
        drop(parts);
        breaker.tell(&state);
        drop(state);
        if let Some(closed_for) = closed_for {
            tracing::info!(provider = %breaker.account, channel = %breaker.channel,
                closed_for_seconds = closed_for.as_secs(), "the provider account works again");
        }
        breaker.note(&learnt);
        Ruled {
            outcome,
            course: ruling.message,
            proof,
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe_of_part
            && let Some(part) = &self.part
        {
            self.breaker.parts.lock().end_probe(part);
        }
        if self.is_probe {
            self.breaker.state.lock().end_probe();
            self.breaker.changed.notify_waiters();
        }
    }
}
