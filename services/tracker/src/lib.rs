//! The tracker: `notifications.status` and the dead letter topics → the read model. Offsets are stored beside the
//! projection, in the same transaction, so a record is applied once however often it is read, and the projection can
//! be dropped and rebuilt from the topic.

mod auditor;
mod dead_letters;
mod housekeeping;
mod project;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use carillon_bus::{
    BatchConsumer, BatchLimits, Bus, BusError, Partition, Position, Record, Subscription, headers,
};
use carillon_domain::clock::SharedClock;
use carillon_runtime::{
    Limited, Shutdown, Stall, Stalled,
    http::ReadySwitch,
    panics::{self, Panic, catch},
    telemetry,
};
use carillon_store::{Store, StoreError, read_model::StoredOffset};
use tracing::Instrument as _;

pub use auditor::{Auditor, Report};

/// The dependencies of the tracker.
#[derive(Clone)]
pub struct TrackerDeps {
    /// The bus, from which statuses come.
    pub bus: Bus,
    /// The store of the read model.
    pub store: Store,
    /// The clock.
    pub clock: SharedClock,
    /// Set once the tracker has begun.
    pub ready: ReadySwitch,
}

/// The reason for which a tracker ended.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The bus failed for good.
    #[error("the tracker cannot use the bus")]
    Bus(#[from] BusError),
    /// The database failed.
    #[error("the tracker cannot use the database")]
    Store(#[from] StoreError),
    /// No record was applied for longer than the stall limit.
    #[error("the tracker makes no progress")]
    Stalled(#[from] Stalled),
}

impl TrackerError {
    fn is_retriable(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_retriable(),
            // Values that the database refuses are left out (`Reader::apply_one_by_one`); all other errors pass or
            // are repaired.
            Self::Store(_) => true,
            Self::Stalled(_) => false,
        }
    }
}

/// The limits of a batch at rest: a status is visible soon.
const AT_REST: BatchLimits = BatchLimits {
    max_records: 4_000,
    max_bytes: 8 << 20,
    linger: Duration::from_millis(50),
};
/// The limits of a batch under load. The keys of most indexes are random, so a batch writes about one page for each row and index
/// until it is as large as the index; larger batches write fewer pages.
const UNDER_LOAD: BatchLimits = BatchLimits {
    linger: Duration::from_millis(150),
    ..AT_REST
};
/// The size of a batch in records from which the next one is gathered under load.
const LOAD: usize = 200;
const PAUSE: Duration = Duration::from_millis(500);

/// The name under which the projection's offsets are stored.
#[must_use]
pub fn projection_name(bus: &Bus) -> String {
    bus.topics().group("tracker")
}

/// The consumer group of the status topic. Each rebuild begins a new group without committed offsets.
pub async fn group(bus: &Bus, store: &Store) -> Result<String, StoreError> {
    let name = projection_name(bus);
    Ok(match store.read_model().rebuilds(&name).await? {
        0 => name,
        rebuilds => format!("{name}.{rebuilds}"),
    })
}

/// Tracks statuses and dead letters, and audits, until the shutdown.
pub async fn run(deps: TrackerDeps, shutdown: Shutdown) -> Result<(), TrackerError> {
    let name = projection_name(&deps.bus);
    let group = group(&deps.bus, &deps.store).await?;
    let dead_group = format!("{name}.dlq");
    let statuses = Subscription {
        group: group.clone(),
        topics: vec![deps.bus.topics().status()],
    };
    let dead = Subscription {
        group: dead_group.clone(),
        topics: deps.bus.topics().dlqs(),
    };
    let statuses = consume(&deps, statuses, name, Kind::Statuses, shutdown.clone());
    let dead = consume(&deps, dead, dead_group, Kind::DeadLetters, shutdown.clone());
    let auditor = Auditor::new(deps.store.clone());
    let lag = async {
        let report = |group| deps.bus.report_lag(group, deps.ready.clone(), shutdown.clone());
        tokio::join!(
            report(group),
            report(format!("{}.dlq", projection_name(&deps.bus)))
        )
    };
    let housekeeping = housekeeping::run(&deps.bus, &deps.store, shutdown.clone());
    let company = async { tokio::join!(auditor.run(shutdown.clone()), lag, housekeeping) };
    deps.ready.ready();
    let consumers = async { tokio::try_join!(statuses, dead).map(drop) };
    let ended = Box::pin(lead(consumers, company)).await;
    if ended.is_err() {
        deps.ready.not_ready("the role has ended");
    }
    ended
}

/// Runs both futures until the consumers end. If one consumer fails, the tracker ends, because auditor and housekeeping
/// alone would look like a working tracker.
async fn lead<T>(
    consumers: impl Future<Output = Result<(), TrackerError>>,
    company: impl Future<Output = T>,
) -> Result<(), TrackerError> {
    tokio::pin!(consumers);
    tokio::select! {
        ended = &mut consumers => ended,
        // `company` ends only at the shutdown, when the consumers are about to end too.
        _ = company => consumers.await,
    }
}

/// Deletes the read model, so that the next tracker rebuilds it from the start of the topic. No tracker may run
/// meanwhile.
pub async fn rebuild(bus: &Bus, store: &Store) -> Result<(), TrackerError> {
    let name = projection_name(bus);
    // The new group is stored first: after a crash between the two steps, records are read again and skipped as
    // applied.
    store.read_model().begin_rebuild(&name).await?;
    store.read_model().reset(&name).await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Statuses,
    DeadLetters,
}

async fn consume(
    deps: &TrackerDeps,
    subscription: Subscription,
    name: String,
    kind: Kind,
    shutdown: Shutdown,
) -> Result<(), TrackerError> {
    let consumer = deps.bus.subscribe(&subscription)?;
    let mut reader = Reader {
        deps,
        consumer,
        name,
        epoch: 0,
        applied: HashMap::new(),
        is_behind: false,
        is_under_load: false,
    };
    let mut stall = Stall::new(panics::role(), "tracking", shutdown.stall_limit);
    let complaints = Limited::default();
    loop {
        let step = tokio::select! {
            step = reader.step(kind) => step,
            () = shutdown.soft() => return Ok(()),
        };
        match step {
            Ok(()) => stall.succeeded(),
            Err(error) if error.is_retriable() => {
                if !reader.is_placed() {
                    // A partition that was assigned a moment ago may not be ready for a seek yet.
                    tracing::debug!(
                        consumer = reader.name,
                        error = &error as &dyn std::error::Error,
                        "the consumer has not moved to the stored offsets yet"
                    );
                } else if let Some(left_out) = complaints.admit("again") {
                    tracing::warn!(
                        consumer = reader.name,
                        error = &error as &dyn std::error::Error,
                        left_out,
                        "a batch failed and is read again"
                    );
                }
                stall.failed(&error)?;
                reader.is_behind = true;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shutdown.soft() => return Ok(()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The reason for which a record cannot be applied, now or later.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the database refuses it")]
    Refused(#[source] StoreError),
    #[error("{0}")]
    Bug(Panic),
}

impl Fault {
    /// The fault of a record, or of a record in a batch. An error that concerns no record is returned as one.
    fn of(applied: Result<Result<(), StoreError>, Panic>) -> Result<Option<Self>, StoreError> {
        match applied {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) if error.refuses_data() => Ok(Some(Self::Refused(error))),
            Ok(Err(error)) => Err(error),
            Err(panic) => Ok(Some(Self::Bug(panic))),
        }
    }
}

struct Reader<'a> {
    deps: &'a TrackerDeps,
    consumer: BatchConsumer,
    name: String,
    /// The assignment for which the stored offsets were read.
    epoch: u64,
    /// The next offset to apply, by partition.
    applied: HashMap<Partition, i64>,
    /// Set after a batch failed: it has to be read again before any other.
    is_behind: bool,
    /// Whether the last batch was a large one.
    is_under_load: bool,
}

impl Reader<'_> {
    async fn step(&mut self, kind: Kind) -> Result<(), TrackerError> {
        if self.is_behind {
            match self.consumer.rewind().await {
                // Another member reads revoked partitions. The next read takes over the new assignment.
                Ok(()) | Err(BusError::Revoked) => self.is_behind = false,
                Err(error) => return Err(error.into()),
            }
        }
        let limits = if self.is_under_load { &UNDER_LOAD } else { &AT_REST };
        let Some(batch) = self.consumer.next_in(self.epoch, limits).await? else {
            return self.go_to_stored().await;
        };
        self.is_under_load = batch.records.len() >= LOAD;
        let fresh: Vec<&Record> = batch
            .records
            .iter()
            .filter(|record| self.is_fresh(record))
            .collect();
        if !fresh.is_empty() {
            let offsets: Vec<StoredOffset> = batch.next_positions().map(stored_offset).collect();
            let span = self.span(kind, &fresh);
            let applied = self.apply(kind, &fresh, offsets).instrument(span);
            let applied = catch(panics::role(), applied).await;
            if Fault::of(applied)?.is_some() {
                self.apply_one_by_one(kind, &fresh).await?;
            }
            self.applied.extend(
                batch
                    .next_positions()
                    .map(|position| (position.partition(), position.offset)),
            );
        }
        metrics::counter!("carillon_tracker_records_total").increment(fresh.len() as u64);
        // The stored offsets are authoritative. The group's offsets only save a new member from reading old records.
        match self.consumer.commit(&batch).await {
            Err(BusError::Revoked) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the partitions of the current assignment are read from their stored offsets on.
    fn is_placed(&self) -> bool {
        self.epoch == self.consumer.epoch()
    }

    /// Reads on from the stored offsets, because only these belong to applied records. The group's committed offsets
    /// are smaller if a commit was lost. They are greater if the read model is older than the bus, after a power
    /// failure or from a backup.
    async fn go_to_stored(&mut self) -> Result<(), TrackerError> {
        let epoch = self.consumer.epoch();
        self.applied = self.stored().await?;
        let positions: Vec<Position> = self
            .consumer
            .assignment()
            .map(|partition| Position {
                topic: Arc::clone(&partition.topic),
                partition: partition.index,
                offset: self.applied.get(partition).copied().unwrap_or(0),
            })
            .collect();
        self.consumer.seek(&positions).await?;
        self.consumer.commit_at(&positions).await?;
        self.epoch = epoch;
        Ok(())
    }

    /// Applies a batch that contains a faulty record, which the database refuses or on which the code panics. The
    /// faulty record is left out, and the others are applied.
    async fn apply_one_by_one(&mut self, kind: Kind, records: &[&Record]) -> Result<(), TrackerError> {
        for record in records {
            let Position {
                topic,
                partition,
                offset,
            } = record.position();
            let next = StoredOffset {
                topic,
                partition,
                next: offset + 1,
            };
            let one = [*record];
            let applied = self.apply(kind, &one, vec![next.clone()]);
            if let Some(fault) = Fault::of(catch(panics::role(), applied).await)? {
                metrics::counter!("carillon_tracker_refused_total").increment(1);
                tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset,
                    error = &fault as &dyn std::error::Error, "a record is left out of the read model");
                self.apply(kind, &[], vec![next]).await?;
            }
            self.applied.insert(record.position().partition(), offset + 1);
        }
        Ok(())
    }

    async fn stored(&self) -> Result<HashMap<Partition, i64>, StoreError> {
        let stored = self.deps.store.read_model().offsets(&self.name).await?;
        let partition = |offset: &StoredOffset| Partition {
            topic: Arc::clone(&offset.topic),
            index: offset.partition,
        };
        Ok(stored
            .iter()
            .map(|offset| (partition(offset), offset.next))
            .collect())
    }

    /// Whether a record was not applied yet. Records are read again if a commit to the group was lost.
    fn is_fresh(&self, record: &Record) -> bool {
        self.applied
            .get(&record.position().partition())
            .is_none_or(|next| record.offset >= *next)
    }

    /// The span of a batch, in the traces of its records.
    fn span(&self, kind: Kind, records: &[&Record]) -> tracing::Span {
        let topics = self.deps.bus.topics();
        let (name, topic) = match kind {
            Kind::Statuses => ("project", topics.status()),
            Kind::DeadLetters => (
                "keep dead letters",
                records
                    .first()
                    .map_or_else(|| topics.status(), |record| Arc::clone(&record.topic)),
            ),
        };
        let span = tracing::debug_span!(
            "batch",
            otel.name = name,
            otel.kind = "consumer",
            messaging.system = self.deps.bus.backend_name(),
            "messaging.operation.type" = "process",
            messaging.destination.name = &*topic,
            messaging.consumer.group.name = self.name,
            messaging.batch.message_count = records.len()
        );
        let traces = records
            .iter()
            .filter_map(|record| record.headers.get_str(headers::TRACEPARENT));
        telemetry::join(&span, traces);
        span
    }

    async fn apply(
        &self,
        kind: Kind,
        records: &[&Record],
        offsets: Vec<StoredOffset>,
    ) -> Result<(), StoreError> {
        match kind {
            Kind::Statuses => {
                let projection = project::projection(&self.name, records, offsets).await;
                self.deps.store.read_model().apply(&projection).await?;
                // This follows the projection, because the router reads it when a message falls due. If this tracker
                // ends here, the next one finds these messages when it starts.
                let changed = project::for_fallbacks(&projection);
                self.deps.store.fallbacks().hasten(&changed).await.map(drop)
            }
            Kind::DeadLetters => {
                let topics = self.deps.bus.topics();
                let rows: Vec<_> = records
                    .iter()
                    .filter_map(|record| dead_letters::row(topics, record))
                    .collect();
                let letters = self.deps.store.dead_letters();
                letters.apply(&self.name, &rows, &offsets).await?;
                dead_letters::count(&rows);
                Ok(())
            }
        }
    }
}

fn stored_offset(position: Position) -> StoredOffset {
    StoredOffset {
        topic: position.topic,
        partition: position.partition,
        next: position.offset,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_consumer_that_fails_ends_the_tracker_while_its_other_tasks_still_run() {
        let failed = async { Err(TrackerError::Bus(BusError::Closed)) };
        let ended = lead(failed, pending::<()>()).await;
        assert!(matches!(ended, Err(TrackerError::Bus(BusError::Closed))));
        let never = pending::<Result<(), TrackerError>>();
        let fails = ready(Err::<(), _>(TrackerError::Bus(BusError::Closed)));
        let both = async { tokio::try_join!(never, fails).map(drop) };
        assert!(lead(both, pending::<()>()).await.is_err(), "one of two is enough");
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_of_the_record_and_an_absent_database_is_not() {
        let panicked = catch(panics::role(), async { panic!("oh") }).await;
        assert!(matches!(Fault::of(panicked), Ok(Some(Fault::Bug(_)))));
        assert!(Fault::of(Ok(Err(StoreError::Closed))).is_err());
        assert!(matches!(Fault::of(Ok(Ok(()))), Ok(None)));
    }

    #[tokio::test]
    async fn consumers_are_waited_for_when_the_rest_has_ended() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let consumers = async {
            let () = told.await.unwrap();
            Ok(())
        };
        let company = async { tell.send(()).unwrap() };
        lead(consumers, company).await.unwrap();
    }
}
