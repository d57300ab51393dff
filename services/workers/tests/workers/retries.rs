//! Deliveries that wait for another attempt: on which topic, until when, and never for a shorter time.

use std::time::Duration;

use carillon_bus::{Queue, dead_letter, headers, retry as tier};
use carillon_domain::{Channel, Clock as _, Delivery, Lane, Priority};
use carillon_providers::SendOutcome;

use crate::{
    provider::{retry, throttle},
    support::{bytes_of, on_workers, on_workers_in_real_time, on_workers_with_tiers, to_guest},
};

#[tokio::test]
async fn a_retry_is_the_same_bytes_with_the_next_attempt_and_is_never_early() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [retry("503")]);
        let delivery = to_guest("e-1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 503").await;
        let waiting = setting.written.until_retried(1).await.remove(0);
        let second = Duration::from_secs(1);
        assert_eq!(
            waiting.topic,
            setting.env.bus.topics().retry(Channel::Sms, Lane::Normal, second)
        );
        assert_eq!(waiting.value, bytes_of(&delivery));
        assert_eq!(waiting.key.as_deref(), Some(delivery.record_key().as_bytes()));
        assert_eq!(waiting.headers.get_u32(headers::ATTEMPT), Some(2));
        assert_eq!(waiting.headers.get_str(headers::TENANT), Some("default"));
        let now = setting.clock.now();
        assert_eq!(
            waiting.headers.get_i64(headers::FIRST_FAILED_AT),
            Some(now.timestamp_millis())
        );
        let due = tier::due(&waiting).unwrap();
        let said = setting.written.updates("e-1")[0].next_attempt_at.unwrap();
        // The record's header has milliseconds and is rounded up.
        let rounded = (due - said).num_microseconds().unwrap();
        assert!(
            (0..1_000).contains(&rounded),
            "its status says when it is due: {said} {due}"
        );
        let wait = (due - now).num_milliseconds();
        assert!(
            (1_000..=1_101).contains(&wait),
            "the tier and a tenth at most: {wait}"
        );

        // One millisecond too early. Later records are committed, so the worker has looked at the clock since.
        setting.advance(u64::try_from(wait).unwrap() - 1);
        setting.publish(&[to_guest("e-2")]).await;
        setting.written.reaches("e-2", "1 sent").await;
        let fresh = setting.env.bus.topics().channel(Channel::Sms, Lane::Normal);
        setting.until_committed_in(|topic| *topic == *fresh).await;
        assert_eq!(provider.calls_for("e-1").len(), 1);

        setting.advance(1);
        setting.written.reaches("e-1", "2 sent").await;
        setting.until_committed().await;
        worker.end().await;
        let calls = provider.calls_for("e-1");
        assert_eq!(calls.len(), 2);
        assert!(calls[1].at >= due, "{} {due}", calls[1].at);
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 retrying 503", "2 sending", "2 sent"]
        );
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn by_the_machines_clock_a_retry_comes_when_it_is_due() {
    on_workers_in_real_time(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [retry("503")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        let due = tier::due(&setting.written.retries()[0]).unwrap();
        let calls = provider.calls();
        assert!((due - calls[0].at).num_milliseconds() >= 1_000);
        assert!(calls[1].at >= due, "early: {} {due}", calls[1].at);
        // The guarantee is two seconds; a third is for a busy machine.
        assert!(
            calls[1].at <= due + chrono::TimeDelta::seconds(3),
            "late: {} {due}",
            calls[1].at
        );
    })
    .await;
}

#[tokio::test]
async fn a_wait_that_the_provider_names_is_kept_to() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let SendOutcome::Retry(refusal) = retry("503") else {
            unreachable!()
        };
        provider.answers(
            "e-1",
            [SendOutcome::Retry(refusal.after(Some(Duration::from_secs(40))))],
        );
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        let waiting = setting.written.until_retried(1).await.remove(0);
        assert!(waiting.topic.ends_with(".sms.retry.2s"), "{}", waiting.topic);
        let due = tier::due(&waiting).unwrap();
        assert!(due >= setting.clock.now() + chrono::TimeDelta::seconds(40));
        setting.advance(45_000);
        setting.written.reaches("e-1", "2 sent").await;
        worker.end().await;
        assert!(provider.calls()[1].at >= due);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_comes_before_its_time_goes_on_waiting_as_the_same_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let due = setting.clock.now() + chrono::TimeDelta::milliseconds(1_500);
        let early = setting
            .record(&to_guest("e-1"))
            .with(headers::ATTEMPT, "2")
            .with(headers::DUE, due.timestamp_millis().to_string());
        setting.env.bus.publish(vec![early]).await.unwrap();
        let worker = setting.start(&provider);
        let waiting = setting.written.until_retried(1).await.remove(0);
        assert_eq!(waiting.headers.get_u32(headers::ATTEMPT), Some(2));
        assert_eq!(tier::due(&waiting), Some(due));
        assert!(provider.calls().is_empty());
        setting.advance(1_500);
        setting.written.reaches("e-1", "2 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert_eq!(setting.written.steps("e-1"), ["2 sending", "2 sent"]);
        assert!(provider.calls()[0].at >= due);
    })
    .await;
}

