//! A receipt that proves that a message has gone out ends the attempt that waits to send it again. Receipt and worker
//! both claim that attempt, and the first claim wins.

use carillon_domain::{
    DeliveryId, DeliveryStatus,
    conclusion::{Conclusion, Consequence},
};
use carillon_providers::Reference;
use carillon_store::{
    Lease,
    send_ledger::{ClaimVerdict, SendClaim, SendKey},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    receipts::{callback, fate, recorded, reference, signed_reference},
    support::{START, Setting, on_gateway},
};

/// The reference of an attempt of one of several deliveries.
fn of(delivery: u128, attempt: u32) -> Reference {
    Reference {
        delivery_id: DeliveryId(Uuid::from_u128(delivery)),
        attempt,
        ..reference()
    }
}

fn key(delivery: u128, attempt: u32) -> SendKey {
    let reference = of(delivery, attempt);
    SendKey {
        accepted_at: reference.accepted_at,
        delivery_id: reference.delivery_id,
        generation: reference.generation,
        attempt,
    }
}

/// Claims an attempt as a worker does.
async fn claim(setting: &Setting, delivery: u128, attempt: u32) -> ClaimVerdict {
    let claim = SendClaim {
        key: key(delivery, attempt),
        lease: Lease {
            owner: Uuid::now_v7(),
            until: START.parse().unwrap(),
        },
    };
    let verdicts = setting.env.store.send_ledger().claim(&[claim]).await.unwrap();
    let [verdict] = verdicts.try_into().unwrap();
    verdict
}

/// Claims an attempt and records its outcome.
async fn ended(setting: &Setting, delivery: u128, attempt: u32, outcome: &Value) {
    assert_eq!(claim(setting, delivery, attempt).await, ClaimVerdict::Claimed);
    let outcome = serde_json::value::to_raw_value(outcome).unwrap();
    let ledger = setting.env.store.send_ledger();
    ledger
        .record(vec![(key(delivery, attempt), outcome)])
        .await
        .unwrap();
}

fn uncertain() -> Value {
    json!({"verdict": {"kind": "again", "due": START, "counts": true},
        "steps": [{"at": START, "status": "sending"}, {"at": START, "status": "uncertain", "code": "timeout"}]})
}

fn sent() -> Value {
    json!({"verdict": {"kind": "sent", "message_id": "SM0"}, "steps": [{"at": START, "status": "sent"}]})
}

async fn report(setting: &Setting, delivery: u128, attempt: u32, status: &str) {
    let reference = signed_reference(setting, &of(delivery, attempt));
    let answer = setting
        .send(callback("token-1", &reference, &fate(status, "0")))
        .await;
    assert_eq!(answer.status, 204);
}

/// The outcome of an attempt, if it was claimed and has one.
async fn outcome(setting: &Setting, delivery: u128, attempt: u32) -> Option<Conclusion> {
    let ledger = setting.env.store.send_ledger();
    let taken = ledger.taken(&[key(delivery, attempt)]).await.unwrap();
    let (_, taken) = taken.into_iter().next()?;
    Some(serde_json::from_value(taken.outcome?).unwrap())
}

/// The attempt whose message a stopped attempt proves.
async fn stopped(setting: &Setting, delivery: u128, attempt: u32) -> Option<u32> {
    outcome(setting, delivery, attempt).await?.proves
}

async fn is_free(setting: &Setting, delivery: u128, attempt: u32) -> bool {
    let ledger = setting.env.store.send_ledger();
    ledger.taken(&[key(delivery, attempt)]).await.unwrap().is_empty()
}

