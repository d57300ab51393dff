//! Reports closed accounts: in the readiness notes of this process, and in the store, for processes that do not know the
//! addresses of workers. While all accounts of a channel are closed, the channel is reported too.

use std::{convert::Infallible, sync::Arc, time::Duration};

use carillon_domain::{Channel, Timestamp, clock::later};
use carillon_runtime::{Limited, Shutdown};
use carillon_store::{
    StoreError,
    account_holds::AccountHold,
    channel_holds::{ChannelHold, ChannelHolds},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Account, WorkerDeps, account::Complaint, policy::Cause};

/// The interval at which accounts are checked.
const LOOK: Duration = Duration::from_secs(1);

/// Continues with the holds of earlier processes, so that a restart sends nothing during a pause that the provider asked
/// for, and only one message after a park. While the store does not answer, it waits, because no message could be claimed.
pub(crate) async fn resume(deps: &WorkerDeps, channel: Channel, shutdown: &Shutdown) {
    let failures = Limited::default();
    while let Err(error) = resumed(deps, channel).await {
        if let Some(left_out) = failures.admit("resume") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                left_out,
                "the holds of accounts cannot be read; the worker waits for the store"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.soft() => return,
        }
    }
}

async fn resumed(deps: &WorkerDeps, channel: Channel) -> Result<(), StoreError> {
    let now = deps.clock.now();
    for hold in deps.store.account_holds().to_resume().await? {
        let account = deps
            .accounts
            .iter()
            .find(|account| **account.name() == *hold.account);
        let Some(account) = account.filter(|_| hold.channel == channel) else {
            continue;
        };
        let left = hold.ends_at.and_then(|ends_at| (ends_at - now).to_std().ok());
        // A newer release may know more causes.
        let park = hold.park.map(|code| code.parse().unwrap_or(Cause::Operator));
        account.breaker.resume(park, left.unwrap_or_default());
        tracing::warn!(provider = %account.name(), %channel, cause = hold.cause,
            "the provider account is still held after a restart");
    }
    Ok(())
}

/// Reports closed accounts.
pub(crate) struct Reporter<'a> {
    deps: &'a WorkerDeps,
    channel: Channel,
    process: Uuid,
    of_channel: Told,
    of_accounts: Vec<Told>,
    failures: Limited,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(deps: &'a WorkerDeps, channel: Channel) -> Self {
        Self {
            deps,
            channel,
            process: Uuid::now_v7(),
            of_channel: Told::default(),
            of_accounts: deps.accounts.iter().map(|_| Told::default()).collect(),
            failures: Limited::default(),
        }
    }

    /// Reports until the future is dropped.
    pub(crate) async fn run(&mut self) -> Infallible {
        let mut timer = tokio::time::interval(LOOK);
        loop {
            timer.tick().await;
            self.report().await;
        }
    }

    /// Reports the present state.
    pub(crate) async fn report(&mut self) {
        let (deps, channel, process) = (self.deps, self.channel, self.process);
        let (channels, accounts) = (deps.store.channel_holds(), deps.store.account_holds());
        for (account, told) in deps.accounts.iter().zip(&mut self.of_accounts) {
            let complaint = account.breaker.complaint();
            deps.ready
                .note(account.name(), complaint.as_ref().map(ToString::to_string));
            let done = match told.due(complaint.map(|complaint| Hold::of(complaint, deps))) {
                None => continue,
                Some(Write::Remove) => accounts.remove(process, account.name()).await,
                Some(Write::Put(Hold { cause, ends_at, park })) => {
                    let hold = AccountHold {
                        account: account.name().to_string(),
                        channel,
                        cause,
                        ends_at,
                        park: park.map(|cause| cause.code().to_owned()),
                    };
                    accounts.put(process, &hold).await
                }
            };
            log(&self.failures, done);
        }
        let hold = present(&deps.accounts).map(|complaint| Hold::of(complaint, deps));
        let done = match self.of_channel.due(hold) {
            None => return,
            Some(Write::Remove) => channels.remove(process, channel).await,
            Some(Write::Put(Hold { cause, ends_at, .. })) => {
                let hold = ChannelHold {
                    channel,
                    cause,
                    ends_at,
                };
                channels.put(process, &hold).await
            }
        };
        log(&self.failures, done);
    }
}

/// The reason for which nothing is sent, and the time at which the next message goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hold {
    cause: String,
    ends_at: Option<Timestamp>,
    /// The cause of a park.
    park: Option<Cause>,
}

impl Hold {
    fn of(complaint: Complaint, deps: &WorkerDeps) -> Self {
        Self {
            cause: complaint.cause,
            ends_at: complaint.left.map(|left| later(deps.clock.now(), left)),
            park: complaint.park,
        }
    }

    /// Whether a hold has the cause of this one and ends within a second of it.
    fn is_like(&self, other: &Self) -> bool {
        let ends_alike = match (self.ends_at, other.ends_at) {
            (Some(told), Some(now)) => (told - now).abs() <= chrono::TimeDelta::seconds(1),
            (told, now) => told == now,
        };
        ends_alike && self.cause == other.cause
    }
}

/// The last hold of a channel or an account that was written to the store, and the time of that write; `None` after a
/// removal.
#[derive(Debug, Default)]
struct Told(Option<(Hold, Instant)>);

/// A write to the store.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    Put(Hold),
    Remove,
}

impl Told {
    /// The write that is due, if there is one. A failed write is corrected by the next one, or its row expires.
    fn due(&mut self, hold: Option<Hold>) -> Option<Write> {
        match (&self.0, hold) {
            (None, None) => None,
            (Some(_), None) => {
                self.0 = None;
                Some(Write::Remove)
            }
            (Some((told, at)), Some(hold)) if told.is_like(&hold) && at.elapsed() < ChannelHolds::RENEW => {
                None
            }
            (_, Some(hold)) => {
                self.0 = Some((hold.clone(), Instant::now()));
                Some(Write::Put(hold))
            }
        }
    }
}

fn log(failures: &Limited, done: Result<(), StoreError>) {
    let Err(error) = done else { return };
    if let Some(left_out) = failures.admit("hold") {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            left_out,
            "the hold of a channel or an account was not stored or removed"
        );
    }
}

/// The complaint of the account that opens first, if all accounts of the channel are closed.
fn present(accounts: &[Arc<Account>]) -> Option<Complaint> {
    let complaints: Option<Vec<Complaint>> = accounts
        .iter()
        .map(|account| account.breaker.complaint())
        .collect();
    complaints?
        .into_iter()
        .min_by_key(|complaint| complaint.left.unwrap_or_default())
}
