//! The embedded log: a durable, partitioned log in one SQLite file, for one process. It survives `kill -9`.
//! Installations that need more than one process set `CARILLON_KAFKA__BROKERS`.

mod disk;
mod frames;
mod groups;
mod lock;
mod member;
mod reader;
mod retention;
mod schema;
mod tail;
mod writer;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use carillon_domain::clock::SharedClock;
use parking_lot::Mutex;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::Notify;

use self::{
    disk::Disk,
    groups::{Groups, Pending},
    tail::Tail,
    writer::LogWriter,
};
use crate::{
    error::BusError,
    lag::{CrowdedTopic, TopicLag, crowds},
    member::Member,
    record::{OutRecord, Partition, Position},
    topics::Topics,
};

/// The interval at which the write-ahead log is copied into the database.
const CHECKPOINT: Duration = Duration::from_millis(500);
/// The time for which a check waits for the file's write lock.
const PROBE: Duration = Duration::from_secs(4);

/// One partition of one topic in the log.
#[derive(Debug)]
struct Slot {
    /// The id of its row in `slots`.
    id: i64,
    partition: Partition,
    /// The offset of the next record.
    next: AtomicI64,
    /// The oldest offset that is still stored.
    start: AtomicI64,
    tail: Mutex<Tail>,
}

/// One topic in the log.
#[derive(Debug)]
struct Topic {
    slots: Vec<Arc<Slot>>,
    /// Chooses the partition of the next record without a key.
    round_robin: AtomicU32,
    /// The consumers to wake after an append.
    waiting: Mutex<Vec<Weak<Notify>>>,
}

impl Topic {
    fn slot_for(&self, key: Option<&[u8]>) -> &Arc<Slot> {
        let count = self.slots.len();
        let index = match key {
            Some(key) => partition_for(key, count),
            None => self.round_robin.fetch_add(1, Ordering::Relaxed) as usize % count,
        };
        &self.slots[index]
    }

    fn wake(&self) {
        self.waiting
            .lock()
            .retain(|waiting| waiting.upgrade().inspect(|notify| notify.notify_one()).is_some());
    }
}

/// Copies the write-ahead log into the database at intervals, so that the writer's commits have little to copy.
async fn checkpoints(mut connection: SqliteConnection, log: Weak<EmbeddedLog>) {
    loop {
        tokio::time::sleep(CHECKPOINT).await;
        if log.strong_count() == 0 {
            return;
        }
        let copied = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)");
        if let Err(error) = copied.execute(&mut connection).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log was not copied"
            );
        }
    }
}

/// Kafka's default partitioner: murmur2 of the key without its sign bit, modulo the number of partitions.
fn partition_for(key: &[u8], partitions: usize) -> usize {
    let hash = murmur2::murmur2(key, murmur2::KAFKA_SEED) & 0x7fff_ffff;
    hash as usize % partitions
}

/// The log. All producers and consumers of the process share it.
#[derive(Debug)]
pub(crate) struct EmbeddedLog {
    topics: HashMap<Arc<str>, Topic>,
    read: SqlitePool,
    writer: LogWriter,
    groups: Arc<Groups>,
    disk: Arc<Disk>,
}

impl EmbeddedLog {
    /// Opens the log; creates its file if it does not exist.
    pub(crate) async fn open(
        path: &std::path::Path,
        topics: &Topics,
        clock: SharedClock,
    ) -> Result<Arc<Self>, BusError> {
        let lock = lock::acquire(path).await?;
        let schema::Connections {
            mut write,
            checkpoint,
            read,
        } = schema::open(path).await?;
        let specs = [topics.all(), topics.sources()].concat();
        let topics_by_name = schema::load_topics(&mut write, &specs).await?;
        let retention = retention::rules(&topics_by_name, &specs);
        let disk = Arc::new(Disk::of(path));
        let writer = LogWriter::spawn(write, retention, clock, lock, Arc::clone(&disk));
        let log = Arc::new(Self {
            topics: topics_by_name,
            read,
            writer,
            groups: Arc::default(),
            disk,
        });
        tokio::spawn(checkpoints(checkpoint, Arc::downgrade(&log)));
        Ok(log)
    }

