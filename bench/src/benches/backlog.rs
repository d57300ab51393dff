//! A long backlog beside a short one: the rate at which it drains, and the memory that it takes.

use std::time::Duration;

use carillon_testkit::installation::RoleArgs;

use super::{Effort, e2e::per_second};
use crate::{
    app::{App, Options, ROLES, with_app},
    backend::Backend,
    load::Sink,
    measure::{Figure, Report},
};

const PATIENCE: Duration = Duration::from_secs(30);
const WITHOUT: &[&str] = &["--without", "router", "--without", "worker"];
/// The roles that process the backlog; they start once all events wait.
const LATE: [&str; 2] = ["router", "push"];

pub(super) fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let mut report = Report::new("backlog", backend.name);
    let short = drain(backend, effort.amount(10_000, 1_000), usize::MAX)?;
    // Draining the whole backlog would take minutes and show no more.
    let long = drain(
        backend,
        effort.amount(1_000_000, 5_000),
        effort.amount(200_000, 5_000),
    )?;
    report.add(Figure::one("short backlog, deliveries a second", short.rate));
    report.add(Figure::one("long backlog, deliveries a second", long.rate));
    report.add(Figure::one("long / short", long.rate / short.rate).at_least(0.9));
    report.add(Figure::one("peak memory of the largest process, MB", long.peak / 1e6).at_most(300.0));
    report.add(Figure::none_of("lost", short.lost + long.lost));
    Ok(report)
}

struct Drained {
    rate: f64,
    /// The most memory, in bytes.
    peak: f64,
    lost: usize,
}

/// Posts `waiting` events without running the roles, then starts them and measures the first `measured` deliveries.
fn drain(backend: &Backend, waiting: usize, measured: usize) -> anyhow::Result<Drained> {
    const EARLY: &[RoleArgs] = ROLES;
    let options = Options {
        roles: Some(EARLY),
        dev_args: WITHOUT,
        ..Options::default()
    };
    with_app(backend, Duration::ZERO, options, async |mut app, sink| {
        if !backend.is_embedded() {
            for role in LATE {
                app.installation.kill(role);
            }
        }
        app.post_batches("backlog", waiting, 100, "normal").await?;
        if backend.is_embedded() {
            app.installation.restart_dev_with(&[]);
        } else {
            for role in LATE {
                app.installation.start_role(role);
            }
        }
        let measured = measured.min(waiting);
        let seconds = first_to_last(&sink, measured).await;
        #[expect(clippy::cast_precision_loss, reason = "a process's memory")]
        let peak = app.own().peak_bytes() as f64;
        let came = if measured == waiting {
            settle(&app, &sink, waiting).await
        } else {
            waiting
        };
        Ok(Drained {
            rate: per_second(measured, seconds),
            peak,
            lost: waiting - came,
        })
    })
}

async fn first_to_last(sink: &Sink, count: usize) -> f64 {
    sink.wait_for(1, PATIENCE).await;
    let started = tokio::time::Instant::now();
    sink.wait_for(count as u64, PATIENCE).await;
    started.elapsed().as_secs_f64()
}

/// Waits until all deliveries have ended; returns the number of different messages that arrived.
async fn settle(app: &App, sink: &Sink, waiting: usize) -> usize {
    app.settle(waiting).await;
    sink.take_arrivals().len()
}
