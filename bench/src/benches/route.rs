//! The router's stage, beside a step that copies bytes.

use std::{sync::Arc, time::Duration};

use carillon_bus::{BatchLimits, OutRecord, Subscription};
use carillon_domain::{Channel, Event, Lane, event::Defaults};
use carillon_router::{RouterConfig, RouterDeps};
use futures::FutureExt as _;
use tokio::time::Instant;

use super::{Effort, e2e::per_second, e2e::per_thousand};
use crate::{
    app::event,
    backend::Backend,
    bed::{Bed, LOOK, ready, run_until},
    measure::{Figure, Report, Spread},
};

const PUBLISHED_AT_ONCE: usize = 1_000;

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let mut report = Report::new("route", backend.name);
    let events = effort.amount(backend.pick(60_000, 60_000), 1_000);
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    // The first pair is a warm-up, because the first join of a group takes seconds on Kafka.
    for pair in 0..=effort.pairs {
        publish(&bed, &format!("route{pair}"), events).await?;
        let before = bed.processes.cpu_seconds();
        let ours = route(&bed, events).await?;
        let used = bed.processes.cpu_seconds() - before;
        let bare = copy(&bed, events).await?;
        if pair > 0 {
            rates.push((ours, bare));
            cpu.push(per_thousand(used, events));
        }
    }
    report.add_pairs("events routed", "bare copy", &rates, Some(0.5));
    report.add(Figure::new("CPU seconds per 1,000 events", Spread::of(cpu)));
    bed.clear().await?;
    Ok(report)
}

async fn publish(bed: &Bed, run: &str, events: usize) -> anyhow::Result<()> {
    let topic = bed.bus.topics().events(Lane::Normal);
    for from in (0..events).step_by(PUBLISHED_AT_ONCE) {
        let records = (from..(from + PUBLISHED_AT_ONCE).min(events)).map(|n| {
            let json = event(run, n, "normal").to_string();
            let event = Event::from_plain(json.as_bytes(), Defaults::at(bed.clock.now()));
            let event = event.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
            anyhow::Ok(OutRecord::new(
                Arc::clone(&topic),
                event.record_key(&bed.tenant),
                event.to_wire(),
            ))
        });
        bed.bus.publish(records.collect::<anyhow::Result<_>>()?).await?;
    }
    Ok(())
}

/// Routes all events; returns events a second from the first committed one to the last.
async fn route(bed: &Bed, events: usize) -> anyhow::Result<f64> {
    let deps = RouterDeps {
        bus: bed.bus.clone(),
        store: bed.store.clone(),
        catalogs: bed.catalogs.clone(),
        quotas: Arc::clone(&bed.quotas),
        clock: Arc::clone(&bed.clock),
        ready: ready(),
        config: RouterConfig::default(),
    };
    let group = carillon_router::group(&bed.bus);
    let mut rate = 0.0;
    let measured = async {
        let total = i64::try_from(events)?;
        let (left, began) = loop {
            let lag = bed.lag(&group).await?;
            if let Some(lag) = lag.filter(|lag| *lag < total) {
                break (lag, Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        };
        bed.until_read(&group).await?;
        rate = per_second(usize::try_from(left)?, began.elapsed().as_secs_f64());
        Ok(())
    };
    run_until(|shutdown| carillon_router::run(deps, shutdown).boxed(), measured).await?;
    Ok(rate)
}

/// Copies the same records in steps of the same size; returns events a second.
async fn copy(bed: &Bed, events: usize) -> anyhow::Result<f64> {
    let topics = bed.bus.topics();
    let target = topics.channel(Channel::Sms, Lane::Normal);
    let limits = BatchLimits {
        max_records: 500,
        max_bytes: 4 << 20,
        linger: Duration::ZERO,
    };
    let mut consumer = bed.bus.subscribe(&Subscription {
        group: "copy".to_owned(),
        topics: vec![topics.events(Lane::Normal)],
    })?;
    let (mut done, mut before, mut began) = (0, 0, Instant::now());
    while done < events {
        let batch = consumer.next(&limits).await?;
        let copies = batch.records.iter().map(|record| OutRecord {
            topic: Arc::clone(&target),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        });
        consumer.commit_with(&batch, copies.collect()).await?;
        done += batch.records.len();
        if before == 0 {
            (before, began) = (done, Instant::now());
        }
    }
    Ok(per_second(done - before, began.elapsed().as_secs_f64()))
}
