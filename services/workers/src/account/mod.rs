//! A provider account with its breaker and its send rate.
//!
//! An account is in one of three states. *Open*: messages go out. *Paused* until a time: because it was throttled, or
//! parked after an operator's fault or a run of failures. *On probation*: after a park one message goes first, and
//! its outcome decides. The parts of an account, which are the domains and platforms that it sends to, have the same
//! states (`part.rs`). The policy decides the effect of an answer (`../policy.rs`); the account keeps the history
//! (`state.rs`).
//!
//! If an account has a send rate or a limited number of connections, a worker waits for room before it claims a
//! message (`room.rs`), because a claim has a lease that would expire meanwhile.

mod measures;
mod part;
mod room;
mod state;
#[cfg(test)]
mod tests;

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use carillon_domain::Channel;
use carillon_providers::{OutgoingMessage, SendOutcome};
use carillon_store::users::DeadContact;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, watch},
    time::Instant,
};

pub(crate) use self::room::{Reservation, Room};
use self::{
    measures::Measures,
    part::{AccountPart, AccountParts},
    room::{Connections, take},
    state::{Learnt, NOTED_PAUSE, State},
};
use crate::{
    policy::{self, Cause, Course, Reaction},
    sender::Sender,
};

/// A provider account.
pub struct Account {
    name: Arc<str>,
    channel: Channel,
    sender: Arc<dyn Sender>,
    rate: Option<DefaultDirectRateLimiter>,
    per_second: Option<NonZeroU32>,
    connections: Option<Connections>,
    state: Mutex<State>,
    parts: Mutex<AccountParts>,
    changed: Notify,
    /// The evidence for which doubted refusals of addresses wait.
    proof: watch::Sender<Proof>,
    measures: Measures,
}

/// Evidence on whether refusals of addresses are to be believed.
#[derive(Debug, Clone, Copy, Default)]
struct Proof {
    /// The number of messages that the provider accepted.
    successes: u64,
    /// The number of times that the account turned out to be at fault.
    doubts: u64,
}

/// Permission to send one message.
pub(crate) struct Permit {
    is_probe: bool,
    part: Option<AccountPart>,
    is_probe_of_part: bool,
}

/// Why a message cannot go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The account is paused, or another message goes first.
    Account,
    /// The message's domain or platform is paused for this long, or for about this long if another message
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

/// The reason for which nothing is sent through an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// A sentence without a full stop.
    pub(crate) cause: String,
    /// The time until the next message goes out; `None` if one goes first now.
    pub(crate) left: Option<Duration>,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left {
            Some(left) => write!(
                f,
                "{}; the next message goes out in {} s",
                self.cause,
                left.as_secs() + 1
            ),
            None => write!(f, "{}; one message goes first", self.cause),
        }
    }
}

/// An outcome, and its consequence for the message.
#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) outcome: SendOutcome,
    pub(crate) course: Course,
    /// The evidence at the time of the answer.
    proof: Proof,
}

/// The party at fault for a refused address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The address: a success has shown that the account works.
    Address,
    /// The address, presumably: no success has confirmed that the account works.
    AddressUnproven,
    /// The account.
    Account,
}

impl Account {
    /// An account that works until it shows otherwise.
    #[must_use]
    pub fn new(name: &str, channel: Channel, sender: Arc<dyn Sender>, per_second: Option<u32>) -> Arc<Self> {
        let per_second = per_second.and_then(NonZeroU32::new);
        Arc::new(Self {
            connections: sender.connections().map(Connections::new),
            name: Arc::from(name),
            channel,
            sender,
            rate: per_second.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            per_second,
            state: Mutex::default(),
            parts: Mutex::default(),
            changed: Notify::new(),
            proof: watch::Sender::default(),
            measures: Measures::new(name, channel),
        })
    }

    /// Its name in statuses and metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The number of messages that may go out at once without a long wait for the send rate or a connection; 1 while
    /// the account is on probation.
    pub(crate) fn burst(&self) -> usize {
        if self.state.lock().is_on_probation() {
            return 1;
        }
        let by_rate = self.per_second.map_or(usize::MAX, |rate| rate.get() as usize);
        by_rate
            .min(self.sender.connections().unwrap_or(usize::MAX))
            .max(1)
    }

    /// Waits for the send rate.
    pub(crate) async fn rate(&self) {
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
    }

