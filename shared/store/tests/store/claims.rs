//! Claims of events.

use std::sync::Arc;

use carillon_domain::{Clock as _, EventId};
use carillon_store::{
    Lease,
    events::{ClaimState, EventKey, IngestClaim, IngestVerdict, RouteClaim, RouteVerdict},
};
use uuid::Uuid;

use crate::support::{TestStore, on_each, origin, seconds};

const GATEWAY: Uuid = Uuid::from_u128(1);

fn key(id: &str) -> EventKey {
    EventKey {
        tenant: "default".into(),
        event_id: id.into(),
        source: "/shop".into(),
    }
}

fn ingest(store: &TestStore, id: &str, says: u8) -> IngestClaim {
    IngestClaim {
        key: key(id),
        event_type: "OrderShipped".into(),
        fingerprint: [says; 32],
        lease: Lease {
            owner: GATEWAY,
            until: store.now() + seconds(10),
        },
    }
}

fn route(id: &str, says: u8, offset: i64) -> RouteClaim {
    RouteClaim {
        key: key(id),
        event_type: "OrderShipped".into(),
        fingerprint: [says; 32],
        origin: origin(offset),
    }
}

async fn claim(store: &TestStore, claims: Vec<IngestClaim>) -> Vec<IngestVerdict> {
    store.events().claim_ingest(claims).await.unwrap()
}

async fn claim_route(store: &TestStore, claims: &[RouteClaim]) -> Vec<RouteVerdict> {
    store.events().claim_route(claims).await.unwrap()
}

/// The number of acknowledged events. Until a tracker has read a router's decision, all of them are unaccounted for,
/// whether a router has claimed them or not.
async fn acknowledged(store: &TestStore) -> u64 {
    let counts = store.audit().counts().await.unwrap();
    let unaccounted = i64::try_from(counts.acknowledged).unwrap();
    assert_eq!((counts.waiting, counts.event_difference()), (0, unaccounted));
    counts.acknowledged
}

/// Asserts that a gateway had claimed the event and that this is its first record.
#[track_caller]
fn assert_first(verdict: &RouteVerdict) {
    let is_first = matches!(
        verdict,
        RouteVerdict::First {
            via_gateway: true,
            ..
        }
    );
    assert!(is_first, "{verdict:?}");
}

#[tokio::test]
async fn an_event_is_claimed_once_and_then_recognised_by_its_content() {
    on_each(async |store| {
        use IngestVerdict::{Claimed, Conflict, Duplicate, InProgress};
        assert_eq!(claim(store, vec![ingest(store, "1", 1)]).await, [Claimed]);
        assert_eq!(claim(store, vec![ingest(store, "1", 1)]).await, [InProgress]);
        assert_eq!(claim(store, vec![ingest(store, "1", 2)]).await, [Conflict]);
        store.events().mark_published(vec![key("1")]).await.unwrap();
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1), ingest(store, "1", 2)]).await,
            [Duplicate, Conflict]
        );
        // The same id from another source is another event.
        let mut other = ingest(store, "1", 2);
        other.key.source = Arc::from("/crm");
        assert_eq!(claim(store, vec![other]).await, [Claimed]);
    })
    .await;
}

