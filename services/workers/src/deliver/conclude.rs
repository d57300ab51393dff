//! Last stage: what came of the attempt is kept in the ledger, said on the bus, and only then is the record done.

use bytes::Bytes;
use carillon_bus::{OutRecord, Queue, Record, dead_letter, headers, retry};
use carillon_domain::{
    DeliveryStatus, StatusRecord, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    status::TimelineStep,
};

use super::{
    Deliver,
    claim::Claimed,
    patience::until_done,
    publish::Outgoing,
    task::{Concluded, Task, UNCOUNTED, Verdict},
};

impl Deliver {
    /// Keeps and says what came of an attempt.
    pub(super) async fn conclude(&self, claimed: Claimed, concluded: Concluded) {
        let Claimed { task, working, .. } = claimed;
        match serde_json::to_value(&concluded) {
            Ok(outcome) => {
                let outcomes = vec![(task.key(), outcome)];
                until_done("record", || self.store.send_ledger().record(outcomes.clone())).await;
            }
            Err(error) => tracing::error!(%error, "an outcome does not serialise; it is not in the ledger"),
        }
        self.say(task, &concluded).await;
        drop(working);
    }

    /// Publishes the status, and the retry or dead letter with it, in one call; then the record is done. Saying it twice
    /// does no harm: statuses merge, and another attempt is claimed once.
    pub(super) async fn say(&self, task: Task, concluded: &Concluded) {
        let status = StatusRecord::Delivery(task.update(concluded));
        let mut out = vec![Outgoing::status(self.status(&status, &task.inbound.record))];
        match &concluded.verdict {
            Verdict::Again { due, counts } => out.push(self.another(&task, *due, *counts)),
            Verdict::Dead { class, code, reason } => {
                let provider = concluded.provider.clone();
                out.push(self.dead(&task, *class, provider, code, reason));
            }
            Verdict::Sent { .. } | Verdict::Over => {}
        }
        self.publish(out).await;
        task.inbound.done();
    }

    fn another(&self, task: &Task, due: Timestamp, counts: bool) -> Outgoing {
        let place = (self.channel, task.lane());
        let (topics, policy) = (self.bus.topics(), self.bus.retry_policy());
        let (record, now) = (&task.inbound.record, self.clock.now());
        let mut out = retry::schedule(topics, policy, record, place, task.attempt + 1, due, now);
        if !counts {
            out.headers.insert(UNCOUNTED, (task.uncounted + 1).to_string());
        }
        self.waiting(task, out)
    }

    /// A delivery on its way to a retry topic. If the headers that it has there are too much for the topic, it ends.
    pub(super) fn waiting(&self, task: &Task, record: OutRecord) -> Outgoing {
        let (code, reason) = ("too-large", "the record is too large for its retry topic");
        let dead = self.dead(task, FailureClass::Invalid, None, code, reason);
        let concluded = Concluded {
            verdict: Verdict::Over,
            steps: vec![TimelineStep {
                at: self.clock.now(),
                status: DeliveryStatus::DeadLettered,
                code: Some(code.to_owned()),
                detail: Some(reason.to_owned()),
            }],
            provider: None,
            to_masked: None,
            template: None,
        };
        let status = StatusRecord::Delivery(task.update(&concluded));
        let status = Outgoing::status(self.status(&status, &task.inbound.record));
        Outgoing::or(record, vec![dead, status])
    }

    fn dead(
        &self,
        task: &Task,
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
            attempts: task.attempts(),
            first_failed_at: first_failed_at(task),
        };
        let (topics, queue) = (self.bus.topics(), Queue::Channel(self.channel));
        let from = &task.inbound.record;
        Outgoing::dead_letter(dead_letter::record(topics, from, queue, &self.group, &letter))
    }

    /// A status record in the trace of the record that it comes from.
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

fn first_failed_at(task: &Task) -> Timestamp {
    let header = task.inbound.record.headers.get_i64(headers::FIRST_FAILED_AT);
    header
        .and_then(Timestamp::from_timestamp_millis)
        .unwrap_or(task.started_at)
}
