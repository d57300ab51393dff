//! Reports closed accounts: in the readiness notes of each account, and in the store while all accounts of a channel
//! are closed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use carillon_domain::Channel;
use carillon_runtime::Limited;
use carillon_store::{
    StoreError,
    channel_holds::{ChannelHold, ChannelHolds},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Account, WorkerDeps, account::Complaint};

/// The interval at which accounts are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Reports closed accounts until the future is dropped.
pub(crate) async fn tell(deps: &WorkerDeps, channel: Channel) -> Infallible {
    let mut held = Held {
        process: Uuid::now_v7(),
        told: None,
        failures: Limited::default(),
    };
    let mut timer = tokio::time::interval(LOOK);
    loop {
        timer.tick().await;
        for account in &deps.accounts {
            let complaint = account.breaker.complaint().map(|complaint| complaint.to_string());
            deps.ready.note(account.name(), complaint);
        }
        held.follow(deps, channel).await;
    }
}

/// The last hold that was written to the store.
struct Held {
    process: Uuid,
    /// The hold, and the time at which it was written; `None` after a removal.
    told: Option<(ChannelHold, Instant)>,
    failures: Limited,
}

impl Held {
    async fn follow(&mut self, deps: &WorkerDeps, channel: Channel) {
        let holds = deps.store.channel_holds();
        let hold = present(&deps.accounts).map(|complaint| ChannelHold {
            channel,
            cause: complaint.cause,
            ends_at: complaint.left.map(|left| deps.clock.now() + left),
        });
        let done = match (&self.told, hold) {
            (None, None) => return,
            (Some(_), None) => {
                let done = holds.remove(self.process, channel).await;
                self.told = None;
                done
            }
            (Some((told, at)), Some(hold)) if is_same(told, &hold) && at.elapsed() < ChannelHolds::RENEW => {
                return;
            }
            (_, Some(hold)) => {
                let done = holds.put(self.process, &hold).await;
                self.told = Some((hold, Instant::now()));
                done
            }
        };
        self.log(done);
    }

    /// Logs a failed write. The row is corrected by the next write, or expires.
    fn log(&self, done: Result<(), StoreError>) {
        let Err(error) = done else { return };
        if let Some(left_out) = self.failures.admit("hold") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                left_out,
                "the hold of a channel was not stored or removed"
            );
        }
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

/// Whether a hold has the cause of the written one and ends within a second of it.
fn is_same(told: &ChannelHold, now: &ChannelHold) -> bool {
    let ends_alike = match (told.ends_at, now.ends_at) {
        (Some(told), Some(now)) => (told - now).abs() <= chrono::TimeDelta::seconds(1),
        (told, now) => told == now,
    };
    ends_alike && told.cause == now.cause
}