#[tokio::test]
async fn events_that_stand_in_a_batch_twice_are_claimed_once() {
    on_each(async |store| {
        use IngestVerdict::{Claimed, Conflict, InProgress};
        let batch = [("1", 1), ("2", 1), ("1", 1), ("2", 9), ("3", 1)];
        let claims = batch.map(|(id, says)| ingest(store, id, says)).to_vec();
        assert_eq!(
            claim(store, claims).await,
            [Claimed, Claimed, InProgress, Conflict, Claimed]
        );
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_crashed_before_it_published_leaves_the_event_to_the_next_try() {
    on_each(async |store| {
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Claimed]
        );
        // The gateway crashes here. The client tries again: too early, with other content, and in time.
        store.clock.advance(seconds(9));
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::InProgress]
        );
        store.clock.advance(seconds(2));
        assert_eq!(
            claim(store, vec![ingest(store, "1", 2)]).await,
            [IngestVerdict::Conflict]
        );
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Claimed]
        );
        assert_eq!(acknowledged(store).await, 0);
        store.events().mark_published(vec![key("1")]).await.unwrap();
        assert_eq!(acknowledged(store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_crashed_after_it_published_neither_loses_nor_doubles_the_event() {
    on_each(async |store| {
        claim(store, vec![ingest(store, "1", 1)]).await;
        // The gateway published and crashed before the mark; the router reads the record.
        assert_first(&claim_route(store, &[route("1", 1, 5)]).await[0]);
        assert_eq!(acknowledged(store).await, 1);
        // The client tries again, at once and much later.
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Duplicate]
        );
        store.clock.advance(seconds(60));
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Duplicate]
        );
        // Neither a late mark of the gateway nor a router that reads on after an aborted transaction counts twice.
        assert_first(&claim_route(store, &[route("1", 1, 5)]).await[0]);
        store.events().mark_published(vec![key("1")]).await.unwrap();
        assert_eq!(acknowledged(store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_record_published_twice_after_a_crash_is_routed_once() {
    on_each(async |store| {
        claim(store, vec![ingest(store, "1", 1)]).await;
        store.clock.advance(seconds(11));
        claim(store, vec![ingest(store, "1", 1)]).await;
        store.events().mark_published(vec![key("1")]).await.unwrap();
        let verdicts = claim_route(store, &[route("1", 1, 7), route("1", 1, 8)]).await;
        assert_first(&verdicts[0]);
        assert_eq!(verdicts[1..], [RouteVerdict::Duplicate]);
        assert_eq!(acknowledged(store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_given_back_can_be_taken_by_any_owner() {
    on_each(async |store| {
        use IngestVerdict::{Claimed, Conflict};
        claim(
            store,
            vec![
                ingest(store, "1", 1),
                ingest(store, "2", 1),
                ingest(store, "3", 1),
            ],
        )
        .await;
        store.events().mark_published(vec![key("2")]).await.unwrap();
        claim_route(store, &[route("3", 1, 1)]).await;
        let all = [key("1"), key("2"), key("3"), key("4")];
        store.events().abandon(Uuid::from_u128(99), &all).await.unwrap();
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::InProgress]
        );
        store.events().abandon(GATEWAY, &all).await.unwrap();
        let claims = ["1", "2", "3"].map(|id| ingest(store, id, 2)).to_vec();
        assert_eq!(claim(store, claims).await, [Claimed, Conflict, Conflict]);
    })
    .await;
}

#[tokio::test]
async fn the_same_record_read_again_is_the_first_again_and_any_other_is_a_duplicate() {
    on_each(async |store| {
        use RouteVerdict::{Conflict, Duplicate, First};
        let first = First {
            via_gateway: false,
            claimed_at: Some(store.clock.now()),
        };
        assert_eq!(claim_route(store, &[route("1", 1, 5)]).await, [first]);
        // The router's transaction was aborted: it reads the same record again.
        assert_eq!(
            claim_route(store, &[route("1", 1, 5), route("2", 1, 6)]).await,
            [first, first]
        );
        assert_eq!(
            claim_route(store, &[route("1", 1, 9), route("1", 2, 10)]).await,
            [Duplicate, Conflict]
        );
        assert_eq!(
            claim_route(store, &[route("3", 1, 11), route("3", 1, 12)]).await,
            [first, Duplicate]
        );
        store.clock.advance(seconds(60));
        assert_eq!(
            claim_route(store, &[route("1", 1, 5)]).await,
            [first],
            "the time of its first claim stays"
        );
        // The gateway now finds them as duplicates.
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Duplicate]
        );
        assert_eq!(
            claim(store, vec![ingest(store, "2", 2)]).await,
            [IngestVerdict::Conflict]
        );
        assert_eq!(acknowledged(store).await, 0);
    })
    .await;
}

#[tokio::test]
async fn of_two_events_with_one_id_the_routed_one_is_recognised_later() {
    on_each(async |store| {
        // The gateway is publishing an event when a producer's record with the same id and other content arrives.
        claim(store, vec![ingest(store, "1", 1)]).await;
        assert_first(&claim_route(store, &[route("1", 2, 5)]).await[0]);
        assert_eq!(
            claim_route(store, &[route("1", 1, 6)]).await,
            [RouteVerdict::Conflict]
        );
        assert_eq!(
            claim(store, vec![ingest(store, "1", 1)]).await,
            [IngestVerdict::Conflict]
        );
    })
    .await;
}

#[tokio::test]
async fn a_claim_is_found_by_id_with_or_without_its_source() {
    on_each(async |store| {
        claim(store, vec![ingest(store, "1", 1)]).await;
        claim_route(
            store,
            &[RouteClaim {
                key: EventKey {
                    source: "/crm".into(),
                    ..key("1")
                },
                ..route("1", 1, 5)
            }],
        )
        .await;
        let find = async |id: &str, source: Option<&str>| {
            store
                .events()
                .find(&store.tenant, &EventId::from(id), source)
                .await
                .unwrap()
        };
        let both = find("1", None).await;
        let sources: Vec<_> = both
            .iter()
            .map(|claim| (&*claim.key.source, claim.state, claim.via_gateway))
            .collect();
        assert_eq!(
            sources,
            [
                ("/crm", ClaimState::Published, false),
                ("/shop", ClaimState::Pending, true)
            ]
        );
        assert_eq!(both[0].origin, Some(origin(5)));
        assert_eq!(find("1", Some("/shop")).await[0].origin, None);
        assert!(find("2", None).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn deleting_old_claims_does_not_change_the_counts() {
    on_each(async |store| {
        let claims: Vec<_> = (0..300).map(|n| ingest(store, &n.to_string(), 1)).collect();
        let keys = claims.iter().map(|claim| claim.key.clone()).collect();
        claim(store, claims).await;
        store.events().mark_published(keys).await.unwrap();
        claim_route(store, &[route("0", 1, 1)]).await;
        store.clock.advance(seconds(3600));
        claim(store, vec![ingest(store, "young", 1)]).await;
        assert_eq!(store.events().prune(seconds(1800)).await.unwrap(), 300);
        assert_eq!(store.events().prune(seconds(1800)).await.unwrap(), 0);
        assert_eq!(acknowledged(store).await, 300);
        assert_eq!(
            claim(store, vec![ingest(store, "young", 1)]).await,
            [IngestVerdict::InProgress]
        );
        assert_eq!(
            claim(store, vec![ingest(store, "0", 2)]).await,
            [IngestVerdict::Claimed]
        );
    })
    .await;
}

#[tokio::test]
async fn many_callers_at_once_each_get_their_own_verdict() {
    on_each(async |store| {
        let posts = (0..400_u32).map(|n| {
            let events = store.events().clone();
            // Each id is posted twice.
            let claim = ingest(store, &(n / 2).to_string(), 1);
            async move {
                let verdict = events.claim_ingest(vec![claim.clone()]).await.unwrap()[0];
                if verdict == IngestVerdict::Claimed {
                    events.mark_published(vec![claim.key]).await.unwrap();
                }
                verdict
            }
        });
        let verdicts = futures::future::join_all(posts).await;
        let claimed = verdicts
            .iter()
            .filter(|verdict| **verdict == IngestVerdict::Claimed)
            .count();
        assert_eq!(claimed, 200);
        assert!(!verdicts.contains(&IngestVerdict::Conflict));
        assert_eq!(acknowledged(store).await, 200);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_marks_and_a_router_that_claims_the_same_events_never_deadlock() {
    on_each(async |store| {
        const ROUNDS: i64 = 20;
        const EVENTS: i64 = 200;
        for round in 0..ROUNDS {
            // The rows lie in the table in another order than that of their keys.
            let ids: Vec<String> = (0..EVENTS).rev().map(|n| format!("{round}-{n:03}")).collect();
            for some in ids.chunks(10) {
                let claims = some.iter().rev().map(|id| ingest(store, id, 1)).collect();
                claim(store, claims).await;
            }
            let keys = ids.iter().map(|id| key(id)).collect();
            let claims: Vec<RouteClaim> = ids.iter().zip(0..).map(|(id, n)| route(id, 1, n)).collect();
            let (marked, routed) = tokio::join!(
                store.events().mark_published(keys),
                store.events().claim_route(&claims)
            );
            marked.unwrap();
            routed.unwrap();
        }
        let events = u64::try_from(ROUNDS * EVENTS).unwrap();
        assert_eq!(acknowledged(store).await, events);
    })
    .await;
}
