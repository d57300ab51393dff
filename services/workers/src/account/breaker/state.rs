//! The history of an account's answers, and whether it is open.

mod common;

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher as _,
    time::Duration,
};

use carillon_providers::{Class, OutgoingMessage, Scope, SendOutcome};
use tokio::time::Instant;

use super::{doubt::Struck, part::AccountPart, share::ProbeRight};
use crate::policy::{self, AnswerKind, Cause, History, MANY_REFUSED, Reaction, Ruling};

/// The length up to which a pause that a provider asks for is normal, and not reported to the operator.
pub(super) const NOTED_PAUSE: Duration = Duration::from_secs(10);

/// The state of one account, from the start of the process.
#[derive(Debug, Default)]
pub(super) struct State {
    paused_until: Option<Instant>,
    /// Parks since the account last worked. If above 0, the account is on probation.
    parks: u32,
    cause: Option<Cause>,
    /// Pauses since the account last worked.
    throttles: u32,
    /// Whether a probe is under way.
    probing: bool,
    /// The time at which the log first said that the account is paused or parked; `None` after the log said that it
    /// works.
    told: Option<Instant>,
    /// Consecutive failures.
    failures: u32,
    /// Hashes of the addresses that were refused since the last success.
    refused: HashSet<u64>,
    /// Hashes of the domains that deferred messages since the last success.
    domains: HashSet<u64>,
    /// Hashes of the addresses whose messages were refused since the last success for a rate that may be the account's.
    throttled: HashSet<u64>,
    /// Hashes of the addresses whose messages were refused because of the account since the last success.
    suspects: HashSet<u64>,
    /// The code of the refusal that has parked the account.
    parked_by: Option<Box<str>>,
    /// Codes by which a single message has parked the account, until a success showed that it works.
    refuted: HashSet<Box<str>>,
    hasher: RandomState,
    /// Unconfirmed strikes since the last success.
    unproven: Vec<Struck>,
    revoked: Vec<Struck>,
    /// The time of the last success.
    worked_at: Option<Instant>,
    /// The begin of the present run of failures or refusals.
    run_since: Option<Instant>,
    shared: Shared,
}

/// The most codes and messages that are remembered.
const REMEMBERED: usize = 64;

/// The part of the state that concerns the exchange with other processes.
#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    /// The version of the common state that it has seen last.
    version: u64,
    /// Whether it has changed since it was last told.
    has_news: bool,
    /// Whether the common state was taken over since the process began.
    has_adopted: bool,
    right: ProbeRight,
}

/// The effect of an answer on the account.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub(super) worked: bool,
    /// The park that this answer caused: its duration and cause.
    pub(super) parked: Option<(Duration, Cause)>,
    /// Whether the account, parked because of refused addresses, refused another one.
    pub(super) still_in_doubt: bool,
}

/// The policy's ruling.
pub(super) fn ruling(outcome: &SendOutcome, history: &History, longest: Duration) -> Ruling {
    let refusal = outcome.refusal();
    let answer = AnswerKind {
        class: outcome.class(),
        scope: refusal.map_or(Scope::Message, |refusal| refusal.scope),
        named: refusal.and_then(|refusal| refusal.retry_after),
    };
    policy::rule(answer, history, longest, rand::random())
}

