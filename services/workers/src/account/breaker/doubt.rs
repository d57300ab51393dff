//! The party at fault for a refused address: the address, or an account that refuses every address.

use carillon_bus::Record;
use carillon_providers::Scope;
use carillon_store::suppressions::Strike;
use tokio::time::Instant;

use super::{Breaker, Learnt, Ruled};
use crate::{
    attempt::DeliveryAttempt,
    policy::{self, Cause},
};

/// Evidence on whether refusals of addresses are to be believed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Proof {
    /// The number of messages that the provider accepted.
    successes: u64,
    /// The number of times that the account turned out to be at fault.
    doubts: u64,
}

impl Proof {
    /// Adds an answer's effect; returns whether waiters should look again.
    pub(super) fn add(&mut self, learnt: &Learnt) -> bool {
        self.successes += u64::from(learnt.worked);
        self.doubts += u64::from(
            learnt.parked.is_some_and(|(_, cause)| cause == Cause::Refusals) || learnt.still_in_doubt,
        );
        learnt.worked || learnt.parked.is_some() || learnt.still_in_doubt
    }
}

/// A strike of an address, and the attempt that failed by it.
#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) strike: Strike,
    /// The record of the attempt.
    pub(crate) record: Record,
    pub(crate) attempt: DeliveryAttempt,
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

impl Breaker {
    /// The party at fault for a refused address. Waits at most [`policy::PATIENCE`] for a success that shows
    /// that the account works.
    pub(crate) async fn blame(&self, ruled: &Ruled) -> Blame {
        // An endpoint speaks for itself.
        if ruled
            .outcome
            .refusal()
            .is_some_and(|refusal| refusal.scope == Scope::Endpoint)
        {
            return Blame::Address;
        }
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
}
