//! The projection.

use carillon_domain::{
    Channel, DeliveryStatus, UserId,
    decide::{Decision, Outcome, Reason, Steps},
    status::{EventVerdict, Origin},
};
use carillon_store::{
    Store, StoreConfig,
    audit::AuditCounts,
    read_model::{EventRow, Projection, StoredOffset},
};
use serde_json::value::RawValue;

use crate::support::{
    apply, attempt_row, contents, delivery_id, delivery_row, on_each, on_postgres, origin, seconds, start,
    state,
};

fn decision(number: u128, outcome: Outcome) -> Decision {
    Decision {
        recipient: "a…@example.com".into(),
        user_id: Some(format!("u-{number}").into()),
        channel: Channel::Email,
        category: "transactional".into(),
        outcome,
        reason: Reason::Allowed,
        sentence: "It is sent.".into(),
        steps: Steps::default(),
        address_hash: None,
        to_masked: None,
        until: None,
        digest_id: None,
        after: Vec::new(),
        delivery_id: (outcome == Outcome::Send).then(|| delivery_id(number)),
    }
}

fn event_row(number: u128, offset: i64, verdict: EventVerdict) -> EventRow {
    EventRow {
        origin: origin(offset),
        part: 0,
        tenant: "default".into(),
        event_id: format!("event-{number}").into(),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        at: start() + seconds(offset.unsigned_abs()),
        verdict,
        via_gateway: false,
        parts: 1,
        release: None,
        due: None,
        user_id: None,
        event: (verdict == EventVerdict::Routed)
            .then(|| RawValue::from_string(r#"{"b": 1.50, "a":"\u0000"}"#.into()).unwrap()),
        decisions: if verdict == EventVerdict::Routed {
            vec![decision(number, Outcome::Send)]
        } else {
            vec![]
        },
    }
}

/// A routed event with these decisions.
pub(crate) fn routed(from: Origin, decisions: Vec<Decision>) -> EventRow {
    EventRow {
        origin: from,
        decisions,
        ..event_row(0, 0, EventVerdict::Routed)
    }
}

#[tokio::test]
async fn a_record_that_comes_again_is_counted_once() {
    on_each(async |store| {
        use EventVerdict::{Duplicate, Rejected, Routed, Tombstone};
        let events = || {
            let mut through_gateway = event_row(1, 1, Routed);
            through_gateway.via_gateway = true;
            let mut published_twice = event_row(1, 2, Duplicate);
            published_twice.via_gateway = true;
            let mut second_part = event_row(4, 6, Routed);
            second_part.part = 1;
            second_part.decisions.push(decision(9, Outcome::Suppress));
            vec![
                through_gateway,
                published_twice,
                event_row(2, 3, Routed),
                event_row(2, 4, Duplicate),
                event_row(3, 5, Rejected),
                event_row(4, 6, Routed),
                second_part,
                event_row(5, 7, Tombstone),
            ]
        };
        let queued = |n| delivery_row(n, state(0, 0, DeliveryStatus::Queued), start());
        for _ in 0..3 {
            let mut twice = events();
            twice.extend(events());
            apply(store, twice, vec![queued(1), queued(2), queued(4), queued(5)]).await;
        }
        let counts = store.audit().counts().await.unwrap();
        let expected = AuditCounts {
            acknowledged: 6, // all but the one that the gateway counts
            routed: 3,
            duplicate: 2,
            rejected: 1,
            skipped: 1,
            waiting: 0,
            deliveries_produced: 4,
            ended: 0,
            pending: 4,
            ..AuditCounts::default()
        };
        assert_eq!(counts, expected);
        assert_eq!((counts.event_difference(), counts.delivery_difference()), (-1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_replay_makes_a_delivery_pending_again_until_it_ends_again() {
    on_each(async |store| {
        let counts = async || {
            let counts = store.audit().counts().await.unwrap();
            (counts.ended, counts.pending)
        };
        let step = async |generation, attempt, status| {
            let row = delivery_row(1, state(generation, attempt, status), start());
            apply(store, vec![], vec![row]).await;
        };
        step(0, 1, DeliveryStatus::Sending).await;
        assert_eq!(counts().await, (0, 1));
        step(0, 1, DeliveryStatus::DeadLettered).await;
        assert_eq!(counts().await, (1, 0));
        step(0, 1, DeliveryStatus::Retrying).await;
        assert_eq!(counts().await, (1, 0));
        step(1, 0, DeliveryStatus::Queued).await;
        assert_eq!(counts().await, (0, 1));
        step(1, 1, DeliveryStatus::Sent).await;
        step(1, 1, DeliveryStatus::Delivered).await;
        assert_eq!(counts().await, (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_event_is_shown_with_its_decisions_beside_duplicates_and_other_sources_of_its_id() {
    on_each(async |store| {
        let mut crm = event_row(1, 9, EventVerdict::Rejected);
        crm.source = "/crm".into();
        let mut part = event_row(1, 3, EventVerdict::Routed);
        part.part = 1;
        part.decisions = vec![decision(7, Outcome::Suppress)];
        let rows = vec![
            event_row(1, 1, EventVerdict::Duplicate),
            part,
            event_row(1, 3, EventVerdict::Routed),
            crm,
        ];
        apply(store, rows, vec![]).await;
        let event = async |source: Option<&str>| {
            store
                .read_model()
                .event(&store.tenant, &"event-1".into(), source)
                .await
                .unwrap()
        };
        let views = event(None).await;
        let verdicts: Vec<_> = views
            .iter()
            .map(|view| (view.source.as_str(), view.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [("/crm", EventVerdict::Rejected), ("/shop", EventVerdict::Routed)]
        );
        let shop = &event(Some("/shop")).await[0];
        assert_eq!(
            shop.decisions,
            [decision(1, Outcome::Send), decision(7, Outcome::Suppress)]
        );
        // The stored event equals the original byte for byte.
        assert_eq!(shop.event.as_ref().unwrap().get(), r#"{"b": 1.50, "a":"\u0000"}"#);
        assert!(event(Some("/none")).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn text_that_a_database_cannot_hold_does_not_stop_the_batch() {
    on_each(async |store| {
        let mut odd = delivery_row(1, state(0, 1, DeliveryStatus::Failed), start());
        odd.reason = Some("nul \0 and \u{10ffff} and '".into());
        apply(
            store,
            vec![],
            vec![odd, delivery_row(2, state(0, 1, DeliveryStatus::Sent), start())],
        )
        .await;
        let (deliveries, timelines, _) = contents(store, 1..3).await;
        assert_eq!(deliveries.len(), 2);
        let odd = deliveries
            .iter()
            .find(|delivery| delivery.id == delivery_id(1))
            .unwrap();
        assert_eq!(odd.detail.as_deref(), Some("nul \u{fffd} and \u{10ffff} and '"));
        // A JSON document holds it.
        assert_eq!(
            timelines[0][0].detail.as_deref(),
            Some("nul \0 and \u{10ffff} and '")
        );
    })
    .await;
}

fn next(partition: i32, next: i64) -> StoredOffset {
    StoredOffset {
        topic: "notifications.status".into(),
        partition,
        next,
    }
}

#[tokio::test]
async fn offsets_are_stored_with_the_rows_and_only_go_forward() {
    on_each(async |store| {
        let model = store.read_model();
        let batch = |offsets| Projection {
            consumer: "tracker".into(),
            offsets,
            ..Projection::default()
        };
        model
            .apply(&batch(vec![next(0, 10), next(1, 5), next(0, 12)]))
            .await
            .unwrap();
        model.apply(&batch(vec![next(0, 7), next(2, 1)])).await.unwrap();
        assert_eq!(
            model.offsets("tracker").await.unwrap(),
            [next(0, 12), next(1, 5), next(2, 1)]
        );
        assert!(model.offsets("other").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_gives_the_same_tables_as_before() {
    on_each(async |store| {
        let project = async || {
            for n in 0..700_u128 {
                if n % 100 == 0 {
                    let numbers = n..n + 100;
                    let events = numbers
                        .clone()
                        .map(|n| event_row(n, i64::try_from(n).unwrap(), EventVerdict::Routed));
                    let rows = numbers.flat_map(|n| {
                        [
                            DeliveryStatus::Queued,
                            DeliveryStatus::Sending,
                            DeliveryStatus::Sent,
                        ]
                        .map(|status| {
                            delivery_row(
                                n,
                                state(0, u32::from(status != DeliveryStatus::Queued), status),
                                start(),
                            )
                        })
                    });
                    let deliveries: Vec<_> = rows.collect();
                    let projection = Projection {
                        consumer: "tracker".into(),
                        events: events.collect(),
                        attempts: deliveries.iter().map(attempt_row).collect(),
                        deliveries,
                        offsets: vec![next(0, i64::try_from(n).unwrap() + 100)],
                        ..Projection::default()
                    };
                    store.read_model().apply(&projection).await.unwrap();
                }
            }
        };
        project().await;
        let before = contents(store, 0..700).await;
        assert_eq!(before.2.ended, 700);
        assert_eq!(before.1[699].len(), 3);
        store.read_model().reset("tracker").await.unwrap();
        let empty = contents(store, 0..1).await;
        assert_eq!(
            (empty.0.len(), empty.1[0].len(), empty.2),
            (0, 0, AuditCounts::default())
        );
        assert!(store.read_model().offsets("tracker").await.unwrap().is_empty());
        project().await;
        assert_eq!(contents(store, 0..700).await, before);
    })
    .await;
}

#[tokio::test]
async fn steps_are_deleted_after_their_retention_and_deliveries_stay() {
    on_each(async |store| {
        let day = seconds(24 * 3600);
        let old = delivery_row(1, state(0, 1, DeliveryStatus::Sent), start() - 10 * day);
        let young = delivery_row(2, state(0, 1, DeliveryStatus::Sent), start());
        let absurd = delivery_row(3, state(0, 1, DeliveryStatus::Sent), start() + 4_000 * day);
        apply(store, vec![], vec![old, young, absurd]).await;
        store.read_model().maintain().await.unwrap();
        let lengths = async || -> Vec<usize> { contents(store, 1..4).await.1.iter().map(Vec::len).collect() };
        assert_eq!(lengths().await, [1, 1, 1]);
        store.clock.advance(85 * day);
        store.read_model().maintain().await.unwrap();
        assert_eq!(lengths().await, [0, 1, 1]);
        assert_eq!(contents(store, 1..2).await.0.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn two_members_that_both_believe_to_own_a_partition_count_its_records_once() {
    on_postgres(async |store| {
        // A member that has lost its partition without knowing it, and the partition's new owner.
        let config = StoreConfig {
            max_connections: 1,
            ..store.config.clone()
        };
        let other = Store::connect(&config, store.clock.clone()).await.unwrap();
        let day = seconds(24 * 3600);
        let deliveries: Vec<_> = (0..9_u32)
            .map(|days| {
                delivery_row(
                    days.into(),
                    state(0, 1, DeliveryStatus::Sent),
                    start() - days * day,
                )
            })
            .collect();
        let projection = Projection {
            consumer: "tracker".into(),
            attempts: deliveries.iter().map(attempt_row).collect(),
            deliveries,
            offsets: vec![next(0, 9)],
            ..Projection::default()
        };
        let applied = [store.read_model(), other.read_model()].map(|model| model.apply(&projection));
        for applied in futures::future::join_all(applied).await {
            applied.unwrap();
        }
        other.read_model().maintain().await.unwrap();
        other.close().await;
        let (_, timelines, counts) = contents(store, 0..9).await;
        assert!(timelines.iter().all(|timeline| timeline.len() == 1));
        assert_eq!(counts.ended, 9);
    })
    .await;
}

#[tokio::test]
async fn erasing_a_user_erases_their_data_and_keeps_the_counts() {
    on_each(async |store| {
        let user = UserId::from("u-1");
        let put = carillon_store::users::UserPut::default();
        store.users().put(&store.tenant, &user, &put, None).await.unwrap();
        let mut row = delivery_row(1, state(0, 1, DeliveryStatus::Sent), start());
        row.to_masked = Some("a…@example.com".into());
        apply(
            store,
            vec![
                event_row(1, 1, EventVerdict::Routed),
                event_row(2, 2, EventVerdict::Routed),
            ],
            vec![row.clone()],
        )
        .await;
        let counts = store.audit().counts().await.unwrap();
        assert!(store.users().delete(&store.tenant, &user, None).await.unwrap());
        // A receipt that arrives later does not restore it.
        row.state.status = DeliveryStatus::Delivered;
        apply(store, vec![], vec![row]).await;
        let view = store
            .read_model()
            .delivery(&store.tenant, delivery_id(1))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (view.status, view.user_id, view.to_masked),
            (DeliveryStatus::Delivered, None, None)
        );
        let event = async |id: &str| {
            store
                .read_model()
                .event(&store.tenant, &id.into(), None)
                .await
                .unwrap()
                .remove(0)
        };
        let erased = event("event-1").await;
        assert!(erased.event.is_none() && erased.decisions.is_empty());
        assert_eq!(event("event-2").await.decisions.len(), 1);
        assert_eq!(store.audit().counts().await.unwrap(), counts);
    })
    .await;
}

#[tokio::test]
async fn a_step_dated_days_ahead_is_stored_and_does_not_prevent_the_partition_of_its_day() {
    on_each(async |store| {
        const DAY: u64 = 24 * 3600;
        let row = |n, at| delivery_row(n, state(0, 0, DeliveryStatus::Queued), at);
        // The clock of one worker is five days ahead; another was never set.
        let ahead = start() + seconds(5 * DAY);
        let nonsense = start() + seconds(40_000 * DAY);
        apply(store, vec![], vec![row(1, ahead), row(2, nonsense)]).await;
        for day in 1..=6 {
            store.clock.advance(seconds(DAY));
            let other = Store::connect(&store.config, store.clock.clone()).await.unwrap();
            other.read_model().maintain().await.unwrap();
            apply(&other, vec![], vec![row(10 + day, store.now())]).await;
            other.close().await;
        }
        for n in [1, 2, 11, 15, 16] {
            let timeline = store.read_model().timeline(delivery_id(n)).await.unwrap();
            assert_eq!(timeline.len(), 1, "{n}");
        }
        // The step is in its day's partition now and is dropped with that day.
        store.clock.advance(seconds(90 * DAY));
        store.read_model().maintain().await.unwrap();
        for (n, left) in [(1, 0), (2, 1), (16, 1)] {
            let timeline = store.read_model().timeline(delivery_id(n)).await.unwrap();
            assert_eq!(timeline.len(), left, "{n}");
        }
    })
    .await;
}

#[tokio::test]
async fn rows_past_the_retention_are_deleted_and_deliveries_that_have_not_ended_stay() {
    on_each(async |store| {
        const DAY: u64 = 24 * 3600;
        let model = store.read_model();
        let ended = |n, at| delivery_row(n, state(0, 1, DeliveryStatus::Sent), at);
        let pending = delivery_row(3, state(0, 1, DeliveryStatus::Retrying), start());
        let old: Vec<EventRow> = (0..3_u8)
            .map(|n| event_row(n.into(), n.into(), EventVerdict::Routed))
            .collect();
        // Pending rows lie before and behind it; one row began long ago and ended lately.
        let lately = start() + seconds(80 * DAY);
        let began = delivery_row(4, state(0, 0, DeliveryStatus::Queued), start());
        let rows = vec![pending, ended(1, start()), ended(2, lately), began];
        apply(store, old, rows).await;
        apply(store, vec![], vec![ended(4, lately)]).await;
        let before = store.audit().counts().await.unwrap();
        assert_eq!(model.prune().await.unwrap(), 0);

        store.clock.advance(seconds(91 * DAY));
        let mut young = event_row(5, 5, EventVerdict::Routed);
        young.at = store.now();
        apply(store, vec![young], vec![]).await;
        assert_eq!(
            model.prune().await.unwrap(),
            7,
            "a delivery, and three events with a decision each"
        );
        assert_eq!(model.prune().await.unwrap(), 0);
        for (n, stays) in [(1, false), (2, true), (3, true), (4, true)] {
            let delivery = model.delivery(&store.tenant, delivery_id(n)).await.unwrap();
            assert_eq!(delivery.is_some(), stays, "{n}");
        }
        for (n, views) in [(0, 0), (2, 0), (5, 1)] {
            let id = format!("event-{n}").into();
            let found = model.event(&store.tenant, &id, None).await.unwrap();
            assert_eq!(found.len(), views, "{n}");
        }
        let after = store.audit().counts().await.unwrap();
        assert_eq!(
            (after.routed, after.ended, after.pending),
            (before.routed + 1, before.ended, before.pending),
            "what was counted stays counted"
        );
    })
    .await;
}

#[tokio::test]
async fn rows_that_have_to_stay_do_not_hide_the_old_rows_behind_them() {
    on_each(async |store| {
        let row = |n, status| delivery_row(n, state(0, 1, status), start());
        let mut rows: Vec<_> = (0..5_200).map(|n| row(n, DeliveryStatus::Retrying)).collect();
        rows.extend((5_200..10_500).map(|n| row(n, DeliveryStatus::Sent)));
        for rows in rows.chunks(2_000) {
            let projection = Projection {
                deliveries: rows.to_vec(),
                ..Projection::default()
            };
            store.read_model().apply(&projection).await.unwrap();
        }
        store.clock.advance(seconds(91 * 24 * 3600));
        assert_eq!(store.read_model().prune().await.unwrap(), 5_300);
    })
    .await;
}
