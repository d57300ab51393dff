//! Last stage: the outcomes of attempts are stored in the ledger, then published on the bus, and only then are their
//! records done. Attempts that have ended are concluded in groups.

use bytes::Bytes;
use carillon_bus::{Inbound, OutRecord, Queue, Record, dead_letter, headers, retry};
use carillon_domain::{
    Delivery, DeliveryId, DeliveryStatus, Lane, StatusRecord, Timestamp,
    conclusion::UncertainSend,
    dead_letter::{DeadLetter, FailureClass},
    status::TimelineStep,
};
use carillon_runtime::{inbox::SMALL, panics::Panic};
use carillon_store::send_ledger::SendKey;
use futures::future::join_all;
use serde_json::value::RawValue;
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{
    Deliver,
    claim::ClaimedTask,
    publish::Outgoing,
    task::{Conclusion, Consequence, Task, UNCOUNTED},
    uncertain,
};
use crate::attempt::DeliveryAttempt;

/// The most attempts in a group. Outcomes of the high lane stay a small write, which goes before large ones.
fn together(lane: Lane) -> usize {
    match lane {
        Lane::High => SMALL,
        Lane::Normal | Lane::Bulk => 128,
    }
}

/// An attempt that has ended.
pub(crate) struct EndedAttempt {
    claimed: ClaimedTask,
    concluded: Conclusion,
}

/// Passes attempts that have ended to [`Deliver::conclude_all`], in a queue for each lane: a one-time password is not
/// concluded together with a campaign.
pub(crate) struct EndedAttempts {
    high: UnboundedSender<EndedAttempt>,
    normal: UnboundedSender<EndedAttempt>,
    bulk: UnboundedSender<EndedAttempt>,
}

/// The attempts of each lane.
pub(super) type Queued = [(Lane, UnboundedReceiver<EndedAttempt>); 3];

impl EndedAttempts {
    /// The queues, and their other ends.
    pub(crate) fn queues() -> (Self, Queued) {
        let [(high, from_high), (normal, from_normal), (bulk, from_bulk)] =
            std::array::from_fn(|_| unbounded_channel());
        let ended = [
            (Lane::High, from_high),
            (Lane::Normal, from_normal),
            (Lane::Bulk, from_bulk),
        ];
        (Self { high, normal, bulk }, ended)
    }

    fn of(&self, lane: Lane) -> &UnboundedSender<EndedAttempt> {
        match lane {
            Lane::High => &self.high,
            Lane::Normal => &self.normal,
            Lane::Bulk => &self.bulk,
        }
    }
}

impl Deliver {
    /// Passes an attempt that has ended to [`Deliver::conclude_all`].
    pub(super) fn conclude(&self, claimed: ClaimedTask, concluded: Conclusion) {
        let queue = self.ended.of(claimed.task.lane());
        // The receiver exists while a lane works; after that, the record is read again.
        let _ = queue.send(EndedAttempt { claimed, concluded });
    }

    /// Concludes the attempts of a lane until no more can come. Two groups are in progress at a time: one is published
    /// while the next is stored.
    pub(crate) async fn conclude_all(&self, lane: Lane, ended: UnboundedReceiver<EndedAttempt>) {
        let ended = Mutex::new(ended);
        let groups = || self.conclude_groups(&ended, together(lane));
        tokio::join!(groups(), groups());
    }

    async fn conclude_groups(&self, ended: &Mutex<UnboundedReceiver<EndedAttempt>>, limit: usize) {
        loop {
            let mut group = Vec::new();
            if ended.lock().await.recv_many(&mut group, limit).await == 0 {
                return;
            }
            self.conclude_group(group).await;
        }
    }

    async fn conclude_group(&self, mut group: Vec<EndedAttempt>) {
        let mut outcomes = Vec::with_capacity(group.len());
        for EndedAttempt { claimed, concluded } in &group {
            match serde_json::value::to_raw_value(concluded) {
                Ok(outcome) => outcomes.push((claimed.task.key(), outcome)),
                Err(error) => {
                    tracing::error!(%error, "an outcome cannot be serialised; it is not in the ledger");
                }
            }
        }
        if !self.keep(outcomes).await {
            self.adopt_proofs(&mut group).await;
        }
        let mut out = Vec::with_capacity(group.len());
        for EndedAttempt { claimed, concluded } in &group {
            self.push_said(&mut out, &claimed.task, concluded);
        }
        self.publish(out).await;
        for EndedAttempt { claimed, .. } in group {
            claimed.task.inbound.done();
        }
    }

