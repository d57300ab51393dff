//! The running router: output and offsets are one step, so that an end at any time neither loses nor doubles an
//! event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use carillon_bus::{Backend, Bus, OutRecord, headers};
use carillon_domain::{Lane, clock::SharedClock, status::EventVerdict};
use carillon_router::RouterError;
use carillon_runtime::Shutdown;
use carillon_testkit::ManualClock;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    reader::Reader,
    support::{Setting, event, on_router, shipped, with},
};

/// A running router.
struct Running {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), RouterError>>,
}

impl Running {
    fn start(setting: &Setting, bus: &Bus, clock: SharedClock) -> Self {
        let shutdown = Shutdown::new();
        let run = carillon_router::run(setting.deps(bus, clock), shutdown.clone());
        let task = tokio::spawn(run);
        Self { shutdown, task }
    }

    fn on(setting: &Setting) -> Self {
        Self::start(setting, &setting.env.bus, setting.clock.clone())
    }

    /// Stops the router and waits for its end.
    async fn end(self) {
        self.shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        ended.expect("a soft shutdown is enough").unwrap().unwrap();
    }
}

/// Publishes notes with these numbers, spread over partitions and lanes.
async fn publish(setting: &Setting, numbers: std::ops::Range<usize>) {
    let records = numbers.map(|n| {
        let lane = Lane::ALL[n % 3];
        let note = event(&format!("e-{n}"), "Note", &json!({}));
        let note = with(note, "priority", json!(lane.as_str()));
        OutRecord::new(
            setting.topics().events(lane),
            format!("key-{n}"),
            note.to_string(),
        )
    });
    setting.env.bus.publish(records.collect()).await.unwrap();
}

/// Asserts that each event is on the bus exactly once.
fn assert_each_once(setting: &Setting, reader: &Reader, events: usize) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for decided in reader.decided() {
        assert_eq!(decided.verdict, EventVerdict::Routed, "{}", decided.event_id);
        *seen.entry(decided.event_id.to_string()).or_default() += 1;
    }
    assert_eq!(seen.len(), events, "none is lost");
    assert!(
        seen.values().all(|times| *times == 1),
        "none is doubled: {seen:?}"
    );
    let mut ids = BTreeSet::new();
    let mut sent = 0;
    for lane in Lane::ALL {
        let topic = setting.topics().channel(carillon_domain::Channel::Email, lane);
        for (key, id) in reader.deliveries(&topic) {
            assert_eq!(key, "default|u-42");
            ids.insert(id);
            sent += 1;
        }
    }
    assert_eq!((ids.len(), sent), (events, events), "a delivery for each event");
}

#[tokio::test]
async fn a_router_ends_when_it_is_asked_to_and_the_next_one_goes_on_where_it_was() {
    on_router(async |setting| {
        let mut reader = Reader::new(&setting.env.bus);
        publish(setting, 0..30).await;
        let router = Running::on(setting);
        reader
            .until("the first events", |reader| reader.routed() == 30)
            .await;
        assert!(setting.readiness.is_ready());
        router.end().await;

        publish(setting, 30..60).await;
        let next = Running::on(setting);
        reader
            .until("the next events", |reader| reader.routed() >= 60)
            .await;
        next.end().await;
        reader.drain().await;
        assert_each_once(setting, &reader, 60);
    })
    .await;
}

#[tokio::test]
async fn routers_that_are_ended_in_the_midst_of_their_work_lose_nothing_and_double_nothing() {
    const EVENTS: usize = 3_000;
    on_router(async |setting| {
        let mut reader = Reader::new(&setting.env.bus);
        publish(setting, 0..EVENTS).await;
        let mut before = 0;
        while before < EVENTS {
            let router = Running::on(setting);
            reader.until("progress", |reader| reader.routed() > before).await;
            router.end().await;
            before = reader.routed();
        }
        reader.drain().await;
        assert_each_once(setting, &reader, EVENTS);
    })
    .await;
}

#[tokio::test]
async fn two_routers_share_the_work_and_route_each_event_once() {
    on_router(async |setting| {
        let mut reader = Reader::new(&setting.env.bus);
        let first = Running::on(setting);
        // The other router is recognised by its clock. (The embedded log belongs to one process: there, the same
        // handle.)
        let other_clock = Arc::new(ManualClock::at("2026-11-24T10:00:01Z"));
        let other_bus = match setting.env.bus_config.backend {
            Backend::Kafka(_) => Bus::connect(setting.env.bus_config.clone(), other_clock.clone())
                .await
                .unwrap(),
            Backend::Embedded(_) => setting.env.bus.clone(),
        };
        let second = Running::start(setting, &other_bus, other_clock);
        let mut published = 0;
        let wave = async |reader: &mut Reader, published: &mut usize| {
            publish(setting, *published..*published + 60).await;
            *published += 60;
            let all = *published;
            reader.until("a wave", |reader| reader.routed() >= all).await;
        };
        let by = |reader: &Reader| -> BTreeSet<_> {
            let decided = reader.decided();
            // Only the last wave counts: partitions change owners, so a router of an earlier wave may have none now.
            let last = decided.iter().rev().take(60);
            last.map(|decided| decided.at).collect()
        };
        while by(&reader).len() < 2 {
            assert!(published < 6_000, "one of the two gets nothing to do");
            wave(&mut reader, &mut published).await;
        }
        // The second router takes over the records that the first one leaves.
        first.end().await;
        wave(&mut reader, &mut published).await;
        assert_eq!(by(&reader).len(), 1);
        second.end().await;
        reader.drain().await;
        assert_each_once(setting, &reader, published);
    })
    .await;
}

#[tokio::test]
async fn bad_records_on_the_bus_do_not_delay_the_records_behind_them() {
    on_router(async |setting| {
        let mut reader = Reader::new(&setting.env.bus);
        let lines: Vec<u32> = (10_000..45_000).collect();
        let all_wrong = event("wrong", "OrderShipped", &json!({"order_id": "1", "lines": lines}));
        let topic = setting.topics().events(Lane::Normal);
        let record = |value: String| OutRecord::new(Arc::clone(&topic), "key", value);
        let bad = vec![
            record("this is no event".to_owned()).with("x-source", "a producer of somebody else"),
            record(all_wrong.to_string()),
            record(shipped("nul").to_string()).with(headers::TENANT, "a\0b"),
        ];
        let written = setting.env.bus.publish(bad.clone()).await.unwrap();
        publish(setting, 0..30).await;
        let router = Running::on(setting);
        reader
            .until("all events", |reader| reader.decided().len() == 33)
            .await;
        router.end().await;
        reader.drain().await;
        assert_eq!(reader.routed(), 30);
        let dlq = setting.topics().events_dlq();
        let dead = reader.records.iter().filter(|record| record.topic == dlq);
        let dead: Vec<_> = dead.collect();
        assert_eq!(dead.len(), bad.len());
        for ((dead, bad), written) in dead.into_iter().zip(&bad).zip(&written) {
            assert_eq!((&dead.value, &dead.key), (&bad.value, &bad.key));
            for (name, value) in bad.headers.iter() {
                assert_eq!(dead.headers.get(name), Some(&**value));
            }
            assert_eq!(
                dead.headers.get("kafka_dlt-original-offset"),
                Some(&written.offset.to_be_bytes()[..])
            );
        }
    })
    .await;
}
