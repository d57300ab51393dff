//! APNs' wire format, its tokens, and the outcomes of its answers.

use std::{sync::Arc, time::Duration};

use carillon_domain::Clock as _;
use carillon_providers::{Scope, SendOutcome};
use carillon_testkit::ManualClock;
use carillon_workers::{ApnsSender, OpenError, Sender as _};
use futures::future::join_all;
use h2::Reason;
use serde_json::json;

use crate::{
    apple::{Answer, Apple, DEVICE, Identity, TEAM, TOPIC, config_at, refuse, to_iphone},
    http_server::{nobody, told},
    support::START,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

#[tokio::test]
async fn a_push_goes_to_its_device_with_the_teams_token_and_an_id_of_its_own() {
    let apple = Apple::start().await;
    let clock = clock();
    let sender = apple.sender(clock.clone());
    let SendOutcome::Ok { message_id } = sender.send(&to_iphone(7)).await else {
        panic!()
    };
    let pushed = apple.pushed().remove(0);
    assert_eq!(pushed.device, DEVICE);
    assert_eq!(message_id.as_deref(), Some(pushed.header("apns-id")));
    assert_eq!(pushed.header("apns-topic"), TOPIC);
    assert_eq!(pushed.payload["aps"]["alert"]["title"], "Your parcel");
    assert_eq!(pushed.claims()["iss"], TEAM);
    let age = clock.now().timestamp() - pushed.claims()["iat"].as_i64().unwrap();
    assert!((60..3_600).contains(&age), "{age}");
}

#[tokio::test]
async fn all_workers_of_a_team_use_one_token_which_is_renewed_before_it_is_an_hour_old() {
    let apple = Apple::start().await;
    let clock = clock();
    let (one, other) = (apple.sender(clock.clone()), apple.sender(clock.clone()));
    for _ in 0..3 {
        assert_eq!(one.send(&to_iphone(1)).await.name(), "ok");
        assert_eq!(other.send(&to_iphone(2)).await.name(), "ok");
        clock.advance(Duration::from_mins(40));
    }
    let tokens: Vec<String> = apple
        .pushed()
        .iter()
        .map(|pushed| pushed.header("authorization").to_owned())
        .collect();
    for pair in tokens.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert!(tokens[0] != tokens[2] && tokens[2] != tokens[4]);
}

#[tokio::test]
async fn a_token_that_apple_calls_expired_is_replaced_once_if_twenty_minutes_have_passed() {
    let apple = Apple::start().await;
    // The slot of 40 minutes and a minute began within these 40 minutes; its second half begins 20 minutes later.
    let clock = clock();
    let sender = apple.sender(clock.clone());
    assert_eq!(sender.send(&to_iphone(1)).await.name(), "ok");
    let begun = apple.pushed()[0].claims()["iat"].as_i64().unwrap();
    let expired = || {
        [
            refuse(403, "ExpiredProviderToken"),
            refuse(403, "ExpiredProviderToken"),
        ]
    };
    // A slot later, so that 30 minutes of it have passed.
    let passed = clock.now().timestamp() - begun;
    clock.advance(Duration::from_secs(
        u64::try_from(2_400 - passed + 1_800).unwrap(),
    ));
    apple.answers(2, [refuse(403, "ExpiredProviderToken")]);
    assert_eq!(sender.send(&to_iphone(2)).await.name(), "ok");
    let ages: Vec<i64> = apple.pushed()[1..]
        .iter()
        .map(|pushed| clock.now().timestamp() - pushed.claims()["iat"].as_i64().unwrap())
        .collect();
    assert_eq!(ages, [1_800, 600]);
    assert_eq!(sender.send(&to_iphone(3)).await.name(), "ok");
    assert_eq!(
        apple.pushed()[2].header("authorization"),
        apple.pushed()[3].header("authorization")
    );

    // Ten minutes after that token no newer one is due, so that the answer counts.
    apple.answers(4, expired());
    let outcome = sender.send(&to_iphone(4)).await;
    assert_eq!(told(&outcome), "config ExpiredProviderToken");
    assert_eq!(outcome.refusal().unwrap().scope, Scope::Account);
    assert_eq!(apple.numbers(), [1, 2, 2, 3, 4]);
}

#[tokio::test]
async fn an_answer_has_the_class_of_its_reason_and_some_reasons_end_the_connection() {
    let apple = Apple::start().await;
    let sender = apple.sender(clock());
    for (number, (status, reason, expected, connections)) in (1..).zip([
        (400, "BadTopic", "config BadTopic", 1),
        (413, "PayloadTooLarge", "terminal PayloadTooLarge", 1),
        (429, "TooManyRequests", "throttle TooManyRequests", 1),
        (503, "Shutdown", "retry Shutdown", 1),
        (500, "InternalServerError", "retry InternalServerError", 2),
        (
            429,
            "TooManyProviderTokenUpdates",
            "config TooManyProviderTokenUpdates",
            2,
        ),
        (403, "InvalidProviderToken", "config InvalidProviderToken", 3),
        (400, "BadDeviceToken", "address_dead BadDeviceToken", 4),
    ]) {
        apple.answers(number, [refuse(status, reason)]);
        assert_eq!(told(&sender.send(&to_iphone(number)).await), expected);
        assert_eq!(apple.connections(), connections, "{reason}");
    }
    let gone = json!({"reason": "Unregistered", "timestamp": 1_764_000_000_123_i64});
    apple.answers(9, [Answer::Status(410, gone)]);
    let outcome = sender.send(&to_iphone(9)).await;
    let since = outcome.refusal().unwrap().dead_since.unwrap();
    assert_eq!(since.timestamp_millis(), 1_764_000_000_123);
}

#[tokio::test]
async fn many_messages_share_one_connection_within_the_streams_that_the_server_allows() {
    let apple = Apple::with_streams(10).await;
    let sender = apple.sender(clock());
    assert_eq!(sender.send(&to_iphone(0)).await.name(), "ok");
    let mut count = sender.connections().unwrap();
    assert_eq!(*count.wait_for(|count| *count > 1).await.unwrap(), 10);
    apple.holds(true);
    let sending = (1..=30).map(|number| {
        let sender = Arc::clone(&sender);
        tokio::spawn(async move { sender.send(&to_iphone(number)).await })
    });
    let sending = join_all(sending.collect::<Vec<_>>());
    apple.until_open(10).await;
    assert_eq!(apple.pushed().len(), 11, "no stream above the limit is opened");
    apple.holds(false);
    for outcome in sending.await {
        assert_eq!(outcome.unwrap().name(), "ok");
    }
    assert_eq!((apple.most_open(), apple.connections()), (10, 1));
    let mut numbers = apple.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_graceful_goaway_loses_nothing_and_further_messages_take_a_new_connection() {
    let apple = Apple::start().await;
    let sender = apple.sender(clock());
    assert_eq!(sender.send(&to_iphone(0)).await.name(), "ok");
    apple.holds(true);
    let send = |number| {
        let sender = Arc::clone(&sender);
        tokio::spawn(async move { sender.send(&to_iphone(number)).await })
    };
    let first: Vec<_> = (1..=20).map(send).collect();
    apple.until_open(20).await;
    apple.goes_away();
    let second: Vec<_> = (21..=40).map(send).collect();
    apple.until_open(40).await;
    apple.holds(false);
    for outcome in join_all(first.into_iter().chain(second)).await {
        assert_eq!(outcome.unwrap().name(), "ok");
    }
    let mut numbers = apple.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=40).collect::<Vec<_>>(), "each message arrives once");
}

