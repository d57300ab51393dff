//! Before an uncertain message is sent again, the provider's list is asked whether the earlier copy has gone out.

use std::time::Duration;

use carillon_domain::{
    Clock as _, Delivery, DeliveryStatus, Timestamp,
    conclusion::{Conclusion, Consequence, UncertainSend},
    status::TimelineStep,
};
use carillon_store::{
    Lease,
    send_ledger::{ClaimVerdict, SendClaim, SendKey},
};
use carillon_testkit::eventually;
use uuid::Uuid;

use crate::{
    provider::{Listed, listed, retry, throttle, uncertain},
    support::{START, Setting, on_workers, to_guest},
};

fn key(delivery: &Delivery, attempt: u32) -> SendKey {
    SendKey {
        accepted_at: delivery.accepted_at,
        delivery_id: delivery.delivery_id,
        generation: 0,
        attempt,
    }
}

/// The attempts and accounts of sends.
fn asked(sends: &[UncertainSend]) -> Vec<(u32, Option<&str>)> {
    sends
        .iter()
        .map(|send| (send.attempt, send.provider.as_deref()))
        .collect()
}

#[tokio::test]
async fn a_message_that_the_providers_list_has_is_not_sent_again_and_belongs_to_its_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.lists([listed(1, "SM7")]);
        provider.answers("e-1", [uncertain("timeout")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 uncertain timeout").await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "1 sent found-at-provider").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 uncertain timeout", "1 sent found-at-provider"]
        );
        let updates = setting.written.updates("e-1");
        assert_eq!(updates[1].provider_message_id.as_deref(), Some("SM7"));
        assert_eq!(updates[1].provider.as_deref(), Some("p"));
        assert_eq!(
            updates[1].steps[0].detail.as_deref(),
            Some("the provider's list has the message of this attempt as SM7, so it is not sent again")
        );
        assert_eq!(provider.calls().len(), 1);
        let at: Timestamp = START.parse().unwrap();
        let [sends] = provider.looked_up().try_into().unwrap();
        assert_eq!(asked(&sends), [(1, Some("p"))]);
        assert_eq!((sends[0].from, sends[0].until), (at, at));
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_is_sent_again_if_the_list_lacks_it_or_gives_no_answer_and_the_timeline_says_why() {
    on_workers(async |setting| {
        let unanswered: Listed = Err("http-503".to_owned());
        for (event, answer, code) in [
            ("e-1", Ok(None), "not-found-at-provider"),
            ("e-2", unanswered, "list-unanswered"),
        ] {
            let provider = setting.provider();
            provider.lists([answer]);
            provider.answers(event, [uncertain("timeout")]);
            setting.publish(&[to_guest(event)]).await;
            let worker = setting.start(&provider);
            setting.written.reaches(event, "1 uncertain timeout").await;
            setting.advance(1_100);
            setting.written.reaches(event, "2 sent").await;
            worker.end().await;
            assert_eq!(
                setting.written.steps(event),
                [
                    "1 sending",
                    "1 uncertain timeout",
                    &format!("2 sending {code}"),
                    "2 sending",
                    "2 sent"
                ]
            );
            assert_eq!(provider.calls().len(), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn every_later_attempt_asks_about_all_uncertain_sends_and_only_the_accounts_that_made_them() {
    on_workers(async |setting| {
        let (first, spare) = (setting.provider(), setting.provider());
        first.lists([]);
        spare.lists([]);
        first.answers("e-1", [uncertain("timeout"), uncertain("reset")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start_with(vec![first.account("p"), spare.account("q")], |_| {});
        setting.written.reaches("e-1", "1 uncertain timeout").await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "2 uncertain reset").await;
        first.answers("e-1", [retry("503")]);
        spare.answers("e-1", [retry("503")]);
        setting.advance(2_300);
        eventually("the second look", || async { first.looked_up().len() >= 2 }).await;
        worker.end().await;
        let looked_up = first.looked_up();
        assert_eq!(asked(&looked_up[0]), [(1, Some("p"))]);
        assert_eq!(asked(&looked_up[1]), [(1, Some("p")), (2, Some("p"))]);
        assert!(spare.looked_up().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_provider_without_a_list_is_not_asked() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [uncertain("timeout")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 uncertain timeout").await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 uncertain timeout", "2 sending", "2 sent"]
        );
        assert!(provider.looked_up().is_empty());
    })
    .await;
}

/// Another worker claims an attempt, and ends without an outcome or with the given one.
async fn another_claims(setting: &Setting, key: SendKey, outcome: Option<Conclusion>) {
    let claim = SendClaim {
        key,
        lease: Lease {
            owner: Uuid::now_v7(),
            until: setting.clock.now() - chrono::TimeDelta::seconds(1),
        },
    };
    let ledger = setting.env.store.send_ledger();
    assert_eq!(ledger.claim(&[claim]).await.unwrap(), [ClaimVerdict::Claimed]);
    if let Some(outcome) = outcome {
        let outcome = serde_json::value::to_raw_value(&outcome).unwrap();
        ledger.record(vec![(key, outcome)]).await.unwrap();
    }
}

#[tokio::test]
async fn the_message_of_a_worker_that_died_is_looked_up_at_every_account() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        another_claims(setting, key(&delivery, 1), None).await;
        setting.advance(500);
        setting.publish(std::slice::from_ref(&delivery)).await;
        let (first, spare) = (setting.provider(), setting.provider());
        first.lists([Ok(None)]);
        spare.lists([listed(1, "SM9")]);
        let worker = setting.start_with(vec![first.account("p"), spare.account("q")], |_| {});
        setting.written.reaches("e-1", "1 sent found-at-provider").await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 uncertain worker-lost", "1 sent found-at-provider"]
        );
        assert!(first.calls().is_empty() && spare.calls().is_empty());
        let [sends] = spare.looked_up().try_into().unwrap();
        assert_eq!(asked(&sends), [(1, None)]);
        let at: Timestamp = START.parse().unwrap();
        assert_eq!(
            (sends[0].from, sends[0].until),
            (at, at + chrono::TimeDelta::milliseconds(500)),
            "from its claim to the time at which it was found to be dead"
        );
        assert_eq!(setting.written.updates("e-1")[1].provider.as_deref(), Some("q"));
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_a_receipt_has_made_needless_is_not_sent_and_its_step_belongs_to_the_earlier_one() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        let provider = setting.provider();
        provider.answers("e-1", [uncertain("timeout")]);
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 uncertain timeout").await;
        let step = TimelineStep {
            at: setting.clock.now(),
            status: DeliveryStatus::Sent,
            code: Some("proven-by-receipt".to_owned()),
            detail: None,
        };
        let proven = Conclusion::proven(1, "p", Some("SM7".to_owned()), step);
        another_claims(setting, key(&delivery, 2), Some(proven)).await;
        setting.advance(1_100);
        setting.written.reaches("e-1", "1 sent proven-by-receipt").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 uncertain timeout", "1 sent proven-by-receipt"]
        );
        assert_eq!(
            setting.written.updates("e-1")[1].provider_message_id.as_deref(),
            Some("SM7")
        );
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

/// The proof that a receipt is of an attempt under way, as the gateway records it.
async fn proven(setting: &Setting, key: SendKey) {
    let proof = Conclusion {
        verdict: Consequence::Sent {
            message_id: Some("SM7".to_owned()),
        },
        steps: vec![TimelineStep {
            at: setting.clock.now(),
            status: DeliveryStatus::Sent,
            code: Some("proven-by-receipt".to_owned()),
            detail: None,
        }],
        provider: Some("p".to_owned()),
        ..Conclusion::default()
    };
    let proof = serde_json::value::to_raw_value(&proof).unwrap();
    let recorded = setting.env.store.send_ledger().prove(&[(key, proof)]).await;
    assert!(recorded.unwrap().contains(&key));
}

#[tokio::test]
async fn an_attempt_that_a_receipt_proves_while_it_is_under_way_is_followed_by_no_other_whatever_its_answer()
{
    on_workers(async |setting| {
        let answers = [
            (
                "e-1",
                uncertain("timeout"),
                &["1 sending", "1 uncertain timeout"][..],
            ),
            ("e-2", retry("503"), &["1 sending"]),
            ("e-3", throttle("429", Duration::from_secs(1)), &["1 sending"]),
        ];
        let provider = setting.provider();
        let deliveries = answers.each_ref().map(|(event, ..)| to_guest(event));
        for (event, answer, _) in &answers {
            provider.answers(event, [answer.clone()]);
        }
        provider.holds_everything();
        setting.publish(&deliveries).await;
        let worker = setting.start(&provider);
        eventually("the calls", || async { provider.calls().len() == answers.len() }).await;
        for delivery in &deliveries {
            proven(setting, key(delivery, 1)).await;
        }
        provider.lets_go();
        for (event, _, before) in &answers {
            setting.written.reaches(event, "1 sent proven-by-receipt").await;
            let steps = [before, &["1 sent proven-by-receipt"][..]].concat();
            assert_eq!(setting.written.steps(event), steps);
        }
        setting.until_committed().await;
        setting.advance(60_000);
        worker.end().await;
        let update = setting.written.updates("e-1").remove(0);
        assert_eq!(update.provider_message_id.as_deref(), Some("SM7"));
        assert_eq!((update.attempt, update.next_attempt_at), (1, None));
        assert_eq!(provider.calls().len(), answers.len(), "none is sent again");
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_answer_of_an_attempt_that_a_receipt_has_proven_is_published_as_it_is_if_the_provider_took_the_message()
 {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        let provider = setting.provider();
        provider.holds(&["e-1"]);
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        eventually("the call", || async { provider.calls().len() == 1 }).await;
        proven(setting, key(&delivery, 1)).await;
        provider.lets_go();
        setting.written.reaches("e-1", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(setting.written.steps("e-1"), ["1 sending", "1 sent"]);
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_a_receipt_has_proven_and_whose_worker_died_is_not_sent_again() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        let provider = setting.provider();
        provider.holds(&["e-1"]);
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        eventually("the call", || async { provider.calls().len() == 1 }).await;
        worker.kill().await;
        proven(setting, key(&delivery, 1)).await;
        provider.lets_go();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 sent proven-by-receipt").await;
        setting.until_committed().await;
        setting.advance(60_000);
        worker.end().await;
        assert_eq!(setting.written.steps("e-1"), ["1 sent proven-by-receipt"]);
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}
