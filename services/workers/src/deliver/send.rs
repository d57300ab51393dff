//! Fourth stage: the provider, and what its answer means for the delivery.

use std::time::Duration;

use carillon_bus::headers;
use carillon_domain::{
    DeliveryStatus, Target, Timestamp, catalog::OnUncertain, clock::later, dead_letter::FailureClass,
    status::TimelineStep,
};
use carillon_runtime::telemetry;
use carillon_store::users::DeadContact;
use tracing::Instrument as _;

use super::{
    Deliver,
    claim::Claimed,
    patience::until_done,
    prepare::Ready,
    task::{Concluded, Task, Verdict},
};
use crate::{
    outcome::{Refusal, SendOutcome},
    sender::OutgoingMessage,
};

/// When to come back to an account that was closed in the meantime.
const MEANWHILE: Duration = Duration::from_secs(1);

impl Deliver {
    /// Sends in a span of the trace that the record names.
    pub(super) async fn send(&self, ready: Ready) {
        let task = &ready.claimed.task;
        let span = tracing::debug_span!("deliver", channel = %self.channel, delivery = %task.delivery.delivery_id,
            attempt = task.attempt);
        if let Some(traceparent) = task.inbound.record.headers.get_str(headers::TRACEPARENT) {
            telemetry::set_parent(&span, traceparent);
        }
        self.send_traced(ready).instrument(span).await;
    }

    async fn send_traced(&self, mut ready: Ready) {
        let place = ready.claimed.place.take();
        let mut turn = None;
        for account in self.accounts.iter().filter(|account| account.is_open()) {
            let wait = async {
                // Another account than the one that had room may have come to be the first.
                if !place.as_ref().is_some_and(|place| place.is_of(account)) {
                    account.rate().await;
                }
                account.connection().await
            };
            let Some(connection) = self.keeping(&mut ready.claimed, wait).await else {
                return self.settle(ready.claimed, None).await;
            };
            if let Some(permit) = account.try_acquire() {
                turn = Some((account, permit, connection));
                break;
            }
        }
        let Some((account, permit, connection)) = turn else {
            return self.postpone(
                ready.claimed,
                "account-closed",
                "every provider account is paused",
            );
        };
        if ready.claimed.task.delivery.is_expired(self.clock.now()) {
            return self.expired(ready.claimed);
        }
        let task = &ready.claimed.task;
        let message = OutgoingMessage {
            delivery_id: task.delivery.delivery_id,
            event_id: task.delivery.event_id.clone(),
            to: ready.to,
            content: ready.rendered.content,
            expires_at: task.delivery.expires_at,
        };
        let sending_at = self.clock.now();
        let call = tracing::debug_span!("provider call", otel.kind = "client", provider = %account.name());
        let outcome = account.send(permit, &message).instrument(call).await;
        drop((connection, place));
        if let SendOutcome::AddressDead(refusal) = &outcome {
            self.mark_dead(task, refusal, sending_at).await;
        }
        let (verdict, step) = self.judge(task, outcome);
        let sending = TimelineStep {
            at: sending_at,
            status: DeliveryStatus::Sending,
            code: None,
            detail: None,
        };
        let mut steps = vec![sending];
        steps.extend(step);
        let concluded = Concluded {
            verdict,
            steps,
            provider: Some(account.name().to_string()),
            to_masked: Some(ready.to_masked),
            template: Some(ready.rendered.template),
        };
        self.conclude(ready.claimed, concluded);
    }

    /// What an outcome means: the verdict, and the steps of the timeline behind `sending`.
    fn judge(&self, task: &Task, outcome: SendOutcome) -> (Verdict, Vec<TimelineStep>) {
        let now = self.clock.now();
        let step = |status, refusal: &Refusal| TimelineStep {
            at: now,
            status,
            code: Some(refusal.code.clone()),
            detail: Some(refusal.detail.clone()),
        };
        let dead = |class, refusal: &Refusal| Verdict::Dead {
            class,
            code: refusal.code.clone(),
            reason: refusal.detail.clone(),
        };
        match outcome {
            SendOutcome::Ok { message_id } => {
                let sent = TimelineStep {
                    at: now,
                    status: DeliveryStatus::Sent,
                    code: None,
                    detail: None,
                };
                (Verdict::Sent { message_id }, vec![sent])
            }
            SendOutcome::Retry(refusal) => match self.again(task, None, refusal.retry_after, true) {
                Some(verdict) => (verdict, vec![step(DeliveryStatus::Retrying, &refusal)]),
                None => (
                    dead(FailureClass::RetriesExhausted, &refusal),
                    vec![step(DeliveryStatus::DeadLettered, &refusal)],
                ),
            },
            SendOutcome::Throttle(refusal) | SendOutcome::Config(refusal) => {
                let wait = refusal.retry_after.unwrap_or(MEANWHILE);
                let due = later(now, wait);
                (
                    Verdict::Again { due, counts: false },
                    vec![step(DeliveryStatus::Retrying, &refusal)],
                )
            }
            SendOutcome::Terminal(refusal) => (
                dead(FailureClass::Terminal, &refusal),
                vec![step(DeliveryStatus::DeadLettered, &refusal)],
            ),
            // Sending it again can never help, so it is no dead letter: the address is, and says so.
            SendOutcome::AddressDead(refusal) => {
                (Verdict::Over, vec![step(DeliveryStatus::Failed, &refusal)])
            }
            SendOutcome::Uncertain(refusal) => {
                let uncertain = step(DeliveryStatus::Uncertain, &refusal);
                let again = match task.delivery.on_uncertain {
                    OnUncertain::Resend => self.again(task, None, refusal.retry_after, true),
                    OnUncertain::Hold => None,
                };
                match again {
                    Some(verdict) => (verdict, vec![uncertain]),
                    None => (
                        dead(FailureClass::Uncertain, &refusal),
                        vec![uncertain, step(DeliveryStatus::DeadLettered, &refusal)],
                    ),
                }
            }
        }
    }

    /// Another attempt, if the policy allows one: at `due`, or after the policy's wait.
    pub(super) fn again(
        &self,
        task: &Task,
        due: Option<Timestamp>,
        retry_after: Option<Duration>,
        counts: bool,
    ) -> Option<Verdict> {
        let policy = self.bus.retry_policy();
        let wait = policy.wait_after(task.attempts(), retry_after, rand::random())?;
        let after = later(self.clock.now(), wait);
        Some(Verdict::Again {
            due: due.unwrap_or(after),
            counts,
        })
    }

    /// Comes back to a delivery for which no provider was asked.
    pub(super) fn postpone(&self, claimed: Claimed, code: &str, detail: &str) {
        let now = self.clock.now();
        let step = TimelineStep {
            at: now,
            status: DeliveryStatus::Retrying,
            code: Some(code.to_owned()),
            detail: Some(detail.to_owned()),
        };
        let due = later(now, MEANWHILE);
        let verdict = Verdict::Again { due, counts: false };
        let concluded = Concluded {
            verdict,
            steps: vec![step],
            provider: None,
            to_masked: None,
            template: None,
        };
        self.conclude(claimed, concluded);
    }

    async fn mark_dead(&self, task: &Task, refusal: &Refusal, seen_at: Timestamp) {
        if let Target::ContactPoint { id } = task.delivery.target {
            let tenant = task.delivery.tenant.clone();
            let dead = [DeadContact {
                tenant,
                id,
                code: refusal.code.clone(),
                seen_at,
            }];
            until_done("mark dead", || self.store.users().mark_dead(&dead)).await;
        }
    }
}