#[tokio::test]
async fn a_rest_of_a_wait_that_fits_no_tier_is_spent_in_the_worker_and_delays_no_other() {
    on_workers_with_tiers(&[5], async |setting| {
        let provider = setting.provider();
        let due = setting.clock.now() + chrono::TimeDelta::milliseconds(2_500);
        let early = setting
            .record(&to_guest("e-1"))
            .with(headers::ATTEMPT, "2")
            .with(headers::DUE, due.timestamp_millis().to_string());
        let other = setting.record(&to_guest("e-2"));
        setting.env.bus.publish(vec![early, other]).await.unwrap();
        let worker = setting.start(&provider);
        setting.written.reaches("e-2", "1 sent").await;
        setting.advance(2_499);
        setting.publish(&[to_guest("e-3")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        assert!(provider.calls_for("e-1").is_empty());
        setting.advance(1);
        setting.written.reaches("e-1", "2 sent").await;
        setting.until_committed().await;
        worker.end().await;
        assert!(setting.written.retries().is_empty());
        assert!(provider.calls_for("e-1")[0].at >= due);
    })
    .await;
}

#[tokio::test]
async fn bulk_has_its_own_retry_topics_and_high_shares_those_of_normal() {
    on_workers(async |setting| {
        let provider = setting.provider();
        for (event, priority, topic) in [
            ("e-1", Priority::Bulk, ".sms.bulk.retry.1s"),
            ("e-2", Priority::High, ".sms.retry.1s"),
        ] {
            provider.answers(event, [retry("503")]);
            let delivery = Delivery {
                priority,
                ..to_guest(event)
            };
            let worker = setting.start(&provider);
            setting.publish(std::slice::from_ref(&delivery)).await;
            setting.written.reaches(event, "1 retrying 503").await;
            let count = setting
                .written
                .until_retried(if event == "e-1" { 1 } else { 2 })
                .await;
            let waiting = count.last().unwrap();
            assert!(waiting.topic.ends_with(topic), "{}", waiting.topic);
            setting.advance(1_101);
            setting.written.reaches(event, "2 sent").await;
            worker.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn attempts_that_were_throttled_do_not_count() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let wait = Duration::from_millis(50);
        provider.answers(
            "e-1",
            [
                retry("503"),
                throttle("429", wait),
                throttle("429", wait),
                retry("503"),
                retry("503"),
            ],
        );
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        for step in [
            "1 retrying 503",
            "2 retrying 429",
            "3 retrying 429",
            "4 retrying 503",
            "5 dead_lettered 503",
        ] {
            setting.written.reaches("e-1", step).await;
            setting.advance(2_201);
        }
        let dead = setting.written.until_dead(1).await.remove(0);
        worker.end().await;
        assert_eq!(provider.calls().len(), 5);
        let letter = dead_letter::parse(&dead, Queue::Channel(Channel::Sms)).letter;
        assert_eq!(letter.attempts, 3);
    })
    .await;
}

#[tokio::test]
async fn a_status_says_how_many_attempts_count_beside_the_number_of_the_attempt() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [throttle("429", Duration::from_secs(1)), retry("503")]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 429").await;
        setting.advance(2_200);
        setting.written.reaches("e-1", "2 retrying 503").await;
        setting.advance(2_200);
        setting.written.reaches("e-1", "3 sent").await;
        worker.end().await;
        let updates = setting.written.updates("e-1");
        let numbers: Vec<_> = updates
            .iter()
            .map(|update| (update.attempt, update.attempts))
            .collect();
        assert_eq!(numbers, [(1, Some(0)), (2, Some(1)), (3, Some(2))]);
    })
    .await;
}
