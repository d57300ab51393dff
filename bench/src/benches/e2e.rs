//! Benchmark of the whole path: from a client's post to the provider's receipt.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use carillon_runtime::http::{ClientOptions, client};
use tokio::time::Instant;

use super::Effort;
use crate::{
    app::{App, Options, event_id, with_app},
    backend::Backend,
    load::{Latencies, Sink, Target, closed_loop, open_loop},
    measure::{Figure, Report, Spread},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Requests of the bare loop in flight at a time; it is slower with more.
const BARE_IN_FLIGHT: usize = 64;
/// Single posts a second in the latency run.
const RATE: f64 = 550.0;

pub(super) fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    with_app(
        backend,
        Duration::ZERO,
        Options::default(),
        async |mut app, sink| {
            let mut report = Report::new("e2e", backend.name);
            let (mut lost, mut doubled, mut acknowledged) = (0, 0, 0);
            let count = effort.amount(backend.pick(60_000, 30_000), 500);
            warm_up(&app, &sink).await?;
            acknowledged += 500;
            sink.take_arrivals();

            let (mut rates, mut cpu) = (Vec::new(), Vec::new());
            for pair in 0..effort.pairs {
                let processes = app.all();
                let before = processes.cpu_seconds();
                let run = format!("sustained{pair}");
                let started = Instant::now();
                let (posted, ()) = tokio::join!(
                    app.post_batches(&run, count, 100, "normal"),
                    sink.wait_for(count as u64, PATIENCE)
                );
                posted?;
                let seconds = started.elapsed().as_secs_f64();
                acknowledged += count;
                app.settle(acknowledged).await;
                let (missing, more) = account(&sink, &run, count);
                lost += missing;
                doubled += more;
                cpu.push(per_thousand(processes.cpu_seconds() - before, count));
                let bare = bare_rate(&sink, count).await?;
                sink.take_arrivals();
                rates.push((per_second(count, seconds), bare));
            }
            report.add_pairs(
                "deliveries",
                "bare reqwest loop",
                &rates,
                Some(backend.pick(0.25, 0.12)),
            );
            report.add(
                Figure::new("CPU seconds per 1,000 deliveries", Spread::of(cpu))
                    .at_most(backend.pick(0.12, 0.30)),
            );

            let singles = effort.amount(8_000, 200);
            let due = open_loop(&app.singles("latency", "normal"), singles, RATE).await?;
            sink.wait_for(singles as u64, PATIENCE).await;
            let arrivals = sink.take_arrivals();
            lost += singles - arrivals.len();
            let latencies = Latencies::between(&due, &arrivals, |n| event_id("latency", n))?;
            for (percentile, bound) in [(50.0, backend.pick(3.0, 25.0)), (99.0, backend.pick(7.0, 80.0))] {
                let what = format!("post → provider at {RATE} a second, p{percentile}, ms");
                report.add(Figure::one(what, latencies.milliseconds(percentile)).at_most(bound));
            }
            report.add(Figure::none_of("lost", lost));
            report.add(Figure::none_of("doubled", doubled));
            #[expect(clippy::cast_precision_loss, reason = "a process's memory")]
            let peak = app.own().peak_bytes() as f64 / 1e6;
            report.add(Figure::one("peak memory of the largest process, MB", peak).at_most(300.0));
            Ok(report)
        },
    )
}

async fn warm_up(app: &App, sink: &Sink) -> anyhow::Result<()> {
    app.post_batches("warm-up", 500, 100, "normal").await?;
    sink.wait_for(500, PATIENCE).await;
    Ok(())
}

/// The number of missing messages of a run, and of those that arrived more than once.
fn account(sink: &Sink, run: &str, count: usize) -> (usize, usize) {
    let arrivals = sink.take_arrivals();
    let came = (0..count).filter_map(|n| arrivals.get(&event_id(run, n)));
    let (mut present, mut doubled) = (0, 0);
    for arrival in came {
        present += 1;
        doubled += usize::from(arrival.count > 1);
    }
    (count - present, doubled)
}

/// The rate of the bare loop: the same bodies into the same sink.
pub(super) async fn bare_rate(sink: &Sink, count: usize) -> anyhow::Result<f64> {
    let target = Target {
        client: client(&ClientOptions::default())?,
        url: sink.send_url(),
        bearer: "bench".to_owned(),
        body: Arc::new(|n| {
            Bytes::from(format!(
                "{{\"message\":{{\"token\":\"bench-token-0001\",\"notification\":{{\"title\":\"Your order is on its way\",\
                 \"body\":\"Order {n} was handed to DHL.\"}},\"data\":{{\"carillon_delivery_id\":\
                 \"5d4fe54e-19bf-5c4d-a2fa-fbb214b315ce\",\"carillon_event_id\":\"bare-{n}\"}},\"android\":{{\
                 \"collapse_key\":\"5d4fe54e-19bf-5c4d-a2fa-fbb214b315ce\",\"notification\":{{\"tag\":\
                 \"5d4fe54e-19bf-5c4d-a2fa-fbb214b315ce\"}}}}}}}}"
            ))
        }),
    };
    let seconds = closed_loop(&target, count, BARE_IN_FLIGHT).await?;
    Ok(per_second(count, seconds))
}

#[expect(clippy::cast_precision_loss, reason = "a number of messages")]
pub(super) fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_precision_loss, reason = "a number of messages")]
pub(super) fn per_thousand(seconds: f64, count: usize) -> f64 {
    seconds * 1_000.0 / count as f64
}
