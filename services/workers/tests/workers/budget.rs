//! Retries beyond an account's retry budget wait.

use carillon_providers::Scope;
use carillon_testkit::eventually;
use carillon_workers::Tuning;

use crate::{
    provider::retry_of,
    support::{Setting, on_workers, to_guest},
};

const RETRIED: [&str; 2] = ["e-1", "e-2"];

/// One retry in ten seconds, or a fifth of the messages.
fn tight() -> Tuning {
    Tuning {
        retry_percent: 20,
        retry_floor: 1,
        ..Tuning::default()
    }
}

/// Which of the events have a step.
fn having(setting: &Setting, step: &str) -> Vec<&'static str> {
    let has = |event: &&str| {
        setting
            .written
            .steps(event)
            .iter()
            .any(|other| other.ends_with(step))
    };
    RETRIED.into_iter().filter(has).collect()
}

/// Publishes two messages whose first attempt fails.
async fn fail_twice(setting: &Setting) {
    setting.publish(&RETRIED.map(to_guest)).await;
    for event in RETRIED {
        setting.written.reaches(event, "1 retrying busy").await;
    }
}

#[tokio::test]
async fn a_retry_beyond_the_budget_waits_and_goes_out_once_there_is_more_traffic() {
    on_workers(async |setting| {
        let provider = setting.provider();
        for event in RETRIED {
            provider.answers(event, [retry_of(Scope::Message, "busy")]);
        }
        let worker = setting.start_with(vec![provider.account_of_tuning("p", tight())], |_| {});
        fail_twice(setting).await;
        eventually("one is sent again and the other waits", || async {
            setting.advance(100);
            having(setting, " sent").len() == 1 && having(setting, "retrying retry-budget").len() == 1
        })
        .await;
        let held = having(setting, "retrying retry-budget")[0];
        assert_ne!(having(setting, " sent"), [held]);
        let told: Vec<String> = setting
            .written
            .updates(held)
            .into_iter()
            .flat_map(|update| update.steps)
            .filter_map(|step| step.detail)
            .collect();
        assert!(
            told.iter().any(|detail| detail.starts_with(
                "the provider account p has used its retry budget: at most 20 % of its messages in ten seconds"
            )),
            "{told:?}"
        );
        assert_eq!(provider.calls_for(held).len(), 1);

        let others: Vec<String> = (0..20).map(|n| format!("other-{n}")).collect();
        let deliveries: Vec<_> = others.iter().map(|event| to_guest(event)).collect();
        setting.publish(&deliveries).await;
        eventually("everything is sent", || async {
            setting.advance(100);
            having(setting, " sent").len() == 2
        })
        .await;
        worker.end().await;
        assert_eq!(provider.calls_for(held).len(), 2);
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_retry_beyond_the_budget_of_one_account_goes_to_the_next_one() {
    on_workers(async |setting| {
        let (first, second) = (setting.provider(), setting.provider());
        for event in RETRIED {
            first.answers(event, [retry_of(Scope::Message, "busy")]);
        }
        let accounts = vec![
            first.account_of_tuning("first", tight()),
            second.account("second"),
        ];
        let worker = setting.start_with(accounts, |_| {});
        fail_twice(setting).await;
        eventually("both are sent", || async {
            setting.advance(100);
            having(setting, " sent").len() == 2
        })
        .await;
        worker.end().await;
        assert_eq!((first.calls().len(), second.calls().len()), (3, 1));
        let passed = having(setting, "sending account-skipped");
        assert_eq!(passed, second.asked());
    })
    .await;
}
