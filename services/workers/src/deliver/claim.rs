//! Second stage: the send ledger. Whoever claims an attempt may call the provider for it; one that was claimed before is
//! not sent again, but what came of it is said again, or that nobody knows.

use std::{collections::HashSet, sync::Arc};

use carillon_domain::{
    DeliveryStatus, catalog::OnUncertain, dead_letter::FailureClass, status::TimelineStep,
};
use carillon_store::send_ledger::{ClaimVerdict, SendClaim, SendKey, Taken};
use parking_lot::Mutex;

use super::{
    Deliver,
    patience::until_done,
    task::{Concluded, Task, Verdict},
};

/// The attempts that this process has claimed and is working on.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtWork(Arc<Mutex<HashSet<SendKey>>>);

/// Strikes an attempt off the list when it is dropped.
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

/// A task whose attempt is ours.
pub(super) struct Claimed {
    pub(super) task: Task,
    pub(super) working: Working,
}

/// How long to wait before a live owner's claim is looked at again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(250);

impl Deliver {
    /// Claims the attempts: those that are ours, and those that were claimed before, for [`Deliver::settle`].
    pub(super) async fn claim(&self, tasks: Vec<Task>) -> (Vec<Claimed>, Vec<(Claimed, Taken)>) {
        let mut entered = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.at_work.enter(task.key()) {
                Some(working) => entered.push(Claimed { task, working }),
                // The same attempt is under way in this process (its record was read twice): after it has ended, the
                // ledger says what came of it.
                None => drop(task),
            }
        }
        let claims: Vec<SendClaim> = entered
            .iter()
            .map(|claimed| self.claim_of(claimed.task.key()))
            .collect();
        if claims.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let verdicts = until_done("claim", || self.store.send_ledger().claim(&claims)).await;
        let (mut ours, mut others) = (Vec::with_capacity(entered.len()), Vec::new());
        for (claimed, verdict) in entered.into_iter().zip(verdicts) {
            match verdict {
                ClaimVerdict::Claimed => ours.push(claimed),
                ClaimVerdict::Taken(taken) => others.push((claimed, taken)),
            }
        }
        (ours, others)
    }

    fn claim_of(&self, key: SendKey) -> SendClaim {
        let lease = chrono::TimeDelta::from_std(self.lease).unwrap_or_default();
        SendClaim {
            key,
            owner: self.owner,
            lease_until: self.clock.now() + lease,
        }
    }

    /// An attempt that was claimed before: says what came of it, or that nobody knows.
    pub(super) async fn settle(&self, claimed: Claimed, mut taken: Taken) {
        let key = claimed.task.key();
        loop {
            if let Some(outcome) = taken.outcome.take() {
                match serde_json::from_value::<Concluded>(outcome) {
                    Ok(concluded) => return self.say(claimed.task, &concluded).await,
                    Err(error) => {
                        tracing::error!(delivery = %key.delivery_id, %error, "the ledger's outcome cannot be read");
                        return self.uncertain(claimed, "ledger-unreadable").await;
                    }
                }
            }
            if self.take_over(key, &taken).await {
                return self.uncertain(claimed, "worker-lost").await;
            }
            // Its owner is at work; this record's task is held until it has ended or its lease has.
            tokio::time::sleep(LOOK_AGAIN).await;
            let again = [self.claim_of(key)];
            match until_done("claim", || self.store.send_ledger().claim(&again))
                .await
                .pop()
            {
                Some(ClaimVerdict::Taken(now)) => taken = now,
                // Pruned meanwhile; it is ours and was never sent by us. What the lost owner did, nobody knows.
                Some(ClaimVerdict::Claimed) | None => return self.uncertain(claimed, "worker-lost").await,
            }
        }
    }

    /// Takes over an attempt whose owner is dead. (Our own claim without a task at work on it is a lost task's.)
    async fn take_over(&self, key: SendKey, taken: &Taken) -> bool {
        let claim = self.claim_of(key);
        let ledger = self.store.send_ledger();
        if self.others_are_dead || taken.owner == self.owner {
            return until_done("take over", || {
                ledger.take_over_from_dead(key, taken.owner, self.owner, claim.lease_until)
            })
            .await;
        }
        taken.lease_until <= self.clock.now()
            && until_done("take over", || {
                ledger.take_over(key, taken.owner, self.owner, claim.lease_until)
            })
            .await
    }

    /// Nobody knows whether the attempt went out: the category decides whether to send again.
    async fn uncertain(&self, claimed: Claimed, code: &str) {
        let now = self.clock.now();
        let verdict = match claimed.task.delivery.on_uncertain {
            OnUncertain::Resend => self.again(&claimed.task, Some(now), None, true),
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
            Verdict::Dead {
                class: FailureClass::Uncertain,
                code: code.to_owned(),
                reason: detail.to_owned(),
            }
        });
        let concluded = Concluded {
            verdict,
            steps,
            provider: None,
            to_masked: None,
            template: None,
        };
        self.conclude(claimed, concluded).await;
    }
}
