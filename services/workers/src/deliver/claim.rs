//! Second stage: claims attempts in the send ledger. The owner of a claim may call the provider for the attempt. An
//! attempt that was claimed before is not sent again: its outcome is published again, or it counts as uncertain if it
//! has none.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use carillon_domain::{
    DeliveryStatus, Timestamp, catalog::OnUncertain, clock::later, dead_letter::FailureClass,
    status::TimelineStep,
};
use carillon_store::{
    Lease, StoreError,
    send_ledger::{ClaimVerdict, SendClaim, SendKey, Taken},
};
use futures::future::join_all;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Deliver, LOOK_AGAIN,
    task::{Conclusion, Consequence, Task},
};
use crate::account::{Reservation, Room};

/// The attempts that this process has claimed and is working on.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtWork(Arc<Mutex<HashSet<SendKey>>>);

/// An entry of the list, removed when this is dropped.
pub(super) struct Working {
    list: AtWork,
    key: SendKey,
}

impl AtWork {
    fn enter(&self, key: SendKey) -> Option<Working> {
        self.0.lock().insert(key).then(|| Working {
            list: self.clone(),
            key,
        })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.list.0.lock().remove(&self.key);
    }
}

/// Ids of claims: the process in the upper half, a number of the task in the lower. A task that repeats a claim,
/// because the ledger's answer was lost, thus distinguishes its own claim from that of another task of this process,
/// which may have sent.
#[derive(Debug)]
pub(crate) struct Owners {
    process: u64,
    next: AtomicU64,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            process: rand::random(),
            next: AtomicU64::new(1),
        }
    }
}

