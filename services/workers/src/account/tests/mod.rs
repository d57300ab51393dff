//! The reactions of an account to answers.

mod doubt;
mod share;

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use carillon_domain::{Content, DeliveryId, Platform, Timestamp, contact::DeathReason};
use carillon_providers::{Refusal, Scope, SendOutcome};
use parking_lot::Mutex;
use uuid::Uuid;

use super::*;
use crate::policy::{Course, FAILURES_IN_A_ROW, FIRST_PARK, FIRST_WAIT};

struct Scripted(Mutex<VecDeque<SendOutcome>>);

#[async_trait]
impl Sender for Scripted {
    async fn send(&self, _: &OutgoingMessage) -> SendOutcome {
        self.0
            .lock()
            .pop_front()
            .unwrap_or(SendOutcome::Ok { message_id: None })
    }
}

fn account(script: Vec<SendOutcome>) -> Arc<Account> {
    let sender = Arc::new(Scripted(Mutex::new(script.into())));
    Account::new("p", Channel::Sms, sender, None)
}

fn message(content: Content, to: &str, platform: Option<Platform>) -> OutgoingMessage {
    OutgoingMessage {
        tenant: carillon_domain::TenantId::default(),
        reference_key: carillon_providers::ReferenceKey::of(&carillon_domain::contact::AddressKey::new(
            [7; 32],
        )),
        delivery_id: DeliveryId(Uuid::nil()),
        event_id: "e".into(),
        accepted_at: Timestamp::UNIX_EPOCH,
        generation: 0,
        attempt: 1,
        to: to.into(),
        platform,
        content,
        expires_at: None,
        unsubscribe_url: None,
        secrets: Vec::new(),
    }
}

fn text(to: &str) -> OutgoingMessage {
    message(Content::Sms { text: "t".into() }, to, None)
}

fn mail(to: &str) -> OutgoingMessage {
    let content = Content::Email {
        subject: "s".into(),
        text: "t".into(),
        html: None,
    };
    message(content, to, None)
}

fn push(platform: Platform) -> OutgoingMessage {
    let content = Content::Push {
        title: "t".into(),
        body: "b".into(),
        data: std::collections::BTreeMap::new(),
        collapse: None,
    };
    message(content, "token", Some(platform))
}

async fn send_message(account: &Account, message: &OutgoingMessage) -> Result<Ruled, Closed> {
    let permit = account.breaker.try_acquire(message)?;
    let tries = Tries {
        waits: 0,
        attempts: 1,
        longest_back_off: Duration::from_mins(15),
    };
    Ok(account.send(permit, message, tries).await)
}

async fn send(account: &Account) -> Option<Ruled> {
    send_message(account, &text("+491511234567")).await.ok()
}

fn refusal(scope: Scope) -> Refusal {
    Refusal::new(scope, "x", "y")
}

fn config() -> SendOutcome {
    SendOutcome::Config(refusal(Scope::Account))
}

fn dead() -> SendOutcome {
    SendOutcome::AddressDead(refusal(Scope::Address), DeathReason::Gone)
}

/// Sends to the addresses of a range, one after the other.
async fn send_to(account: &Account, numbers: std::ops::Range<usize>) -> Vec<Ruled> {
    let mut ruled = Vec::new();
    for number in numbers {
        ruled.push(
            send_message(account, &text(&format!("+49{number}")))
                .await
                .unwrap(),
        );
    }
    ruled
}

#[test]
fn no_more_go_out_at_once_than_rate_and_connections_allow() {
    struct Few;
    #[async_trait]
    impl Sender for Few {
        async fn send(&self, _: &OutgoingMessage) -> SendOutcome {
            SendOutcome::Ok { message_id: None }
        }
        fn connections(&self) -> Option<tokio::sync::watch::Receiver<usize>> {
            Some(tokio::sync::watch::channel(32).1)
        }
    }
    let burst = |rate| Account::new("p", Channel::Email, Arc::new(Few), rate).burst();
    assert_eq!([None, Some(100), Some(5)].map(burst), [32, 32, 5]);
    assert_eq!(account(Vec::new()).burst(), Tuning::default().max_concurrency);
}

