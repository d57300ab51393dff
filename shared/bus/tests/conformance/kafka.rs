//! Faults that only a broker causes: it refuses a record for its size, or stalls.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use carillon_bus::{BusError, Queue, dead_letter, headers};
use carillon_domain::{
    Channel, Lane,
    dead_letter::{DeadLetter, FailureClass},
};
use parking_lot::Mutex;

use crate::support::{LIMITS, drain, on_kafka, out, subscription, text};

/// Incompressible bytes.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.flatten().take(length).collect()
}

#[test]
fn the_largest_event_that_a_broker_admits_can_be_dead_lettered_whole() {
    on_kafka(1, Duration::from_mins(1), |setting| async move {
        let (bus, topics) = (&setting.bus, setting.bus.topics());
        let mut large = out(&topics.events(Lane::Normal), "k", "");
        large.value = noise(1_048_300);
        bus.publish(vec![large.clone()]).await.unwrap();
        let mut consumer = setting.consumer("g", &large.topic);
        let batch = consumer.next(&LIMITS).await.unwrap();
        let letter = DeadLetter {
            class: FailureClass::Unparseable,
            provider: None,
            code: "unparseable".to_owned(),
            reason: "x".repeat(2_000),
            attempts: 0,
            first_failed_at: batch.records[0].timestamp,
        };
        let dead = dead_letter::record(topics, &batch.records[0], Queue::Events, "g", &letter);
        bus.publish(vec![dead.clone()]).await.unwrap();
        consumer.commit_with(&batch, vec![dead]).await.unwrap();
        let mut reader = setting.consumer("reader", &topics.events_dlq());
        for _ in 0..2 {
            let read = reader.next(&LIMITS).await.unwrap();
            assert_eq!(read.records[0].value, large.value);
            assert_eq!(read.records[0].headers.get(headers::TRUNCATED), None);
            reader.commit(&read).await.unwrap();
            if read.records.len() == 2 {
                break;
            }
        }
    });
}

#[test]
fn a_record_that_is_too_large_is_an_error_of_its_own_and_is_not_retried_for_ever() {
    on_kafka(1, Duration::from_mins(1), |setting| async move {
        let (bus, topics) = (&setting.bus, setting.bus.topics());
        let input = topics.events(Lane::Normal);
        bus.publish(vec![out(&input, "k", "in")]).await.unwrap();
        let mut consumer = setting.consumer("g", &input);
        // The broker refuses the first record, the client the second.
        for (topic, size) in [(input.clone(), 1_200_000), (topics.status(), 5_000_000)] {
            let mut large = out(&topic, "k", "");
            large.value = noise(size);
            let refused = bus.publish(vec![large.clone()]).await.unwrap_err();
            assert!(
                matches!(&refused, BusError::TooLarge { topic: of, .. } if *of == *topic),
                "{refused:?}"
            );
            let batch = consumer.next(&LIMITS).await.unwrap();
            assert_eq!(batch.records[0].value, "in");
            let with = vec![out(&topics.status(), "k", "small"), large];
            let refused = consumer.commit_with(&batch, with).await.unwrap_err();
            assert!(
                matches!(&refused, BusError::TooLarge { topic: of, size: is } if *of == *topic && *is >= size),
                "{refused:?}"
            );
            assert!(!refused.is_retriable());
        }
        let batch = consumer.next(&LIMITS).await.unwrap();
        let whole = vec![out(&topics.status(), "k", "whole")];
        consumer.commit_with(&batch, whole).await.unwrap();
        let read = setting
            .consumer("reader", &topics.status())
            .next(&LIMITS)
            .await
            .unwrap();
        assert_eq!(read.records[0].value, "whole");
    });
}

#[test]
fn a_step_that_was_begun_and_fails_is_an_error_and_its_batch_is_read_again() {
    on_kafka(1, Duration::from_mins(1), |setting| async move {
        let (bus, topics) = (&setting.bus, setting.bus.topics());
        let (input, output) = (topics.events(Lane::Normal), topics.status());
        bus.publish(vec![out(&input, "k", "1")]).await.unwrap();
        let mut consumer = setting.consumer("g", &input);
        // The broker refuses it.
        let mut large = out(&input, "k", "");
        large.value = noise(1_200_000);

        let batch = consumer.next(&LIMITS).await.unwrap();
        consumer
            .begin_commit_with(&batch, vec![large.clone()])
            .await
            .unwrap();
        // The error is noticed although no other record can be read.
        let told = consumer.next(&LIMITS).await.unwrap_err();
        assert!(matches!(told, BusError::TooLarge { .. }), "{told:?}");

        bus.publish(vec![out(&input, "k", "2")]).await.unwrap();
        let refused = loop {
            let batch = consumer.next(&LIMITS).await.unwrap();
            assert_eq!(batch.records[0].value, "1");
            consumer
                .begin_commit_with(&batch, vec![large.clone()])
                .await
                .unwrap();
            let told = match consumer.next(&LIMITS).await {
                // The batch was read before the step had failed; then the next step returns the error.
                Ok(behind) => consumer.begin_commit_with(&behind, Vec::new()).await,
                Err(error) => Err(error),
            };
            match told {
                // The client notes the refusal while another call of the step runs, which then fails first.
                Err(BusError::Unavailable(_)) => {}
                told => break told,
            }
        };
        assert!(matches!(refused, Err(BusError::TooLarge { .. })), "{refused:?}");

        let mut read = Vec::new();
        while read.len() < 2 {
            let batch = consumer.next(&LIMITS).await.unwrap();
            let values: Vec<_> = batch.records.iter().map(|record| text(&record.value)).collect();
            let copies = values.iter().map(|value| out(&output, "k", value)).collect();
            consumer.begin_commit_with(&batch, copies).await.unwrap();
            read.extend(values);
        }
        assert_eq!(read, ["1", "2"]);
        consumer.settle().await.unwrap();
        let copies = drain(&mut setting.consumer("reader", &output), 2).await;
        assert_eq!(
            copies.iter().map(|(_, value)| value).collect::<Vec<_>>(),
            ["1", "2"]
        );
    });
}

