//! Throttled and broken accounts: the account pauses, and its records do not.

use std::{collections::BTreeMap, time::Duration};

use carillon_testkit::eventually;

use crate::{
    provider::{Provider, config, retry, throttle},
    support::{Setting, on_workers, to_guest},
};

/// The first park of `policy.rs`.
const PARK: Duration = Duration::from_secs(2);

fn counts(provider: &Provider) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in provider.asked() {
        *counts.entry(event).or_default() += 1;
    }
    counts
}

/// Advances the test's clock until the events are sent.
async fn until_sent(setting: &Setting, events: &[&str]) {
    let is_sent = |event: &&str| {
        setting
            .written
            .steps(event)
            .iter()
            .any(|step| step.ends_with(" sent"))
    };
    eventually("everything is sent", || async {
        setting.advance(100);
        events.iter().all(is_sent)
    })
    .await;
}

#[tokio::test]
async fn a_throttle_pauses_the_whole_account_and_then_all_messages_are_sent() {
    on_workers(async |setting| {
        let (provider, pause) = (setting.provider(), Duration::from_millis(800));
        provider.answers("e-1", [throttle("429", pause)]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 429").await;
        let others = ["e-2", "e-3", "e-4"];
        setting.publish(&others.map(to_guest)).await;
        until_sent(setting, &["e-1", "e-2", "e-3", "e-4"]).await;
        setting.until_committed().await;
        worker.end().await;

        let throttled = provider.calls()[0].instant;
        for call in &provider.calls()[1..] {
            assert!(call.instant >= throttled + pause, "{} did not wait", call.event);
        }
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 retrying 429", "2 sending", "2 sent"]
        );
        for event in others {
            assert_eq!(
                setting.written.steps(event),
                ["1 sending", "1 sent"],
                "waiting is no attempt"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_success_of_a_message_already_under_way_does_not_end_a_throttle() {
    on_workers(async |setting| {
        let (provider, pause) = (setting.provider(), Duration::from_millis(1_500));
        provider.holds(&["e-2"]);
        provider.answers("e-1", [throttle("429", pause)]);
        setting.publish(&[to_guest("e-2")]).await;
        let worker = setting.start(&provider);
        eventually("it is under way", || async { provider.calls().len() == 1 }).await;
        setting.publish(&[to_guest("e-1")]).await;
        setting.written.reaches("e-1", "1 retrying 429").await;
        provider.lets_go();
        setting.written.reaches("e-2", "1 sent").await;
        setting.publish(&[to_guest("e-3")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        worker.end().await;
        let throttled = provider.calls_for("e-1")[0].instant;
        assert!(provider.calls_for("e-3")[0].instant >= throttled + pause);
    })
    .await;
}

#[tokio::test]
async fn an_operators_fault_parks_the_account_and_counts_no_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        // Two of three attempts fail. If the operator's fault counted as an attempt, none would be left for the
        // fourth call.
        provider.answers("e-1", [retry("503"), config("20003"), retry("503")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 503").await;
        setting.advance(1_101);
        setting.written.reaches("e-1", "2 retrying 20003").await;
        setting.publish(&[to_guest("e-2")]).await;
        setting.written.reaches("e-2", "1 sent").await;
        setting.advance(5_000);
        setting.written.reaches("e-1", "3 retrying 503").await;
        setting.advance(2_201);
        setting.written.reaches("e-1", "4 sent").await;
        setting.until_committed().await;
        worker.end().await;
        let calls = provider.calls();
        assert_eq!(provider.asked(), ["e-1", "e-1", "e-2", "e-1", "e-1"]);
        assert!(calls[2].instant >= calls[1].instant + PARK, "it did not wait");
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn after_a_park_one_message_goes_first_and_the_others_wait_without_an_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-0", [config("20003")]);
        setting.publish(&[to_guest("e-0")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-0", "1 retrying 20003").await;
        provider.holds_everything();
        // All are published at once, so that one worker holds all of them at the same time.
        let events: Vec<String> = (1..=30).map(|n| format!("e-{n}")).collect();
        let deliveries: Vec<_> = events.iter().map(|event| to_guest(event)).collect();
        setting.publish(&deliveries).await;
        eventually("the probe", || async { provider.calls().len() == 2 }).await;
        assert!(provider.calls()[1].instant >= provider.calls()[0].instant + PARK);
        provider.lets_go();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        until_sent(setting, &events).await;
        until_sent(setting, &["e-0"]).await;
        worker.end().await;
        let counts = counts(&provider);
        assert_eq!((counts.len(), counts.values().sum::<usize>()), (31, 32));
        let postponed = events
            .iter()
            .filter(|event| setting.written.updates(event).len() > 1)
            .count();
        assert!(postponed <= 10, "{postponed} got another attempt for no reason");
    })
    .await;
}

#[tokio::test]
async fn while_the_first_account_is_parked_the_second_sends() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        first.answers("e-1", [config("401")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        setting.written.reaches("e-1", "1 sent").await;
        let store = &setting.env.store;
        eventually(
            "the parked account is a hold, and its channel is none",
            || async {
                let held = store.account_holds().all().await.unwrap();
                let names: Vec<&str> = held.iter().map(|hold| hold.account.as_str()).collect();
                names == ["first"] && store.channel_holds().all().await.unwrap().is_empty()
            },
        )
        .await;
        setting.publish(&["e-2", "e-3"].map(to_guest)).await;
        for event in ["e-2", "e-3"] {
            setting.written.reaches(event, "1 sent").await;
        }
        for event in ["e-2", "e-3"] {
            let update = setting.written.updates(event).remove(0);
            assert_eq!(update.provider.as_deref(), Some("second"));
        }
        worker.end().await;
        // The parked account's own message went to the second account at once.
        let update = setting.written.updates("e-1").remove(0);
        assert_eq!(update.provider.as_deref(), Some("second"));
        assert!(second.calls_for("e-2").len() == 1 && second.calls_for("e-3").len() == 1);
    })
    .await;
}

#[tokio::test]
async fn a_parked_account_is_a_hold_in_the_store_for_all_processes_until_it_works() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [config("20003"), config("20003"), config("20003")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        let holds = setting.env.store.channel_holds();
        eventually("the hold is stored", || async {
            !holds.all().await.unwrap().is_empty()
        })
        .await;
        let told = holds.all().await.unwrap();
        assert!(
            told[0]
                .cause
                .contains("is parked: the provider refuses the account"),
            "{told:?}"
        );
        let accounts = setting.env.store.account_holds();
        eventually("the account's hold is stored", || async {
            let held = accounts.all().await.unwrap();
            held.len() == 1 && held[0].cause == told[0].cause && held[0].channel == told[0].channel
        })
        .await;
        until_sent(setting, &["e-1"]).await;
        eventually("the holds are gone", || async {
            holds.all().await.unwrap().is_empty() && accounts.all().await.unwrap().is_empty()
        })
        .await;
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_restart_during_a_pause_that_the_provider_asked_for_sends_nothing() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [throttle("429", Duration::from_mins(10))]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 429").await;
        worker.end().await;
        let holds = setting.env.store.account_holds();
        let told = holds.all().await.unwrap();
        assert_eq!((told.len(), told[0].park.as_deref()), (1, None), "{told:?}");

        setting.publish(&["e-2", "e-3"].map(to_guest)).await;
        let worker = setting.start(&provider);
        eventually("the next process holds the account too", || async {
            holds.all().await.unwrap().len() == 2
        })
        .await;
        let again = holds.all().await.unwrap();
        let [first, second] = [&again[0], &again[1]].map(|hold| hold.ends_at.unwrap());
        assert!(
            (first - second).abs() < chrono::TimeDelta::seconds(30),
            "{again:?}"
        );
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1"]);
    })
    .await;
}

#[tokio::test]
async fn after_a_restart_a_parked_account_gets_one_message_and_the_others_wait_for_its_answer() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-0", [config("20003")]);
        setting.publish(&[to_guest("e-0")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-0", "1 retrying 20003").await;
        worker.end().await;
        let holds = setting.env.store.account_holds();
        let told = holds.all().await.unwrap();
        assert_eq!(told[0].park.as_deref(), Some("operator"), "{told:?}");

        provider.holds_everything();
        let events: Vec<String> = (1..=20).map(|n| format!("e-{n}")).collect();
        let deliveries: Vec<_> = events.iter().map(|event| to_guest(event)).collect();
        setting.publish(&deliveries).await;
        let worker = setting.start(&provider);
        eventually("the probe", || async { provider.calls().len() == 2 }).await;
        eventually("the parked account is reported again", || async {
            holds.all().await.unwrap().len() == 2
        })
        .await;
        assert_eq!(provider.calls().len(), 2, "the others wait for the probe");
        provider.lets_go();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        until_sent(setting, &events).await;
        worker.end().await;
        // The row of the first process ends with its park.
        setting.advance(60_000);
        assert!(holds.to_resume().await.unwrap().is_empty());
    })
    .await;
}
