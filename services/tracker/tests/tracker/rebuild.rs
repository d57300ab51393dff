//! Dropping and rebuilding the read model, and reading records again without a rebuild.

use std::time::Duration;

use carillon_domain::{Channel, DeliveryStatus, EventId, StatusRecord, status::EventVerdict};
use carillon_store::{audit::AuditCounts, read_model::Projection};
use carillon_testkit::eventually;

use crate::{
    statuses::{decided, delivery_id, event_id, life, routed, said},
    support::{Setting, on_tracker},
};

/// A history with records of many kinds.
fn past() -> Vec<StatusRecord> {
    let mut statuses: Vec<StatusRecord> = (0..60).flat_map(life).collect();
    for event in 60..70 {
        statuses.extend([
            routed(event),
            said(event, Channel::Sms, (0, 1), &[(3, DeliveryStatus::Sending)]),
            said(event, Channel::Sms, (0, 3), &[(9, DeliveryStatus::DeadLettered)]),
            said(event, Channel::Sms, (1, 0), &[(12, DeliveryStatus::Queued)]),
            StatusRecord::EventDecided(decided(event + 100, EventVerdict::Rejected)),
            StatusRecord::EventDecided(decided(event + 200, EventVerdict::Duplicate)),
        ]);
    }
    statuses
}

fn events() -> Vec<EventId> {
    (0..270).map(event_id).collect()
}

/// Runs a tracker until its group has committed all records.
async fn read_on(setting: &Setting) {
    let tracker = setting.start();
    let bus = &setting.env.bus;
    let group = carillon_tracker::group(bus, &setting.env.store).await.unwrap();
    eventually("the group reads to the end", || async {
        let lags = bus.lag(&group).await.unwrap();
        !lags.is_empty() && lags.iter().all(|lag| lag.records == 0)
    })
    .await;
    tracker.end().await;
}

#[tokio::test]
async fn a_rebuild_gives_the_same_deliveries_events_timelines_and_counts() {
    on_tracker(async |setting| {
        let (bus, store) = (&setting.env.bus, &setting.env.store);
        setting.track(&past()).await;
        let before = setting.contents(&events()).await;
        assert_eq!((before.deliveries.len(), before.counts.routed), (140, 70));
        let name = carillon_tracker::projection_name(bus);
        assert_eq!(carillon_tracker::group(bus, store).await.unwrap(), name);

        for rebuild in 1..=2 {
            carillon_tracker::rebuild(bus, store).await.unwrap();
            let empty = setting.contents(&[]).await;
            assert_eq!(
                (empty.deliveries.len(), empty.counts),
                (0, AuditCounts::default())
            );
            assert!(store.read_model().offsets(&name).await.unwrap().is_empty());
            assert_eq!(
                carillon_tracker::group(bus, store).await.unwrap(),
                format!("{name}.{rebuild}")
            );
            read_on(setting).await;
            assert_eq!(setting.contents(&events()).await, before);
        }
        // It reads on from there.
        setting.track(&[routed(500)]).await;
        assert_eq!(setting.counts().await.routed, 71);
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_keeps_dead_letters_and_the_gateways_counts() {
    on_tracker(async |setting| {
        let (bus, store) = (&setting.env.bus, &setting.env.store);
        let letter = carillon_bus::OutRecord::new(bus.topics().events_dlq(), "key", "bad");
        let written = setting.publish(vec![letter]).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        let open = store.dead_letters().open_counts().await.unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!((open[0].queue.as_str(), open[0].open), ("events", 1));
        carillon_tracker::rebuild(bus, store).await.unwrap();
        assert_eq!(store.dead_letters().open_counts().await.unwrap(), open);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_read_again_because_its_commit_was_lost_is_applied_once() {
    on_tracker(async |setting| {
        let store = &setting.env.store;
        setting.track(&past()).await;
        let model = store.read_model();
        let group = carillon_tracker::group(&setting.env.bus, store).await.unwrap();

        // Rows older than their retention are pruned; they would return if their records were applied again.
        let counted = setting.counts().await;
        setting.clock.advance(Duration::from_hours(24 * 100));
        model.maintain().await.unwrap();
        assert!(model.prune().await.unwrap() > 0);
        let before = setting.contents(&events()).await;
        assert_eq!(before.counts, counted);
        let id = delivery_id(0, Channel::Email);
        assert!(setting.timeline(id).await.is_empty());

        // A rebuild that was interrupted between its two steps: the group has no commits, and the projection exists.
        let name = carillon_tracker::projection_name(&setting.env.bus);
        model.begin_rebuild(&name).await.unwrap();
        let anew = carillon_tracker::group(&setting.env.bus, store).await.unwrap();
        assert_ne!(anew, group, "this group has committed nothing");

        read_on(setting).await;
        let after = setting.contents(&events()).await;
        assert!(
            setting.timeline(id).await.is_empty(),
            "it was read and not applied"
        );
        assert_eq!(after.deliveries, before.deliveries);
        assert_eq!((after.events, after.counts), (before.events, before.counts));

        // New records are applied.
        setting.track(&[routed(500)]).await;
        assert_eq!(setting.counts().await.routed, before.counts.routed + 1);
    })
    .await;
}

#[tokio::test]
async fn a_read_model_from_a_backup_catches_up_with_the_bus() {
    on_tracker(async |setting| {
        let (bus, store) = (&setting.env.bus, &setting.env.store);
        let name = carillon_tracker::projection_name(bus);
        setting.track(&(0..20).flat_map(life).collect::<Vec<_>>()).await;
        let backup = store.read_model().offsets(&name).await.unwrap();
        let records = (20..40).flat_map(life).map(|status| setting.record(&status));
        let written = setting.publish(records.collect()).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        read_on(setting).await;

        // The read model has the offsets of the backup and none of its rows. Its counts are therefore those of the
        // records after the backup.
        store.read_model().reset(&name).await.unwrap();
        let restored = Projection {
            consumer: name.clone(),
            offsets: backup,
            ..Projection::default()
        };
        store.read_model().apply(&restored).await.unwrap();
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        assert_eq!(setting.counts().await.routed, 20, "the later ones");

        // From a backup that is older than the first status.
        store.read_model().reset(&name).await.unwrap();
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        assert_eq!(setting.counts().await.routed, 40);
    })
    .await;
}