#[tokio::test]
async fn a_receipt_of_an_uncertain_attempt_concludes_the_one_that_waits() {
    on_gateway(async |setting| {
        for (delivery, status) in (10..).zip(["sent", "delivered", "read", "undelivered"]) {
            ended(setting, delivery, 2, &uncertain()).await;
            report(setting, delivery, 2, status).await;
            // A repeat changes nothing.
            report(setting, delivery, 2, status).await;
            let ClaimVerdict::Taken(taken) = claim(setting, delivery, 3).await else {
                panic!("{status}: a worker would send it")
            };
            let conclusion: Conclusion = serde_json::from_value(taken.outcome.unwrap()).unwrap();
            let message_id = Some("SM1".to_owned());
            assert_eq!(conclusion.verdict, Consequence::Sent { message_id });
            assert_eq!(
                (conclusion.proves, conclusion.provider.as_deref()),
                (Some(2), Some("texts"))
            );
            let [step] = conclusion.steps.try_into().unwrap();
            assert_eq!(
                (step.status, step.code.as_deref()),
                (DeliveryStatus::Sent, Some("proven-by-receipt"))
            );
            assert!(is_free(setting, delivery, 4).await);
        }
        assert!(recorded(setting).await.len() >= 4);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_of_an_attempt_under_way_is_its_outcome_and_claims_no_other() {
    on_gateway(async |setting| {
        claim(setting, 10, 2).await;
        report(setting, 10, 2, "sent").await;
        // A further one changes nothing.
        report(setting, 10, 2, "delivered").await;
        let proof = outcome(setting, 10, 2).await.unwrap();
        let message_id = Some("SM1".to_owned());
        assert_eq!(proof.verdict, Consequence::Sent { message_id });
        assert_eq!((proof.proves, proof.provider.as_deref()), (None, Some("texts")));
        let [step] = proof.steps.try_into().unwrap();
        assert_eq!(
            (step.status, step.code.as_deref()),
            (DeliveryStatus::Sent, Some("proven-by-receipt"))
        );
        assert!(is_free(setting, 10, 3).await);
        // The worker's own outcome comes too late, and the ledger says so.
        let own = serde_json::value::to_raw_value(&uncertain()).unwrap();
        let ledger = setting.env.store.send_ledger();
        assert!(!ledger.record(vec![(key(10, 2), own)]).await.unwrap());
        // A provider that reports a failure of its own has proven nothing.
        claim(setting, 11, 1).await;
        report(setting, 11, 1, "failed").await;
        assert!(outcome(setting, 11, 1).await.is_none());
        assert!(is_free(setting, 11, 2).await);
    })
    .await;
}

#[tokio::test]
async fn of_a_receipt_and_an_outcome_that_are_recorded_at_the_same_time_the_message_is_not_sent_again() {
    on_gateway(async |setting| {
        for delivery in 200..240 {
            assert_eq!(claim(setting, delivery, 2).await, ClaimVerdict::Claimed);
            let own = serde_json::value::to_raw_value(&uncertain()).unwrap();
            let ledger = setting.env.store.send_ledger();
            let record = ledger.record(vec![(key(delivery, 2), own)]);
            let (recorded, ()) = tokio::join!(record, report(setting, delivery, 2, "sent"));
            if recorded.unwrap() {
                assert_eq!(
                    stopped(setting, delivery, 3).await,
                    Some(2),
                    "the worker was first"
                );
            } else {
                let proof = outcome(setting, delivery, 2).await.unwrap();
                assert!(matches!(proof.verdict, Consequence::Sent { .. }));
                assert!(is_free(setting, delivery, 3).await);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_receipt_that_comes_while_the_message_is_sent_again_stops_only_the_attempt_after_that() {
    on_gateway(async |setting| {
        ended(setting, 10, 2, &uncertain()).await;
        assert_eq!(claim(setting, 10, 3).await, ClaimVerdict::Claimed);
        report(setting, 10, 2, "delivered").await;
        assert!(outcome(setting, 10, 3).await.is_none(), "it is the worker's");
        // The step belongs to the attempt whose state is the delivery's.
        assert_eq!(stopped(setting, 10, 4).await, Some(3));
        // An attempt that was put off is passed over likewise.
        ended(setting, 11, 2, &uncertain()).await;
        ended(setting, 11, 3, &uncertain()).await;
        report(setting, 11, 2, "delivered").await;
        assert_eq!(stopped(setting, 11, 4).await, Some(3));
    })
    .await;
}

#[tokio::test]
async fn a_receipt_claims_nothing_where_no_attempt_can_follow_or_the_message_has_not_gone_out() {
    on_gateway(async |setting| {
        ended(setting, 10, 2, &sent()).await;
        report(setting, 10, 2, "delivered").await;
        assert!(is_free(setting, 10, 3).await, "the usual case");
        ended(setting, 11, 2, &uncertain()).await;
        ended(setting, 11, 3, &sent()).await;
        report(setting, 11, 2, "delivered").await;
        assert_eq!(stopped(setting, 11, 3).await, None, "it was sent again before");
        assert!(is_free(setting, 11, 4).await);
        for (delivery, status) in (20..).zip(["failed", "canceled", "queued"]) {
            ended(setting, delivery, 2, &uncertain()).await;
            report(setting, delivery, 2, status).await;
            assert!(is_free(setting, delivery, 3).await, "{status}");
        }
        report(setting, 30, 2, "delivered").await;
        assert!(is_free(setting, 30, 3).await, "the claim was deleted meanwhile");
    })
    .await;
}

#[tokio::test]
async fn of_a_receipt_and_a_worker_that_claim_an_attempt_at_the_same_time_one_wins() {
    on_gateway(async |setting| {
        let (mut sent_again, mut stopped_in_time) = (0, 0);
        for delivery in 100..140 {
            ended(setting, delivery, 2, &uncertain()).await;
            let (verdict, ()) = if delivery % 2 == 0 {
                tokio::join!(claim(setting, delivery, 3), report(setting, delivery, 2, "sent"))
            } else {
                let (reported, verdict) =
                    tokio::join!(report(setting, delivery, 2, "sent"), claim(setting, delivery, 3));
                (verdict, reported)
            };
            if verdict == ClaimVerdict::Claimed {
                sent_again += 1;
                assert!(outcome(setting, delivery, 3).await.is_none());
                assert_eq!(stopped(setting, delivery, 4).await, Some(3));
            } else {
                stopped_in_time += 1;
                assert_eq!(stopped(setting, delivery, 3).await, Some(2));
                assert!(is_free(setting, delivery, 4).await);
            }
        }
        assert_eq!(sent_again + stopped_in_time, 40);
    })
    .await;
}
