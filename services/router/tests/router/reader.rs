//! The records on the bus.

use std::{collections::HashSet, sync::Arc, time::Duration};

use carillon_bus::{BatchConsumer, BatchLimits, Bus, OutRecord, Record, Subscription};
use carillon_domain::{
    Channel, Lane, StatusRecord,
    status::{EventDecided, EventVerdict},
};
use uuid::Uuid;

const LIMITS: BatchLimits = BatchLimits {
    max_records: 1_000,
    max_bytes: 8 << 20,
    linger: Duration::from_millis(5),
};
const PATIENCE: Duration = Duration::from_mins(1);
const MARK: &str = "mark";

/// All records that routers have committed.
pub(crate) struct Reader {
    bus: Bus,
    topics: Vec<Arc<str>>,
    consumer: BatchConsumer,
    marks: HashSet<(Arc<str>, i32)>,
    pub(crate) records: Vec<Record>,
}

impl Reader {
    pub(crate) fn new(bus: &Bus) -> Self {
        let topics = bus.topics();
        let mut read = vec![topics.status(), topics.events_dlq()];
        for channel in Channel::ALL {
            read.extend(Lane::ALL.map(|lane| topics.channel(channel, lane)));
        }
        let subscription = Subscription {
            group: format!("reader-{}", Uuid::now_v7()),
            topics: read.clone(),
        };
        Self {
            consumer: bus.subscribe(&subscription).unwrap(),
            bus: bus.clone(),
            topics: read,
            marks: HashSet::new(),
            records: Vec::new(),
        }
    }

    /// Reads until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !enough(self) {
            let batch = tokio::time::timeout_at(end, self.consumer.next(&LIMITS)).await;
            for record in batch
                .unwrap_or_else(|_| panic!("{what}: not in time"))
                .unwrap()
                .records
            {
                if record.headers.get(MARK).is_some() {
                    self.marks.insert((record.topic, record.partition));
                } else {
                    self.records.push(record);
                }
            }
        }
    }

    /// Reads all records, up to a mark that is written to the end of each partition.
    pub(crate) async fn drain(&mut self) {
        self.marks.clear();
        let mut marked = HashSet::new();
        for topic in self.topics.clone() {
            let spec = self.bus.topics().all().iter().find(|spec| spec.name == topic);
            let partitions = spec.unwrap().partitions as usize;
            let mut here = HashSet::new();
            while here.len() < partitions {
                let key = Uuid::now_v7().to_string();
                let mark = OutRecord::new(Arc::clone(&topic), key, "").with(MARK, "1");
                here.insert(self.bus.publish(vec![mark]).await.unwrap()[0].partition);
            }
            marked.extend(here.into_iter().map(|partition| (Arc::clone(&topic), partition)));
        }
        self.until("the marks", |reader| reader.marks == marked).await;
    }

    pub(crate) fn decided(&self) -> Vec<EventDecided> {
        let status = self.bus.topics().status();
        let statuses = self.records.iter().filter(|record| record.topic == status);
        statuses
            .map(|record| match StatusRecord::parse(&record.value).unwrap() {
                StatusRecord::EventDecided(decided) => decided,
                StatusRecord::Delivery(_) | StatusRecord::Receipt(_) | StatusRecord::Verdict(_) => {
                    panic!("a router writes statuses of events only")
                }
            })
            .collect()
    }

    /// The number of records that report a routed event.
    pub(crate) fn routed(&self) -> usize {
        let decided = self.decided();
        decided
            .iter()
            .filter(|decided| decided.verdict == EventVerdict::Routed)
            .count()
    }

    /// Keys and ids of the deliveries on a topic.
    pub(crate) fn deliveries(&self, topic: &str) -> Vec<(String, String)> {
        let here = self.records.iter().filter(|record| &*record.topic == topic);
        here.map(|record| {
            let delivery: carillon_domain::Delivery = serde_json::from_slice(&record.value).unwrap();
            let key = String::from_utf8(record.key.as_deref().unwrap().to_vec()).unwrap();
            (key, delivery.delivery_id.to_string())
        })
        .collect()
    }
}