    /// Stores outcomes. Returns whether they are certainly the first ones of their attempts.
    async fn keep(&self, outcomes: Vec<(SendKey, Box<RawValue>)>) -> bool {
        let ledger = self.store.send_ledger();
        match ledger.record(outcomes.clone()).await {
            Ok(are_first) => are_first,
            // The database may refuse one outcome only, so each is stored on its own.
            Err(error) if !error.is_retriable() && outcomes.len() > 1 => {
                let alone = outcomes.into_iter().map(|outcome| self.keep_some(vec![outcome]));
                join_all(alone).await.into_iter().all(|is_first| is_first)
            }
            Err(_) => self.keep_some(outcomes).await,
        }
    }

    async fn keep_some(&self, outcomes: Vec<(SendKey, Box<RawValue>)>) -> bool {
        let ledger = self.store.send_ledger();
        let kept = self
            .patience
            .until_done("record", || ledger.record(outcomes.clone()));
        kept.await.unwrap_or_else(|error| {
            // The outcome is still published on the bus.
            metrics::counter!("carillon_worker_refused_total").increment(1);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the database refuses an outcome; it is not in the ledger"
            );
            true
        })
    }

    /// Gives attempts that a receipt has proven the proof as their outcome. The receipt came while the attempt was under way. The
    /// message is then not sent again, even if the provider's answer was lost.
    async fn adopt_proofs(&self, group: &mut [EndedAttempt]) {
        let is_sent = |conclusion: &Conclusion| matches!(conclusion.verdict, Consequence::Sent { .. });
        let unsent = group.iter().filter(|ended| !is_sent(&ended.concluded));
        let keys: Vec<SendKey> = unsent.map(|ended| ended.claimed.task.key()).collect();
        if keys.is_empty() {
            return;
        }
        let ledger = self.store.send_ledger();
        let look = || ledger.taken(&keys);
        let taken = self.patience.until_succeeded("look up outcomes", look).await;
        for (key, taken) in taken {
            let outcome = taken
                .outcome
                .and_then(|outcome| serde_json::from_value(outcome).ok());
            let Some(proof) = outcome.filter(is_sent) else {
                continue;
            };
            for ended in group.iter_mut().filter(|ended| ended.claimed.task.key() == key) {
                if let Some(account) = &proof.provider {
                    metrics::counter!("carillon_resends_stopped_total", "account" => account.clone())
                        .increment(1);
                }
                ended.concluded = proven(std::mem::take(&mut ended.concluded), proof.clone());
            }
        }
    }

    /// Turns a record on which this code panics into a dead letter, with the fields that can be read.
    pub(super) async fn bury_bug(&self, inbound: Inbound, panic: &Panic) {
        let (now, reason) = (self.clock.now(), panic.to_string());
        let Ok(delivery) = Delivery::parse(&inbound.record.value) else {
            self.publish(vec![self.unread(&inbound, FailureClass::Bug, BUG, &reason)])
                .await;
            return inbound.done();
        };
        let concluded = bug(now, reason);
        self.say(Task::new(inbound, delivery, now), &concluded).await;
    }

    /// Publishes the outcome of an attempt, again if it was published before, and ends its record.
    pub(super) async fn say(&self, task: Task, concluded: &Conclusion) {
        let mut out = Vec::new();
        self.push_said(&mut out, &task, concluded);
        self.publish(out).await;
        task.inbound.done();
    }

    /// Adds the status, and the retry or dead letter that belongs to it. Publishing them twice does no harm: statuses
    /// merge, and the next attempt is claimed only once.
    fn push_said(&self, out: &mut Vec<Outgoing>, task: &Task, concluded: &Conclusion) {
        let status = StatusRecord::Delivery(task.update(concluded));
        out.push(Outgoing::status(self.status(&status, &task.inbound.record)));
        match &concluded.verdict {
            Consequence::Again { due, counts } => {
                let uncertain = concluded.uncertain.as_ref();
                out.push(self.another(&task.inbound.record, task, (*due, *counts), uncertain));
            }
            Consequence::Dead { class, code, reason } => {
                let provider = concluded.provider.clone();
                self.warn_of_dead(code, Some(task.delivery.delivery_id), &task.inbound.record);
                out.push(self.dead(&task.inbound.record, task, *class, provider, code, reason));
            }
            Consequence::Sent { .. } | Consequence::Over => {}
        }
    }

    /// The record of the attempt that follows one.
    pub(super) fn another(
        &self,
        record: &Record,
        attempt: &DeliveryAttempt,
        (due, counts): (Timestamp, bool),
        uncertain: Option<&UncertainSend>,
    ) -> Outgoing {
        let place = (self.channel, attempt.lane());
        let (topics, policy, now) = (self.bus.topics(), self.bus.retry_policy(), self.clock.now());
        // A delivery whose wait would outlast its expiry comes back at its expiry, and is concluded as expired then.
        let due = attempt.delivery.by_expiry(due);
        let mut out = retry::schedule(topics, policy, record, place, attempt.attempt + 1, due, now);
        if !counts {
            out.headers.insert(UNCOUNTED, (attempt.uncounted + 1).to_string());
        }
        if let Some(uncertain) = uncertain {
            uncertain::note(&mut out.headers, uncertain);
        }
        self.waiting(record, attempt, out)
    }

    /// A delivery for a retry topic. If its headers make it too large for that topic, it becomes a dead letter.
    pub(super) fn waiting(&self, from: &Record, attempt: &DeliveryAttempt, out: OutRecord) -> Outgoing {
        let (code, reason) = ("too-large", "the record is too large for its retry topic");
        let dead = self.dead(from, attempt, FailureClass::Invalid, None, code, reason);
        let concluded = Conclusion {
            verdict: Consequence::Over,
            steps: vec![TimelineStep {
                at: self.clock.now(),
                status: DeliveryStatus::DeadLettered,
                code: Some(code.to_owned()),
                detail: Some(reason.to_owned()),
            }],
            ..Conclusion::default()
        };
        let status = StatusRecord::Delivery(attempt.update(&concluded));
        let status = Outgoing::status(self.status(&status, from));
        Outgoing::or(out, vec![dead, status])
    }

    fn dead(
        &self,
        from: &Record,
        attempt: &DeliveryAttempt,
        class: FailureClass,
        provider: Option<String>,
        code: &str,
        reason: &str,
    ) -> Outgoing {
        let letter = DeadLetter {
            class,
            provider,
            code: code.to_owned(),
            reason: reason.to_owned(),
            attempts: attempt.attempts(),
            first_failed_at: first_failed_at(from, attempt),
        };
        let (topics, queue) = (self.bus.topics(), Queue::Channel(self.channel));
        Outgoing::dead_letter(dead_letter::record(topics, from, queue, &self.group, &letter))
    }

    /// Logs a dead letter, at most one line a minute for each code.
    pub(super) fn warn_of_dead(&self, code: &str, delivery: Option<DeliveryId>, record: &Record) {
        if let Some(left_out) = self.warned.admit(code) {
            let delivery_id = delivery.map(tracing::field::display);
            tracing::warn!(channel = %self.channel, code, delivery_id, topic = %record.topic, partition = record.partition,
                offset = record.offset, left_out, "a record became a dead letter");
        }
    }

    /// A status record, with tenant and trace of the original record.
    pub(super) fn status(&self, status: &StatusRecord, from: &Record) -> OutRecord {
        let mut out = OutRecord::new(self.bus.topics().status(), status.record_key(), status.to_wire());
        for name in [headers::TENANT, headers::TRACEPARENT] {
            if let Some(value) = from.headers.get(name) {
                out.headers.push(name, Bytes::copy_from_slice(value));
            }
        }
        out
    }
}

