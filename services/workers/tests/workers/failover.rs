//! Failover to the next account of a channel, within the attempt.

use std::time::Duration;

use carillon_providers::{Scope, SendOutcome};
use carillon_testkit::eventually;

use crate::{
    provider::{address_dead, config, retry, retry_of, terminal, throttle, uncertain},
    support::{Setting, on_workers, to_guest},
};

/// The details of an event's steps, in order.
fn details(setting: &Setting, event: &str) -> Vec<String> {
    let updates = setting.written.updates(event).into_iter();
    updates
        .flat_map(|update| update.steps)
        .filter_map(|step| step.detail)
        .collect()
}

#[tokio::test]
async fn a_message_that_the_first_account_certainly_did_not_take_goes_to_the_next_one_in_the_same_attempt() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        for (event, outcome) in [
            ("e-1", retry("503")),
            ("e-2", throttle("429", Duration::from_millis(300))),
            ("e-3", config("20003")),
        ] {
            // A throttle or a park of the step before has to pass.
            eventually("the first account is open", || async {
                let probe = format!("probe of {event} {}", first.calls().len() + second.calls().len());
                setting.publish(&[to_guest(&probe)]).await;
                setting.written.reaches(&probe, "1 sent").await;
                !first.calls_for(&probe).is_empty()
            })
            .await;
            let code = outcome.refusal().unwrap().code.clone();
            first.answers(event, [outcome]);
            setting.publish(&[to_guest(event)]).await;
            setting.written.reaches(event, "1 sent").await;
            let expected = [
                "1 sending".to_owned(),
                format!("1 sending {code}"),
                "1 sending".to_owned(),
                "1 sent".to_owned(),
            ];
            assert_eq!(setting.written.steps(event), expected);
            let update = setting.written.updates(event).remove(0);
            assert_eq!(update.provider.as_deref(), Some("second"));
            assert_eq!(
                (first.calls_for(event).len(), second.calls_for(event).len()),
                (1, 1)
            );
            let told = details(setting, event).remove(0);
            assert!(
                told.starts_with("the provider account first did not take the message: the test says so"),
                "{told}"
            );
        }
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn no_other_account_gets_a_message_that_may_have_gone_out_or_whose_refusal_concerns_message_or_recipient()
 {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        let outcomes: [(&str, SendOutcome, &str); 5] = [
            ("e-1", uncertain("timeout"), "1 uncertain timeout"),
            ("e-2", terminal("21612"), "1 dead_lettered 21612"),
            ("e-3", retry_of(Scope::Message, "busy"), "1 retrying busy"),
            ("e-4", retry_of(Scope::Address, "full"), "1 retrying full"),
            ("e-5", address_dead("21211"), "1 failed 21211"),
        ];
        for (event, outcome, _) in &outcomes {
            first.answers(event, [outcome.clone()]);
        }
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        for (event, _, expected) in &outcomes {
            setting.publish(&[to_guest(event)]).await;
            setting.written.reaches(event, expected).await;
        }
        worker.end().await;
        assert!(second.asked().is_empty(), "{:?}", second.asked());
    })
    .await;
}

#[tokio::test]
async fn a_closed_account_is_skipped_with_its_name_the_cause_and_the_time() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        first.answers("e-1", [throttle("429", Duration::from_mins(10))]);
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        setting.publish(&[to_guest("e-1")]).await;
        setting.written.reaches("e-1", "1 sent").await;
        setting.publish(&[to_guest("e-2")]).await;
        setting.written.reaches("e-2", "1 sent").await;
        let steps = ["1 sending account-skipped", "1 sending", "1 sent"];
        assert_eq!(setting.written.steps("e-2"), steps);
        let told = details(setting, "e-2").remove(0);
        assert!(
            told.starts_with(
                "the provider account first is paused at the provider's request; until 2024-11-24 10:1"
            ),
            "{told}"
        );
        worker.end().await;
        assert_eq!(
            (first.asked(), second.asked()),
            (vec!["e-1".to_owned()], vec!["e-1".to_owned(), "e-2".to_owned()])
        );
    })
    .await;
}

#[tokio::test]
async fn if_every_account_refuses_the_last_answer_counts_and_the_attempt_is_one() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        first.answers("e-1", [retry("503")]);
        second.answers("e-1", [retry("502")]);
        let worker = setting.start_with(vec![first.account("first"), second.account("second")], |_| {});
        setting.publish(&[to_guest("e-1")]).await;
        setting.written.reaches("e-1", "1 retrying 502").await;
        let steps = ["1 sending", "1 sending 503", "1 sending", "1 retrying 502"];
        assert_eq!(setting.written.steps("e-1"), steps);
        setting.advance(2_000);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
    })
    .await;
}
