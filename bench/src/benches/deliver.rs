//! The workers' stage into a sink, beside a loop of requests with the same number in flight.

use std::{collections::HashMap, sync::Arc, time::Duration};

use carillon_bus::OutRecord;
use carillon_domain::{
    Channel, ContactPointId, Delivery, DeliveryId, Event, Lane, NotificationId, Target, UserId,
    delivery::DELIVERY_VERSION, event::Defaults,
};
use carillon_providers::{FcmConfig, ProvidersConfig};
use carillon_runtime::Secret;
use carillon_workers::{ChannelsConfig, WorkerDeps, WorkersConfig};
use futures::FutureExt as _;
use uuid::Uuid;

use super::{
    Effort,
    e2e::{bare_rate, per_second, per_thousand},
};
use crate::{
    app::{USERS, event, event_id, service_account},
    backend::Backend,
    bed::{Bed, ready, run_until},
    load::Sink,
    measure::{Figure, Report, Spread},
};

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let sink = Sink::start(Duration::ZERO).await?;
    let mut report = Report::new("deliver", backend.name);
    let count = effort.amount(60_000, 500);
    let contacts = contacts(&bed).await?;
    let (mut rates, mut cpu, mut missing, mut doubled) = (Vec::new(), Vec::new(), 0, 0);
    for pair in 0..=effort.pairs {
        let run = format!("deliver{pair}");
        publish(&bed, &contacts, &run, count).await?;
        let before = bed.processes.cpu_seconds();
        deliver(&bed, &sink, count).await?;
        let used = bed.processes.cpu_seconds() - before;
        let arrivals = sink.take_arrivals();
        missing += count - arrivals.len();
        doubled += arrivals.values().filter(|arrival| arrival.count > 1).count();
        let first = arrivals.values().map(|arrival| arrival.first).min();
        let last = arrivals.values().map(|arrival| arrival.last).max();
        let seconds = first
            .zip(last)
            .map_or(f64::NAN, |(first, last)| (last - first).as_secs_f64());
        let bare = bare_rate(&sink, count).await?;
        sink.take_arrivals();
        if pair > 0 {
            rates.push((per_second(count, seconds), bare));
            cpu.push(per_thousand(used, count));
        }
    }
    report.add_pairs(
        "deliveries",
        "bare reqwest loop",
        &rates,
        Some(backend.pick(0.6, 0.5)),
    );
    report.add(Figure::new(
        "CPU seconds per 1,000 deliveries, sink included",
        Spread::of(cpu),
    ));
    report.add(Figure::none_of("lost", missing));
    report.add(Figure::none_of("doubled", doubled));
    bed.clear().await?;
    Ok(report)
}

pub(super) async fn contacts(bed: &Bed) -> anyhow::Result<HashMap<UserId, ContactPointId>> {
    let users: Vec<UserId> = (0..USERS).map(|n| UserId::from(format!("b-{n}"))).collect();
    let facts = bed.store.users().load_facts(&bed.tenant, &users).await?;
    let first = facts
        .into_iter()
        .filter_map(|(user, facts)| Some((user, facts.contacts.first()?.point.id)));
    Ok(first.collect())
}

/// Publishes deliveries on the push topic, as a router does.
pub(super) async fn publish(
    bed: &Bed,
    contacts: &HashMap<UserId, ContactPointId>,
    run: &str,
    count: usize,
) -> anyhow::Result<()> {
    let topic = bed.bus.topics().channel(Channel::Push, Lane::Normal);
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(1_000) {
        let mut records = Vec::with_capacity(chunk.len());
        for n in chunk {
            let json = event(run, *n, "normal").to_string();
            let event = Event::from_plain(json.as_bytes(), Defaults::at(bed.clock.now()))
                .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
            let user = UserId::from(format!("b-{}", n % USERS));
            let delivery = Delivery {
                v: DELIVERY_VERSION,
                delivery_id: DeliveryId(Uuid::now_v7()),
                notification_id: NotificationId(Uuid::now_v7()),
                tenant: bed.tenant.clone(),
                event_id: event_id(run, *n).as_str().into(),
                source: event.source,
                event_type: event.event_type,
                event_time: event.time,
                category: "transactional".into(),
                target: Target::ContactPoint { id: contacts[&user] },
                platform: None,
                user_id: Some(user),
                channel: Channel::Push,
                locale: None,
                timezone: None,
                priority: Lane::Normal,
                expires_at: None,
                may_unsubscribe: false,
                on_uncertain: carillon_domain::catalog::OnUncertain::default(),
                accepted_at: bed.clock.now(),
                data: event.data,
            };
            let value = serde_json::to_vec(&delivery)?;
            records.push(OutRecord::new(Arc::clone(&topic), delivery.record_key(), value));
        }
        bed.bus.publish(records).await?;
    }
    Ok(())
}

/// Runs a worker until all deliveries have arrived and are committed.
async fn deliver(bed: &Bed, sink: &Sink, count: usize) -> anyhow::Result<()> {
    let deps = push_workers(bed, &[("fcm", sink)], sink)?;
    let group = carillon_workers::group(&bed.bus, Channel::Push);
    let done = async {
        sink.wait_for(count as u64, Duration::from_secs(30)).await;
        bed.until_read(&group).await
    };
    run_until(
        |shutdown| carillon_workers::run(deps, Channel::Push, shutdown).boxed(),
        done,
    )
    .await
}

/// Workers of the push channel with these FCM accounts, each at its sink; `tokens` is the sink that gives access tokens.
pub(super) fn push_workers(
    bed: &Bed,
    accounts: &[(&str, &Sink)],
    tokens: &Sink,
) -> anyhow::Result<WorkerDeps> {
    let mut providers = ProvidersConfig::default();
    for (name, sink) in accounts {
        let fcm = FcmConfig {
            service_account_path: None,
            service_account: Some(Secret::from(service_account(tokens)?)),
            base_url: sink.url.parse().map_err(anyhow::Error::msg)?,
            request_timeout: Duration::from_secs(8),
            rate_per_second: None,
        };
        providers.insert(name, fcm);
    }
    let channels = ChannelsConfig::default();
    Ok(WorkerDeps {
        bus: bed.bus.clone(),
        store: bed.store.clone(),
        renderer: Arc::clone(&bed.renderer) as _,
        clock: Arc::clone(&bed.clock),
        accounts: carillon_workers::accounts(
            &providers,
            &channels,
            &WorkersConfig::default(),
            Channel::Push,
            &bed.clock,
        )?,
        routes: carillon_workers::Routes::of(&channels, Channel::Push, &providers)?,
        breakers: Arc::new(carillon_store::breakers::InProcessBreakers::default()),
        links: None,
        config: WorkersConfig::default(),
        only_process: false,
        ready: ready(),
    })
}
