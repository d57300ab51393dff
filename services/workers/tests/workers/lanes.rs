//! Order, lanes and shutdown.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use carillon_bus::{Backend, Bus, BusConfig, KafkaConfig};
use carillon_domain::{Delivery, Priority};
use carillon_testkit::eventually;
use carillon_workers::WorkerError;

use crate::support::{PHONE, on_workers, on_workers_with_tiers, to_guest, to_user};

#[tokio::test]
async fn messages_to_a_user_are_sent_in_order_and_other_users_do_not_wait_for_them() {
    on_workers(async |setting| {
        for user in ["a", "b"] {
            setting.put_user(user, Some(PHONE)).await;
        }
        let provider = setting.provider();
        provider.holds(&["a-0"]);
        let mixed: Vec<Delivery> = (0..10)
            .flat_map(|n| ["a", "b"].map(|user| to_user(&format!("{user}-{n}"), user)))
            .collect();
        setting.publish(&mixed).await;
        let worker = setting.start(&provider);
        setting.written.reaches("b-9", "1 sent").await;
        eventually("the first is under way", || async {
            !provider.calls_for("a-0").is_empty()
        })
        .await;
        assert!(provider.calls_for("a-1").is_empty(), "a follower waits");
        provider.lets_go();
        setting.written.reaches("a-9", "1 sent").await;
        worker.end().await;
        for user in ["a", "b"] {
            let asked = provider.asked();
            let of_user: Vec<_> = asked.iter().filter(|event| event.starts_with(user)).collect();
            let expected: Vec<_> = (0..10).map(|n| format!("{user}-{n}")).collect();
            assert_eq!(of_user, expected.iter().collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_starts_later_gets_partitions_of_every_lane() {
    // The retry topics have more partitions than the lane.
    on_workers_with_tiers(&[1, 2, 3, 4, 5, 6], async |setting| {
        let (early, late) = (setting.provider(), setting.provider());
        let first = setting.start(&early);
        setting.publish(&[to_guest("alone")]).await;
        setting.written.reaches("alone", "1 sent").await;
        let second = setting.start(&late);
        let number = AtomicUsize::new(0);
        for priority in [Priority::High, Priority::Normal, Priority::Bulk] {
            let name = format!("{priority}-");
            eventually(
                &format!("the later worker sends messages of the lane {priority}"),
                || async {
                    let event = format!("{name}{}", number.fetch_add(1, Ordering::Relaxed));
                    let delivery = Delivery {
                        priority,
                        ..to_guest(&event)
                    };
                    setting.publish(&[delivery]).await;
                    late.asked().iter().any(|event| event.starts_with(&name))
                },
            )
            .await;
        }
        first.end().await;
        second.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_soft_shutdown_finishes_attempts_under_way_and_gives_back_the_rest() {
    on_workers(async |setting| {
        let provider = setting.provider();
        provider.holds_everything();
        let events: Vec<String> = (0..40).map(|n| format!("e-{n}")).collect();
        let deliveries: Vec<Delivery> = events.iter().map(|event| to_guest(event)).collect();
        setting.publish(&deliveries).await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.config.normal_in_flight = 4;
        });
        eventually("a full house", || async { provider.calls().len() >= 4 }).await;
        worker.shutdown.begin();
        provider.lets_go();
        worker.ended().await.unwrap();
        let finished = provider.asked();
        assert!(finished.len() < events.len(), "{}", finished.len());
        for event in &finished {
            setting.written.reaches(event, "1 sent").await;
        }

        let worker = setting.start(&provider);
        for event in &events {
            setting.written.reaches(event, "1 sent").await;
        }
        setting.until_committed().await;
        worker.end().await;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for event in provider.asked() {
            *counts.entry(event).or_default() += 1;
        }
        assert_eq!(counts.len(), events.len());
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    })
    .await;
}

#[tokio::test]
async fn a_campaign_that_is_stuck_does_not_delay_a_one_time_password() {
    on_workers(async |setting| {
        let provider = setting.provider();
        let campaign: Vec<Delivery> = (0..60)
            .map(|n| Delivery {
                priority: Priority::Bulk,
                ..to_guest(&format!("bulk-{n}"))
            })
            .collect();
        let names: Vec<&str> = campaign.iter().map(|bulk| bulk.event_id.as_str()).collect();
        provider.holds(&names);
        setting.publish(&campaign).await;
        let worker = setting.start_with(vec![provider.account("p")], |deps| {
            deps.config.bulk_in_flight = 8;
        });
        eventually("as much of the campaign as is allowed", || async {
            provider.calls().len() >= 6
        })
        .await;
        let urgent = Delivery {
            priority: Priority::High,
            ..to_guest("otp")
        };
        setting.publish(&[urgent, to_guest("normal")]).await;
        setting.written.reaches("otp", "1 sent").await;
        setting.written.reaches("normal", "1 sent").await;
        let under_way = provider
            .asked()
            .iter()
            .filter(|event| event.starts_with("bulk"))
            .count();
        assert!(under_way <= 8, "{under_way}");
        provider.lets_go();
        for name in &names {
            setting.written.reaches(name, "1 sent").await;
        }
        worker.end().await;
        assert_eq!(provider.calls().len(), 62);
    })
    .await;
}

#[tokio::test]
async fn a_channel_without_a_provider_does_not_start() {
    on_workers(async |setting| {
        let worker = setting.start_with(Vec::new(), |_| {});
        let error = worker.ended().await.unwrap_err();
        assert!(matches!(error, WorkerError::NoProvider(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_worker_whose_bus_fails_for_good_ends_with_the_error() {
    on_workers(async |setting| {
        // A consumer refuses this property; a producer ignores it. No connection is made.
        let kafka = KafkaConfig {
            brokers: "127.0.0.1:1".to_owned(),
            properties: [("fetch.max.bytes".to_owned(), "1000".to_owned())].into(),
            ..KafkaConfig::default()
        };
        let config = BusConfig {
            backend: Backend::Kafka(Box::new(kafka)),
            ..setting.env.bus_config.clone()
        };
        let broken = Bus::connect(config, Arc::clone(&setting.env.clock))
            .await
            .unwrap();
        let worker = setting.start_with(vec![setting.provider().account("p")], |deps| deps.bus = broken);
        let ended = tokio::time::timeout(Duration::from_secs(20), worker.ended()).await;
        let error = ended.expect("nobody has to ask it to end").unwrap_err();
        assert!(matches!(error, WorkerError::Bus(_)), "{error:?}");
    })
    .await;
}
