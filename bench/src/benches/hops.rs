//! The latency of a record on the bus alone, hop by hop: published, routed in an atomic step, handed to a worker.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use carillon_bus::{BatchLimits, Bus, Handler, Inbound, OutRecord, ParallelOptions, Subscription};
use carillon_domain::{Channel, Lane};
use carillon_runtime::{Shutdown, panics::Panic};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::Effort;
use crate::{
    backend::Backend,
    bed::{Bed, LOOK},
    measure::{Figure, Report},
};

/// Records a second, as in the latency run of `e2e`.
const RATE: u32 = 550;
const PATIENCE: Duration = Duration::from_secs(30);
/// The share of the records that comes first and is not counted, because the groups are still forming.
const WARM: usize = 4;
const HOPS: [&str; 5] = ["posted", "published", "read", "routed", "handled"];
const ROUTER: BatchLimits = BatchLimits {
    max_records: 500,
    max_bytes: 4 << 20,
    linger: Duration::ZERO,
};

/// The time at which each record was first seen at each hop.
#[derive(Default)]
struct Times(Mutex<BTreeMap<&'static str, BTreeMap<usize, Instant>>>);

impl Times {
    fn note(&self, hop: &'static str, record: usize) {
        // The record is the first of several, one for each channel.
        let now = Instant::now();
        self.0.lock().entry(hop).or_default().entry(record).or_insert(now);
    }

    fn count(&self, hop: &str) -> usize {
        self.0.lock().get(hop).map_or(0, BTreeMap::len)
    }

    /// The waits between two hops in milliseconds, ascending, of the records from `first` on.
    fn between(&self, from: &str, to: &str, first: usize) -> Vec<f64> {
        let times = self.0.lock();
        let (Some(from), Some(to)) = (times.get(from), times.get(to)) else {
            return Vec::new();
        };
        let counted = from.iter().filter(|(record, _)| **record >= first);
        let mut waits: Vec<f64> = counted
            .filter_map(|(record, from)| Some(to.get(record)?.duration_since(*from).as_secs_f64() * 1e3))
            .collect();
        waits.sort_unstable_by(f64::total_cmp);
        waits
    }
}

/// The number of a record, which is its value.
fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn record(topic: &Arc<str>, number: usize) -> OutRecord {
    let text = number.to_string();
    OutRecord::new(Arc::clone(topic), text.clone(), text)
}

struct Worker(Arc<Times>);

#[async_trait::async_trait]
impl Handler for Worker {
    async fn handle(&self, batch: Vec<Inbound>) {
        for inbound in batch {
            if let Some(record) = number(&inbound.record.value) {
                self.0.note("handled", record);
            }
            inbound.done();
        }
    }

    async fn bury(&self, inbound: Inbound, _: &Panic) {
        inbound.done();
    }
}

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let (times, shutdown) = (Arc::new(Times::default()), Shutdown::new());
    let count = effort.amount(6_000, 200);
    let mut roles = JoinSet::new();
    let channels = [Channel::Email, Channel::Sms, Channel::Push]
        .map(|channel| bed.bus.topics().channel(channel, Lane::Normal));
    for topic in &channels {
        let (bus, worker) = (bed.bus.clone(), Arc::new(Worker(Arc::clone(&times))));
        let (group, shutdown) = (subscription(topic, topic), shutdown.clone());
        roles.spawn(async move {
            let options = ParallelOptions::default();
            Ok(bus.run_parallel(&group, options, worker, shutdown).await?)
        });
    }
    roles.spawn(route(
        bed.bus.clone(),
        channels,
        Arc::clone(&times),
        shutdown.clone(),
    ));
    post(&bed.bus, &times, count).await?;
    let all = async {
        while times.count("handled") < count {
            tokio::time::sleep(LOOK).await;
        }
    };
    let arrived = tokio::time::timeout(PATIENCE, all).await;
    shutdown.begin();
    for ended in roles.join_all().await {
        ended?;
    }
    let mut report = Report::new("hops", backend.name);
    let whole = (HOPS[0], HOPS[HOPS.len() - 1]);
    for (from, to) in HOPS.into_iter().zip(HOPS.into_iter().skip(1)).chain([whole]) {
        let waits = times.between(from, to, count / WARM);
        for percent in [50, 99] {
            let wait = waits.get(waits.len().saturating_sub(1) * percent / 100);
            let wait = *wait.with_context(|| format!("no record went from {from} to {to}"))?;
            report.add(Figure::one(format!("{from} → {to}, p{percent}, ms"), wait));
        }
    }
    report.add(Figure::none_of("lost", count - times.count("handled")));
    bed.clear().await?;
    arrived
        .map(|()| report)
        .context("not all records arrived in time")
}

fn subscription(group: &str, topic: &Arc<str>) -> Subscription {
    Subscription {
        group: format!("{group}.hops"),
        topics: vec![Arc::clone(topic)],
    }
}

/// Writes each record once for each channel, in an atomic step, until the shutdown.
async fn route(
    bus: Bus,
    channels: [Arc<str>; 3],
    times: Arc<Times>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut consumer = bus.subscribe(&subscription("router", &bus.topics().events(Lane::Normal)))?;
    loop {
        let batch = tokio::select! {
            batch = consumer.next(&ROUTER) => batch?,
            () = shutdown.soft() => return Ok(()),
        };
        let numbers: Vec<usize> = batch
            .records
            .iter()
            .filter_map(|record| number(&record.value))
            .collect();
        for number in &numbers {
            times.note("read", *number);
        }
        let copies = numbers
            .iter()
            .flat_map(|number| channels.iter().map(move |topic| record(topic, *number)));
        consumer.commit_with(&batch, copies.collect()).await?;
        for number in numbers {
            times.note("routed", number);
        }
    }
}

/// Publishes single records at the rate, each when it is due.
async fn post(bus: &Bus, times: &Arc<Times>, count: usize) -> anyhow::Result<()> {
    let events = bus.topics().events(Lane::Normal);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut posts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for number in 0..count {
        pace.tick().await;
        let (bus, times, out) = (bus.clone(), Arc::clone(times), record(&events, number));
        posts.spawn(async move {
            times.note("posted", number);
            while let Err(error) = bus.publish(vec![out.clone()]).await {
                anyhow::ensure!(error.is_retriable(), "{error}");
            }
            times.note("published", number);
            Ok(())
        });
    }
    posts.join_all().await.into_iter().collect()
}
