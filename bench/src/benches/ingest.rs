//! `POST /v1/events`, single events and batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use carillon_bus::OutRecord;
use carillon_domain::{Event, Lane, event::Defaults};
use carillon_gateway::{GatewayConfig, GatewayDeps};
use carillon_providers::ProvidersConfig;
use carillon_runtime::{
    Shutdown,
    http::{ClientOptions, Readiness, client},
    telemetry::MetricsHandle,
};
use carillon_store::api_keys::Role;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Effort, e2e::per_second, e2e::per_thousand};
use crate::{
    app::event,
    backend::Backend,
    bed::Bed,
    load::{Target, closed_loop},
    measure::{Figure, Report, Spread},
};

const IN_FLIGHT: usize = 64;
const BATCH: usize = 100;
const BATCHES_IN_FLIGHT: usize = 4;

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let mut report = Report::new("ingest", backend.name);
    let key = bed
        .store
        .api_keys()
        .create(&bed.tenant, "bench", Role::Admin)
        .await?;
    let target = |url: String, body: Arc<dyn Fn(usize) -> Bytes + Send + Sync>| {
        anyhow::Ok(Target {
            client: client(&ClientOptions::default())?,
            url: format!("{url}/v1/events"),
            bearer: key.secret.clone(),
            body,
        })
    };
    let (ours, bare) = (serve(gateway(&bed)).await?, serve(bare_handler()).await?);

    let singles = effort.amount(backend.pick(40_000, 20_000), 200);
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for pair in 0..=effort.pairs {
        let body: Arc<dyn Fn(usize) -> Bytes + Send + Sync> =
            Arc::new(move |n| Bytes::from(event(&format!("single{pair}"), n, "normal").to_string()));
        let before = bed.processes.cpu_seconds();
        let our = closed_loop(&target(ours.clone(), Arc::clone(&body))?, singles, IN_FLIGHT).await?;
        let used = bed.processes.cpu_seconds() - before;
        let bare = closed_loop(&target(bare.clone(), body)?, singles, IN_FLIGHT).await?;
        // The first pair is a warm-up.
        if pair > 0 {
            rates.push((per_second(singles, our), per_second(singles, bare)));
            cpu.push(per_thousand(used, singles));
        }
    }
    report.add_pairs(
        "single posts",
        "bare handler",
        &rates,
        Some(backend.pick(0.4, 0.25)),
    );
    report.add(Figure::new(
        "CPU seconds per 1,000 single posts, load included",
        Spread::of(cpu),
    ));

    let events = effort.amount(backend.pick(100_000, 60_000), 400);
    let mut rates = Vec::new();
    for pair in 0..effort.pairs {
        let body = Arc::new(move |batch: usize| {
            let run = format!("batch{pair}");
            let events = (batch * BATCH..(batch + 1) * BATCH).map(|n| event(&run, n, "normal"));
            Bytes::from(serde_json::Value::Array(events.collect()).to_string())
        });
        let target = target(ours.clone(), body)?;
        let our = closed_loop(&target, events / BATCH, BATCHES_IN_FLIGHT).await?;
        let bare = produce(&bed, events).await?;
        rates.push((per_second(events, our), bare));
    }
    report.add_pairs("events in batches of 100", "bare producer", &rates, Some(0.5));
    let counts = bed.store.audit().counts().await?;
    let posted = singles * (effort.pairs + 1) + events * effort.pairs;
    #[expect(clippy::cast_precision_loss, reason = "a number of events")]
    let lost = posted as f64 - counts.acknowledged as f64;
    report.add(Figure::one("lost", lost).at_most(0.0));
    bed.clear().await?;
    Ok(report)
}

async fn serve(app: Router) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

fn gateway(bed: &Bed) -> Router {
    let deps = GatewayDeps {
        endpoint_rules: ProvidersConfig::default().endpoint_rules(),
        bus: bed.bus.clone(),
        store: bed.store.clone(),
        catalogs: bed.catalogs.clone(),
        quotas: Arc::clone(&bed.quotas),
        renderer: None,
        links: None,
        clock: Arc::clone(&bed.clock),
        receipts: Arc::default(),
        config: GatewayConfig::default(),
        readiness: Readiness::default(),
        metrics: MetricsHandle::detached(),
        shutdown: Shutdown::new(),
    };
    carillon_gateway::router(deps, |_| Vec::new())
}

/// A handler that parses the body and answers.
fn bare_handler() -> Router {
    async fn accept(body: Bytes) -> StatusCode {
        match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(_) => StatusCode::ACCEPTED,
            Err(_) => StatusCode::BAD_REQUEST,
        }
    }
    Router::new().route("/v1/events", post(accept))
}

/// Publishes the same records in batches of the same size; returns events a second.
async fn produce(bed: &Bed, events: usize) -> anyhow::Result<f64> {
    let topic = bed.bus.topics().events(Lane::Normal);
    let record = move |n: usize| {
        let json = event("bare", n, "normal").to_string();
        let event = Event::from_plain(json.as_bytes(), Defaults::at(bed.clock.now()));
        let event = event.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        anyhow::Ok(OutRecord::new(
            Arc::clone(&topic),
            event.record_key(&bed.tenant),
            event.to_wire(),
        ))
    };
    let batches: Vec<Vec<OutRecord>> = (0..events / BATCH)
        .map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(&record).collect())
        .collect::<anyhow::Result<_>>()?;
    let (batches, next) = (Arc::new(batches), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..BATCHES_IN_FLIGHT {
        let (bus, batches, next) = (bed.bus.clone(), Arc::clone(&batches), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                bus.publish(batch.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(per_second(events, started.elapsed().as_secs_f64()))
}
