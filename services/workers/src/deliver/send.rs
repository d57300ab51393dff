//! Fourth stage: calls the provider and turns its answer into the delivery's outcome.

use std::time::Duration;

use carillon_bus::headers;
use carillon_domain::{
    Channel, Content, Delivery, DeliveryStatus, Platform, Timestamp, catalog::OnUncertain, clock::later,
    contact::SigningSecret, dead_letter::FailureClass, retry::with_jitter, status::TimelineStep,
    unsubscribe::Subscription,
};
use carillon_providers::{OutgoingMessage, Refusal, Scope, SendOutcome};
use carillon_runtime::telemetry;
use futures::future::BoxFuture;
use tracing::Instrument as _;

use super::{
    Deliver,
    accounts::{self, MEANWHILE},
    ask::Asked,
    claim::ClaimedTask,
    conclude::first_failed_at,
    failover::{self, Passed},
    prepare::Ready,
    task::{Conclusion, Consequence, Task},
    uncertain::Earlier,
};
use crate::{account::Ruled, policy::Course};

/// The wait of a retry beyond the retry budgets.
const RETRY_WAIT: Duration = Duration::from_secs(5);

impl Deliver {
    /// Sends in a span of the record's trace. The future is boxed because it is large and would be copied by each
    /// wrapper around it.
    pub(super) fn send(&self, ready: Ready) -> BoxFuture<'_, ()> {
        let task = &ready.claimed.task;
        let span = tracing::debug_span!("deliver", channel = %self.channel, delivery = %task.delivery.delivery_id,
            attempt = task.attempt);
        if let Some(traceparent) = task.inbound.record.headers.get_str(headers::TRACEPARENT) {
            telemetry::set_parent(&span, traceparent);
        }
        Box::pin(self.send_traced(ready).instrument(span))
    }

    /// The link by which the recipient of a mail unsubscribes from the delivery's category.
    fn unsubscribe_url(&self, delivery: &Delivery) -> Option<String> {
        if delivery.channel != Channel::Email || !delivery.may_unsubscribe {
            return None;
        }
        let subscription = Subscription {
            tenant: delivery.tenant.clone(),
            user: delivery.user_id.clone()?,
            category: delivery.category.to_string(),
        };
        Some(self.links.as_ref()?.url(&subscription))
    }

    /// The message of an attempt.
    fn message(
        &self,
        task: &Task,
        to: String,
        platform: Option<Platform>,
        content: Content,
        secrets: Vec<SigningSecret>,
    ) -> OutgoingMessage {
        OutgoingMessage {
            tenant: task.delivery.tenant.clone(),
            delivery_id: task.delivery.delivery_id,
            event_id: task.delivery.event_id.clone(),
            accepted_at: task.delivery.accepted_at,
            generation: task.generation,
            attempt: task.attempt,
            to,
            platform,
            content,
            expires_at: task.delivery.expires_at,
            reference_key: self.reference_key.clone(),
            unsubscribe_url: self.unsubscribe_url(&task.delivery),
            secrets,
        }
    }

    /// Lets a delivery come back that no account could take, or ends it if no account serves its device.
    fn unsent(&self, claimed: ClaimedTask, platform: Option<Platform>, positions: &[usize], passed: &Passed) {
        if let Some(detail) = &passed.over_budget {
            let wait = with_jitter(RETRY_WAIT, Duration::ZERO, rand::random());
            return self.postpone_for(claimed, wait, "retry-budget", detail);
        }
        match (
            passed.part_opens,
            accounts::opens_in(self.serving(positions, platform)),
        ) {
            (Some(wait), _) => {
                let detail = "the recipient's domain, country, endpoint or platform is paused at every provider account";
                self.postpone_for(claimed, wait, "part-paused", detail);
            }
            (None, Some(opens_in)) => {
                // If every account is closed, the record may return soon: the worker then holds it until an account
                // opens.
                let wait = if self.is_any_open() { opens_in } else { MEANWHILE };
                let is_routed = positions.len() < self.accounts.len();
                self.postpone_for(
                    claimed,
                    wait,
                    "account-closed",
                    &accounts::closed(platform, is_routed),
                );
            }
            (None, None) => self.unserved(claimed, platform),
        }
    }

    async fn send_traced(&self, ready: Ready) {
        let Ready {
            mut claimed,
            to,
            platform,
            to_masked,
            secrets,
            rendered,
        } = ready;
        let message = self.message(&claimed.task, to, platform, rendered.content, secrets);
        let mut reservation = claimed.reservation.take();
        let mut passed = match self.earlier(&mut claimed, &message).await {
            Earlier::Accepted(concluded) => {
                let to_masked = Some(to_masked);
                return self.conclude(
                    claimed,
                    Conclusion {
                        to_masked,
                        ..*concluded
                    },
                );
            }
            Earlier::Send(step) => Passed::after(step),
            Earlier::Lost => return self.settle(claimed, None).await,
        };
        let mut last = None;
        let choice = self.routes.choice(&claimed.task.delivery, &message.to);
        let mut accounts = self.serving(&choice.accounts, platform);
        while let Some(account) = accounts.next() {
            let asked = self.ask(account, &mut claimed, &message, &mut reservation, &mut passed);
            let (ruled, sending_at) = match asked.await {
                Asked::Answered(ruled, sending_at) => (ruled, sending_at),
                Asked::Passed => continue,
                Asked::Expired => return self.expired(claimed),
                Asked::Lost => return self.settle(claimed, None).await,
            };
            passed.sending(sending_at, account, choice.why.as_deref());
            let goes_on = failover::may_fail_over(&ruled) && failover::is_any_open(accounts.clone());
            if goes_on {
                passed.refused(self.clock.now(), account, &ruled);
            }
            last = Some((account, ruled, sending_at));
            if !goes_on {
                break;
            }
        }
        drop(reservation);
        let Some((account, ruled, sending_at)) = last else {
            return self.unsent(claimed, platform, &choice.accounts, &passed);
        };
        let judged = if ruled.course == Course::Doubt {
            let Some(blame) = self.keeping(&mut claimed, account.breaker.blame(&ruled)).await else {
                return self.settle(claimed, None).await;
            };
            self.judge_address(&claimed.task, &message.to, account, &ruled, blame, sending_at)
                .await
        } else {
            self.judge(&claimed.task, &ruled)
        };
        let is_uncertain = ruled.course == Course::Uncertain;
        let uncertain = is_uncertain
            .then(|| self.uncertain_send(claimed.task.attempt, Some(account), sending_at))
            .flatten();
        let (verdict, step) = judged;
        let mut steps = passed.steps;
        steps.extend(step);
        let concluded = Conclusion {
            verdict,
            steps,
            provider: Some(account.name().to_string()),
            to_masked: Some(to_masked),
            template: Some(rendered.template),
            uncertain,
            proves: None,
        };
        self.conclude(claimed, concluded);
    }

    /// Turns an outcome into the verdict, and the steps of the timeline after `sending`.
    fn judge(&self, task: &Task, ruled: &Ruled) -> (Consequence, Vec<TimelineStep>) {
        let refusal = match &ruled.outcome {
            SendOutcome::Ok { message_id } => {
                let message_id = message_id.clone();
                return (Consequence::Sent { message_id }, vec![self.sent()]);
            }
            other => other.refusal(),
        };
        let Some(refusal) = refusal else {
            return (Consequence::Sent { message_id: None }, vec![self.sent()]);
        };
        match ruled.course {
            Course::Sent => (Consequence::Sent { message_id: None }, vec![self.sent()]),
            Course::Retry { no_sooner } => match self.again(task, None, Some(no_sooner)) {
                Some(verdict) => (verdict, vec![self.step(DeliveryStatus::Retrying, refusal)]),
                None => self.ends(FailureClass::RetriesExhausted, refusal),
            },
            Course::Wait(wait) => self.wait(task, self.unless_elsewhere(task, wait, refusal), refusal),
            Course::End | Course::Doubt => self.ends(FailureClass::Terminal, refusal),
            Course::Uncertain => {
                let uncertain = self.step(DeliveryStatus::Uncertain, refusal);
                let again = match task.delivery.on_uncertain {
                    OnUncertain::Resend => self.again(task, None, refusal.retry_after),
                    OnUncertain::Hold => None,
                };
                if let Some(verdict) = again {
                    (verdict, vec![uncertain])
                } else {
                    let (verdict, steps) = self.ends(FailureClass::Uncertain, refusal);
                    (verdict, [vec![uncertain], steps].concat())
                }
            }
        }
    }

    /// Ends the delivery as a dead letter.
    pub(super) fn ends(&self, class: FailureClass, refusal: &Refusal) -> (Consequence, Vec<TimelineStep>) {
        let verdict = Consequence::Dead {
            class,
            code: refusal.code.clone(),
            reason: refusal.detail.clone(),
        };
        (verdict, vec![self.step(DeliveryStatus::DeadLettered, refusal)])
    }

    /// Lets the delivery come back after a wait, without counting an attempt. If it has waited too long in all, it
    /// becomes a dead letter.
    pub(super) fn wait(
        &self,
        task: &Task,
        wait: Duration,
        refusal: &Refusal,
    ) -> (Consequence, Vec<TimelineStep>) {
        if self.is_given_up(task) {
            return self.ends(FailureClass::RetriesExhausted, refusal);
        }
        let due = later(self.clock.now(), wait);
        let verdict = Consequence::Again { due, counts: false };
        (verdict, vec![self.step(DeliveryStatus::Retrying, refusal)])
    }

    /// The wait for an account, shortened if another account is open.
    fn unless_elsewhere(&self, task: &Task, wait: Duration, refusal: &Refusal) -> Duration {
        let is_elsewhere = matches!(refusal.scope, Scope::Account | Scope::Connection)
            && failover::is_any_open(
                self.serving(&self.routes.candidates(&task.delivery), task.delivery.platform),
            );
        if is_elsewhere { wait.min(MEANWHILE) } else { wait }
    }

    fn is_given_up(&self, task: &Task) -> bool {
        later(first_failed_at(&task.inbound.record, task), self.give_up_after) <= self.clock.now()
    }

    fn sent(&self) -> TimelineStep {
        TimelineStep {
            at: self.clock.now(),
            status: DeliveryStatus::Sent,
            code: None,
            detail: None,
        }
    }

    pub(super) fn step(&self, status: DeliveryStatus, refusal: &Refusal) -> TimelineStep {
        TimelineStep {
            at: self.clock.now(),
            status,
            code: Some(refusal.code.clone()),
            detail: Some(refusal.detail.clone()),
        }
    }

    /// The next attempt, if the policy allows one: at `due`, or after the policy's wait.
    pub(super) fn again(
        &self,
        task: &Task,
        due: Option<Timestamp>,
        no_sooner: Option<Duration>,
    ) -> Option<Consequence> {
        let policy = self.bus.retry_policy();
        let wait = policy.wait_after(task.attempts(), no_sooner, rand::random())?;
        let after = later(self.clock.now(), wait);
        Some(Consequence::Again {
            due: due.unwrap_or(after),
            counts: true,
        })
    }

    /// Lets a delivery that was not sent to a provider come back shortly.
    pub(super) fn postpone(&self, claimed: ClaimedTask, code: &str, detail: &str) {
        self.postpone_for(claimed, MEANWHILE, code, detail);
    }

    pub(super) fn postpone_for(&self, claimed: ClaimedTask, wait: Duration, code: &str, detail: &str) {
        let status = if self.is_given_up(&claimed.task) {
            DeliveryStatus::DeadLettered
        } else {
            DeliveryStatus::Retrying
        };
        let now = self.clock.now();
        let step = TimelineStep {
            at: now,
            status,
            code: Some(code.to_owned()),
            detail: Some(detail.to_owned()),
        };
        let verdict = if status == DeliveryStatus::DeadLettered {
            Consequence::Dead {
                class: FailureClass::RetriesExhausted,
                code: code.to_owned(),
                reason: detail.to_owned(),
            }
        } else {
            Consequence::Again {
                due: later(now, wait),
                counts: false,
            }
        };
        let concluded = Conclusion {
            verdict,
            steps: vec![step],
            ..Conclusion::default()
        };
        self.conclude(claimed, concluded);
    }
}
