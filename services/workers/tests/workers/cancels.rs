//! Cancelled deliveries: a cancellation and a worker claim the same attempt, and the first wins.

use carillon_domain::{Clock as _, Delivery, TenantId, conclusion::Conclusion};
use carillon_store::{
    api_keys::{Principal, Role},
    send_ledger::{ClaimVerdict, SendKey},
};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    provider::retry,
    support::{Setting, on_workers, to_guest},
};

/// Cancels an attempt; whether the cancellation was first.
async fn cancel(setting: &Setting, delivery: &Delivery, attempt: u32) -> bool {
    let key = SendKey {
        accepted_at: delivery.accepted_at,
        delivery_id: delivery.delivery_id,
        generation: 0,
        attempt,
    };
    let who = Principal {
        key_id: Uuid::nil(),
        name: "ops".to_owned(),
        tenant: TenantId::default(),
        role: Role::Operator,
    };
    let outcome =
        serde_json::value::to_raw_value(&Conclusion::cancelled(setting.clock.now(), "ops")).unwrap();
    let ledger = setting.env.store.send_ledger();
    let verdicts = ledger.cancel(&who, "/", &[(key, outcome)]).await.unwrap();
    verdicts == [ClaimVerdict::Claimed]
}

#[tokio::test]
async fn a_delivery_that_was_cancelled_in_its_queue_is_not_sent_and_says_so() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        assert!(cancel(setting, &delivery, 1).await);
        assert!(!cancel(setting, &delivery, 1).await, "the first claim stays");
        setting.publish(&[delivery, to_guest("e-2")]).await;
        let provider = setting.provider();
        // The only process treats claims of other owners as claims of dead processes. A cancellation has an outcome, so
        // it is not treated so.
        let worker = setting.start_with(vec![provider.account("p")], |deps| deps.only_process = true);
        setting.written.reaches("e-1", "1 cancelled cancelled").await;
        setting.written.reaches("e-2", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(setting.written.steps("e-1"), ["1 cancelled cancelled"]);
        assert!(provider.calls_for("e-1").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_was_cancelled_while_it_waits_for_a_retry_is_not_sent_again() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        let provider = setting.provider();
        provider.answers("e-1", [retry("503")]);
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 503").await;
        assert!(!cancel(setting, &delivery, 1).await);
        assert!(cancel(setting, &delivery, 2).await);
        setting.advance(60_000);
        setting.written.reaches("e-1", "2 cancelled cancelled").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(provider.calls_for("e-1").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn of_a_cancellation_and_a_worker_that_race_one_wins_and_the_message_follows_it() {
    on_workers(async |setting| {
        let deliveries: Vec<Delivery> = (0..60).map(|n| to_guest(&format!("e-{n}"))).collect();
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.publish(&deliveries).await;
        let cancelled = join_all(deliveries.iter().map(|delivery| cancel(setting, delivery, 1))).await;
        for (n, was_cancelled) in cancelled.iter().enumerate() {
            let (event, end) = (
                format!("e-{n}"),
                if *was_cancelled {
                    "1 cancelled cancelled"
                } else {
                    "1 sent"
                },
            );
            setting.written.reaches(&event, end).await;
            let calls = provider.calls_for(&event).len();
            assert_eq!(calls, usize::from(!was_cancelled), "{event}");
        }
        setting.until_committed().await;
        worker.end().await;
    })
    .await;
}