/// The outcome of an attempt that a receipt has proven, with what the worker knows of the attempt.
fn proven(own: Conclusion, proof: Conclusion) -> Conclusion {
    let is_under_way =
        |step: &TimelineStep| matches!(step.status, DeliveryStatus::Sending | DeliveryStatus::Uncertain);
    let mut steps: Vec<TimelineStep> = own.steps.into_iter().filter(is_under_way).collect();
    steps.extend(proof.steps);
    Conclusion {
        steps,
        to_masked: own.to_masked.or(proof.to_masked),
        template: own.template.or(proof.template),
        ..proof
    }
}

/// The error code of deliveries that ended because of a fault of this program.
const BUG: &str = "panic";

/// The outcome of a delivery on which this code panics.
pub(super) fn bug(now: Timestamp, reason: String) -> Conclusion {
    let step = TimelineStep {
        at: now,
        status: DeliveryStatus::DeadLettered,
        code: Some(BUG.to_owned()),
        detail: Some(reason.clone()),
    };
    Conclusion {
        verdict: Consequence::Dead {
            class: FailureClass::Bug,
            code: BUG.to_owned(),
            reason,
        },
        steps: vec![step],
        ..Conclusion::default()
    }
}

pub(super) fn first_failed_at(record: &Record, attempt: &DeliveryAttempt) -> Timestamp {
    let header = record.headers.get_i64(headers::FIRST_FAILED_AT);
    header
        .and_then(Timestamp::from_timestamp_millis)
        .unwrap_or(attempt.started_at)
}

#[cfg(test)]
mod tests;
