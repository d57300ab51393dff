use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use carillon_bus::{Handler, Inbound, ParallelOptions, Queue, Subscription, dead_letter, headers, retry};
use carillon_domain::{
    Channel, Clock as _, Lane, SystemClock, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
};
use carillon_runtime::{Shutdown, panics::Panic};
use parking_lot::Mutex;

use crate::support::{LIMITS, on_each_backend, out, wait_for};

#[derive(Default)]
struct Arrivals(Mutex<Vec<(String, Timestamp, Option<Timestamp>)>>);

#[async_trait]
impl Handler for Arrivals {
    async fn handle(&self, batch: Vec<Inbound>) {
        for inbound in batch {
            let topic = inbound.record.topic.to_string();
            self.0
                .lock()
                .push((topic, SystemClock.now(), retry::due(&inbound.record)));
            inbound.done();
        }
    }

    async fn bury(&self, inbound: Inbound, _: &Panic) {
        inbound.done();
    }
}

#[test]
fn a_retry_is_never_early_is_at_most_briefly_late_and_delays_no_other() {
    on_each_backend(1, |setting| async move {
        let (bus, lane) = (&setting.bus, (Channel::Email, Lane::Normal));
        let fresh = bus.topics().channel(lane.0, lane.1);
        bus.publish(vec![out(&fresh, "k", "v")]).await.unwrap();
        let read = setting
            .consumer("look", &fresh)
            .next(&LIMITS)
            .await
            .unwrap()
            .records
            .remove(0);
        let now = SystemClock.now();
        let due = now + chrono::TimeDelta::milliseconds(1_300);
        let again = retry::schedule(bus.topics(), bus.retry_policy(), &read, lane, 2, due, now);
        assert_eq!(again.value, read.value);
        assert!(again.topic.ends_with(".email.retry.1s"));
        bus.publish(vec![again]).await.unwrap();

        let arrivals = Arc::new(Arrivals::default());
        let shutdown = Shutdown::new();
        let mut topics = bus.topics().retries(lane.0, lane.1);
        topics.push(fresh);
        let subscription = Subscription {
            group: "g".to_owned(),
            topics,
        };
        let handler: Arc<dyn Handler> = Arc::clone(&arrivals) as _;
        let run = bus.run_parallel(
            &subscription,
            ParallelOptions::default(),
            handler,
            shutdown.clone(),
        );
        let watch = async {
            wait_for("both", || async { arrivals.0.lock().len() == 2 }).await;
            shutdown.begin();
        };
        let (ended, ()) = tokio::join!(run, watch);
        ended.unwrap();
        let arrivals = arrivals.0.lock();
        let (_, at, _) = arrivals
            .iter()
            .find(|(topic, ..)| topic.contains("retry"))
            .unwrap();
        // A wait hardly longer than the tier ends in the tier.
        assert!(*at >= due, "early: {at} {due}");
        assert!(*at <= due + chrono::TimeDelta::seconds(3), "late: {at} {due}");
        let (_, fresh_at, _) = arrivals
            .iter()
            .find(|(topic, ..)| !topic.contains("retry"))
            .unwrap();
        assert!(fresh_at < at);
    });
}

#[test]
fn every_header_of_a_dead_letter_is_read_back() {
    on_each_backend(1, |setting| async move {
        let bus = &setting.bus;
        let topic = bus.topics().channel(Channel::Sms, Lane::Normal);
        let sent = out(&topic, "k", "\u{0}not json").with(headers::TENANT, "shop");
        bus.publish(vec![sent.clone()]).await.unwrap();
        let read = setting
            .consumer("g", &topic)
            .next(&LIMITS)
            .await
            .unwrap()
            .records
            .remove(0);
        let letter = DeadLetter {
            class: FailureClass::Terminal,
            provider: Some("twilio".to_owned()),
            code: "21612".to_owned(),
            reason: "the number cannot be reached".to_owned(),
            attempts: 3,
            first_failed_at: "2026-11-24T10:00:00.5Z".parse().unwrap(),
        };
        bus.publish(vec![dead_letter::record(
            bus.topics(),
            &read,
            Queue::Channel(Channel::Sms),
            "g",
            &letter,
        )])
        .await
        .unwrap();
        let dead = setting
            .consumer("t", &bus.topics().dlq(Channel::Sms))
            .next(&LIMITS)
            .await
            .unwrap()
            .records
            .remove(0);
        assert_eq!((&dead.value, &dead.key), (&sent.value, &sent.key));
        assert_eq!(dead.headers.get_str(headers::TENANT), Some("shop"));
        assert_eq!(
            dead.headers.get("kafka_dlt-original-offset"),
            Some(&read.offset.to_be_bytes()[..])
        );
        assert_eq!(
            dead.headers.get_str("kafka_dlt-exception-fqcn"),
            Some("dev.carillon.terminal")
        );
        assert_eq!(
            dead.headers.get_str("kafka_dlt-original-timestamp-type"),
            Some("CreateTime")
        );

        let entry = dead_letter::parse(&dead, Queue::Channel(Channel::Sms));
        assert_eq!(entry.letter, letter);
        assert_eq!(entry.source_topic, *topic);
        assert_eq!(
            (entry.source_partition, entry.source_offset),
            (Some(read.partition), Some(read.offset))
        );
        assert_eq!(
            entry.source_timestamp.map(|at| at.timestamp_millis()),
            Some(read.timestamp.timestamp_millis())
        );
        assert_eq!(entry.group.as_deref(), Some("g"));
        assert_eq!(entry.fingerprint, letter.fingerprint("sms"));
    });
}

#[test]
fn a_retry_topic_without_a_consumer_keeps_its_records_for_the_next_one() {
    on_each_backend(1, |setting| async move {
        let tier = setting
            .bus
            .topics()
            .retry(Channel::Sms, Lane::High, Duration::from_secs(1));
        assert_eq!(
            tier,
            setting
                .bus
                .topics()
                .retry(Channel::Sms, Lane::Normal, Duration::from_secs(1))
        );
        setting.bus.publish(vec![out(&tier, "k", "v")]).await.unwrap();
        assert_eq!(
            crate::support::drain(&mut setting.consumer("g", &tier), 1)
                .await
                .len(),
            1
        );
    });
}
