//! The send ledger decides which worker may send a delivery. If it is unknown whether a worker has sent it, the status
//! `uncertain` is published.

use std::{collections::BTreeMap, time::Duration};

use carillon_bus::{OutRecord, Queue, dead_letter, headers};
use carillon_domain::{Channel, Clock as _, Delivery, Lane, catalog::OnUncertain, dead_letter::FailureClass};
use carillon_store::{
    Lease,
    send_ledger::{ClaimVerdict, SendClaim, SendKey},
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{START, Setting, on_workers, on_workers_in_real_time, to_guest};

fn first_attempt(delivery: &Delivery) -> SendKey {
    SendKey {
        accepted_at: delivery.accepted_at,
        delivery_id: delivery.delivery_id,
        generation: 0,
        attempt: 1,
    }
}

/// Another worker claims the first attempt, with a lease of this many seconds (negative: in the past).
async fn another_claims(setting: &Setting, delivery: &Delivery, seconds: i64) {
    let claim = SendClaim {
        key: first_attempt(delivery),
        lease: Lease {
            owner: Uuid::now_v7(),
            until: setting.clock.now() + chrono::TimeDelta::seconds(seconds),
        },
    };
    let verdicts = setting.env.store.send_ledger().claim(&[claim]).await.unwrap();
    assert_eq!(verdicts, [ClaimVerdict::Claimed]);
}

fn raw(json: &serde_json::Value) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(json).unwrap()
}

/// The outcome of an attempt that was sent, as the ledger stores it. (The form must stay the same over an upgrade.)
fn was_sent() -> serde_json::Value {
    json!({
        "verdict": {"kind": "sent", "message_id": "message of another"},
        "steps": [{"at": START, "status": "sending"}, {"at": START, "status": "sent"}],
        "provider": "q", "to_masked": "+49…78",
        "template": {"id": "OrderShipped/sms", "version": 3, "locale": "en"},
    })
}

#[tokio::test]
async fn an_attempt_whose_worker_died_is_uncertain_and_is_sent_as_the_next_attempt() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        another_claims(setting, &delivery, -1).await;
        setting.publish(&[delivery]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "2 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 uncertain worker-lost", "2 sending", "2 sent"]
        );
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_whose_worker_died_is_a_dead_letter_if_its_category_holds_uncertain_messages() {
    on_workers(async |setting| {
        let delivery = Delivery {
            on_uncertain: OnUncertain::Hold,
            ..to_guest("e-1")
        };
        another_claims(setting, &delivery, -1).await;
        setting.publish(&[delivery]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        let dead = setting.written.until_dead(1).await.remove(0);
        setting.until_committed().await;
        worker.end().await;
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!(
            (letter.class, &*letter.code),
            (FailureClass::Uncertain, "worker-lost")
        );
        setting.written.settle().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 uncertain worker-lost", "1 dead_lettered worker-lost"]
        );
        assert!(provider.calls().is_empty());
    })
    .await;
}

#[tokio::test]
async fn with_only_one_process_a_claim_of_another_owner_counts_as_that_of_a_dead_process() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        another_claims(setting, &delivery, 3_600).await;
        setting.publish(&[delivery]).await;
        let provider = setting.provider();
        let worker = setting.start_with(vec![provider.account("p")], |deps| deps.only_process = true);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 uncertain worker-lost", "2 sending", "2 sent"]
        );
    })
    .await;
}

