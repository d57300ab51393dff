//! Waiting events: stored from their topic, released when due, published with their release; and processes that die in
//! between.

use std::{collections::BTreeMap, time::Duration};

use carillon_bus::{OutRecord, headers};
use carillon_domain::{
    Lane, TenantId, Timestamp,
    status::Origin,
    waiting::{Release, SEND_AT, WAITING_VERSION, Waiting, WaitingContent},
};
use carillon_scheduler::{Collector, Looked, Releaser};
use carillon_testkit::eventually;

use crate::support::{Setting, killed_after, on_scheduler, start};

fn waiting(setting: &Setting, number: i64, due: Timestamp) -> Waiting {
    let (tenant, event_id) = (TenantId::default(), format!("e-{number}").into());
    Waiting {
        digest: None,
        release: Release {
            v: WAITING_VERSION,
            id: Waiting::id_of_event(&tenant, "/shop", &event_id),
            number: 1,
            origin: Origin {
                topic: setting.env.bus.topics().events(Lane::Bulk),
                partition: 0,
                offset: number,
            },
            written_at: start(),
            content: WaitingContent::Event,
        },
        tenant,
        event_id,
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        user_id: None,
        due,
        reason: SEND_AT.into(),
    }
}

/// The record that a router writes for an event that waits.
fn record(setting: &Setting, number: i64, due: Timestamp) -> OutRecord {
    let topic = setting.env.bus.topics().scheduled();
    OutRecord::new(topic, format!("key-{number}"), format!("event {number}"))
        .with(headers::VIA, "gateway")
        .with(headers::WAITS, waiting(setting, number, due).to_wire())
}

impl Setting {
    async fn write(&self, records: Vec<OutRecord>) {
        self.env.bus.publish(records).await.unwrap();
    }

    /// Collects until this many events wait.
    async fn collect(&self, count: u64) {
        let mut collector = Collector::new(self.deps()).unwrap();
        while self.waiting_events().await < count {
            collector.step().await.unwrap();
        }
    }

    async fn waiting_events(&self) -> u64 {
        self.env.store.waiting().depth().await.unwrap().events
    }

    fn releaser(&self) -> Releaser {
        Releaser::new(self.deps())
    }

    async fn release_all(&self) {
        while let Looked::Released(_) = Box::pin(self.releaser().step()).await.unwrap() {}
    }

    /// The released events: how often each was published.
    async fn released(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for record in self.published(&self.env.bus.topics().events(Lane::Bulk)).await {
            let text = String::from_utf8(record.value.to_vec()).unwrap();
            *counts.entry(text).or_default() += 1;
        }
        counts
    }
}

#[tokio::test]
async fn an_event_comes_back_unchanged_at_its_time_with_the_number_of_its_release() {
    on_scheduler(async |setting| {
        let due = start() + Duration::from_mins(10);
        setting.write(vec![record(setting, 1, due)]).await;
        setting.collect(1).await;
        let wait = setting.releaser().step().await.unwrap();
        assert_eq!(wait, Looked::Wait(Duration::from_millis(250)), "at most the poll");
        setting
            .clock
            .advance(Duration::from_mins(10) - Duration::from_millis(20));
        let wait = setting.releaser().step().await.unwrap();
        assert_eq!(wait, Looked::Wait(Duration::from_millis(21)));
        setting.clock.advance(Duration::from_millis(20));
        assert_eq!(setting.releaser().step().await.unwrap(), Looked::Released(1));
        setting.publish_all().await;

        let records = setting
            .published(&setting.env.bus.topics().events(Lane::Bulk))
            .await;
        let [released] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!(
            (released.key.as_deref(), &released.value[..]),
            (Some(&b"key-1"[..]), &b"event 1"[..])
        );
        assert_eq!(released.headers.get_str(headers::VIA), Some("gateway"));
        assert!(released.headers.get(headers::WAITS).is_none());
        let release = Release::parse(released.headers.get(headers::RELEASE).unwrap()).unwrap();
        assert_eq!(release, waiting(setting, 1, due).release);
        assert_eq!(setting.waiting_events().await, 0);
    })
    .await;
}

