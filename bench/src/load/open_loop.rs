//! Open-loop load: requests are sent when they are due, independently of earlier ones, and latencies are measured
//! from the due time (no coordinated omission).

use std::{collections::HashMap, time::Duration};

use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::Instant};

use super::{Target, sink::Arrival};

/// Sends `count` requests at `rate` a second; returns the due times.
pub(crate) async fn open_loop(target: &Target, count: usize, rate: f64) -> anyhow::Result<Vec<Instant>> {
    let started = Instant::now();
    let mut due = Vec::with_capacity(count);
    let mut tasks = JoinSet::new();
    for number in 0..count {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let at = started + Duration::from_secs_f64(number as f64 / rate);
        due.push(at);
        tokio::time::sleep_until(at).await;
        let target = target.clone();
        tasks.spawn(async move { target.send(number).await });
        while let Some(ended) = tasks.try_join_next() {
            accepted(ended??)?;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        accepted(ended??)?;
    }
    Ok(due)
}

fn accepted(status: u16) -> anyhow::Result<()> {
    anyhow::ensure!((200..300).contains(&status), "a post was answered {status}");
    Ok(())
}

/// Latencies of messages.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// The latencies from the due time of each event to its first arrival.
    pub(crate) fn between(
        due: &[Instant],
        arrivals: &HashMap<String, Arrival>,
        id: impl Fn(usize) -> String,
    ) -> anyhow::Result<Self> {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        for (number, due) in due.iter().enumerate() {
            if let Some(arrival) = arrivals.get(&id(number)) {
                let took = arrival.first.saturating_duration_since(*due).as_micros();
                histogram.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
            }
        }
        Ok(Self(histogram))
    }

    /// A percentile in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a benchmark's length")]
    pub(crate) fn milliseconds(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1_000.0
    }
}
