//! The breaker of an account: by the answers to earlier messages, it decides whether a message may go out.
//!
//! An account is in one of three states. *Open*: messages go out. *Paused* until a time: because it was throttled, or
//! parked after an operator's fault or a run of failures. *On probation*: after a park one message goes first, and its
//! outcome decides. The parts of an account, which are the domains and platforms that it sends to, have the same states
//! (`part.rs`). The policy decides the effect of an answer (`../../policy.rs`); the breaker keeps the history
//! (`state.rs`). Processes share the state of an account, and one of them at a time sends its probe (`share.rs`).

mod call;
mod complaint;
mod doubt;
mod part;
mod share;
mod state;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use carillon_domain::Channel;
use carillon_providers::OutgoingMessage;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub(crate) use self::{
    call::{Closed, Permit, Ruled, Tries},
    complaint::Complaint,
    doubt::{Blame, Struck},
    part::ParkedPart,
    share::Sharing,
};
use self::{
    doubt::Proof,
    part::{AccountPart, AccountParts, MEANWHILE},
    state::{Learnt, State},
};
use super::measures::BreakerMeasures;
use crate::policy::Cause;

/// The breaker of one account.
pub(crate) struct Breaker {
    account: Arc<str>,
    channel: Channel,
    state: Mutex<State>,
    parts: Mutex<AccountParts>,
    changed: Notify,
    /// The evidence for which doubted refusals of addresses wait.
    proof: watch::Sender<Proof>,
    measures: BreakerMeasures,
    /// The exchange with other processes; unset if there is none.
    sharing: OnceLock<Arc<Sharing>>,
    /// Held while the right to send a probe is asked for or given back.
    asking: tokio::sync::Mutex<()>,
}

impl Breaker {
    /// The breaker of an account that works until it shows otherwise.
    pub(super) fn new(account: Arc<str>, channel: Channel) -> Self {
        Self {
            measures: BreakerMeasures::new(&account, channel),
            account,
            channel,
            state: Mutex::default(),
            parts: Mutex::default(),
            changed: Notify::new(),
            proof: watch::Sender::default(),
            sharing: OnceLock::new(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Whether a message could go out now. A probe that is under way counts as closed.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().is_open(Instant::now())
    }

    /// The time after which a message may go out: zero if one could now, and about a second while another message goes
    /// first.
    pub(crate) fn opens_in(&self) -> Duration {
        let (state, now) = (self.state.lock(), Instant::now());
        match state.paused_until(now) {
            Some(until) => until - now,
            None if !state.is_open(now) => MEANWHILE,
            None => Duration::ZERO,
        }
    }

    /// Continues with a hold of an earlier process, which ends after `left`.
    pub(crate) fn resume(&self, park: Option<Cause>, left: Duration) {
        let mut state = self.state.lock();
        state.resume(park, left, Instant::now());
        self.tell(&state);
    }

    /// Continues with the park of a part by an earlier process; `false` if the code is not known.
    pub(crate) fn resume_part(&self, code: &str) -> bool {
        let Some(part) = AccountPart::of_code(code) else {
            return false;
        };
        self.parts.lock().resume(part, Instant::now());
        true
    }

    /// The parts of the account that are parked.
    pub(crate) fn parked_parts(&self) -> Vec<ParkedPart> {
        let parts = self.parts.lock();
        if parts.is_empty() {
            return Vec::new();
        }
        parts.parked(Instant::now())
    }

    /// Whether one message goes first.
    pub(super) fn is_on_probation(&self) -> bool {
        self.state.lock().is_on_probation()
    }

    /// The time for which the message's domain or platform is closed, if it is.
    pub(crate) fn part_is_closed(&self, message: &OutgoingMessage) -> Option<Duration> {
        let parts = self.parts.lock();
        if parts.is_empty() {
            return None;
        }
        parts.closed(&AccountPart::of(message)?, Instant::now())
    }

    /// Permission to send a message, if the account and the message's part of it are open or need a probe. A probe needs
    /// the right to it, too ([`Breaker::may_go_first`]).
    pub(crate) fn try_acquire(&self, message: &OutgoingMessage) -> Result<Permit<'_>, Closed> {
        let part = AccountPart::of(message);
        let now = Instant::now();
        let mut state = self.state.lock();
        let may_go = !state.is_on_probation() || self.sharing.get().is_none() || state.has_probe_right();
        if !state.is_open(now) || !may_go {
            return Err(Closed::Account);
        }
        let mut parts = self.parts.lock();
        let is_probe_of_part = match &part {
            Some(part) => parts.enter(part, now).map_err(Closed::Part)?,
            None => false,
        };
        Ok(Permit {
            breaker: self,
            is_probe: state.enter(),
            part,
            is_probe_of_part,
        })
    }

    /// Waits until [`Breaker::is_open`] may have changed.
    pub(crate) async fn wait(&self) {
        // Created before the state is read, so that no change in between is missed.
        let changed = self.changed.notified();
        let until = {
            let (state, now) = (self.state.lock(), Instant::now());
            if state.is_open(now) {
                return;
            }
            state.paused_until(now).or_else(|| state.asks_again_at(now))
        };
        match until {
            Some(until) => tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            },
            None => changed.await,
        }
    }

    /// Remembers a strike that no success has confirmed.
    pub(crate) fn struck(&self, struck: Struck) {
        self.state.lock().struck(struck);
    }

    /// The strikes of a run that turned out to be the account's fault, to be revoked.
    pub(crate) fn take_revoked(&self) -> Vec<Struck> {
        self.state.lock().take_revoked()
    }

    /// The reason for which nothing is sent through the account now, for the operator; `None` if it works or pauses
    /// only briefly.
    pub(crate) fn complaint(&self) -> Option<Complaint> {
        let (cause, left) = self.state.lock().complaint(Instant::now())?;
        Some(Complaint::new(&self.account, cause, left))
    }

    /// The reason for which no message can go out now, and the time that is left; `None` if one can.
    pub(crate) fn why_closed(&self) -> Option<Complaint> {
        let (state, now) = (self.state.lock(), Instant::now());
        if state.is_open(now) {
            return None;
        }
        let left = state.paused_until(now).map(|until| until - now);
        Some(Complaint::new(&self.account, state.cause(), left))
    }

    fn tell(&self, state: &State) {
        self.measures
            .state(state.is_parked(), state.paused_until(Instant::now()).is_some());
        if state.is_untold()
            && let Some(sharing) = self.sharing.get()
        {
            sharing.news.notify_one();
        }
    }

    fn note(&self, learnt: &Learnt) {
        self.proof.send_if_modified(|proof| proof.add(learnt));
        if let Some((wait, cause)) = learnt.parked {
            tracing::warn!(provider = %self.account, channel = %self.channel, seconds = wait.as_secs(),
                cause = cause.as_str(), "the provider account is parked");
        }
        self.changed.notify_waiters();
    }
}
