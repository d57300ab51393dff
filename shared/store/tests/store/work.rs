//! Claims of requests and of attempts.

use carillon_store::{
    Lease,
    idempotency::{Begin, IdempotentRequest, StoredResponse},
    send_ledger::{ClaimVerdict, SendClaim, SendKey},
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestStore, delivery_id, on_each, seconds};

fn request<'a>(store: &'a TestStore, key: &'a str, body: u8) -> IdempotentRequest<'a> {
    IdempotentRequest {
        tenant: &store.tenant,
        route: "POST /v1/events",
        key,
        fingerprint: [body; 32],
        lease: Lease {
            owner: Uuid::from_u128(7),
            until: store.now() + seconds(30),
        },
    }
}

fn answer(status: u16) -> StoredResponse {
    StoredResponse {
        status,
        content_type: "application/json".into(),
        body: br#"{"event_id":"1"}"#.to_vec(),
    }
}

#[tokio::test]
async fn a_request_with_a_key_is_answered_once_and_then_replayed_for_a_day() {
    on_each(async |store| {
        let keys = store.idempotency();
        let (first, other) = (request(store, "k", 1), request(store, "k", 2));
        assert_eq!(keys.begin(&request(store, "k", 1)).await.unwrap(), Begin::Fresh);
        assert_eq!(
            keys.begin(&request(store, "k", 1)).await.unwrap(),
            Begin::InProgress
        );
        assert_eq!(
            keys.begin(&request(store, "k", 2)).await.unwrap(),
            Begin::Conflict
        );
        keys.finish(&first, &answer(202)).await.unwrap();
        assert_eq!(
            keys.begin(&request(store, "k", 1)).await.unwrap(),
            Begin::Replay(answer(202))
        );
        assert_eq!(
            keys.begin(&request(store, "k", 2)).await.unwrap(),
            Begin::Conflict
        );
        let elsewhere = IdempotentRequest {
            route: "POST /v1/simulate",
            ..other
        };
        assert_eq!(keys.begin(&elsewhere).await.unwrap(), Begin::Fresh);

        store.clock.advance(seconds(24 * 3600 - 1));
        assert_eq!(
            keys.begin(&request(store, "k", 1)).await.unwrap(),
            Begin::Replay(answer(202))
        );
        store.clock.advance(seconds(2));
        assert_eq!(keys.begin(&request(store, "k", 2)).await.unwrap(), Begin::Fresh);
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_becomes_free_after_a_server_error_a_crash_or_an_abandoned_request() {
    on_each(async |store| {
        let keys = store.idempotency();
        let first = request(store, "k", 1);
        keys.begin(&request(store, "k", 1)).await.unwrap();
        keys.finish(&first, &answer(503)).await.unwrap();
        assert_eq!(keys.begin(&request(store, "k", 1)).await.unwrap(), Begin::Fresh);
        keys.abandon(&first).await.unwrap();
        assert_eq!(keys.begin(&request(store, "k", 1)).await.unwrap(), Begin::Fresh);
        store.clock.advance(seconds(31));
        assert_eq!(
            keys.begin(&request(store, "k", 2)).await.unwrap(),
            Begin::Conflict
        );
        assert_eq!(keys.begin(&request(store, "k", 1)).await.unwrap(), Begin::Fresh);
        keys.finish(&first, &answer(422)).await.unwrap();
        // A key with a response cannot be given back.
        keys.abandon(&first).await.unwrap();
        assert_eq!(
            keys.begin(&request(store, "k", 1)).await.unwrap(),
            Begin::Replay(answer(422))
        );
        store.clock.advance(seconds(24 * 3600));
        assert_eq!(keys.prune().await.unwrap(), 0);
        store.clock.advance(seconds(60));
        assert_eq!(keys.prune().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_key_was_taken_over_meanwhile_neither_stores_its_answer_nor_gives_the_key_back() {
    on_each(async |store| {
        let keys = store.idempotency();
        let slow = request(store, "k", 1);
        assert_eq!(keys.begin(&slow).await.unwrap(), Begin::Fresh);
        store.clock.advance(seconds(31));
        let mut next = request(store, "k", 1);
        next.lease.owner = Uuid::from_u128(8);
        assert_eq!(keys.begin(&next).await.unwrap(), Begin::Fresh);
        keys.finish(&slow, &answer(422)).await.unwrap();
        keys.abandon(&slow).await.unwrap();
        assert_eq!(
            keys.begin(&request(store, "k", 1)).await.unwrap(),
            Begin::InProgress
        );
        keys.finish(&next, &answer(202)).await.unwrap();
        let replay = Begin::Replay(answer(202));
        assert_eq!(keys.begin(&request(store, "k", 1)).await.unwrap(), replay);
    })
    .await;
}

fn outcome(json: &serde_json::Value) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(json).unwrap()
}

fn send_key(number: u128, attempt: u32) -> SendKey {
    SendKey {
        accepted_at: "2026-11-24T10:00:00Z".parse().unwrap(),
        delivery_id: delivery_id(number),
        generation: 0,
        attempt,
    }
}

fn send(store: &TestStore, key: SendKey, owner: u128) -> SendClaim {
    SendClaim {
        key,
        lease: Lease {
            owner: Uuid::from_u128(owner),
            until: store.now() + seconds(30),
        },
    }
}

#[tokio::test]
async fn an_attempt_is_claimed_by_one_worker_and_its_outcome_stays() {
    on_each(async |store| {
        let ledger = store.send_ledger();
        let claims: Vec<_> = (0..100).map(|n| send(store, send_key(n, 1), 1)).collect();
        assert!(
            ledger
                .claim(&claims)
                .await
                .unwrap()
                .iter()
                .all(|verdict| *verdict == ClaimVerdict::Claimed)
        );
        ledger
            .record(vec![(send_key(7, 1), outcome(&json!({"ok": "SM1"})))])
            .await
            .unwrap();
        ledger
            .record(vec![(send_key(7, 1), outcome(&json!({"failed": "late"})))])
            .await
            .unwrap();

        let again = ledger
            .claim(&[
                send(store, send_key(7, 1), 2),
                send(store, send_key(8, 1), 2),
                send(store, send_key(7, 2), 2),
            ])
            .await
            .unwrap();
        let ClaimVerdict::Taken(seventh) = &again[0] else {
            panic!("{again:?}")
        };
        assert_eq!(
            (seventh.lease.owner, seventh.outcome.as_ref()),
            (Uuid::from_u128(1), Some(&json!({"ok": "SM1"})))
        );
        let ClaimVerdict::Taken(eighth) = &again[1] else {
            panic!("{again:?}")
        };
        assert_eq!((eighth.outcome.as_ref(), eighth.claimed_at), (None, store.now()));
        assert_eq!(again[2], ClaimVerdict::Claimed);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_stands_in_a_batch_twice_is_claimed_once() {
    on_each(async |store| {
        let twice = [send(store, send_key(1, 1), 1), send(store, send_key(1, 1), 2)];
        let verdicts = store.send_ledger().claim(&twice).await.unwrap();
        assert_eq!(verdicts[0], ClaimVerdict::Claimed);
        let ClaimVerdict::Taken(taken) = &verdicts[1] else {
            panic!("{verdicts:?}")
        };
        assert_eq!(taken.lease.owner, Uuid::from_u128(1));
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_claims_again_later_gets_its_standing_lease() {
    on_each(async |store| {
        let (ledger, key) = (store.send_ledger(), send_key(1, 1));
        let first = send(store, key, 1);
        ledger.claim(std::slice::from_ref(&first)).await.unwrap();
        store.clock.advance(seconds(5));
        let verdicts = ledger.claim(&[send(store, key, 1)]).await.unwrap();
        let ClaimVerdict::Taken(own) = &verdicts[0] else {
            panic!("{verdicts:?}")
        };
        assert_eq!(own.lease, first.lease);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_without_outcome_gets_a_new_owner_once_after_its_lease_or_its_owners_death() {
    on_each(async |store| {
        let (ledger, key) = (store.send_ledger(), send_key(1, 1));
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        ledger.claim(&[send(store, key, 1)]).await.unwrap();
        let until = store.now() + seconds(90);
        let lease = |owner| Lease { owner, until };
        assert!(!ledger.take_over(key, one, lease(two)).await.unwrap());
        assert!(!ledger.take_over_from_dead(key, three, lease(two)).await.unwrap());
        store.clock.advance(seconds(31));
        assert!(ledger.take_over(key, one, lease(two)).await.unwrap());
        assert!(!ledger.take_over(key, one, lease(three)).await.unwrap());
        assert!(ledger.take_over_from_dead(key, two, lease(three)).await.unwrap());
        ledger.record(vec![(key, outcome(&json!("sent")))]).await.unwrap();
        store.clock.advance(seconds(90));
        assert!(!ledger.take_over(key, three, lease(one)).await.unwrap());
        assert!(!ledger.take_over_from_dead(key, three, lease(one)).await.unwrap());
        assert_eq!(ledger.prune(seconds(60)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_proof_is_the_outcome_of_a_claimed_attempt_that_has_none_and_the_owner_learns_that_it_is_late() {
    on_each(async |store| {
        let ledger = store.send_ledger();
        let [open, ended, unclaimed] = [1, 2, 3].map(|number| send_key(number, 1));
        ledger
            .claim(&[send(store, open, 1), send(store, ended, 1)])
            .await
            .unwrap();
        let own = || vec![(ended, outcome(&json!("own")))];
        assert!(ledger.record(own()).await.unwrap());
        assert!(!ledger.record(own()).await.unwrap(), "its answer was lost");
        let proofs = [open, ended, unclaimed].map(|key| (key, outcome(&json!("proof"))));
        let recorded = ledger.prove(&proofs).await.unwrap();
        assert_eq!(recorded, [open].into());
        assert!(ledger.prove(&proofs).await.unwrap().is_empty(), "once");
        assert!(
            !ledger
                .record(vec![(open, outcome(&json!("late")))])
                .await
                .unwrap()
        );
        let mut taken = ledger.taken(&[open, ended, unclaimed]).await.unwrap();
        taken.sort_by_key(|(key, _)| *key);
        let outcomes: Vec<_> = taken
            .into_iter()
            .map(|(key, taken)| (key, taken.outcome))
            .collect();
        assert_eq!(
            outcomes,
            [(open, Some(json!("proof"))), (ended, Some(json!("own")))]
        );
    })
    .await;
}
