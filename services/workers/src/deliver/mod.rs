//! The deliver stage, common to all channels: a batch of records passes through parse, claim, prepare (address,
//! render), send and conclude. Each record ends with a recorded verdict, or is read again.

mod accounts;
mod ask;
mod claim;
mod conclude;
mod failover;
mod parse;
mod patience;
mod prepare;
mod publish;
mod send;
mod strike;
mod task;
#[cfg(test)]
mod testing;
mod uncertain;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_bus::{Bus, Handler, Inbound};
use carillon_domain::{Channel, Timestamp, clock::SharedClock, unsubscribe::UnsubscribeLinks};
use carillon_providers::ReferenceKey;
use carillon_render::Renderer;
use carillon_runtime::{
    Limited, Shutdown,
    panics::{Panic, catch},
};
use carillon_store::Store;
use futures::future::join_all;

use self::{
    accounts::{Candidates, Turn},
    claim::ClaimedTask,
    parse::Parsed,
    task::Task,
};
pub(crate) use self::{
    claim::{AtWork, Owners},
    conclude::EndedAttempts,
    patience::Patience,
};
use crate::{account::Account, routes::Routes};

/// The interval at which a wait checks the clock or the ledger.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Delivers the records of one channel.
pub(crate) struct Deliver {
    pub(crate) channel: Channel,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) renderer: Arc<dyn Renderer>,
    pub(crate) clock: SharedClock,
    /// The channel's provider accounts, first choice first.
    pub(crate) accounts: Vec<Arc<Account>>,
    /// The routes, by which each delivery gets its accounts.
    pub(crate) routes: Routes,
    /// The key that signs the references of receipts.
    pub(crate) reference_key: ReferenceKey,
    /// Makes the links by which recipients of mails unsubscribe.
    pub(crate) links: Option<UnsubscribeLinks>,
    /// The ids of this process's claims.
    pub(crate) owners: Owners,
    /// Whether a claim by another process is known to be a dead one's, which is true if there is only one process.
    pub(crate) others_are_dead: bool,
    /// The lease of a claim.
    pub(crate) lease: Duration,
    /// The longest wait without a provider's `Retry-After`.
    pub(crate) longest_back_off: Duration,
    /// The time since its first failure after which a delivery that has only been told to wait becomes a dead letter.
    pub(crate) give_up_after: Duration,
    /// The consumer group, for dead letters.
    pub(crate) group: String,
    /// The attempts that this process has claimed and is working on.
    pub(crate) at_work: AtWork,
    pub(crate) ended: EndedAttempts,
    /// Limits the log to one line a minute for each code of dead letters.
    pub(crate) warned: Limited,
    /// Retries calls of the stores.
    pub(crate) patience: Patience,
    pub(crate) shutdown: Shutdown,
}

#[async_trait]
impl Handler for Deliver {
    async fn handle(&self, batch: Vec<Inbound>) {
        let Parsed { due, early } = self.parse(batch).await;
        let early = early.into_iter().map(|(due, task)| async move {
            // At the end of the process, records that were not begun are given back.
            if self.waited_until(due).await {
                self.deliver(vec![task]).await;
            }
        });
        tokio::join!(self.deliver(due), join_all(early));
    }

    async fn bury(&self, inbound: Inbound, panic: &Panic) {
        self.bury_bug(inbound, panic).await;
    }
}

impl Deliver {
    /// Delivers each group of deliveries that have the same accounts by itself.
    async fn deliver(&self, tasks: Vec<Task>) {
        let groups = self.by_accounts(tasks).into_iter();
        join_all(groups.map(|(candidates, tasks)| self.deliver_to(candidates, tasks))).await;
    }

    async fn deliver_to(&self, candidates: Candidates, mut tasks: Vec<Task>) {
        while !tasks.is_empty() {
            // The send rate and the connections of an account limit how many deliveries are claimed at a time, so
            // that no claim outlasts its lease while it waits.
            let first_expiry = tasks.iter().filter_map(|task| task.delivery.expires_at).min();
            let turn = tokio::select! {
                biased;
                turn = self.turn(&candidates, tasks.len()) => turn,
                () = self.passed(first_expiry) => {
                    tasks = self.end_expired(tasks).await;
                    continue;
                }
            };
            let room = match turn {
                Turn::Room(room) => room,
                Turn::Closed(wait) => return self.turn_back(&candidates, tasks, wait).await,
                Turn::Unserved => return self.turn_away(tasks).await,
                Turn::Ended => return,
            };
            let rest = tasks.split_off(tasks.len().min(room.count()));
            let (ours, taken) = self.claim(std::mem::replace(&mut tasks, rest), Some(room)).await;
            // The waits for other workers' claims run beside our sends, whose leases are running.
            let settled = taken
                .into_iter()
                .map(|(claimed, taken)| self.settle(claimed, Some(taken)));
            // Each tenant's messages are prepared separately, because one tenant's templates may take long.
            let sent = by_tenant(ours).into_iter().map(|ours| async {
                let prepared = self.prepare(ours).await;
                // A panic affects only its own delivery: the record is read again, and its claim shows that
                // the outcome is uncertain.
                let role = || Arc::clone(&self.patience.role);
                join_all(prepared.into_iter().map(|ready| catch(role(), self.send(ready)))).await;
            });
            tokio::join!(join_all(settled), join_all(sent));
        }
    }

    /// Ends the deliveries that expired while they waited for an account, and returns the others.
    async fn end_expired(&self, tasks: Vec<Task>) -> Vec<Task> {
        let now = self.clock.now();
        let (expired, waiting) = tasks.into_iter().partition(|task| task.delivery.is_expired(now));
        let (ours, taken) = self.claim(expired, None).await;
        for claimed in ours {
            self.expired(claimed);
        }
        let settled = taken
            .into_iter()
            .map(|(claimed, taken)| self.settle(claimed, Some(taken)));
        join_all(settled).await;
        waiting
    }

    /// Waits until a time has passed. Without a time, or if the process ends first, it waits for ever.
    async fn passed(&self, time: Option<Timestamp>) {
        if let Some(time) = time
            && self.waited_until(time).await
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Waits until a time; `false` if the process ends first.
    async fn waited_until(&self, due: Timestamp) -> bool {
        loop {
            let wait = (due - self.clock.now()).to_std().unwrap_or_default();
            if wait.is_zero() {
                return true;
            }
            // The clock counts microseconds and the timer milliseconds; one more millisecond lets a single wait
            // suffice.
            let wait = (wait + Duration::from_millis(1)).min(LOOK_AGAIN);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.soft() => return false,
            }
        }
    }
}

/// Groups the claimed deliveries by tenant, in order. Usually there is one group.
fn by_tenant(claimed: Vec<ClaimedTask>) -> Vec<Vec<ClaimedTask>> {
    let mut parts: Vec<Vec<ClaimedTask>> = Vec::with_capacity(1);
    for one in claimed {
        let tenant = &one.task.delivery.tenant;
        match parts
            .iter_mut()
            .find(|part| part[0].task.delivery.tenant == *tenant)
        {
            Some(part) => part.push(one),
            None => parts.push(vec![one]),
        }
    }
    parts
}
