//! Reports closed accounts: in the readiness notes of this process, and in the store, for processes that do not know the
//! addresses of workers. While all accounts of a channel are closed, the channel is reported too.

use std::{convert::Infallible, sync::Arc, time::Duration};

use carillon_domain::{Channel, Timestamp, clock::later};
use carillon_runtime::Limited;
use carillon_store::{
    StoreError,
    account_holds::AccountHold,
    channel_holds::{ChannelHold, ChannelHolds},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Account, WorkerDeps, account::Complaint};

/// The interval at which accounts are checked.
const LOOK: Duration = Duration::from_secs(1);

/// Reports closed accounts until the future is dropped.
pub(crate) async fn tell(deps: &WorkerDeps, channel: Channel) -> Infallible {
    let process = Uuid::now_v7();
    let failures = Limited::default();
    let (channels, accounts) = (deps.store.channel_holds(), deps.store.account_holds());
    let mut of_channel = Told::default();
    let mut of_accounts: Vec<Told> = deps.accounts.iter().map(|_| Told::default()).collect();
    let mut timer = tokio::time::interval(LOOK);
    loop {
        timer.tick().await;
        for (account, told) in deps.accounts.iter().zip(&mut of_accounts) {
            let complaint = account.breaker.complaint();
            deps.ready
                .note(account.name(), complaint.as_ref().map(ToString::to_string));
            let done = match told.due(complaint.map(|complaint| Hold::of(complaint, deps))) {
                None => continue,
                Some(Write::Remove) => accounts.remove(process, account.name()).await,
                Some(Write::Put(Hold { cause, ends_at })) => {
                    let hold = AccountHold {
                        account: account.name().to_string(),
                        channel,
                        cause,
                        ends_at,
                    };
                    accounts.put(process, &hold).await
                }
            };
            log(&failures, done);
        }
        let hold = present(&deps.accounts).map(|complaint| Hold::of(complaint, deps));
        let done = match of_channel.due(hold) {
            None => continue,
            Some(Write::Remove) => channels.remove(process, channel).await,
            Some(Write::Put(Hold { cause, ends_at })) => {
                let hold = ChannelHold {
                    channel,
                    cause,
                    ends_at,
                };
                channels.put(process, &hold).await
            }
        };
        log(&failures, done);
    }
}

/// The reason for which nothing is sent, and the time at which the next message goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hold {
    cause: String,
    ends_at: Option<Timestamp>,
}

impl Hold {
    fn of(complaint: Complaint, deps: &WorkerDeps) -> Self {
        Self {
            cause: complaint.cause,
            ends_at: complaint.left.map(|left| later(deps.clock.now(), left)),
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
