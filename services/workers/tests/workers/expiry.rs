//! Messages that must not be sent after a time.

use std::time::Duration;

use carillon_bus::{OutRecord, headers, retry as tier};
use carillon_domain::{Channel, Clock as _, Delivery, Lane};

use crate::{
    provider::throttle,
    support::{Setting, on_workers, to_guest},
};

/// A message that expires after a minute.
fn for_a_minute(setting: &Setting, event: &str) -> Delivery {
    Delivery {
        expires_at: Some(setting.clock.now() + chrono::TimeDelta::minutes(1)),
        ..to_guest(event)
    }
}

/// A wait equal to the time since 1970 instead of some seconds, as FCM has sent it.
const EPOCH: Duration = Duration::from_hours(490_176);

#[tokio::test]
async fn an_expired_delivery_has_the_status_expired_and_is_not_sent() {
    on_workers(async |setting| {
        setting
            .publish(&[for_a_minute(setting, "e-1"), to_guest("e-2")])
            .await;
        setting.advance(60_000);
        setting.publish(&[for_a_minute(setting, "e-3")]).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 expired expired").await;
        for event in ["e-2", "e-3"] {
            setting.written.reaches(event, "1 sent").await;
        }
        setting.until_committed().await;
        worker.end().await;
        setting.written.settle().await;
        assert_eq!(setting.written.steps("e-1"), ["1 expired expired"]);
        assert!(provider.calls_for("e-1").is_empty());
        assert!(setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_sent_in_time_stays_sent_when_its_record_is_read_again_after_the_expiry() {
    on_workers(async |setting| {
        let delivery = for_a_minute(setting, "e-1");
        setting.publish(std::slice::from_ref(&delivery)).await;
        let provider = setting.provider();
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 sent").await;
        worker.end().await;
        // Read again, as after a crash before the commit.
        setting.advance(61_000);
        setting.publish(std::slice::from_ref(&delivery)).await;
        let worker = setting.start(&provider);
        carillon_testkit::eventually("the second record is done", || async {
            setting.written.updates("e-1").len() >= 2
        })
        .await;
        worker.end().await;
        assert_eq!(
            setting.written.steps("e-1"),
            ["1 sending", "1 sent", "1 sending", "1 sent"]
        );
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_expires_while_the_account_is_paused_is_not_sent_when_it_opens() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [throttle("429", Duration::from_millis(1_500))]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 429").await;

        // A record that is no delivery becomes a dead letter when its batch is read: by then the worker has read the
        // other record too.
        let topic = setting.env.bus.topics().channel(Channel::Sms, Lane::Normal);
        let mut records = vec![setting.record(&for_a_minute(setting, "e-2"))];
        records.extend((0..8).map(|n| OutRecord::new(topic.clone(), n.to_string(), "junk")));
        setting.env.bus.publish(records).await.unwrap();
        setting.written.until_dead(8).await;
        setting.advance(61_000);

        setting.written.reaches("e-1", "2 sent").await;
        setting.written.reaches("e-2", "1 expired expired").await;
        worker.end().await;
        assert!(provider.calls_for("e-2").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_expires_while_it_waits_for_a_retry_is_not_sent_again() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [crate::provider::retry("503")]);
        setting.publish(&[for_a_minute(setting, "e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 503").await;
        setting.advance(60_000);
        setting.written.reaches("e-1", "2 expired expired").await;
        worker.end().await;
        assert_eq!(provider.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_expires_while_every_account_is_paused_ends_at_its_expiry() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.answers("e-1", [throttle("429", EPOCH)]);
        setting.publish(&[to_guest("e-1")]).await;
        let worker = setting.start(&provider);
        setting.written.reaches("e-1", "1 retrying 429").await;
        setting.publish(&[for_a_minute(setting, "e-2")]).await;
        setting.advance(59_999);
        setting.written.settle().await;
        assert!(setting.written.steps("e-2").is_empty());
        setting.advance(1);
        setting.written.reaches("e-2", "1 expired expired").await;
        worker.end().await;
        assert_eq!(provider.asked(), ["e-1"]);
    })
    .await;
}

#[tokio::test]
async fn a_throttled_delivery_waits_until_its_expiry_at_most_even_if_the_provider_names_a_longer_wait() {
    on_workers(async |setting| {
        let provider = setting.provider();
        for (event, wait) in [
            ("e-1", EPOCH),
            ("e-2", Duration::from_hours(1)),
            ("e-3", Duration::MAX),
        ] {
            let account = setting.provider();
            account.answers(event, [throttle("429", wait)]);
            setting.publish(&[for_a_minute(setting, event)]).await;
            // Each is an account of its own, because the next worker would keep to the pause of the one before.
            let worker = setting.start_with(vec![account.account(event)], |_| {});
            setting.written.reaches(event, "1 retrying 429").await;
            setting.advance(60_000);
            setting.written.reaches(event, "2 expired expired").await;
            worker.end().await;
            assert_eq!(account.asked(), [event]);
        }
        assert!(provider.calls().is_empty() && setting.written.dead().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_due_after_its_expiry_is_looked_at_when_it_expires() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let far = "4764-01-01T00:00:00Z"
            .parse::<carillon_domain::Timestamp>()
            .unwrap();
        let record = setting
            .record(&for_a_minute(setting, "e-1"))
            .with(headers::DUE, far.timestamp_millis().to_string());
        setting.env.bus.publish(vec![record]).await.unwrap();
        let worker = setting.start(&provider);
        let waiting = setting.written.until_retried(1).await.remove(0);
        assert_eq!(
            tier::due(&waiting),
            Some(setting.clock.now() + chrono::TimeDelta::minutes(1))
        );
        setting.advance(60_000);
        setting.written.reaches("e-1", "1 expired expired").await;
        worker.end().await;
        assert!(provider.calls().is_empty());
    })
    .await;
}
