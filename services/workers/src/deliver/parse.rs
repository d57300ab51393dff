//! First stage: bytes to deliveries. What is no delivery goes to the dead letters; what is not due goes on waiting.

use carillon_bus::{Inbound, OutRecord, Queue, dead_letter, retry};
use carillon_domain::{
    Delivery,
    dead_letter::{DeadLetter, FailureClass},
};

use super::{Deliver, patience::until_done, task::Task};

impl Deliver {
    pub(super) async fn parse(&self, batch: Vec<Inbound>) -> Vec<Task> {
        let now = self.clock.now();
        let mut tasks = Vec::with_capacity(batch.len());
        let mut out: Vec<OutRecord> = Vec::new();
        let mut ended = Vec::new();
        for inbound in batch {
            let delivery = match serde_json::from_slice::<Delivery>(&inbound.record.value) {
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
                    out.push(self.unparseable(
                        &inbound,
                        "not-a-delivery",
                        &format!("expected a delivery: {error}"),
                    ));
                    ended.push(inbound);
                    continue;
                }
            };
            let task = Task::new(inbound, delivery, now);
            if let Some(due) = retry::due(&task.inbound.record).filter(|due| *due > now) {
                let place = (self.channel, task.lane());
                let (topics, policy) = (self.bus.topics(), self.bus.retry_policy());
                out.push(retry::schedule(
                    topics,
                    policy,
                    &task.inbound.record,
                    place,
                    task.attempt,
                    due,
                    now,
                ));
                ended.push(task.inbound);
            } else {
                tasks.push(task);
            }
        }
        if !out.is_empty() {
            until_done("publish", || self.bus.publish(out.clone())).await;
            ended.into_iter().for_each(Inbound::done);
        }
        tasks
    }

    fn unparseable(&self, inbound: &Inbound, code: &str, reason: &str) -> OutRecord {
        tracing::warn!(topic = %inbound.record.topic, offset = inbound.record.offset, code, "not a delivery");
        let letter = DeadLetter {
            class: FailureClass::Unparseable,
            provider: None,
            code: code.to_owned(),
            reason: reason.to_owned(),
            attempts: 1,
            first_failed_at: self.clock.now(),
        };
        dead_letter::record(
            self.bus.topics(),
            &inbound.record,
            Queue::Channel(self.channel),
            &self.group,
            &letter,
        )
    }
}
