//! The latency of a record hop by hop: published, routed in an atomic step, handed to a worker. Run by hand: `cargo
//! test -p carillon-bus --test conformance pace -- --ignored --nocapture`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_bus::{BatchLimits, Handler, Inbound, ParallelOptions};
use carillon_domain::{Channel, Lane};
use carillon_runtime::{Shutdown, panics::Panic};
use parking_lot::Mutex;

use crate::support::{on_kafka, out, subscription, text};

const RATE: u32 = 550;
const COUNT: u32 = 6_000;
/// The first records, not counted, for which the groups are still forming.
const WARM: usize = 1_500;
const ROUTER: BatchLimits = BatchLimits {
    max_records: 500,
    max_bytes: 4 << 20,
    linger: Duration::ZERO,
};

#[derive(Default)]
struct Times(Mutex<BTreeMap<&'static str, BTreeMap<usize, Instant>>>);

impl Times {
    fn note(&self, hop: &'static str, record: usize) {
        // The record is the first of several, one for each channel.
        let now = Instant::now();
        self.0.lock().entry(hop).or_default().entry(record).or_insert(now);
    }

    fn note_all(&self, hop: &'static str, records: &[usize]) {
        for record in records {
            self.note(hop, *record);
        }
    }

    fn between(&self, from: &str, to: &str) -> String {
        let times = self.0.lock();
        let mut waits: Vec<Duration> = times[from]
            .iter()
            .filter(|(record, _)| **record >= WARM)
            .filter_map(|(record, from)| Some(times[to].get(record)?.duration_since(*from)))
            .collect();
        waits.sort_unstable();
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        format!(
            "p50 {:6.1} ms, p90 {:6.1} ms, p99 {:6.1} ms",
            at(50),
            at(90),
            at(99)
        )
    }
}

struct Worker(Arc<Times>);

#[async_trait::async_trait]
impl Handler for Worker {
    async fn handle(&self, batch: Vec<Inbound>) {
        for inbound in batch {
            self.0
                .note("handled", text(&inbound.record.value).parse().unwrap());
            inbound.done();
        }
    }

    async fn bury(&self, inbound: Inbound, _: &Panic) {
        inbound.done();
    }
}

#[test]
#[ignore = "measures"]
fn the_pace_of_each_hop_is_printed() {
    on_kafka(6, Duration::from_mins(2), |setting| async move {
        let (bus, times, shutdown) = (&setting.bus, Arc::new(Times::default()), Shutdown::new());
        let mut roles = tokio::task::JoinSet::new();
        let channels =
            [Channel::Email, Channel::Sms, Channel::Push].map(|c| bus.topics().channel(c, Lane::Normal));
        for topic in &channels {
            let (bus, group) = (bus.clone(), subscription(topic, topic));
            let (worker, shutdown) = (Arc::new(Worker(Arc::clone(&times))), shutdown.clone());
            roles.spawn(async move {
                bus.run_parallel(&group, ParallelOptions::default(), worker, shutdown)
                    .await
                    .unwrap();
            });
        }
        let events = bus.topics().events(Lane::Normal);
        let mut consumer = setting.consumer(&format!("{events}.router"), &events);
        let (seen, over) = (Arc::clone(&times), shutdown.clone());
        roles.spawn(async move {
            loop {
                let batch = tokio::select! {
                    batch = consumer.next(&ROUTER) => batch.unwrap(),
                    () = over.soft() => return,
                };
                let ids: Vec<usize> = batch
                    .records
                    .iter()
                    .map(|r| text(&r.value).parse().unwrap())
                    .collect();
                seen.note_all("read", &ids);
                let copies = ids
                    .iter()
                    .flat_map(|id| channels.iter().map(move |topic| out(topic, &id.to_string(), id)));
                consumer.commit_with(&batch, copies.collect()).await.unwrap();
                seen.note_all("routed", &ids);
            }
        });
        let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
        let mut posts = tokio::task::JoinSet::new();
        for record in 0..COUNT as usize {
            pace.tick().await;
            let (bus, times, record_out) = (
                bus.clone(),
                Arc::clone(&times),
                out(&events, &record.to_string(), record),
            );
            posts.spawn(async move {
                times.note("posted", record);
                while let Err(error) = bus.publish(vec![record_out.clone()]).await {
                    assert!(error.is_retriable(), "{error:?}");
                    eprintln!("published again: {error}");
                }
                times.note("published", record);
            });
        }
        posts.join_all().await;
        crate::support::wait_for("the last", || async {
            times
                .0
                .lock()
                .get("handled")
                .is_some_and(|h| h.len() == COUNT as usize)
        })
        .await;
        let hops = ["posted", "published", "read", "routed", "handled"];
        for (from, to) in hops.iter().zip(&hops[1..]) {
            eprintln!("{from:>9} → {to:<9} {}", times.between(from, to));
        }
        eprintln!(
            "{:>9} → {:<9} {}",
            hops[0],
            hops[4],
            times.between(hops[0], hops[4])
        );
        shutdown.begin();
        roles.join_all().await;
    });
}