impl State {
    /// The history, including this outcome.
    pub(super) fn history(
        &mut self,
        outcome: &SendOutcome,
        message: &OutgoingMessage,
        part: Option<&AccountPart>,
        now: Instant,
    ) -> History {
        let scope = outcome.refusal().map(|refusal| refusal.scope);
        match (outcome.class(), scope) {
            // An endpoint's refusal is no evidence about the account.
            (_, Some(Scope::Endpoint)) => {}
            (Class::AddressDead, _) | (Class::Terminal, Some(Scope::Address))
                if self.refused.len() < MANY_REFUSED =>
            {
                self.refused.insert(self.hasher.hash_one(&message.to));
            }
            (Class::Retry | Class::Throttle, Some(Scope::Domain)) => {
                if let Some(part) = part.filter(|_| self.domains.len() < policy::DOMAINS_IN_A_ROW) {
                    self.domains.insert(self.hasher.hash_one(part));
                }
            }
            (Class::Throttle, Some(Scope::Unnamed)) if self.throttled.len() < policy::ADDRESSES_IN_A_ROW => {
                self.throttled.insert(self.hasher.hash_one(&message.to));
            }
            (Class::Retry | Class::Uncertain, Some(Scope::Account | Scope::Connection)) => {
                self.failures = self.failures.saturating_add(1);
            }
            (Class::Config | Class::Terminal, Some(Scope::Account)) if self.suspects.len() < REMEMBERED => {
                self.suspects.insert(self.hasher.hash_one(&message.to));
            }
            _ => {}
        }
        if self.failures == 0 && self.refused.is_empty() {
            self.run_since = None;
        } else {
            self.run_since.get_or_insert(now);
        }
        History {
            throttles: self.throttles,
            parks: self.parks,
            cause: self.cause,
            failures: self.failures,
            refused: self.refused.len(),
            domains: self.domains.len(),
            throttled: self.throttled.len(),
            suspects: self.suspects.len(),
            is_refuted: outcome
                .refusal()
                .is_some_and(|refusal| self.refuted.contains(&*refusal.code)),
            ..History::default()
        }
    }

    pub(super) fn react(&mut self, reaction: Reaction, now: Instant) -> Learnt {
        let before = self.closed_by();
        let learnt = self.reacted(reaction, now);
        self.shared.has_news |= before != self.closed_by();
        learnt
    }

    /// The values that close the account: end of the pause, parks, throttles and cause.
    fn closed_by(&self) -> (Option<Instant>, u32, u32, Option<Cause>) {
        (self.paused_until, self.parks, self.throttles, self.cause)
    }

    fn reacted(&mut self, reaction: Reaction, now: Instant) -> Learnt {
        let is_in_doubt = self.parks > 0 && self.cause == Some(Cause::Refusals);
        let is_paused = self.paused_until(now).is_some();
        match reaction {
            Reaction::None | Reaction::Fails => {}
            // A success ends a park, but not a throttle, because this message may have been under way when
            // the provider named the time.
            Reaction::Works => {
                self.refute();
                *self = Self {
                    refuted: std::mem::take(&mut self.refuted),
                    probing: self.probing,
                    hasher: self.hasher.clone(),
                    revoked: std::mem::take(&mut self.revoked),
                    paused_until: self.paused_until.filter(|_| self.parks == 0),
                    told: self.told,
                    worked_at: Some(now),
                    shared: self.shared,
                    throttles: if is_paused && self.parks == 0 {
                        self.throttles
                    } else {
                        0
                    },
                    ..Self::default()
                };
                return Learnt {
                    worked: true,
                    ..Learnt::default()
                };
            }
            // Only a success shows that an account that refused every address works.
            Reaction::Answers | Reaction::Refuses if is_in_doubt => {}
            Reaction::Answers | Reaction::Refuses => {
                if self.parks > 0 || !is_paused {
                    (self.paused_until, self.throttles) = (None, 0);
                }
                (self.parks, self.failures, self.cause) = (0, 0, None);
            }
            Reaction::Pause(wait) => {
                // Messages that were under way when the pause began get the same answer; they do not count
                // again.
                if !is_paused {
                    self.throttles = self.throttles.saturating_add(1);
                }
                self.pause(now + wait);
            }
            Reaction::Park(wait, cause) => return self.park(wait, cause, now),
        }
        Learnt::default()
    }

    /// Parks the account. Messages that were under way at that time get the same answer; they do not extend
    /// the park.
    fn park(&mut self, wait: Duration, cause: Cause, now: Instant) -> Learnt {
        if cause == Cause::Refusals {
            self.revoked.append(&mut self.unproven);
        }
        if !self.probing && self.parks > 0 && self.paused_until(now).is_some() {
            let still_in_doubt = cause == Cause::Refusals && self.cause == Some(Cause::Refusals);
            return Learnt {
                still_in_doubt,
                ..Learnt::default()
            };
        }
        self.parks = self.parks.saturating_add(1);
        (self.failures, self.cause) = (0, Some(cause));
        self.tell(now);
        self.pause(now + wait);
        Learnt {
            parked: Some((wait, cause)),
            ..Learnt::default()
        }
    }

