//! Benchmark of one-time passwords while a campaign drains.

use std::time::Duration;

use super::{Effort, e2e::per_second};
use crate::{
    app::{App, Options, event_id, with_app},
    backend::Backend,
    load::{Latencies, Sink, open_loop},
    measure::{Figure, Report},
};

/// High-lane events a second.
const RATE: f64 = 20.0;
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    with_app(backend, Duration::ZERO, Options::default(), async |app, sink| {
        let mut report = Report::new("lanes", backend.name);
        app.post_batches("warm-up", 500, 100, "high").await?;
        sink.wait_for(500, PATIENCE).await;
        sink.take_arrivals();

        let highs = effort.amount(300, 20);
        let idle = high(&app, &sink, "idle", highs).await?;
        let bulk = effort.amount(200_000, 2_000);
        let (posted, loaded) = tokio::join!(
            app.post_batches("campaign", bulk, 100, "bulk"),
            high(&app, &sink, "loaded", highs)
        );
        let posting = posted?;
        let (idle, loaded) = (idle, loaded?);
        report.add(Figure::one(
            "campaign posted, events a second",
            per_second(bulk, posting),
        ));
        report.add(Figure::one("p99 alone, ms", idle.latencies.milliseconds(99.0)));
        let bound = backend
            .pick(60.0, 150.0_f64)
            .max(3.0 * idle.latencies.milliseconds(99.0));
        report.add(Figure::one(
            "p50 while a campaign drains, ms",
            loaded.latencies.milliseconds(50.0),
        ));
        report.add(
            Figure::one(
                "p99 while a campaign drains, ms",
                loaded.latencies.milliseconds(99.0),
            )
            .at_most(bound),
        );
        #[expect(clippy::cast_precision_loss, reason = "a number of messages")]
        report.add(Figure::one(
            "campaign messages not yet sent at the end",
            bulk.saturating_sub(loaded.others) as f64,
        ));
        sink.wait_for((bulk - loaded.others) as u64, PATIENCE).await;
        let rest = sink.take_arrivals().len();
        report.add(Figure::none_of(
            "lost",
            bulk - loaded.others - rest + idle.lost + loaded.lost,
        ));
        Ok(report)
    })
}

struct High {
    latencies: Latencies,
    lost: usize,
    /// Messages of the campaign that arrived in the meantime.
    others: usize,
}

async fn high(app: &App, sink: &Sink, run: &str, count: usize) -> anyhow::Result<High> {
    let due = open_loop(&app.singles(run, "high"), count, RATE).await?;
    let mut arrivals = std::collections::HashMap::new();
    for _ in 0..100 {
        arrivals.extend(sink.take_arrivals());
        if (0..count).all(|n| arrivals.contains_key(&event_id(run, n))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let own = (0..count)
        .filter(|n| arrivals.contains_key(&event_id(run, *n)))
        .count();
    Ok(High {
        latencies: Latencies::between(&due, &arrivals, |n| event_id(run, n))?,
        lost: count - own,
        others: arrivals.len() - own,
    })
}