/// Stops the broker's process until it is dropped.
struct Stall(String);

impl Stall {
    fn begin(pid: &str) -> Self {
        signal("-STOP", pid);
        Self(pid.to_owned())
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(which: &str, pid: &str) {
    let ended = std::process::Command::new("kill").args([which, pid]).status();
    assert!(ended.unwrap().success());
}

/// Needs the process id of a broker that no other test uses (`deploy/ci/services pid kafka`).
#[test]
fn every_consumer_goes_on_soon_after_a_broker_stalled() {
    let Ok(pid) = std::env::var("CARILLON_TEST_STALL_KAFKA_PID") else {
        return;
    };
    on_kafka(3, Duration::from_mins(4), |setting| {
        let pid = pid.clone();
        async move {
            let bus = &setting.bus;
            let mut names = vec![bus.topics().channel(Channel::Email, Lane::Normal)];
            names.extend(Lane::ALL.map(|lane| bus.topics().events(lane)));
            let seen = Arc::new(Mutex::new(BTreeMap::<String, Vec<(String, Instant)>>::new()));
            let mut consumers = tokio::task::JoinSet::new();
            for topic in &names {
                // The lanes share a group, as the router's do.
                let mut consumer = bus.subscribe(&subscription("g", topic)).unwrap();
                let (topic, seen) = (topic.to_string(), Arc::clone(&seen));
                let status = bus.topics().status();
                consumers.spawn(async move {
                    loop {
                        let step = async {
                            let batch = consumer.next(&LIMITS).await?;
                            let copies = batch.records.iter().map(|r| out(&status, "k", text(&r.value)));
                            consumer.commit_with(&batch, copies.collect()).await?;
                            let now = Instant::now();
                            let values = batch.records.iter().map(|record| (text(&record.value), now));
                            seen.lock().entry(topic.clone()).or_default().extend(values);
                            Ok::<_, BusError>(())
                        };
                        if let Err(error) = step.await {
                            assert!(error.is_retriable(), "{topic}: {error:?}");
                            eprintln!("{topic}: {error}");
                            tokio::time::sleep(Duration::from_millis(200)).await;
                            if let Err(error) = consumer.rewind().await {
                                assert!(error.is_retriable(), "{topic}: {error:?}");
                            }
                        }
                    }
                });
            }
            let have_seen = |value: String| {
                let seen = seen.lock();
                names.iter().all(|topic| {
                    seen.get(&**topic)
                        .is_some_and(|seen| seen.iter().any(|(seen, _)| *seen == value))
                })
            };
            let until_seen = async |value: &str, limit: Duration| {
                let wait = async {
                    while !have_seen(value.to_owned()) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                tokio::time::timeout(limit, wait).await.is_ok()
            };
            let send = |value: &'static str| names.iter().map(move |topic| out(topic, "k", value)).collect();
            bus.publish(send("before")).await.unwrap();
            assert!(until_seen("before", Duration::from_secs(30)).await);

            // Publishing continues meanwhile, so that transactions are open when the stall begins.
            let (busy, topics) = (bus.clone(), names.clone());
            let load = tokio::spawn(async move {
                loop {
                    let records = topics.iter().map(|topic| out(topic, "k", "load")).collect();
                    if let Err(error) = busy.publish(records).await {
                        eprintln!("publishing: {error}");
                    }
                }
            });
            let stall = Stall::begin(&pid);
            tokio::time::sleep(Duration::from_secs(45)).await;
            drop(stall);
            load.abort();
            let start = Instant::now();
            while let Err(error) = bus.publish(send("after")).await {
                assert!(error.is_retriable(), "{error:?}");
            }
            eprintln!("published {:?} after the stall", start.elapsed());
            let went_on = until_seen("after", Duration::from_mins(1)).await;
            for (topic, values) in &*seen.lock() {
                let first = values.iter().find(|(value, _)| value == "after");
                eprintln!("{topic}: {:?}", first.map(|(_, at)| at.duration_since(start)));
            }
            assert!(went_on && start.elapsed() < Duration::from_secs(20));
            assert!(consumers.try_join_next().is_none(), "no consumer ended");
        }
    });
}