    fn topic(&self, name: &str) -> Result<&Topic, BusError> {
        self.topics
            .get(name)
            .ok_or_else(|| BusError::NoTopic(name.to_owned()))
    }

    fn slot(&self, partition: &Partition) -> Result<&Arc<Slot>, BusError> {
        let index = usize::try_from(partition.index).unwrap_or(usize::MAX);
        self.topic(&partition.topic)?
            .slots
            .get(index)
            .ok_or_else(|| BusError::NoTopic(partition.topic.to_string()))
    }

    /// Appends records; they are durable on return.
    pub(crate) async fn publish(&self, records: Vec<OutRecord>) -> Result<Vec<Position>, BusError> {
        self.append(records, Vec::new(), None).await
    }

    async fn append(
        &self,
        records: Vec<OutRecord>,
        offsets: Vec<writer::CommittedOffset>,
        pending: Option<Pending>,
    ) -> Result<Vec<Position>, BusError> {
        let mut appends = Vec::with_capacity(records.len());
        for record in records {
            let slot = Arc::clone(self.topic(&record.topic)?.slot_for(record.key.as_deref()));
            appends.push((slot, record));
        }
        let positions = self.writer.write(appends, offsets, pending).await?;
        let mut woken: Vec<&str> = Vec::new();
        for position in &positions {
            if !woken.contains(&&*position.topic) {
                woken.push(&position.topic);
                self.topic(&position.topic)?.wake();
            }
        }
        Ok(positions)
    }

    /// Joins a consumer group.
    pub(crate) fn join(
        self: &Arc<Self>,
        group: &str,
        topics: &[Arc<str>],
    ) -> Result<Box<dyn Member>, BusError> {
        Ok(Box::new(member::EmbeddedMember::join(
            Arc::clone(self),
            group,
            topics,
        )?))
    }

    /// A group's lag by topic.
    pub(crate) async fn lag(&self, group: &str) -> Result<Vec<TopicLag>, BusError> {
        let committed = reader::committed(&self.read, group).await?;
        let mut lags = Vec::new();
        for (name, topic) in &self.topics {
            if !topic.slots.iter().any(|slot| committed.contains_key(&slot.id)) {
                continue;
            }
            let mut lag = TopicLag {
                topic: Arc::clone(name),
                records: 0,
                committed: 0,
            };
            for slot in &topic.slots {
                let start = slot.start.load(Ordering::Acquire);
                let at = committed.get(&slot.id).copied().unwrap_or(start).max(start);
                lag.records += slot.next.load(Ordering::Acquire) - at;
                lag.committed += at;
            }
            lags.push(lag);
        }
        Ok(lags)
    }

    /// The crowded subscriptions of a group; see [`CrowdedTopic`].
    pub(crate) fn crowds(&self, group: &str) -> Vec<CrowdedTopic> {
        let partitions = |topic: &str| {
            let topic = self.topics.get(topic);
            Ok::<_, Infallible>(topic.map_or(0, |topic| topic.slots.len()))
        };
        match crowds(self.groups.subscriptions(group), partitions) {
            Ok(crowds) => crowds,
        }
    }

    /// Checks that the file can be read and takes writes. If nothing was written since the last check, the check
    /// takes the file's write lock for a moment.
    pub(crate) async fn check(&self) -> Result<(), BusError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        if self.disk.is_unproven() {
            let writes = self.disk.writes();
            let probed = tokio::time::timeout(PROBE, self.writer.probe()).await;
            match probed {
                Ok(probed) => probed?,
                Err(_) if self.disk.writes() == writes => return Err(self.disk.stuck()),
                Err(_) => {}
            }
        }
        self.disk.check()
    }
}