    /// Waits for a connection, which is released when the permit is dropped.
    pub(crate) async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.connections.as_ref()?.free, 1).await
    }

    /// Permission to send a message, if the account and the message's part of it are open or need a probe.
    pub(crate) fn try_acquire(&self, message: &OutgoingMessage) -> Result<Permit, Closed> {
        let part = AccountPart::of(message);
        let now = Instant::now();
        let mut state = self.state.lock();
        if !state.is_open(now) {
            return Err(Closed::Account);
        }
        let mut parts = self.parts.lock();
        let is_probe_of_part = match &part {
            Some(part) => parts.enter(part, now).map_err(Closed::Part)?,
            None => false,
        };
        Ok(Permit {
            is_probe: state.enter(),
            part,
            is_probe_of_part,
        })
    }

    /// Whether a message could go out now. A probe that is under way counts as closed.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().is_open(Instant::now())
    }

    /// The time for which the message's domain or platform is closed, if it is.
    pub(crate) fn part_is_closed(&self, message: &OutgoingMessage) -> Option<Duration> {
        let parts = self.parts.lock();
        if parts.is_empty() {
            return None;
        }
        parts.closed(&AccountPart::of(message)?, Instant::now())
    }

    /// Waits until [`Account::is_open`] may have changed.
    pub(crate) async fn wait(&self) {
        // Created before the state is read, so that no change in between is missed.
        let changed = self.changed.notified();
        let until = {
            let state = self.state.lock();
            let until = state.paused_until(Instant::now());
            if until.is_none() && !state.is_probing() {
                return;
            }
            until
        };
        match until {
            Some(until) => tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            },
            None => changed.await,
        }
    }

    /// Sends and learns from the outcome.
    pub(crate) async fn send(&self, permit: Permit, message: &OutgoingMessage, tries: Tries) -> Ruled {
        let guard = Probe {
            account: self,
            permit,
        };
        let started = Instant::now();
        let outcome = self.sender.send(message).await;
        self.measures.sent(outcome.class(), started.elapsed());
        let ruled = self.learn(outcome, message, &guard.permit, tries);
        drop(guard);
        ruled
    }

    fn learn(&self, outcome: SendOutcome, message: &OutgoingMessage, permit: &Permit, tries: Tries) -> Ruled {
        let now = Instant::now();
        let proof = *self.proof.borrow();
        let (mut state, mut parts) = (self.state.lock(), self.parts.lock());
        let mut history = state.history(&outcome, message, permit.part.as_ref());
        history.pauses = permit.part.as_ref().map_or(0, |part| parts.pauses(part));
        (history.waits, history.attempts) = (tries.waits, tries.attempts);
        let ruling = state::ruling(&outcome, &history, tries.longest_back_off);
        let was_open = state.paused_until(now).is_none();
        let learnt = state.react(ruling.account, now);
        if let Reaction::Pause(wait) = ruling.account
            && was_open
            && wait >= NOTED_PAUSE
        {
            state.tell(now);
            tracing::warn!(provider = %self.name, channel = %self.channel, seconds = wait.as_secs(),
                "the provider account is paused at the provider's request");
        }
        let answers = matches!(
            ruling.account,
            Reaction::Works | Reaction::Answers | Reaction::Refuses
        );
        let closed_for = if answers { state.take_return(now) } else { None };
        if let Some(part) = &permit.part {
            parts.react(part, ruling.part, now);
        }
        drop(parts);
        self.tell(&state);
        drop(state);
        if let Some(closed_for) = closed_for {
            tracing::info!(provider = %self.name, channel = %self.channel, closed_for_seconds = closed_for.as_secs(),
                "the provider account works again");
        }
        self.note(&learnt);
        Ruled {
            outcome,
            course: ruling.message,
            proof,
        }
    }

    /// The party at fault for a refused address. Waits at most [`policy::PATIENCE`] for a success that shows
    /// that the account works.
    pub(crate) async fn blame(&self, ruled: &Ruled) -> Blame {
        let before = ruled.proof;
        let mut proof = self.proof.subscribe();
        let shown = proof.wait_for(|now| now.successes > before.successes || now.doubts > before.doubts);
        if let Ok(Ok(shown)) = tokio::time::timeout(policy::PATIENCE, shown).await {
            return if shown.successes > before.successes {
                Blame::Address
            } else {
                Blame::Account
            };
        }
        let mut state = self.state.lock();
        if !policy::is_the_accounts(state.refused()) {
            return Blame::AddressUnproven;
        }
        let learnt = state.park_in_doubt(Instant::now());
        self.tell(&state);
        drop(state);
        self.note(&learnt);
        Blame::Account
    }

    /// Remembers a strike that no success has confirmed.
    pub(crate) fn struck(&self, contact: DeadContact) {
        self.state.lock().struck(contact);
    }

    /// The strikes of a run that turned out to be the account's fault, to be revoked.
    pub(crate) fn take_revoked(&self) -> Vec<DeadContact> {
        self.state.lock().take_revoked()
    }

    /// The reason for which nothing is sent through the account now, for the operator; `None` if it works or pauses
    /// only briefly.
    pub(crate) fn complaint(&self) -> Option<Complaint> {
        let (cause, left) = self.state.lock().complaint(Instant::now())?;
        let name = &self.name;
        let cause = match cause {
            Some(cause) => format!("the provider account {name} is parked: {}", cause.as_str()),
            None => format!("the provider account {name} is paused at the provider's request"),
        };
        Some(Complaint { cause, left })
    }

    fn tell(&self, state: &State) {
        self.measures
            .state(state.is_parked(), state.paused_until(Instant::now()).is_some());
    }

    fn note(&self, learnt: &Learnt) {
        self.proof.send_if_modified(|proof| {
            proof.successes += u64::from(learnt.worked);
            proof.doubts += u64::from(
                learnt.parked.is_some_and(|(_, cause)| cause == Cause::Refusals) || learnt.still_in_doubt,
            );
            learnt.worked || learnt.parked.is_some() || learnt.still_in_doubt
        });
        if let Some((wait, cause)) = learnt.parked {
            tracing::warn!(provider = %self.name, channel = %self.channel, seconds = wait.as_secs(), cause = cause.as_str(),
                "the provider account is parked");
        }
        self.changed.notify_waiters();
    }
}

/// Ends a probe, even one whose task was aborted.
struct Probe<'a> {
    account: &'a Account,
    permit: Permit,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if self.permit.is_probe_of_part
            && let Some(part) = &self.permit.part
        {
            self.account.parts.lock().end_probe(part);
        }
        if self.permit.is_probe {
            self.account.state.lock().end_probe();
            self.account.changed.notify_waiters();
        }
    }
}
