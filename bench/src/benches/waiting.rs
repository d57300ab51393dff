//! Events that wait for their `sendat`: the cost of a million of them while none is due, then their release within a
//! minute.

use std::{sync::Arc, time::Duration};

use carillon_bus::{BatchLimits, Headers, Subscription};
use carillon_domain::{
    EventId, Lane, Timestamp,
    clock::later,
    status::Origin,
    waiting::{Release, SEND_AT, WAITING_VERSION, Waiting, WaitingContent},
};
use carillon_scheduler::SchedulerDeps;
use carillon_store::{outbox::OutboxRecord, waiting::NewWaiting};
use futures::FutureExt as _;
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep, timeout};

use super::{Effort, e2e::per_second};
use crate::{
    app::event,
    backend::Backend,
    bed::{Bed, ready, run_until},
    measure::{Figure, Report},
};

/// Rows that are added in one transaction.
const ADDED_AT_ONCE: usize = 2_000;
/// The header with a record's due time, in microseconds since 1970.
const DUE: &str = "bench-due";
/// The time over which the idle scheduler is measured.
const IDLE: Duration = Duration::from_secs(20);
/// The longest time in which nothing arrives.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
pub(super) async fn run(backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let bed = Bed::make(backend).await?;
    let mut report = Report::new("waiting", backend.name);
    let rows = effort.amount(1_000_000, 5_000);
    let minute = Duration::from_mins(1) / u32::try_from(effort.divisor)?;
    let idle = IDLE / u32::try_from(effort.divisor)?;
    // Rows are added at some 5,000 a second at least.
    let adding = Duration::from_millis(u64::try_from(rows)? / 5);
    let due = later(bed.clock.now(), adding + idle + Duration::from_secs(2));
    let began = Instant::now();
    add(&bed, rows, due, minute).await?;
    report.add(Figure::one(
        "rows added, a second",
        per_second(rows, began.elapsed().as_secs_f64()),
    ));

    let deps = SchedulerDeps {
        bus: bed.bus.clone(),
        store: bed.store.clone(),
        clock: Arc::clone(&bed.clock),
        only_process: true,
        ready: ready(),
    };
    let mut released = Released::new()?;
    let mut share = 0.0;
    let measured = async {
        anyhow::ensure!(
            later(bed.clock.now(), idle) < due,
            "the rows were due before all of them were added"
        );
        let before = bed.processes.cpu_seconds();
        sleep(idle).await;
        share = (bed.processes.cpu_seconds() - before) / idle.as_secs_f64();
        released.read(&bed, rows).await
    };
    run_until(
        |shutdown| carillon_scheduler::run(deps, shutdown).boxed(),
        measured,
    )
    .await?;

    report.add(
        Figure::one(
            format!("CPU of all processes while {rows} wait, share of one core"),
            share,
        )
        .at_most(0.1),
    );
    released.report(&mut report, rows);
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let megabytes = bed.processes.peak_bytes() as f64 / 1e6;
    report.add(Figure::one(
        "memory, MB at most (with this load generator)",
        megabytes,
    ));
    bed.clear().await?;
    Ok(report)
}

/// Adds rows whose due times are spread evenly over a time from `first` on.
async fn add(bed: &Bed, rows: usize, first: Timestamp, over: Duration) -> anyhow::Result<()> {
    let waiting = bed.store.waiting();
    let step = over / u32::try_from(rows)?;
    for from in (0..rows).step_by(ADDED_AT_ONCE) {
        let batch: Vec<NewWaiting> = (from..(from + ADDED_AT_ONCE).min(rows))
            .map(|n| new(bed, n, later(first, step * u32::try_from(n).unwrap_or(u32::MAX))))
            .collect();
        waiting.add(&batch).await?;
    }
    Ok(())
}

fn new(bed: &Bed, n: usize, due: Timestamp) -> NewWaiting {
    let source: Arc<str> = "/bench".into();
    let event_id = EventId::from(format!("waiting-{n}"));
    let topic = bed.bus.topics().events(Lane::Normal);
    let mut headers = Headers::default();
    headers.push(DUE.to_owned(), due.timestamp_micros().to_string());
    NewWaiting {
        record: OutboxRecord {
            topic: Arc::clone(&topic),
            key: Some(event_id.as_str().into()),
            headers: headers.encode(),
            value: event("waiting", n, "normal").to_string().into_bytes(),
        },
        waiting: Waiting {
            tenant: bed.tenant.clone(),
            due,
            event_type: "OrderShipped".into(),
            user_id: None,
            reason: SEND_AT.into(),
            digest: None,
            release: Release {
                v: WAITING_VERSION,
                id: Waiting::id_of_event(&bed.tenant, &source, &event_id),
                number: 1,
                origin: Origin {
                    topic,
                    partition: 0,
                    offset: i64::try_from(n).unwrap_or(i64::MAX),
                },
                written_at: due,
                content: WaitingContent::Event,
            },
            event_id,
            source,
        },
    }
}

/// The released records, as a consumer of the events topic sees them.
struct Released {
    /// From the due time to the arrival at the consumer, in milliseconds.
    lateness: Histogram<u64>,
    early: usize,
    seconds: f64,
}

impl Released {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            lateness: Histogram::new(3)?,
            early: 0,
            seconds: 0.0,
        })
    }

    async fn read(&mut self, bed: &Bed, rows: usize) -> anyhow::Result<()> {
        let limits = BatchLimits {
            max_records: 2_000,
            max_bytes: 8 << 20,
            linger: Duration::ZERO,
        };
        let mut consumer = bed.bus.subscribe(&Subscription {
            group: "released".to_owned(),
            topics: vec![bed.bus.topics().events(Lane::Normal)],
        })?;
        let (mut left, mut began) = (rows, None);
        while left > 0 {
            let batch = timeout(PATIENCE, consumer.next(&limits)).await;
            let batch = batch.map_err(|_| anyhow::anyhow!("{left} of {rows} records did not arrive"))??;
            began.get_or_insert_with(Instant::now);
            let now = bed.clock.now().timestamp_micros();
            for record in &batch.records {
                let due = record
                    .headers
                    .get(DUE)
                    .and_then(|due| std::str::from_utf8(due).ok());
                let due: i64 = due.unwrap_or_default().parse()?;
                match u64::try_from(now - due) {
                    Ok(late) => self.lateness.record(late / 1_000)?,
                    Err(_) => self.early += 1,
                }
            }
            consumer.commit(&batch).await?;
            left = left.saturating_sub(batch.records.len());
        }
        self.seconds = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a benchmark")]
    fn report(&self, report: &mut Report, rows: usize) {
        report.add(Figure::one("released, a second", per_second(rows, self.seconds)).at_least(10_000.0));
        for quantile in [0.5, 0.99] {
            let late = self.lateness.value_at_quantile(quantile) as f64;
            report.add(Figure::one(
                format!("ms late at the events topic, p{}", quantile * 100.0),
                late,
            ));
        }
        report.add(Figure::none_of("records released early", self.early));
    }
}
