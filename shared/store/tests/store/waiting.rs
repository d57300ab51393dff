//! Rows that wait: added once, released when due and not before, claimed once, cancelled by the first claim.

use std::{collections::HashSet, time::Duration};

use carillon_domain::{
    Timestamp, UserId,
    status::Origin,
    waiting::{Release, SEND_AT, WAITING_VERSION, Waiting, WaitingContent},
};
use carillon_store::{
    Lease, Page, Store,
    api_keys::{Principal, Role},
    audit_log::AuditAction,
    events::{EventKey, RouteClaim, RouteVerdict},
    outbox::OutboxRecord,
    waiting::{Cancellation, EventCancel, NewWaiting, ReleaseClaim, ReleaseVerdict, WaitingDepth},
};
use uuid::Uuid;

use crate::support::{TestStore, on_each, origin, seconds, start};

pub(crate) fn key(number: i64) -> EventKey {
    EventKey {
        tenant: "default".into(),
        event_id: format!("e-{number}").into(),
        source: "/shop".into(),
    }
}

fn id(number: i64) -> Uuid {
    let key = key(number);
    Waiting::id_of_event(&key.tenant, &key.source, &key.event_id)
}

fn waits_until(number: i64, due: Timestamp) -> NewWaiting {
    let key = key(number);
    NewWaiting {
        waiting: Waiting {
            tenant: key.tenant,
            event_id: key.event_id,
            source: key.source,
            event_type: "OrderShipped".into(),
            user_id: Some(UserId::from(format!("u-{number}"))),
            due,
            reason: SEND_AT.into(),
            digest: None,
            release: Release {
                v: WAITING_VERSION,
                id: id(number),
                number: 1,
                origin: origin(number),
                written_at: start(),
                content: WaitingContent::Event,
            },
        },
        record: OutboxRecord {
            topic: "notifications.events".into(),
            key: Some(b"key".to_vec()),
            headers: vec![1, 2],
            value: format!("event {number}").into_bytes(),
        },
    }
}

fn who() -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "ada".to_owned(),
        tenant: "default".into(),
        role: Role::Operator,
    }
}

fn status() -> OutboxRecord {
    OutboxRecord {
        topic: "notifications.status".into(),
        key: None,
        headers: Vec::new(),
        value: b"cancelled".to_vec(),
    }
}

async fn cancel(store: &Store, number: i64, is_scheduled: bool) -> EventCancel {
    let cancellation = Cancellation {
        key: &key(number),
        event_type: "OrderShipped",
        is_scheduled,
        status: &status(),
        who: &who(),
        route: "/v1/events/e/cancel",
    };
    store.waiting().cancel_event(&cancellation).await.unwrap()
}

/// Takes all records out of the outbox; their values, in order.
async fn published(store: &TestStore) -> Vec<String> {
    let lease = Lease {
        owner: Uuid::now_v7(),
        until: store.now() + seconds(60),
    };
    let mut values = Vec::new();
    loop {
        let claimed = store.outbox().claim(lease, false).await.unwrap();
        if claimed.is_empty() {
            return values;
        }
        let ids: Vec<i64> = claimed.iter().map(|record| record.id).collect();
        let texts = claimed
            .into_iter()
            .map(|claimed| String::from_utf8(claimed.record.value).unwrap());
        values.extend(texts);
        store.outbox().published(lease.owner, &ids).await.unwrap();
    }
}

async fn release_all(store: &Store) -> usize {
    let mut released = 0;
    loop {
        let batch = store.waiting().release().await.unwrap();
        if batch.due.is_empty() {
            return released;
        }
        released += batch.due.len();
    }
}

fn released_record(offset: i64) -> Origin {
    origin(1_000 + offset)
}

async fn claim(store: &Store, number: i64, offset: i64) -> ReleaseVerdict {
    let claim = ReleaseClaim {
        id: id(number),
        origin: released_record(offset),
    };
    store.waiting().claim_releases(&[claim]).await.unwrap().remove(0)
}

