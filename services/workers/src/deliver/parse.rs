//! First stage: reads records as deliveries. A record that is no delivery becomes a dead letter. A delivery that is
//! not due waits further, in a retry topic or, if briefly, in this process.

use carillon_bus::{Inbound, Queue, dead_letter, retry};
use carillon_domain::{
    Delivery, Timestamp, WireError,
    dead_letter::{DeadLetter, FailureClass},
    json::fault,
};
use carillon_runtime::{Fair, http::serde_sentence};

use super::{Deliver, publish::Outgoing, task::Task};

/// The deliveries of a batch.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) due: Vec<Task>,
    /// Deliveries that are due shortly, with their due times.
    pub(super) early: Vec<(Timestamp, Task)>,
}

impl Deliver {
    pub(super) async fn parse(&self, batch: Vec<Inbound>) -> Parsed {
        let now = self.clock.now();
        let mut parsed = Parsed::default();
        let mut out: Vec<Outgoing> = Vec::new();
        let mut ended = Vec::new();
        let mut fair = Fair::default();
        for inbound in batch {
            fair.step().await;
            if let Some(why) = inbound.record.unreadable {
                out.push(self.unparseable(&inbound, why.code(), why.reason()));
                ended.push(inbound);
                continue;
            }
            let delivery = match Delivery::parse(&inbound.record.value) {
                Ok(delivery) if delivery.channel == self.channel => delivery,
                Ok(_) => {
                    out.push(self.unparseable(
                        &inbound,
                        "wrong-channel",
                        "the delivery is of another channel",
                    ));
                    ended.push(inbound);
                    continue;
                }
                Err(error) => {
                    let (code, fault) = match &error {
                        WireError::Version { .. } => ("unknown-version", error.to_string()),
                        WireError::Form(form) if form.is_data() => ("not-a-delivery", serde_sentence(form)),
                        WireError::Form(form) => ("not-a-delivery", fault(form)),
                    };
                    out.push(self.unparseable(&inbound, code, &format!("expected a delivery: {fault}")));
                    ended.push(inbound);
                    continue;
                }
            };
            let task = Task::new(inbound, delivery, now);
            let (topics, policy) = (self.bus.topics(), self.bus.retry_policy());
            let due = retry::due(&task.inbound.record).map(|due| task.delivery.by_expiry(due));
            let Some(due) = due.filter(|due| *due > now) else {
                parsed.due.push(task);
                continue;
            };
            if policy.is_for_the_hand((due - now).to_std().unwrap_or_default()) {
                parsed.early.push((due, task));
            } else {
                let place = (self.channel, task.lane());
                let record = &task.inbound.record;
                let again = retry::schedule(topics, policy, record, place, task.attempt, due, now);
                out.push(self.waiting(record, &task, again));
                ended.push(task.inbound);
            }
        }
        if !out.is_empty() {
            self.publish(out).await;
            ended.into_iter().for_each(Inbound::done);
        }
        parsed
    }

    fn unparseable(&self, inbound: &Inbound, code: &str, reason: &str) -> Outgoing {
        self.unread(inbound, FailureClass::Unparseable, code, reason)
    }

    /// The dead letter of a record that cannot be read as a delivery.
    pub(super) fn unread(
        &self,
        inbound: &Inbound,
        class: FailureClass,
        code: &str,
        reason: &str,
    ) -> Outgoing {
        self.warn_of_dead(code, None, &inbound.record);
        let letter = DeadLetter {
            class,
            provider: None,
            code: code.to_owned(),
            reason: reason.to_owned(),
            attempts: 1,
            first_failed_at: self.clock.now(),
        };
        let (topics, queue) = (self.bus.topics(), Queue::Channel(self.channel));
        let from = &inbound.record;
        Outgoing::dead_letter(dead_letter::record(topics, from, queue, &self.group, &letter))
    }
}
