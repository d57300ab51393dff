//! The scope of a refusal, and its consequences for other deliveries.

use std::time::Duration;

use carillon_domain::Channel;
use carillon_providers::Scope;
use carillon_testkit::eventually;

use crate::{
    provider::{address_dead, config_of, refused_address, stopped, throttle_unnamed},
    support::{PHONE, Setting, on_workers, operator, phone_of, to_guest, to_user},
};

const USERS: usize = 50;

fn users() -> Vec<String> {
    (0..USERS).map(|n| format!("u-{n}")).collect()
}

fn events() -> Vec<String> {
    (0..USERS).map(|n| format!("e-{n}")).collect()
}

/// Creates 50 users and publishes a message to each.
async fn publish_to_all(setting: &Setting) {
    for (n, user) in users().iter().enumerate() {
        setting.put_user(user, Some(&format!("+4915112345{n:03}"))).await;
    }
    let deliveries: Vec<_> = events()
        .iter()
        .zip(&users())
        .map(|(event, user)| to_user(event, user))
        .collect();
    setting.publish(&deliveries).await;
}

async fn suppressed(setting: &Setting) -> usize {
    let ids: Vec<_> = users().iter().map(|user| phone_of(user)).collect();
    let users = setting.env.store.users();
    let contacts = users.resolve(&"default".into(), &ids).await.unwrap();
    contacts
        .values()
        .filter(|contact| contact.suppressed.is_some())
        .count()
}

async fn until_all_are_sent(setting: &Setting) {
    eventually("everything is sent", || async {
        setting.advance(1_000);
        let is_sent = |event: &String| {
            setting
                .written
                .steps(event)
                .iter()
                .any(|step| step.ends_with(" sent"))
        };
        events().iter().all(is_sent)
    })
    .await;
}

#[tokio::test]
async fn a_wrong_account_that_refuses_every_recipient_strikes_no_address_and_loses_no_message() {
    for outcome in [
        address_dead("SENDER_ID_MISMATCH"),
        address_dead("UNREGISTERED"),
        refused_address("5.7.1"),
    ] {
        on_workers(async |setting| {
            let provider = setting.provider();
            provider.answers_everything(Some(outcome.clone()));
            publish_to_all(setting).await;
            let worker = setting.start(&provider);
            eventually("all wait", || async {
                let waits = |event: &String| {
                    setting
                        .written
                        .steps(event)
                        .iter()
                        .any(|step| step.contains(" retrying "))
                };
                events().iter().all(waits)
            })
            .await;
            assert_eq!(suppressed(setting).await, 0);
            assert!(setting.written.dead().is_empty());
            provider.answers_everything(None);
            until_all_are_sent(setting).await;
            worker.end().await;
            assert_eq!(suppressed(setting).await, 0);
            assert!(setting.written.dead().is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn dead_addresses_among_good_ones_are_struck_and_the_account_stays_open() {
    on_workers(async |setting| {
        let provider = setting.provider();
        for n in (0..USERS).filter(|n| n % 2 == 0) {
            provider.answers(&format!("e-{n}"), [address_dead("21211")]);
        }
        publish_to_all(setting).await;
        let worker = setting.start(&provider);
        for n in 0..USERS {
            let step = if n % 2 == 0 { "1 failed 21211" } else { "1 sent" };
            setting.written.reaches(&format!("e-{n}"), step).await;
        }
        worker.end().await;
        assert_eq!(suppressed(setting).await, USERS / 2);
        assert_eq!(provider.calls().len(), USERS, "each was asked about once");
    })
    .await;
}

#[tokio::test]
async fn a_recipient_who_has_sent_stop_is_suppressed_until_consent() {
    on_workers(async |setting| {
        setting.put_user("u-42", Some(PHONE)).await;
        let provider = setting.provider();
        provider.answers("e-1", [stopped("21610")]);
        setting.publish(&[to_user("e-1", "u-42")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 failed 21610").await;
        let user = setting
            .env
            .store
            .users()
            .get(&"default".into(), &"u-42".into())
            .await;
        let entry = user.unwrap().unwrap().value.phone_suppressed.unwrap();
        assert_eq!(
            (entry.reason.as_ref(), entry.code.as_deref()),
            ("opted_out", Some("21610"))
        );
        assert_eq!(entry.provider.as_deref(), Some("p"));
        assert_eq!(entry.delivery_id, Some(to_user("e-1", "u-42").delivery_id));

        setting.publish(&[to_user("e-2", "u-42")]).await;
        setting.written.reaches("e-2", "1 suppressed opted_out").await;
        let detail = setting.written.updates("e-2")[0].steps[0].detail.clone().unwrap();
        assert!(detail.contains("STOP"), "{detail}");

        // A profile with the same number does not take the STOP back; consent does.
        setting.put_user("u-42", Some(PHONE)).await;
        setting.publish(&[to_user("e-3", "u-42")]).await;
        setting.written.reaches("e-3", "1 suppressed opted_out").await;
        let users = setting.env.store.users();
        let had = users.consent(&operator(), &"u-42".into(), Channel::Sms).await;
        assert!(had.unwrap());
        setting.publish(&[to_user("e-4", "u-42")]).await;
        setting.written.reaches("e-4", "1 sent").await;
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_throttle_without_a_named_wait_counts_no_attempt_and_waits_longer_each_time() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", vec![throttle_unnamed(Scope::Address, "63039"); 4]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        for attempt in 1..=4_u64 {
            let retrying = format!("{attempt} retrying 63039");
            setting.written.reaches("e-1", &retrying).await;
            // The wait is a minute, doubled each time, with a tenth of jitter.
            setting.advance(60_000 * (1 << (attempt - 1)) - 1);
            setting.publish(&[to_guest(&format!("other-{attempt}"))]).await;
            setting
                .written
                .reaches(&format!("other-{attempt}"), "1 sent")
                .await;
            let calls = provider.calls_for("e-1").len();
            assert_eq!(calls as u64, attempt, "it came too early");
            setting.advance(60_000 * (1 << (attempt - 1)) / 10 + 2);
        }
        setting.written.reaches("e-1", "5 sent").await;
        worker.end().await;
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_is_only_throttled_is_given_up_after_the_configured_time() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers_everything(Some(throttle_unnamed(Scope::Address, "63039")));
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.config.give_up_after = Duration::from_mins(2);
        });
        setting.written.reaches("e-1", "1 retrying 63039").await;
        setting.advance(66_001);
        setting.written.reaches("e-1", "2 retrying 63039").await;
        setting.advance(132_001);
        setting.written.reaches("e-1", "3 dead_lettered 63039").await;
        setting.written.until_dead(1).await;
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn an_operators_fault_counts_no_attempt_in_any_scope() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [config_of(Scope::Account, "21659")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 21659").await;
        until_sent(setting, "e-1").await;
        worker.end().await;
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

async fn until_sent(setting: &Setting, event: &str) {
    eventually("it is sent", || async {
        setting.advance(1_000);
        setting
            .written
            .steps(event)
            .iter()
            .any(|step| step.ends_with(" sent"))
    })
    .await;
}