#[tokio::test]
async fn an_attempt_of_a_live_worker_is_waited_for_and_delays_no_other_delivery() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        another_claims(setting, &delivery, 12).await;
        let neighbours = ["e-2", "e-3", "e-4"];
        let mut all = vec![delivery.clone()];
        all.extend(neighbours.map(to_guest));
        setting.publish(&all).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        for neighbour in neighbours {
            setting.written.reaches(neighbour, "1 sent").await;
        }
        assert!(setting.written.updates("e-1").is_empty());

        // The owner records its outcome, and that outcome is published.
        let outcomes = vec![(first_attempt(&delivery), raw(&was_sent()))];
        setting.env.store.send_ledger().record(outcomes).await.unwrap();
        setting.written.reaches("e-1", "1 sent").await;
        setting.until_committed().await;
        worker.end().await;
        let update = setting.written.updates("e-1").remove(0);
        assert_eq!(
            (update.provider.as_deref(), update.provider_message_id.as_deref()),
            (Some("q"), Some("message of another"))
        );
        assert_eq!(provider.calls().len(), 3);
        assert!(provider.calls_for("e-1").is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_attempt_of_a_silent_worker_is_uncertain_after_its_lease() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        another_claims(setting, &delivery, 12).await;
        setting.publish(&[delivery, to_guest("e-2")]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-2", "1 sent").await;
        setting.advance(11_999);
        assert!(setting.written.updates("e-1").is_empty());
        setting.advance(1);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        let update = setting.written.updates("e-1").remove(0);
        assert_eq!(update.steps[0].code.as_deref(), Some("worker-lost"));
        assert_eq!(update.steps[0].at, setting.clock.now());
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_of_a_call_leaves_an_uncertain_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.holds(&["e-1"]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        carillon_testkit::eventually("the call", || async { provider.calls().len() == 1 }).await;
        worker.kill().await;
        provider.lets_go();

        setting.publish(&[to_guest("e-2")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-2", "1 sent").await;
        setting.clock.advance(Duration::from_secs(13));
        setting.written.reaches("e-1", "2 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 uncertain worker-lost", "2 sending", "2 sent"]
        );
        assert_eq!(provider.calls_for("e-1").len(), 2);
        assert_eq!(provider.calls_for("e-2").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_published_twice_is_sent_once() {
    on_workers(async |setting| {
        let delivery = to_guest("e-1");
        setting.publish(&[delivery.clone(), delivery.clone()]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        carillon_testkit::eventually("both are done", || async {
            setting.written.updates("e-1").len() == 2
        })
        .await;
        worker.end().await;
        // Once more under another key, for another process.
        let mut stray = setting.record(&delivery);
        stray.key = None;
        setting.env.bus.publish(vec![stray]).await.unwrap();
        let worker = setting.start(&provider);
        carillon_testkit::eventually("the third is done", || async {
            setting.written.updates("e-1").len() == 3
        })
        .await;
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1"]);
        let updates = setting.written.updates("e-1");
        for update in &updates {
            assert_eq!(update.steps, updates[0].steps);
            assert_eq!(update.provider_message_id, updates[0].provider_message_id);
            assert_eq!(update.attempt, 1);
        }
    })
    .await;
}

#[tokio::test]
async fn another_generation_of_a_delivery_is_sent_once_although_its_record_was_published_twice() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let delivery = to_guest("e-1");
        let replayed = setting.record(&delivery).with(headers::GENERATION, "1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        setting
            .env
            .bus
            .publish(vec![replayed.clone(), replayed])
            .await
            .unwrap();
        let worker = setting.start(&provider);
        carillon_testkit::eventually("all three are done", || async {
            setting.written.updates("e-1").len() == 3
        })
        .await;
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1", "e-1"]);
        let generations: Vec<u32> = setting
            .written
            .updates("e-1")
            .iter()
            .map(|update| update.generation)
            .collect();
        assert_eq!(generations, [0, 1, 1]);
    })
    .await;
}

#[tokio::test]
async fn an_outcome_in_the_ledger_is_published_again_without_a_send() {
    on_workers(async |setting| {
        let sent = to_guest("e-1");
        another_claims(setting, &sent, -1).await;
        let waits = to_guest("e-2");
        another_claims(setting, &waits, -1).await;
        let due = setting.clock.now() + chrono::TimeDelta::seconds(1);
        let again = json!({
            "verdict": {"kind": "again", "due": due, "counts": true},
            "steps": [{"at": START, "status": "sending"}, {"at": START, "status": "retrying", "code": "503"}],
        });
        let outcomes = vec![
            (first_attempt(&sent), raw(&was_sent())),
            (first_attempt(&waits), raw(&again)),
        ];
        setting.env.store.send_ledger().record(outcomes).await.unwrap();
        setting.publish(&[sent, waits]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 sent").await;
        setting.written.reaches("e-2", "1 retrying 503").await;
        let waiting = setting.written.until_retried(1).await.remove(0);
        assert_eq!(waiting.headers.get_u32(headers::ATTEMPT), Some(2));
        assert_eq!(carillon_bus::retry::due(&waiting), Some(due));
        assert!(provider.calls().is_empty());
        setting.advance(1_000);
        setting.written.reaches("e-2", "2 sent").await;
        worker.end().await;
        assert_eq!(provider.asked(), ["e-2"]);
    })
    .await;
}

#[tokio::test]
async fn no_claim_runs_out_while_the_send_rate_is_waited_for() {
    on_workers_in_real_time(async |setting| {
        let provider = setting.provider();
        let lease = Duration::from_secs(1);
        // Each record is in both partitions, and each of two workers owns one of them.
        let start = || {
            setting.start_with(vec![provider.account_of_rate("p", 1)], |deps| {
                deps.config.lease = lease;
            })
        };
        let workers = [start(), start()];
        let copy = |event: &str, key: &str| {
            let mut copy = setting.record(&to_guest(event));
            copy.key = Some(key.to_owned().into());
            copy
        };
        // Records of another channel's topic show which partition a key leads to.
        let mut keys: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for key in (0..40).map(|number| format!("k-{number}")) {
            let mut probe = copy("e-0", &key);
            probe.topic = setting.env.bus.topics().channel(Channel::Email, Lane::Normal);
            let at = setting.env.bus.publish(vec![probe]).await.unwrap();
            keys.entry(at[0].partition).or_default().push(key);
        }
        // Both workers have begun.
        for partition in keys.values() {
            let event = format!("warm-{}", partition[0]);
            setting
                .env
                .bus
                .publish(vec![copy(&event, &partition[0])])
                .await
                .unwrap();
            setting.written.reaches(&event, "1 sent").await;
        }
        let events = ["e-1", "e-2", "e-3", "e-4", "e-5"];
        for partition in keys.values() {
            // One by one and under different keys, so that none waits for another.
            for (event, key) in events.iter().zip(partition) {
                setting.env.bus.publish(vec![copy(event, key)]).await.unwrap();
            }
        }
        setting.until_committed().await;
        for worker in workers {
            worker.end().await;
        }
        for event in events {
            assert_eq!(provider.calls_for(event).len(), 1, "{event}");
            for update in setting.written.updates(event) {
                assert_eq!(update.attempt, 1, "{event}: {:?}", update.steps);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_retry_that_is_published_twice_is_sent_once() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let twice: Vec<OutRecord> = (0..2)
            .map(|_| setting.record(&to_guest("e-1")).with(headers::ATTEMPT, "2"))
            .collect();
        setting.env.bus.publish(twice).await.unwrap();
        let worker = setting.start(&provider);
        carillon_testkit::eventually("both are done", || async {
            setting.written.updates("e-1").len() == 2
        })
        .await;
        worker.end().await;
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}