#[tokio::test]
async fn a_stream_that_the_server_refuses_unprocessed_is_sent_again_at_once_and_a_reset_one_is_uncertain() {
    let apple = Apple::start().await;
    let sender = apple.sender(clock());
    apple.answers(1, [Answer::Reset(Reason::REFUSED_STREAM)]);
    assert_eq!(sender.send(&to_iphone(1)).await.name(), "ok");
    apple.answers(2, [Answer::Reset(Reason::INTERNAL_ERROR)]);
    assert_eq!(
        told(&sender.send(&to_iphone(2)).await),
        "uncertain connection-lost"
    );
    apple.answers(3, vec![Answer::Reset(Reason::REFUSED_STREAM); 9]);
    assert_eq!(told(&sender.send(&to_iphone(3)).await), "retry not-processed");
}

#[tokio::test]
async fn without_a_server_nothing_is_sent_and_a_certificate_of_another_authority_is_refused() {
    let identity = Identity::new();
    let sender = ApnsSender::new("apns", &config_at(nobody().await, &identity), clock()).unwrap();
    assert_eq!(told(&sender.send(&to_iphone(1)).await), "retry connect");

    let apple = Apple::start().await;
    let sender = ApnsSender::new("apns", &config_at(apple.address, &identity), clock()).unwrap();
    assert_eq!(told(&sender.send(&to_iphone(1)).await), "retry connect");
    assert!(apple.pushed().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_overdue_is_uncertain_and_its_connection_is_used_again() {
    let apple = Apple::start().await;
    let mut config = apple.config();
    config.request_timeout = Duration::from_millis(400);
    let sender = ApnsSender::new("apns", &config, clock()).unwrap();
    apple.holds(true);
    assert_eq!(told(&sender.send(&to_iphone(1)).await), "uncertain timeout");
    // The server still answers pings.
    apple.holds(false);
    assert_eq!(sender.send(&to_iphone(2)).await.name(), "ok");
    assert_eq!(apple.numbers().len(), 2);
    assert_eq!(apple.connections(), 1);
}

#[tokio::test]
async fn a_message_that_gets_no_stream_in_time_was_not_sent() {
    let apple = Apple::with_streams(0).await;
    let mut config = apple.config();
    config.request_timeout = Duration::from_millis(400);
    let sender = ApnsSender::new("apns", &config, clock()).unwrap();
    assert_eq!(told(&sender.send(&to_iphone(1)).await), "retry no-stream");
    assert!(apple.numbers().is_empty());
}

#[test]
fn an_account_that_cannot_work_names_its_setting() {
    let identity = Identity::new();
    let config = || config_at("127.0.0.1:1".parse().unwrap(), &identity);
    let blamed = |config| match ApnsSender::new("apns", &config, clock()) {
        Err(OpenError::Setting(fault)) => fault.key,
        _ => panic!("the account works"),
    };
    let mut without = config();
    without.key = None;
    assert_eq!(blamed(without), "key_path");
    let mut both = config();
    both.key_path = Some("/nowhere".into());
    assert_eq!(blamed(both), "key_path");
    let mut wrong = config();
    wrong.key = Some("no key".to_owned().into());
    assert_eq!(blamed(wrong), "key");
    let mut roots = config();
    roots.root_certificates_path = Some("/nowhere".into());
    assert_eq!(blamed(roots), "root_certificates_path");
}
