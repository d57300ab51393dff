//! The output of a router.

use std::sync::Arc;

use bytes::Bytes;
use carillon_bus::{OutRecord, Topics};
use carillon_domain::{
    Channel, Delivery, StatusRecord,
    decide::Decision,
    status::{DeliveryUpdate, EventDecided, EventVerdict},
};

/// The output by kind, each kind in the order in which it was written.
#[derive(Default)]
pub(crate) struct Routed {
    pub(crate) deliveries: Vec<Sent>,
    pub(crate) decided: Vec<EventDecided>,
    pub(crate) dead: Vec<OutRecord>,
    /// Records for the scheduler.
    pub(crate) waiting: Vec<OutRecord>,
    /// Deliveries that have waited and end without a message.
    pub(crate) updates: Vec<DeliveryUpdate>,
    pub(crate) all: Vec<OutRecord>,
}

/// A delivery and the record that carries it.
pub(crate) struct Sent {
    pub(crate) record: OutRecord,
    pub(crate) delivery: Delivery,
}

impl Routed {
    pub(crate) fn new(topics: &Topics, records: impl IntoIterator<Item = OutRecord>) -> Self {
        let mut routed = Self::default();
        for record in records {
            routed.all.push(record.clone());
            if record.topic == topics.status() {
                match StatusRecord::parse(&record.value).unwrap() {
                    StatusRecord::EventDecided(decided) => routed.decided.push(decided),
                    StatusRecord::Delivery(update) => routed.updates.push(update),
                    other => panic!("the router does not write {other:?}"),
                }
            } else if record.topic == topics.events_dlq() {
                routed.dead.push(record);
            } else if record.topic == topics.scheduled() {
                routed.waiting.push(record);
            } else {
                let delivery = serde_json::from_slice(&record.value).unwrap();
                routed.deliveries.push(Sent { record, delivery });
            }
        }
        routed
    }

    /// Topic (without its prefix) and key of each delivery.
    pub(crate) fn places(&self) -> Vec<(&str, &str)> {
        let records = self.deliveries.iter().map(|sent| &sent.record);
        records
            .map(|record| (record.topic.split_once('.').unwrap().1, key(record)))
            .collect()
    }

    /// The only decided event.
    #[track_caller]
    pub(crate) fn only(&self) -> &EventDecided {
        let [decided] = self.decided.as_slice() else {
            panic!("{:?}", self.decided)
        };
        decided
    }

    pub(crate) fn verdicts(&self) -> Vec<(&str, EventVerdict)> {
        let decided = self.decided.iter();
        decided
            .map(|decided| (decided.event_id.as_str(), decided.verdict))
            .collect()
    }

    /// `channel outcome reason` of all decisions.
    pub(crate) fn decisions(&self) -> Vec<String> {
        let all = self.decided.iter().flat_map(|decided| &decided.decisions);
        all.map(say).collect()
    }

    /// Ids and bytes of all deliveries, which a repetition has to reproduce.
    pub(crate) fn bytes(&self) -> Vec<(Arc<str>, Bytes)> {
        self.deliveries
            .iter()
            .map(|sent| (Arc::clone(&sent.record.topic), sent.record.value.clone()))
            .collect()
    }

    pub(crate) fn on(&self, channel: Channel) -> &Sent {
        self.deliveries
            .iter()
            .find(|sent| sent.delivery.channel == channel)
            .expect("a delivery on the channel")
    }
}

pub(crate) fn say(decision: &Decision) -> String {
    format!("{} {} {}", decision.channel, decision.outcome, decision.reason)
}

/// A record's key as text.
pub(crate) fn key(record: &OutRecord) -> &str {
    std::str::from_utf8(record.key.as_deref().unwrap()).unwrap()
}