    /// Parks the account after a run of refused addresses that has lasted longer than
    /// [`PATIENCE`](crate::policy::PATIENCE).
    pub(super) fn park_in_doubt(&mut self, now: Instant) -> Learnt {
        let before = self.closed_by();
        let learnt = self.park(policy::park_in_doubt(self.parks), Cause::Refusals, now);
        self.shared.has_news |= before != self.closed_by();
        learnt
    }

    /// Remembers the code of the refusal that has parked the account.
    pub(super) fn parked_by(&mut self, code: &str) {
        if self.cause() == Some(Cause::Operator) {
            self.parked_by = Some(code.into());
        }
    }

    /// The account works. If it refused one message only, that refusal was about the message.
    fn refute(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        if let Some(code) = self.parked_by.take()
            && suspects.len() == 1
            && self.refuted.len() < REMEMBERED
        {
            self.refuted.insert(code);
        }
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |before| before.max(until)));
    }

    /// Continues with a hold of an earlier process. A pause lasts until its end. After a park one message goes first, at
    /// once: the operator may have repaired the fault before the restart.
    pub(super) fn resume(&mut self, park: Option<Cause>, left: Duration, now: Instant) {
        if let Some(cause) = park {
            self.parks = self.parks.max(1);
            self.cause = Some(cause);
        } else {
            // One message goes first, as after several throttles in a row.
            self.throttles = self.throttles.max(2);
            self.pause(now + left);
        }
        self.tell(now);
    }

    /// Remembers that the log says that the account is closed.
    pub(super) fn tell(&mut self, now: Instant) {
        self.told.get_or_insert(now);
    }

    /// The time for which it was closed, if it works again and the log said that it was closed.
    pub(super) fn take_return(&mut self, now: Instant) -> Option<Duration> {
        if self.parks > 0 || self.paused_until(now).is_some() {
            return None;
        }
        self.told.take().map(|since| now - since)
    }

    /// The end of its pause, if it is paused.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        !self.probing && self.paused_until(now).is_none() && self.asks_again_at(now).is_none()
    }

    /// The time at which this process asks again for the right to send a probe, which another one has.
    pub(super) fn asks_again_at(&self, now: Instant) -> Option<Instant> {
        match self.shared.right {
            ProbeRight::Others(at) if at > now && self.is_on_probation() => Some(at),
            _ => None,
        }
    }

    /// Whether one message goes first: after a park, or after more than one throttle in a row.
    pub(super) fn is_on_probation(&self) -> bool {
        self.parks > 0 || self.throttles > 1
    }

    /// The cause of its park, and the end of its pause, as far as they are the operator's concern.
    pub(super) fn complaint(&self, now: Instant) -> Option<(Option<Cause>, Option<Duration>)> {
        let left = self.paused_until(now).map(|until| until - now);
        match (self.parks, left) {
            (0, Some(left)) if left >= NOTED_PAUSE => Some((None, Some(left))),
            (0, _) => None,
            (_, left) => Some((self.cause, left)),
        }
    }

    /// The cause of its park, if it is parked.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.cause.filter(|_| self.parks > 0)
    }

    pub(super) fn is_parked(&self) -> bool {
        self.parks > 0
    }

    pub(super) fn is_probing(&self) -> bool {
        self.probing
    }

    /// Lets one message go out; returns whether it is a probe.
    pub(super) fn enter(&mut self) -> bool {
        self.paused_until = None;
        self.probing = self.is_on_probation();
        self.probing
    }

    pub(super) fn end_probe(&mut self) {
        self.probing = false;
    }

    /// The number of addresses refused since the last success.
    pub(super) fn refused(&self) -> usize {
        self.refused.len()
    }

    pub(super) fn struck(&mut self, struck: Struck) {
        // If a success or a park has ended the run of the strike, the strike is not noted.
        if !self.refused.is_empty() && self.unproven.len() < MANY_REFUSED {
            self.unproven.push(struck);
        }
    }

    pub(super) fn take_revoked(&mut self) -> Vec<Struck> {
        std::mem::take(&mut self.revoked)
    }
}
