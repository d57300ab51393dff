//! The records that the workers write, collected as they arrive: statuses, retries and dead letters.

use std::{collections::HashSet, sync::Arc, time::Duration};

use carillon_bus::{BatchLimits, Bus, OutRecord, Position, Record, Subscription, TopicKind};
use carillon_domain::{
    StatusRecord,
    status::{DeliveryUpdate, TimelineStep},
};
use carillon_testkit::eventually;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

const LIMITS: BatchLimits = BatchLimits {
    max_records: 1_000,
    max_bytes: 8 << 20,
    linger: Duration::ZERO,
};
/// The header of marks: records that show that all earlier records were read.
const MARK: &str = "mark";

/// Reads until it is dropped.
pub(crate) struct Written {
    bus: Bus,
    records: Arc<Mutex<Vec<Record>>>,
    reader: JoinHandle<()>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Written {
    pub(crate) fn watch(bus: &Bus) -> Self {
        let is_output = |kind| {
            matches!(
                kind,
                TopicKind::Status | TopicKind::DeadLetters(_) | TopicKind::Retry { .. }
            )
        };
        let topics = bus.topics().all().iter().filter(|spec| is_output(spec.kind));
        let subscription = Subscription {
            group: format!("reader-{}", Uuid::now_v7()),
            topics: topics.map(|spec| Arc::clone(&spec.name)).collect(),
        };
        let mut consumer = bus.subscribe(&subscription).unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&records);
        let reader = tokio::spawn(async move {
            loop {
                let batch = consumer.next(&LIMITS).await.unwrap();
                collected.lock().extend(batch.records);
            }
        });
        Self {
            bus: bus.clone(),
            records,
            reader,
        }
    }

    fn of_kind(&self, is_wanted: impl Fn(TopicKind) -> bool) -> Vec<Record> {
        let wanted = |record: &&Record| {
            self.bus.topics().kind_of(&record.topic).is_some_and(&is_wanted)
                && record.headers.get(MARK).is_none()
        };
        self.records.lock().iter().filter(wanted).cloned().collect()
    }

    /// All records in retry topics so far.
    pub(crate) fn retries(&self) -> Vec<Record> {
        self.of_kind(|kind| matches!(kind, TopicKind::Retry { .. }))
    }

    /// All records in dead letter queues so far.
    pub(crate) fn dead(&self) -> Vec<Record> {
        self.of_kind(|kind| matches!(kind, TopicKind::DeadLetters(_)))
    }

    /// The status records about an event's deliveries, in order.
    pub(crate) fn updates(&self, event: &str) -> Vec<DeliveryUpdate> {
        let records = self.of_kind(|kind| kind == TopicKind::Status);
        let updates = records
            .iter()
            .map(|record| match StatusRecord::parse(&record.value).unwrap() {
                StatusRecord::Delivery(update) => update,
                StatusRecord::EventDecided(_) | StatusRecord::Receipt(_) | StatusRecord::Verdict(_) => {
                    panic!("a worker writes statuses of deliveries only")
                }
            });
        updates
            .filter(|update| update.event_id.as_str() == event)
            .collect()
    }

    /// The steps of an event's deliveries, as `<attempt> <status>[ <code>]`, in order.
    pub(crate) fn steps(&self, event: &str) -> Vec<String> {
        let text = |attempt: u32, step: TimelineStep| match step.code {
            Some(code) => format!("{attempt} {} {code}", step.status),
            None => format!("{attempt} {}", step.status),
        };
        self.updates(event)
            .into_iter()
            .flat_map(|update| {
                let attempt = update.attempt;
                update.steps.into_iter().map(move |step| text(attempt, step))
            })
            .collect()
    }

    /// Waits until a step was published.
    pub(crate) async fn reaches(&self, event: &str, step: &str) {
        eventually(&format!("{event}: {step}"), || async {
            self.steps(event).iter().any(|said| said == step)
        })
        .await;
    }

    /// Waits for this many dead letters.
    pub(crate) async fn until_dead(&self, count: usize) -> Vec<Record> {
        eventually("dead letters", || async { self.dead().len() >= count }).await;
        self.dead()
    }

    /// Waits for this many records in retry topics.
    pub(crate) async fn until_retried(&self, count: usize) -> Vec<Record> {
        eventually("retries", || async { self.retries().len() >= count }).await;
        self.retries()
    }

    /// Waits until all statuses and dead letters written so far are read, so that the absence of a record can be
    /// checked.
    pub(crate) async fn settle(&self) {
        let marked = |kind| matches!(kind, TopicKind::Status | TopicKind::DeadLetters(_));
        let mut marks: HashSet<Position> = HashSet::new();
        for spec in self.bus.topics().all().iter().filter(|spec| marked(spec.kind)) {
            let mut partitions = HashSet::new();
            let mut number = 0;
            while partitions.len() < spec.partitions as usize {
                number += 1;
                let mark = OutRecord::new(Arc::clone(&spec.name), number.to_string(), "mark").with(MARK, "1");
                let position = self.bus.publish(vec![mark]).await.unwrap().remove(0);
                partitions.insert(position.partition);
                marks.insert(position);
            }
        }
        eventually("the marks", || async {
            let records = self.records.lock();
            let read: HashSet<Position> = records.iter().map(Record::position).collect();
            marks.is_subset(&read)
        })
        .await;
    }
}
