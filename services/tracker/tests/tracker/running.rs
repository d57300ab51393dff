//! Start, end, and several trackers at a time.

use carillon_bus::Position;
use carillon_domain::{Channel, StatusRecord, Timestamp, status::EventVerdict};
use carillon_store::Dialect;

use crate::{
    statuses::{decided, delivery_id, life, routed},
    support::{Setting, on_tracker},
};

async fn publish_lives(setting: &Setting, events: std::ops::Range<u32>) -> Vec<Position> {
    let lives = events.flat_map(life);
    let records = lives.map(|status| setting.record(&status)).collect();
    setting.publish(records).await
}

#[tokio::test]
async fn a_soft_shutdown_ends_a_tracker_and_the_next_one_goes_on_where_it_was() {
    on_tracker(async |setting| {
        let tracker = setting.start();
        tracker.end().await;
        assert!(setting.readiness.is_ready(), "it had begun");

        let tracker = setting.start();
        let written = publish_lives(setting, 0..20).await;
        setting.caught_up(&written).await;
        tracker.end().await;
        assert_eq!(setting.counts().await.routed, 20);

        let written = publish_lives(setting, 20..40).await;
        assert_eq!(setting.counts().await.routed, 20, "nobody is there to read it");
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        let counts = setting.counts().await;
        assert_eq!((counts.routed, counts.ended, counts.pending), (40, 40, 40));
    })
    .await;
}

#[tokio::test]
async fn trackers_that_are_ended_in_the_midst_of_their_work_lose_nothing_and_count_nothing_twice() {
    const EVENTS: u32 = 800;
    on_tracker(async |setting| {
        let written = publish_lives(setting, 0..EVENTS).await;
        let mut before = 0;
        while before < u64::from(EVENTS) {
            let tracker = setting.start();
            carillon_testkit::eventually("progress", || async { setting.counts().await.routed > before })
                .await;
            tracker.end().await;
            before = setting.counts().await.routed;
        }
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        let counts = setting.counts().await;
        let events = u64::from(EVENTS);
        assert_eq!((counts.routed, counts.deliveries_produced), (events, 2 * events));
        assert_eq!((counts.ended, counts.pending), (events, events));
    })
    .await;
}

#[tokio::test]
async fn two_trackers_share_the_work_and_count_each_record_once() {
    on_tracker(async |setting| {
        let first = setting.start();
        let mut written = publish_lives(setting, 0..200).await;
        // The second tracker joins while the first is reading, and partitions change owners.
        let second = setting.start_on(&setting.another_bus().await);
        for wave in 1..6 {
            let events = wave * 200..(wave + 1) * 200;
            written.extend(publish_lives(setting, events).await);
            setting.caught_up(&written).await;
        }
        first.end().await;
        written.extend(publish_lives(setting, 1_200..1_400).await);
        setting.caught_up(&written).await;
        second.end().await;
        let counts = setting.counts().await;
        assert_eq!((counts.routed, counts.deliveries_produced), (1_400, 2_800));
        assert_eq!((counts.ended, counts.pending), (1_400, 1_400));
        assert_eq!((counts.event_difference(), counts.delivery_difference()), (0, 0));
        let timeline = setting.timeline(delivery_id(1_399, Channel::Email)).await;
        assert_eq!(timeline.len(), 7);
    })
    .await;
}

#[tokio::test]
async fn a_status_that_the_database_refuses_does_not_keep_others_out_of_the_read_model() {
    on_tracker(async |setting| {
        let mut refused = decided(1, EventVerdict::Routed);
        refused.at = Timestamp::MIN_UTC;
        let first = setting.publish(vec![setting.record(&routed(0))]).await;
        // The refused record between valid ones in one batch, and once more alone.
        let mut records = vec![setting.record(&StatusRecord::EventDecided(refused.clone()))];
        records.extend((2..40).map(|event| setting.record(&routed(event))));
        records.push(setting.record(&StatusRecord::EventDecided(refused)));
        let written = setting.publish(records).await;
        let tracker = setting.start();
        setting.caught_up(&first).await;
        setting.caught_up(&written).await;
        let later = setting.publish(vec![setting.record(&routed(40))]).await;
        setting.caught_up(&later).await;
        tracker.end().await;
        // SQLite accepts any time.
        let taken = u64::from(setting.env.store.dialect() == Dialect::Sqlite);
        let counts = setting.counts().await;
        assert_eq!(counts.routed, 40 + taken);
        assert_eq!(counts.pending, counts.deliveries_produced);
    })
    .await;
}

#[tokio::test]
async fn a_running_tracker_projects_new_records() {
    on_tracker(async |setting| {
        let tracker = setting.start();
        for event in 0..5 {
            let written = setting.publish(vec![setting.record(&routed(event))]).await;
            setting.caught_up(&written).await;
            assert_eq!(setting.counts().await.routed, u64::from(event) + 1);
        }
        tracker.end().await;
    })
    .await;
}
