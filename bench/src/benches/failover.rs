//! The first account of a channel dies and comes back: how soon its messages go to the next one, and back.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use carillon_bus::{BatchLimits, Bus, Subscription};
use carillon_domain::{Channel, ContactPointId, DeliveryStatus, StatusRecord, UserId};
use futures::FutureExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Effort,
    deliver::{contacts, publish, push_workers},
};
use crate::{
    backend::Backend,
    bed::{Bed, run_until},
    load::{Arrival, MortalSink, Sink},
    measure::{Figure, Report},
};

/// Deliveries that are published at a time, and the time between.
const PORTION: usize = 20;
const BETWEEN: Duration = Duration::from_millis(50);
/// The longest wait for the end of a phase.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let (mut first, second) = (MortalSink::start()?, Sink::start(Duration::ZERO).await?);
    let mut report = Report::new("failover", backend.name);
    let portions = effort.amount(100, 20);
    let accounts = [("first", &first.sink), ("second", &second)];
    let deps = push_workers(&bed, &accounts, &second)?;
    let group = carillon_workers::group(&bed.bus, Channel::Push);
    let measured = async {
        let contacts = contacts(&bed).await?;
        let mut load = Load {
            bed: &bed,
            contacts: &contacts,
            published: 0,
        };
        load.publish(portions).await?;
        let mut arrivals = first.sink.take_arrivals();
        anyhow::ensure!(
            !arrivals.is_empty(),
            "the first account got nothing before it died"
        );

        let (killed, before) = (Instant::now(), second.count());
        first.kill();
        let moved = load.until(|| second.count() > before).await? - killed;
        load.publish(portions).await?;

        merge(&mut arrivals, first.sink.take_arrivals());
        first.revive()?;
        let revived = Instant::now();
        let returned = load.until(|| first.sink.count() > 0).await? - revived;
        load.publish(portions).await?;
        bed.until_read(&group).await?;

        merge(&mut arrivals, first.sink.take_arrivals());
        merge(&mut arrivals, second.take_arrivals());
        let doubled: HashSet<&String> = arrivals
            .iter()
            .filter(|(_, arrival)| arrival.count > 1)
            .map(|(event, _)| event)
            .collect();
        let uncertain = uncertain(&bed.bus).await?;
        report.add(Figure::one("seconds until traffic moves", moved.as_secs_f64()).at_most(2.0));
        report.add(Figure::one("seconds until traffic is back", returned.as_secs_f64()).at_most(10.0));
        report.add(Figure::none_of(
            "lost",
            load.published.saturating_sub(arrivals.len()),
        ));
        let silent = doubled.iter().filter(|event| !uncertain.contains(**event));
        report.add(Figure::none_of("doubled and not uncertain", silent.count()));
        anyhow::Ok(())
    };
    run_until(
        |shutdown| carillon_workers::run(deps, Channel::Push, shutdown).boxed(),
        measured,
    )
    .await?;
    bed.clear().await?;
    Ok(report)
}

/// Adds the arrivals of a sink. An event that arrived at both sinks counts twice.
fn merge(arrivals: &mut HashMap<String, Arrival>, more: HashMap<String, Arrival>) {
    for (event, arrival) in more {
        arrivals
            .entry(event)
            .and_modify(|known| known.count += arrival.count)
            .or_insert(arrival);
    }
}

/// Publishes deliveries at a steady rate.
struct Load<'a> {
    bed: &'a Bed,
    contacts: &'a HashMap<UserId, ContactPointId>,
    published: usize,
}

impl Load<'_> {
    async fn portion(&mut self) -> anyhow::Result<()> {
        let run = format!("failover{}", self.published);
        publish(self.bed, self.contacts, &run, PORTION).await?;
        self.published += PORTION;
        tokio::time::sleep(BETWEEN).await;
        Ok(())
    }

    async fn publish(&mut self, portions: usize) -> anyhow::Result<()> {
        for _ in 0..portions {
            self.portion().await?;
        }
        Ok(())
    }

    /// Publishes until something has happened; returns the time at which it was seen.
    async fn until(&mut self, has_happened: impl Fn() -> bool) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        while !has_happened() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "traffic did not move within a minute");
            self.portion().await?;
        }
        Ok(Instant::now())
    }
}

/// The events with a delivery that was uncertain.
async fn uncertain(bus: &Bus) -> anyhow::Result<HashSet<String>> {
    let limits = BatchLimits {
        max_records: 1_000,
        max_bytes: 8 << 20,
        linger: Duration::ZERO,
    };
    let mut consumer = bus.subscribe(&Subscription {
        group: format!("bench-reader-{}", Uuid::now_v7()),
        topics: vec![bus.topics().status()],
    })?;
    let mut events = HashSet::new();
    // The statuses were all published before; the reader is at the end when nothing comes for two seconds.
    while let Ok(batch) = tokio::time::timeout(Duration::from_secs(2), consumer.next(&limits)).await {
        for record in batch?.records {
            if let Ok(StatusRecord::Delivery(update)) = StatusRecord::parse(&record.value)
                && update
                    .steps
                    .iter()
                    .any(|step| step.status == DeliveryStatus::Uncertain)
            {
                events.insert(update.event_id.to_string());
            }
        }
    }
    Ok(events)
}