async fn waiting_events(store: &Store) -> u64 {
    store.waiting().depth().await.unwrap().events
}

#[tokio::test]
async fn a_row_is_released_at_its_due_time_and_not_before_and_in_the_order_of_due_times() {
    on_each(async |store| {
        let waiting = store.waiting();
        let at = |secs| start() + seconds(secs);
        let rows = [
            waits_until(3, at(30)),
            waits_until(1, at(10)),
            waits_until(2, at(20)),
        ];
        assert_eq!(waiting.add(&rows).await.unwrap(), 3);
        assert_eq!(waiting.next_due().await.unwrap(), Some(at(10)));
        store.clock.advance(Duration::from_micros(9_999_999));
        assert_eq!(release_all(store).await, 0);
        store.clock.advance(Duration::from_micros(1));
        assert_eq!(waiting.release().await.unwrap().due, [at(10)]);
        assert_eq!(published(store).await, ["event 1"]);
        let expected = WaitingDepth {
            events: 2,
            deliveries: 0,
            next_due: Some(at(20)),
        };
        assert_eq!(waiting.depth().await.unwrap(), expected);
        store.clock.advance(seconds(60));
        assert_eq!(waiting.release().await.unwrap().due, [at(20), at(30)]);
        assert_eq!(published(store).await, ["event 2", "event 3"]);
        assert_eq!(waiting.depth().await.unwrap(), WaitingDepth::default());
        assert_eq!(release_all(store).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_read_again_is_one_row_before_and_after_its_release() {
    on_each(async |store| {
        let row = waits_until(1, start() + seconds(1));
        assert_eq!(store.waiting().add(&[row.clone(), row.clone()]).await.unwrap(), 1);
        assert_eq!(store.waiting().add(std::slice::from_ref(&row)).await.unwrap(), 0);
        store.clock.advance(seconds(1));
        assert_eq!(release_all(store).await, 1);
        assert_eq!(store.waiting().add(&[row]).await.unwrap(), 0);
        assert_eq!((release_all(store).await, waiting_events(store).await), (0, 0));
        assert_eq!(published(store).await, ["event 1"]);
    })
    .await;
}

#[tokio::test]
async fn concurrent_instances_release_each_row_once() {
    on_each(async |store| {
        let rows: Vec<NewWaiting> = (0..2_500).map(|n| waits_until(n, start() + seconds(1))).collect();
        for some in rows.chunks(500) {
            store.waiting().add(some).await.unwrap();
        }
        store.clock.advance(seconds(2));
        let (one, two) = tokio::join!(release_all(store), release_all(store));
        // An instance may find nothing while the other holds the last rows.
        assert_eq!(one + two + release_all(store).await, 2_500);
        let values = published(store).await;
        assert_eq!(values.len(), 2_500);
        assert_eq!(values.iter().collect::<HashSet<_>>().len(), 2_500);
    })
    .await;
}

#[tokio::test]
async fn a_large_backlog_of_large_values_is_released_in_parts() {
    on_each(async |store| {
        let large = |n| {
            let mut row = waits_until(n, start());
            row.record.value = vec![b'x'; 3 << 20];
            row
        };
        for n in 0..5 {
            store.waiting().add(&[large(n)]).await.unwrap();
        }
        let first = store.waiting().release().await.unwrap().due.len();
        assert_eq!(first, 3, "as many as begin within the limit of bytes");
        assert_eq!(release_all(store).await, 2);
    })
    .await;
}

#[tokio::test]
async fn the_first_record_of_a_release_is_decided_however_often_it_is_read() {
    on_each(async |store| {
        store.waiting().add(&[waits_until(1, start())]).await.unwrap();
        assert_eq!(
            claim(store, 1, 1).await,
            ReleaseVerdict::Unknown,
            "it waits still"
        );
        release_all(store).await;
        for _ in 0..2 {
            assert_eq!(claim(store, 1, 1).await, ReleaseVerdict::First(key(1)));
            assert_eq!(claim(store, 1, 2).await, ReleaseVerdict::Duplicate(key(1)));
        }
        let claims = [(1, 2), (1, 1), (7, 3)].map(|(number, offset)| ReleaseClaim {
            id: id(number),
            origin: released_record(offset),
        });
        let verdicts = store.waiting().claim_releases(&claims).await.unwrap();
        let expected = [
            ReleaseVerdict::Duplicate(key(1)),
            ReleaseVerdict::First(key(1)),
            ReleaseVerdict::Unknown,
        ];
        assert_eq!(verdicts, expected);
        assert_eq!(store.waiting().claim_releases(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_event_is_cancelled_once_and_never_released() {
    on_each(async |store| {
        store
            .waiting()
            .add(&[waits_until(1, start() + seconds(5))])
            .await
            .unwrap();
        assert_eq!(cancel(store, 1, true).await, EventCancel::Cancelled);
        assert_eq!(cancel(store, 1, true).await, EventCancel::AlreadyCancelled);
        assert_eq!(waiting_events(store).await, 0);
        store.clock.advance(seconds(10));
        assert_eq!(release_all(store).await, 0);
        assert_eq!(published(store).await, ["cancelled"]);
        let page = Page {
            after: None,
            limit: 10,
        };
        let log = store.audit_log().list(&store.tenant, page).await.unwrap().items;
        let [entry] = &log[..] else { panic!("{log:?}") };
        assert_eq!(
            (entry.action, &*entry.route),
            (AuditAction::Cancel, "/v1/events/e/cancel")
        );
    })
    .await;
}

#[tokio::test]
async fn a_released_event_is_cancelled_until_a_router_has_claimed_it() {
    on_each(async |store| {
        let rows = [waits_until(1, start()), waits_until(2, start())];
        store.waiting().add(&rows).await.unwrap();
        release_all(store).await;
        assert_eq!(cancel(store, 1, true).await, EventCancel::Cancelled);
        assert_eq!(claim(store, 1, 1).await, ReleaseVerdict::Cancelled);
        assert_eq!(claim(store, 2, 2).await, ReleaseVerdict::First(key(2)));
        assert_eq!(cancel(store, 2, true).await, EventCancel::Claimed);
        assert_eq!(claim(store, 2, 2).await, ReleaseVerdict::First(key(2)));
        assert_eq!(waiting_events(store).await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_cancelled_on_its_way_to_the_scheduler_never_waits() {
    on_each(async |store| {
        assert_eq!(cancel(store, 1, false).await, EventCancel::Unknown);
        assert_eq!(cancel(store, 1, true).await, EventCancel::Cancelled);
        let row = waits_until(1, start());
        assert_eq!(store.waiting().add(&[row]).await.unwrap(), 0);
        assert_eq!((release_all(store).await, waiting_events(store).await), (0, 0));
        assert_eq!(published(store).await, ["cancelled"]);
    })
    .await;
}

fn route_claim(number: i64, offset: i64) -> RouteClaim {
    RouteClaim {
        key: key(number),
        event_type: "OrderShipped".into(),
        fingerprint: [7; 32],
        origin: origin(offset),
    }
}

#[tokio::test]
async fn an_undecided_event_is_cancelled_before_a_router_claims_it_and_not_after() {
    on_each(async |store| {
        let events = store.events();
        let ingest = |number| carillon_store::events::IngestClaim {
            key: key(number),
            event_type: "OrderShipped".into(),
            fingerprint: [7; 32],
            lease: Lease {
                owner: Uuid::now_v7(),
                until: start() + seconds(30),
            },
        };
        events.claim_ingest(vec![ingest(1), ingest(2)]).await.unwrap();
        events.mark_published(vec![key(1), key(2)]).await.unwrap();
        assert_eq!(cancel(store, 1, false).await, EventCancel::Cancelled);
        assert_eq!(cancel(store, 1, false).await, EventCancel::AlreadyCancelled);
        let claims = [route_claim(1, 1), route_claim(2, 2), route_claim(1, 3)];
        // The same records are read again, as after an aborted transaction.
        for _ in 0..2 {
            let verdicts = events.claim_route(&claims).await.unwrap();
            assert_eq!(verdicts[0], RouteVerdict::Cancelled { via_gateway: true });
            assert!(matches!(
                verdicts[1],
                RouteVerdict::First {
                    via_gateway: true,
                    ..
                }
            ));
            assert_eq!(verdicts[2], RouteVerdict::Duplicate);
        }
        assert_eq!(cancel(store, 2, false).await, EventCancel::Claimed);
        let verdicts = events.claim_route(&claims[1..2]).await.unwrap();
        assert!(matches!(verdicts[0], RouteVerdict::First { .. }));
        assert_eq!(
            published(store).await,
            Vec::<String>::new(),
            "the router tells of it"
        );
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_and_a_router_that_race_have_one_winner() {
    on_each(async |store| {
        let numbers: Vec<i64> = (0..40).collect();
        let rows: Vec<NewWaiting> = numbers.iter().map(|n| waits_until(*n, start())).collect();
        store.waiting().add(&rows).await.unwrap();
        release_all(store).await;
        let store: &Store = store;
        for number in numbers {
            let (cancelled, claimed) =
                tokio::join!(cancel(store, number, true), claim(store, number, number));
            match (cancelled, claimed) {
                (EventCancel::Cancelled, ReleaseVerdict::Cancelled)
                | (EventCancel::Claimed, ReleaseVerdict::First(_)) => {}
                both => panic!("{both:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn claims_of_events_are_kept_while_they_wait_and_settled_rows_for_a_window() {
    on_each(async |store| {
        let events = store.events();
        let month = Duration::from_hours(30 * 24);
        events
            .claim_route(&[route_claim(1, 1), route_claim(2, 2)])
            .await
            .unwrap();
        store
            .waiting()
            .add(&[waits_until(1, start() + month)])
            .await
            .unwrap();
        let window = Duration::from_hours(7 * 24);
        store.clock.advance(Duration::from_hours(8 * 24));
        assert_eq!(events.prune(window).await.unwrap(), 1);
        let repeated = events.claim_route(&[route_claim(1, 9)]).await.unwrap();
        assert_eq!(repeated, [RouteVerdict::Duplicate]);
        assert_eq!(store.waiting().prune(window).await.unwrap(), 0);

        store.clock.advance(month);
        release_all(store).await;
        assert_eq!(
            store.waiting().prune(window).await.unwrap(),
            0,
            "it was released just now"
        );
        store.clock.advance(Duration::from_hours(8 * 24));
        assert_eq!(store.waiting().prune(window).await.unwrap(), 1);
        assert_eq!(events.prune(window).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn waiting_rows_of_one_user_are_found() {
    on_each(async |store| {
        let rows = [
            waits_until(1, start() + seconds(5)),
            waits_until(2, start() + seconds(5)),
        ];
        store.waiting().add(&rows).await.unwrap();
        let of = async |user: &str| {
            store
                .waiting()
                .of_user(&store.tenant, &user.into())
                .await
                .unwrap()
        };
        assert_eq!(of("u-1").await, [(key(1), "OrderShipped".to_owned())]);
        cancel(store, 1, true).await;
        assert_eq!(of("u-1").await, []);
        let views = store.waiting().of_event(&key(2)).await.unwrap();
        let [view] = &views[..] else { panic!("{views:?}") };
        assert_eq!(
            (&*view.kind, &*view.reason, &*view.state),
            ("event", "send_at", "waiting")
        );
        assert_eq!(view.due, start() + seconds(5));
    })
    .await;
}
