//! More workers against a provider that takes 50 ms.

use std::time::Duration;

use carillon_testkit::installation::RoleArgs;

use super::{Effort, e2e::per_second};
use crate::{
    app::{Options, with_app},
    backend::Backend,
    measure::{Figure, Report},
};

const DELAY: Duration = Duration::from_millis(50);
/// Deliveries in flight in one worker, which can therefore send at most 16 / 50 ms = 320 a second.
const IN_FLIGHT: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);

const WORKERS: [&[RoleArgs]; 3] = [
    &[
        ("gateway", &["gateway"]),
        ("router", &["router"]),
        ("tracker", &["tracker"]),
        ("push-1", &["worker", "--channel", "push"]),
    ],
    &[
        ("gateway", &["gateway"]),
        ("router", &["router"]),
        ("tracker", &["tracker"]),
        ("push-1", &["worker", "--channel", "push"]),
        ("push-2", &["worker", "--channel", "push"]),
    ],
    &[
        ("gateway", &["gateway"]),
        ("router", &["router"]),
        ("tracker", &["tracker"]),
        ("push-1", &["worker", "--channel", "push"]),
        ("push-2", &["worker", "--channel", "push"]),
        ("push-3", &["worker", "--channel", "push"]),
        ("push-4", &["worker", "--channel", "push"]),
    ],
];

pub(super) fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let mut report = Report::new("scale", backend.name);
    let mut alone = None;
    for (roles, workers) in WORKERS.iter().zip([1_usize, 2, 4]) {
        // The embedded mode has one process, so the number in flight is scaled instead.
        let in_flight = IN_FLIGHT * backend.pick(workers, 1);
        let options = Options {
            roles: Some(roles),
            settings: vec![("WORKERS__NORMAL_IN_FLIGHT", in_flight.to_string())],
            ..Options::default()
        };
        let count = effort.amount(3_000 * workers, 200);
        let rate = with_app(backend, DELAY, options, async |app, sink| {
            app.post_batches("warm-up", 200, 100, "normal").await?;
            sink.wait_for(200, PATIENCE).await;
            sink.take_arrivals();
            app.post_batches("scale", count, 100, "normal").await?;
            sink.wait_for(count as u64, PATIENCE).await;
            let arrivals = sink.take_arrivals();
            anyhow::ensure!(arrivals.len() == count, "{} of {count} arrived", arrivals.len());
            let first = arrivals.values().map(|arrival| arrival.first).min();
            let last = arrivals.values().map(|arrival| arrival.last).max();
            let seconds = first
                .zip(last)
                .map_or(f64::NAN, |(first, last)| (last - first).as_secs_f64());
            Ok(per_second(count, seconds))
        })?;
        report.add(Figure::one(
            format!("{workers} workers, deliveries a second"),
            rate,
        ));
        #[expect(clippy::cast_precision_loss, reason = "1, 2 or 4")]
        match alone {
            None => alone = Some(rate),
            Some(alone) => report.add(Figure::one(
                format!("{workers} workers / {workers} × one"),
                rate / alone / workers as f64,
            )),
        }
    }
    Ok(report)
}