impl Owners {
    fn next(&self) -> Uuid {
        Uuid::from_u64_pair(self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn has(&self, owner: Uuid) -> bool {
        owner.as_u64_pair().0 == self.process
    }
}

/// A task whose attempt this worker has claimed.
pub(super) struct ClaimedTask {
    pub(super) task: Task,
    _working: Working,
    /// The lease of the claim in the ledger.
    lease: Lease,
    /// The reserved place at the account, if any.
    pub(super) reservation: Option<Reservation>,
}

impl ClaimedTask {
    /// The claim with a lease that ends at another time.
    fn claim_until(&self, until: Timestamp) -> SendClaim {
        SendClaim {
            key: self.task.key(),
            lease: Lease { until, ..self.lease },
        }
    }
}

impl Deliver {
    /// Claims the attempts, each with its place in the room if there is one. Returns the claimed ones, and those that
    /// were claimed before, which are for [`Deliver::settle`].
    pub(super) async fn claim(
        &self,
        tasks: Vec<Task>,
        room: Option<Room>,
    ) -> (Vec<ClaimedTask>, Vec<(ClaimedTask, Taken)>) {
        let entered = self.enter(tasks, room);
        if entered.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let ledger = self.store.send_ledger();
        self.claim_through(entered, |claims| async move { ledger.claim(&claims).await })
            .await
    }

    fn enter(&self, tasks: Vec<Task>, mut room: Option<Room>) -> Vec<ClaimedTask> {
        let mut entered = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.at_work.enter(task.key()) {
                Some(working) => entered.push(ClaimedTask {
                    task,
                    _working: working,
                    lease: Lease {
                        owner: self.owners.next(),
                        until: self.lease_until(),
                    },
                    reservation: room.as_mut().map(Room::reserve),
                }),
                // The same attempt is under way in this process (its record was read twice). The dropped record is
                // read again, and by then the ledger has the outcome.
                None => drop(task),
            }
        }
        entered
    }

    async fn claim_through<F: Future<Output = Result<Vec<ClaimVerdict>, StoreError>>>(
        &self,
        entered: Vec<ClaimedTask>,
        mut call: impl FnMut(Vec<SendClaim>) -> F,
    ) -> (Vec<ClaimedTask>, Vec<(ClaimedTask, Taken)>) {
        let mut lease_until = self.lease_until();
        let verdicts = self
            .patience
            .until_succeeded("claim", || {
                lease_until = self.lease_until();
                call(
                    entered
                        .iter()
                        .map(|claimed| claimed.claim_until(lease_until))
                        .collect(),
                )
            })
            .await;
        let (mut ours, mut others) = (Vec::with_capacity(entered.len()), Vec::new());
        let mut again = Vec::new();
        for (mut claimed, verdict) in entered.into_iter().zip(verdicts) {
            claimed.lease.until = lease_until;
            match verdict {
                ClaimVerdict::Claimed => ours.push(claimed),
                // An earlier try of this claim, whose answer was lost: nothing was sent for it.
                ClaimVerdict::Taken(taken) if taken.lease.owner == claimed.lease.owner => {
                    again.push((claimed, taken));
                }
                ClaimVerdict::Taken(taken) => others.push((claimed, taken)),
            }
        }
        let renewed = join_all(again.iter_mut().map(|(claimed, _)| self.renew(claimed))).await;
        for ((claimed, taken), renewed) in again.into_iter().zip(renewed) {
            if renewed {
                ours.push(claimed);
            } else {
                others.push((claimed, taken));
            }
        }
        (ours, others)
    }

    fn lease_until(&self) -> Timestamp {
        later(self.clock.now(), self.lease)
    }

    /// Renews the lease of our claim; `false` if the attempt has another owner by now.
    async fn renew(&self, claimed: &mut ClaimedTask) -> bool {
        let key = claimed.task.key();
        let ledger = self.store.send_ledger();
        self.patience
            .until_succeeded("renew", || {
                claimed.lease.until = self.lease_until();
                ledger.take_over_from_dead(key, claimed.lease.owner, claimed.lease)
            })
            .await
    }

    /// Waits while holding a claim, and renews its lease meanwhile; afterwards nearly a whole lease is left. `None`
    /// if the attempt has another owner by now.
    pub(super) async fn keeping<T>(
        &self,
        claimed: &mut ClaimedTask,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let mut wait = std::pin::pin!(wait);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut wait => break done,
                () = tokio::time::sleep(self.lease / 3) => if !self.renew(claimed).await {
                    return None;
                },
            }
        };
        let left = (claimed.lease.until - self.clock.now())
            .to_std()
            .unwrap_or_default();
        (left + self.lease / 16 >= self.lease || self.renew(claimed).await).then_some(done)
    }

    /// Settles an attempt that was claimed before (`seen`) or may have been since (`None`): publishes its outcome
    /// again, or concludes it as uncertain.
    pub(super) async fn settle(&self, mut claimed: ClaimedTask, mut seen: Option<Taken>) {
        claimed.reservation = None;
        let key = claimed.task.key();
        loop {
            let Some(mut taken) = seen.take() else {
                let again = [claimed.claim_until(self.lease_until())];
                match self
                    .patience
                    .until_succeeded("claim", || self.store.send_ledger().claim(&again))
                    .await
                    .pop()
                {
                    Some(ClaimVerdict::Taken(now)) => seen = Some(now),
                    // The claim was pruned meanwhile and is ours now. We have not sent, and it is unknown whether the
                    // lost owner did.
                    Some(ClaimVerdict::Claimed) | None => {
                        return self.uncertain(claimed, "worker-lost", None);
                    }
                }
                continue;
            };
            if let Some(outcome) = taken.outcome.take() {
                match serde_json::from_value::<Conclusion>(outcome) {
                    Ok(concluded) => return self.say(claimed.task, &concluded).await,
                    Err(error) => {
                        tracing::error!(delivery = %key.delivery_id, %error, "the ledger's outcome cannot be read");
                        return self.uncertain(claimed, "ledger-unreadable", Some(taken.claimed_at));
                    }
                }
            }
            if self.take_over(&claimed, &taken).await {
                return self.uncertain(claimed, "worker-lost", Some(taken.claimed_at));
            }
            // The owner is at work. This record's task waits until the attempt has an outcome or its lease has
            // passed.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes over an attempt whose owner is dead. (A claim of this process that no task works on belonged to a lost
    /// task.)
    async fn take_over(&self, claimed: &ClaimedTask, taken: &Taken) -> bool {
        let key = claimed.task.key();
        let ledger = self.store.send_ledger();
        let seen = taken.lease.owner;
        let lease = || Lease {
            until: self.lease_until(),
            ..claimed.lease
        };
        if self.others_are_dead || self.owners.has(seen) {
            return self
                .patience
                .until_succeeded("take over", || ledger.take_over_from_dead(key, seen, lease()))
                .await;
        }
        taken.lease.until <= self.clock.now()
            && self
                .patience
                .until_succeeded("take over", || ledger.take_over(key, seen, lease()))
                .await
    }

    /// Concludes an attempt for which it is unknown whether the message went out. If it did, that was after the
    /// time `from`. The category decides whether to send again.
    fn uncertain(&self, claimed: ClaimedTask, code: &str, from: Option<Timestamp>) {
        let now = self.clock.now();
        let uncertain = from.and_then(|from| self.uncertain_send(claimed.task.attempt, None, from));
        let verdict = match claimed.task.delivery.on_uncertain {
            OnUncertain::Resend => self.again(&claimed.task, Some(now), None),
            OnUncertain::Hold => None,
        };
        let detail = "the worker ended before the provider's answer was recorded; it may have gone out";
        let mut steps = vec![TimelineStep {
            at: now,
            status: DeliveryStatus::Uncertain,
            code: Some(code.to_owned()),
            detail: Some(detail.to_owned()),
        }];
        let verdict = verdict.unwrap_or_else(|| {
            steps.push(TimelineStep {
                at: now,
                status: DeliveryStatus::DeadLettered,
                code: Some(code.to_owned()),
                detail: Some("its category wants no second copy, or all attempts are spent".to_owned()),
            });
            Consequence::Dead {
                class: FailureClass::Uncertain,
                code: code.to_owned(),
                reason: detail.to_owned(),
            }
        });
        let concluded = Conclusion {
            verdict,
            steps,
            uncertain,
            ..Conclusion::default()
        };
        self.conclude(claimed, concluded);
    }
}

#[cfg(test)]
mod tests;