#[tokio::test]
async fn held_events_are_left_to_the_router_and_an_unreadable_wait_becomes_a_dead_letter() {
    on_scheduler(async |setting| {
        let topics = setting.env.bus.topics();
        let held = OutRecord::new(topics.scheduled(), "k", "held").with(headers::HELD, "{}");
        let bad = OutRecord::new(topics.scheduled(), "k", "bad").with(headers::WAITS, "{\"v\":1");
        let newer = {
            let mut newer = waiting(setting, 2, start());
            newer.release.v = 2;
            OutRecord::new(topics.scheduled(), "k", "newer").with(headers::WAITS, newer.to_wire())
        };
        setting
            .write(vec![held, bad, newer, record(setting, 1, start())])
            .await;
        setting.collect(1).await;
        let letters = setting.published(&topics.events_dlq()).await;
        let mut values: Vec<_> = letters.iter().map(|letter| letter.value.clone()).collect();
        values.sort();
        assert_eq!(values, ["bad", "newer"]);
        for letter in &letters {
            assert_eq!(letter.headers.get_str("carillon-code"), Some("not-waiting"));
        }
    })
    .await;
}

/// Every event is released once, wherever the process dies in one of its steps.
async fn dies_in(setting: &Setting, step: impl AsyncFn(usize) -> bool) -> BTreeMap<String, usize> {
    let mut rounds = 0;
    loop {
        let number = i64::try_from(rounds).unwrap();
        setting
            .write(vec![record(setting, number, setting.env.store.now())])
            .await;
        let survived = step(rounds).await;
        rounds += 1;
        // The next process completes the work.
        eventually("the event is released", || async {
            setting.clock.advance(Duration::from_secs(61));
            let mut collector = Collector::new(setting.deps()).unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(300), collector.step()).await;
            setting.release_all().await;
            setting.publish_all().await;
            let found = setting.released().await;
            found.contains_key(&format!("event {number}"))
        })
        .await;
        if survived && rounds > 3 {
            break;
        }
    }
    assert_eq!(setting.waiting_events().await, 0);
    let released = setting.released().await;
    assert_eq!(released.len(), rounds);
    released
}

#[tokio::test]
async fn each_event_is_released_once_wherever_the_collector_dies() {
    on_scheduler(async |setting| {
        let released = dies_in(setting, async |waits| {
            let mut collector = Collector::new(setting.deps()).unwrap();
            killed_after(waits, Box::pin(collector.step())).await.is_some()
        })
        .await;
        assert!(released.values().all(|count| *count == 1), "{released:?}");
    })
    .await;
}

#[tokio::test]
async fn each_event_is_released_once_wherever_the_releaser_dies() {
    on_scheduler(async |setting| {
        let released = dies_in(setting, async |waits| {
            let before = setting.waiting_events().await;
            setting.collect(before + 1).await;
            killed_after(waits, Box::pin(setting.releaser().step()))
                .await
                .is_some()
        })
        .await;
        assert!(released.values().all(|count| *count == 1), "{released:?}");
    })
    .await;
}

#[tokio::test]
async fn each_event_is_published_with_one_release_wherever_the_publisher_dies() {
    on_scheduler(async |setting| {
        dies_in(setting, async |waits| {
            let before = setting.waiting_events().await;
            setting.collect(before + 1).await;
            setting.release_all().await;
            killed_after(waits, Box::pin(setting.publisher().step()))
                .await
                .is_some()
        })
        .await;
        // A record may have been published twice; the router decides the first of them.
        let topic = setting.env.bus.topics().events(Lane::Bulk);
        let mut releases = BTreeMap::new();
        for record in setting.published(&topic).await {
            let release = Release::parse(record.headers.get(headers::RELEASE).unwrap()).unwrap();
            let known = releases.insert(record.value.clone(), release.id);
            assert!(known.is_none_or(|known| known == release.id));
        }
    })
    .await;
}