#[tokio::test(start_paused = true)]
async fn an_operators_fault_parks_the_account_until_a_probe_succeeds() {
    let account = account(vec![config(), config()]);
    assert!(send(&account).await.is_some());
    assert!(!account.breaker.is_open());
    tokio::time::advance(FIRST_PARK).await;
    let first = account.breaker.try_acquire(&text("+49")).unwrap();
    assert!(
        account.breaker.try_acquire(&text("+49")).is_err(),
        "one probe at a time"
    );
    drop(first);
    let other = send_message(&account, &text("+33")).await;
    assert!(other.is_ok(), "the probe fails");
    tokio::time::advance(FIRST_PARK).await;
    assert!(!account.breaker.is_open(), "the second park is longer");
    tokio::time::advance(FIRST_PARK).await;
    assert!(send(&account).await.is_some());
    let permit = account.breaker.try_acquire(&text("+49"));
    assert!(account.breaker.is_open() && permit.is_ok_and(|permit| !permit.is_probe));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_as_the_account_does_not_stop_the_others_again_once_they_were_sent() {
    let ok = || SendOutcome::Ok { message_id: None };
    let script = [ok(), config(), config(), config(), config()];
    let account = account([vec![config()], script.to_vec()].concat());
    let culprit = text("+49");
    send_message(&account, &culprit).await.unwrap();
    tokio::time::advance(FIRST_PARK).await;
    assert!(send_message(&account, &text("+33")).await.is_ok());
    let refused = send_message(&account, &culprit).await.unwrap();
    assert!(account.breaker.is_open() && !account.breaker.is_on_probation());
    assert!(matches!(refused.course, Course::Wait(wait) if wait >= FIRST_WAIT));
    send_message(&account, &culprit).await.unwrap();
    send_message(&account, &text("+41")).await.unwrap();
    assert!(account.breaker.is_open(), "two messages may both be at fault");
    send_message(&account, &text("+43")).await.unwrap();
    assert!(!account.breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn the_operator_is_told_of_a_park_and_of_a_long_pause_until_the_account_works() {
    let throttle = |seconds| {
        let wait = Some(Duration::from_secs(seconds));
        SendOutcome::Throttle(refusal(Scope::Account).after(wait))
    };
    let parked = account(vec![config()]);
    assert_eq!(parked.breaker.complaint(), None);
    send(&parked).await.unwrap();
    let told = parked.breaker.complaint().unwrap().to_string();
    assert!(
        told.contains("p is parked") && told.contains("the provider refuses the account"),
        "{told}"
    );
    tokio::time::advance(FIRST_PARK).await;
    assert!(
        parked
            .breaker
            .complaint()
            .unwrap()
            .to_string()
            .ends_with("one message goes first")
    );
    send(&parked).await.unwrap();
    assert_eq!(parked.breaker.complaint(), None, "a success ends it");

    let paused = account(vec![throttle(3_000)]);
    send(&paused).await.unwrap();
    let told = paused.breaker.complaint().unwrap().to_string();
    assert!(
        told.contains("p is paused") && told.contains("goes out in "),
        "{told}"
    );
    let short = account(vec![throttle(2)]);
    send(&short).await.unwrap();
    assert_eq!(short.breaker.complaint(), None, "a short pause is no fault");
}

#[tokio::test(start_paused = true)]
async fn a_throttle_pauses_the_account_for_the_time_that_the_provider_names() {
    let wait = Duration::from_secs(30);
    let throttle = SendOutcome::Throttle(refusal(Scope::Account).after(Some(wait)));
    let account = account(vec![throttle]);
    assert!(send(&account).await.is_some());
    assert!(send(&account).await.is_none());
    // The wait has at most a tenth of jitter.
    tokio::time::advance(Duration::from_millis(29_999)).await;
    assert!(send(&account).await.is_none());
    tokio::time::advance(wait / 10).await;
    assert!(send(&account).await.is_some());
    assert!(account.breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn throttles_in_a_row_that_name_no_time_back_off_and_a_success_begins_anew() {
    let throttle = || SendOutcome::Throttle(refusal(Scope::Account));
    let mut script: Vec<_> = (0..8).map(|_| throttle()).collect();
    script.extend([SendOutcome::Ok { message_id: None }, throttle()]);
    let account = account(script);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        send(&account).await.unwrap();
        let begun = Instant::now();
        if !account.breaker.is_open() {
            account.breaker.wait().await;
            pauses.push(begun.elapsed().as_secs());
        }
    }
    // Pauses are at most a tenth longer, and are whole seconds.
    for (pause, least) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 64, 128, 1]) {
        assert!((least..=least + least / 10 + 1).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_may_be_a_devices_pauses_the_account_only_when_many_devices_get_it_and_parks_it_never() {
    let wait = Duration::from_mins(1);
    let unnamed = || SendOutcome::Throttle(refusal(Scope::Unnamed).after(Some(wait)));
    let mut script: Vec<_> = (0..20).map(|_| unnamed()).collect();
    script.push(SendOutcome::Ok { message_id: None });
    script.extend((0..10).map(|_| unnamed()));
    let account = account(script);
    for _ in 0..20 {
        let ruled = send(&account).await.unwrap();
        assert!(
            matches!(ruled.course, Course::Wait(own) if own >= wait),
            "only the device's message waits: {:?}",
            ruled.course
        );
    }
    assert!(account.breaker.is_open(), "one device");
    send_to(&account, 0..1).await;
    send_to(&account, 0..9).await;
    assert!(account.breaker.is_open(), "a success began the run anew");
    send_to(&account, 9..10).await;
    assert!(!account.breaker.is_open(), "ten devices in a row");
    let told = account.breaker.complaint().unwrap().to_string();
    assert!(told.contains("p is paused"), "{told}");
    // The wait has at most a tenth of jitter.
    tokio::time::advance(wait + wait / 10).await;
    assert!(account.breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_ends_between_the_look_and_the_wait_is_not_missed() {
    let account = account(vec![config()]);
    assert!(send(&account).await.is_some());
    tokio::time::advance(FIRST_PARK).await;
    let permit = account.breaker.try_acquire(&text("+49")).unwrap();
    assert!(!account.breaker.is_open(), "a handler looks, and decides to wait");
    drop(permit);
    tokio::time::timeout(FIRST_PARK, account.breaker.wait())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_not_used_leaves_the_account_open_for_the_next_message() {
    let account = account(vec![config()]);
    assert!(send(&account).await.is_some());
    tokio::time::advance(FIRST_PARK).await;
    // The first message has expired meanwhile, and is not sent.
    assert!(account.breaker.try_acquire(&text("+49")).unwrap().is_probe);
    assert!(account.breaker.is_open());
    assert!(send(&account).await.is_some());
    let parts = self::account(vec![SendOutcome::Config(refusal(Scope::Platform))]);
    send_message(&parts, &push(Platform::Ios)).await.unwrap();
    tokio::time::advance(FIRST_PARK).await;
    assert!(parts.breaker.try_acquire(&push(Platform::Ios)).is_ok());
    assert!(parts.breaker.try_acquire(&push(Platform::Ios)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_message_or_address_never_parks_the_account() {
    for outcome in [
        SendOutcome::Retry(refusal(Scope::Message)),
        SendOutcome::Retry(refusal(Scope::Address)),
        SendOutcome::Throttle(refusal(Scope::Address)),
        SendOutcome::Terminal(refusal(Scope::Message)),
    ] {
        let account = account(vec![outcome; 60]);
        for _ in 0..60 {
            assert!(send(&account).await.is_some());
            assert!(account.breaker.is_open());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_failures_parks_the_account_and_one_success_breaks_the_run() {
    let mut script = vec![SendOutcome::Retry(refusal(Scope::Account)); FAILURES_IN_A_ROW as usize - 1];
    script.push(SendOutcome::Ok { message_id: None });
    script.extend(vec![
        SendOutcome::Uncertain(refusal(Scope::Connection));
        FAILURES_IN_A_ROW as usize
    ]);
    let account = account(script);
    for _ in 0..2 * FAILURES_IN_A_ROW - 1 {
        assert!(send(&account).await.is_some());
    }
    assert!(account.breaker.is_open());
    assert!(send(&account).await.is_some());
    assert!(!account.breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_greylists_waits_for_minutes_and_others_go_on() {
    let greylisted = SendOutcome::Throttle(refusal(Scope::Domain));
    let account = account(vec![
        greylisted.clone(),
        SendOutcome::Ok { message_id: None },
        greylisted,
    ]);
    let (grey, other) = (mail("ada@Grey.example"), mail("ada@other.example"));
    send_message(&account, &grey).await.unwrap();
    assert!(account.breaker.is_open());
    let wait = account.breaker.part_is_closed(&mail("bob@grey.example")).unwrap();
    assert!(wait >= FIRST_WAIT && wait <= FIRST_WAIT * 11 / 10, "{wait:?}");
    assert!(matches!(account.breaker.try_acquire(&grey), Err(Closed::Part(_))));
    send_message(&account, &other).await.unwrap();
    tokio::time::advance(wait).await;
    send_message(&account, &grey).await.unwrap();
    let wait = account.breaker.part_is_closed(&grey).unwrap();
    assert!(wait >= 2 * FIRST_WAIT, "the second wait is longer: {wait:?}");
    tokio::time::advance(wait).await;
    send_message(&account, &grey).await.unwrap();
    assert_eq!(account.breaker.part_is_closed(&grey), None);
}

#[tokio::test(start_paused = true)]
async fn a_platform_without_a_credential_is_parked_and_the_other_platforms_go_on() {
    let auth_error = || SendOutcome::Config(refusal(Scope::Platform));
    let account = account(vec![
        auth_error(),
        SendOutcome::Ok { message_id: None },
        auth_error(),
    ]);
    send_message(&account, &push(Platform::Ios)).await.unwrap();
    assert!(send_message(&account, &push(Platform::Ios)).await.is_err());
    send_message(&account, &push(Platform::Android)).await.unwrap();
    tokio::time::advance(FIRST_PARK).await;
    let probe = account.breaker.try_acquire(&push(Platform::Ios)).unwrap();
    assert!(
        account.breaker.try_acquire(&push(Platform::Ios)).is_err(),
        "one probe at a time"
    );
    assert!(account.breaker.try_acquire(&push(Platform::Web)).is_ok());
    drop(probe);
    send_message(&account, &push(Platform::Ios)).await.unwrap();
    tokio::time::advance(FIRST_PARK).await;
    assert!(
        account.breaker.try_acquire(&push(Platform::Ios)).is_err(),
        "the second park is longer"
    );
    tokio::time::advance(FIRST_PARK).await;
    send_message(&account, &push(Platform::Ios)).await.unwrap();
    assert_eq!(account.breaker.part_is_closed(&push(Platform::Ios)), None);
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_that_an_account_is_closed_and_once_that_it_works_again() {
    let lines = carillon_testkit::lines::LogLines::of_this_thread();
    let refusal = |code: &str| Refusal::new(Scope::Account, code, "the test says so");
    let script = vec![
        SendOutcome::Config(refusal("20003")),
        SendOutcome::Config(refusal("20003")),
        SendOutcome::Ok { message_id: None },
        SendOutcome::Ok { message_id: None },
        SendOutcome::Throttle(refusal("20429").after(Some(Duration::from_mins(1)))),
        SendOutcome::Ok { message_id: None },
        // A short pause is normal, and the log is silent about it.
        SendOutcome::Throttle(refusal("20429").after(Some(Duration::from_secs(1)))),
        SendOutcome::Ok { message_id: None },
    ];
    let account = account(script);
    for _ in 0..8 {
        account.breaker.wait().await;
        assert!(send(&account).await.is_some());
    }
    assert_eq!(lines.with("the provider account is parked").len(), 2);
    assert_eq!(lines.with("is paused at the provider's request").len(), 1);
    let back = lines.with("the provider account works again");
    assert_eq!(back.len(), 2, "{back:?}");
    assert!(
        back[0].contains("provider=p") && back[0].contains("closed_for_seconds="),
        "{back:?}"
    );
    let seconds: u64 = back[1].rsplit('=').next().unwrap().parse().unwrap();
    assert!((60..90).contains(&seconds), "{back:?}");
}
