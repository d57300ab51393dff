//! The metrics of the bus. Names and labels are those of OpenTelemetry's conventions for messaging, as Prometheus
//! spells them. Handles are made once, so that measuring a record allocates nothing.

mod unfinished;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use metrics::{Counter, Histogram};
use tokio::time::Instant;

pub(crate) use self::unfinished::Unfinished;
use crate::{
    error::BusError,
    member::{Member, Polled},
    record::{OutRecord, Partition, Record},
    topics::Topics,
};

/// The metrics of writing: the number of records by topic, and the duration of a publish.
pub(crate) struct Written {
    system: &'static str,
    records: HashMap<Arc<str>, Counter>,
    took: Histogram,
}

impl Written {
    pub(crate) fn new(system: &'static str, topics: &Topics) -> Self {
        let counter = |topic: &Arc<str>| {
            metrics::counter!("messaging_client_sent_messages_total", "messaging_system" => system,
                "messaging_destination_name" => topic.to_string())
        };
        Self {
            system,
            records: topics
                .all()
                .iter()
                .map(|spec| (Arc::clone(&spec.name), counter(&spec.name)))
                .collect(),
            took: metrics::histogram!("messaging_client_operation_duration_seconds", "messaging_system" => system,
                "messaging_operation_name" => "publish"),
        }
    }

    /// Counts records that are about to be written.
    pub(crate) fn sending(&self, records: &[OutRecord]) {
        for run in records.chunk_by(|one, next| one.topic == next.topic) {
            if let Some(counter) = self.records.get(&run[0].topic) {
                counter.increment(run.len() as u64);
            }
        }
    }

    /// Notes the duration of a publish.
    pub(crate) fn published<T>(&self, since: Instant, published: &Result<T, BusError>) {
        let seconds = since.elapsed().as_secs_f64();
        match published {
            Ok(_) => self.took.record(seconds),
            Err(error) => {
                metrics::histogram!("messaging_client_operation_duration_seconds",
                "messaging_system" => self.system, "messaging_operation_name" => "publish",
                "error_type" => error.kind())
                .record(seconds);
            }
        }
    }
}

/// The metrics of a group's work: the size of its batches, and the duration of the work on one.
#[derive(Clone)]
pub(crate) struct Work {
    size: Histogram,
    done: Histogram,
    failed: Histogram,
}

impl Work {
    pub(crate) fn new(system: &'static str, group: &str) -> Self {
        let took = |error: Option<&'static str>| {
            let mut labels = vec![
                ("messaging_system", system.to_owned()),
                ("messaging_operation_name", "process".to_owned()),
                ("messaging_consumer_group_name", group.to_owned()),
            ];
            labels.extend(error.map(|error| ("error_type", error.to_owned())));
            metrics::histogram!("messaging_process_duration_seconds", &labels)
        };
        Self {
            size: metrics::histogram!("carillon_batch_records", "group" => group.to_owned()),
            done: took(None),
            failed: took(Some("_OTHER")),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a histogram")]
    pub(crate) fn begins(&self, records: usize) {
        self.size.record(records as f64);
    }

    /// Notes the end of the work on a batch; one that failed is read again.
    pub(crate) fn ended(&self, since: Instant, is_done: bool) {
        let histogram = if is_done { &self.done } else { &self.failed };
        histogram.record(since.elapsed().as_secs_f64());
    }
}

/// A member whose reading, writing and committing is measured.
pub(crate) struct Metered {
    member: Box<dyn Member>,
    group: Arc<str>,
    written: Arc<Written>,
    unfinished: Arc<Unfinished>,
    read: HashMap<Arc<str>, Counter>,
    owned: HashSet<Partition>,
}

impl Metered {
    pub(crate) fn new(
        member: Box<dyn Member>,
        group: &str,
        topics: &[Arc<str>],
        written: &Arc<Written>,
        unfinished: &Arc<Unfinished>,
    ) -> Self {
        let counter = |topic: &Arc<str>| {
            metrics::counter!("messaging_client_consumed_messages_total", "messaging_system" => written.system,
                "messaging_consumer_group_name" => group.to_owned(), "messaging_destination_name" => topic.to_string())
        };
        Self {
            member,
            group: Arc::from(group),
            written: Arc::clone(written),
            unfinished: Arc::clone(unfinished),
            read: topics
                .iter()
                .map(|topic| (Arc::clone(topic), counter(topic)))
                .collect(),
            owned: HashSet::new(),
        }
    }

    fn count(&self, records: &[Record]) {
        for run in records.chunk_by(|one, next| one.topic == next.topic) {
            if let Some(counter) = self.read.get(&run[0].topic) {
                counter.increment(run.len() as u64);
            }
        }
    }
}

#[async_trait]
impl Member for Metered {
    async fn poll(&mut self, max: usize) -> Result<Polled, BusError> {
        let polled = self.member.poll(max).await?;
        match &polled {
            Polled::Records(records) => {
                self.count(records);
                self.unfinished.read(&self.group, records);
            }
            Polled::Assigned(partitions) => {
                self.owned.extend(partitions.iter().cloned());
                self.unfinished.owns(&self.group, partitions);
            }
            Polled::Revoked(_) => {}
        }
        Ok(polled)
    }

    async fn release(&mut self, partitions: &[Partition]) {
        self.unfinished.forget(&self.group, partitions);
        for partition in partitions {
            self.owned.remove(partition);
        }
        self.member.release(partitions).await;
    }

    async fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        self.member.commit(offsets).await?;
        self.unfinished.committed(&self.group, offsets);
        Ok(())
    }

    async fn commit_with(
        &mut self,
        out: Vec<OutRecord>,
        offsets: &[(Partition, i64)],
    ) -> Result<(), BusError> {
        self.written.sending(&out);
        self.member.commit_with(out, offsets).await?;
        self.unfinished.committed(&self.group, offsets);
        Ok(())
    }

    async fn begin(&mut self, out: Vec<OutRecord>, offsets: &[(Partition, i64)]) -> Result<(), BusError> {
        self.written.sending(&out);
        self.member.begin(out, offsets).await?;
        // If the step fails later, the member is rewound, and the records are read and noted again.
        self.unfinished.committed(&self.group, offsets);
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BusError> {
        self.member.settle().await
    }

    fn pause(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.member.pause(partition)
    }

    fn resume(&mut self, partition: &Partition) -> Result<(), BusError> {
        self.member.resume(partition)
    }

    async fn seek(&mut self, partition: &Partition, offset: i64) -> Result<(), BusError> {
        self.unfinished.owns(&self.group, std::slice::from_ref(partition));
        self.member.seek(partition, offset).await
    }

    async fn rewind(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.unfinished.owns(&self.group, partitions);
        self.member.rewind(partitions).await
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let owned: Vec<Partition> = self.owned.drain().collect();
        self.unfinished.forget(&self.group, &owned);
    }
}
