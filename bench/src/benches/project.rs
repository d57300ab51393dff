//! Statuses into the read model, beside the database's fastest write of the same rows.

mod bare;

use std::{sync::Arc, time::Duration};

use carillon_bus::OutRecord;
use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, Event, StatusRecord, UserId,
    decide::{Decision, Outcome, Reason, Steps},
    event::Defaults,
    status::{DeliveryUpdate, EventDecided, EventVerdict, Origin, STATUS_VERSION, TemplateRef, TimelineStep},
};
use carillon_tracker::TrackerDeps;
use futures::FutureExt as _;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Effort,
    e2e::{per_second, per_thousand},
};
use crate::{
    app::{USERS, event, event_id},
    backend::Backend,
    bed::{Bed, LOOK, ready, run_until},
    measure::{Figure, Report, Spread},
};

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let mut report = Report::new("project", backend.name);
    let count = effort.amount(40_000, 1_000);
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for pair in 0..=effort.pairs {
        publish(&bed, &format!("project{pair}"), count).await?;
        let before = bed.processes.cpu_seconds();
        let ours = project(&bed, count).await?;
        let used = bed.processes.cpu_seconds() - before;
        // The read model is emptied, so that both sides write into tables of the same size.
        let bare = bare::write_again(&bed).await?;
        if pair > 0 {
            rates.push((ours, per_second(count, bare)));
            cpu.push(per_thousand(used, count));
        }
    }
    report.add_pairs(
        "deliveries projected",
        "bare write of the same rows",
        &rates,
        Some(0.5),
    );
    report.add(Figure::new("CPU seconds per 1,000 deliveries", Spread::of(cpu)));
    bed.clear().await?;
    Ok(report)
}

/// Publishes the statuses of events with one push: decided, then sent.
async fn publish(bed: &Bed, run: &str, count: usize) -> anyhow::Result<()> {
    let topic = bed.bus.topics().status();
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(1_000) {
        let mut records = Vec::with_capacity(2 * chunk.len());
        for n in chunk {
            for status in statuses(bed, run, *n)? {
                records.push(OutRecord::new(
                    Arc::clone(&topic),
                    status.record_key(),
                    status.to_wire(),
                ));
            }
        }
        bed.bus.publish(records).await?;
    }
    Ok(())
}

fn statuses(bed: &Bed, run: &str, n: usize) -> anyhow::Result<[StatusRecord; 2]> {
    let json = event(run, n, "normal").to_string();
    let event = Event::from_plain(json.as_bytes(), Defaults::at(bed.clock.now()))
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let id = DeliveryId(Uuid::now_v7());
    let user = UserId::from(format!("b-{}", n % USERS));
    let now = bed.clock.now();
    let decided = EventDecided {
        v: STATUS_VERSION,
        tenant: bed.tenant.clone(),
        event_id: event_id(run, n).as_str().into(),
        source: Arc::clone(&event.source),
        event_type: Arc::clone(&event.event_type),
        at: now,
        accepted_at: now,
        verdict: EventVerdict::Routed,
        origin: Origin {
            topic: format!("bench.{run}").as_str().into(),
            partition: 0,
            offset: i64::try_from(n)?,
        },
        part: 0,
        parts: 1,
        via_gateway: true,
        release: None,
        due: None,
        user_id: None,
        event: Some(RawValue::from_string(String::from_utf8(event.to_wire())?)?),
        decisions: vec![Decision {
            recipient: user.to_string(),
            user_id: Some(user.clone()),
            channel: Channel::Push,
            category: "transactional".into(),
            outcome: Outcome::Send,
            reason: Reason::Allowed,
            sentence: "Sent by push: no rule forbids it.".to_owned(),
            steps: Steps::default(),
            address_hash: None,
            to_masked: Some("demo…".to_owned()),
            until: None,
            digest_id: None,
            after: Vec::new(),
            delivery_id: Some(id),
        }],
    };
    let step = |status| TimelineStep {
        at: now,
        status,
        code: None,
        detail: None,
    };
    let update = DeliveryUpdate {
        v: STATUS_VERSION,
        tenant: bed.tenant.clone(),
        delivery_id: id,
        event_id: decided.event_id.clone(),
        source: event.source,
        event_type: event.event_type,
        category: "transactional".into(),
        user_id: Some(user),
        channel: Channel::Push,
        accepted_at: now,
        generation: 0,
        attempt: 1,
        attempts: Some(1),
        to_masked: Some("demo…".to_owned()),
        provider: Some("fcm".into()),
        provider_message_id: Some(format!("projects/bench/messages/{n}")),
        template: Some(TemplateRef {
            id: "OrderShipped/push".into(),
            version: 1,
            locale: "en".into(),
        }),
        next_attempt_at: None,
        steps: vec![step(DeliveryStatus::Sending), step(DeliveryStatus::Sent)],
    };
    Ok([
        StatusRecord::EventDecided(decided),
        StatusRecord::Delivery(update),
    ])
}

/// Runs the tracker until all rows are in the read model; returns deliveries a second from the first batch to the
/// last.
async fn project(bed: &Bed, count: usize) -> anyhow::Result<f64> {
    let deps = TrackerDeps {
        bus: bed.bus.clone(),
        store: bed.store.clone(),
        clock: Arc::clone(&bed.clock),
        ready: ready(),
    };
    let ended = async || anyhow::Ok(bed.store.audit().counts().await?.ended);
    let before = ended().await?;
    let goal = before + count as u64;
    let mut rate = 0.0;
    let measured = async {
        let (mut at, mut began) = (before, Instant::now());
        while at < goal {
            tokio::time::sleep(LOOK).await;
            let now = ended().await?;
            if at == before && now > before {
                began = Instant::now();
                rate = f64::from(u32::try_from(goal - now)?);
            }
            anyhow::ensure!(
                began.elapsed() < Duration::from_mins(1),
                "the tracker stands at {now} of {goal}"
            );
            at = now;
        }
        rate /= began.elapsed().as_secs_f64();
        Ok(())
    };
    run_until(|shutdown| carillon_tracker::run(deps, shutdown).boxed(), measured).await?;
    Ok(rate)
}
