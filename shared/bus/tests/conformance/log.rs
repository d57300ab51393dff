use std::collections::HashMap;

use bytes::Bytes;
use carillon_domain::{Channel, Lane};

use crate::support::{LIMITS, drain, on_each_backend, out, wait_for};

#[test]
fn records_of_a_key_lie_in_one_partition_in_order_with_their_headers() {
    on_each_backend(4, |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        let records = (0..200).map(|n| out(&topic, &format!("user-{}", n % 7), n).with("n", n.to_string()));
        let positions = setting.bus.publish(records.collect()).await.unwrap();
        assert_eq!(positions.len(), 200);

        let mut consumer = setting.consumer("g", &topic);
        let mut seen: HashMap<String, Vec<i32>> = HashMap::new();
        let mut partitions: HashMap<String, i32> = HashMap::new();
        while seen.values().map(Vec::len).sum::<usize>() < 200 {
            for record in consumer.next(&LIMITS).await.unwrap().records {
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                let n: i32 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
                assert_eq!(record.headers.get_u32("n"), Some(u32::try_from(n).unwrap()));
                let position = &positions[usize::try_from(n).unwrap()];
                assert_eq!(
                    (position.partition, position.offset),
                    (record.partition, record.offset)
                );
                assert_eq!(
                    *partitions.entry(key.clone()).or_insert(record.partition),
                    record.partition
                );
                seen.entry(key).or_default().push(n);
            }
        }
        assert!(seen.values().all(|numbers| numbers.is_sorted()));
        assert!(
            partitions
                .values()
                .collect::<std::collections::HashSet<_>>()
                .len()
                > 1
        );
    });
}

#[test]
fn both_backends_put_a_key_into_the_same_partition_as_kafka_clients_do() {
    on_each_backend(6, |setting| async move {
        let topic = setting.bus.topics().events(Lane::High);
        let keys = ["default|u-42", "a", "the quick brown fox", ""];
        let positions = setting
            .bus
            .publish(keys.map(|key| out(&topic, key, 1)).to_vec())
            .await
            .unwrap();
        let partitions: Vec<i32> = positions.iter().map(|position| position.partition).collect();
        assert_eq!(partitions[..3], PARTITIONS_OF_SIX);
    });
}

/// The partitions of the three keys above among six, by Kafka's default partitioner (taken from a broker).
const PARTITIONS_OF_SIX: [i32; 3] = [2, 4, 1];

#[test]
fn a_group_goes_on_where_it_committed_and_another_group_reads_everything() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().status();
        setting
            .bus
            .publish((0..10).map(|n| out(&topic, "k", n)).collect())
            .await
            .unwrap();
        assert_eq!(drain(&mut setting.consumer("g", &topic), 10).await.len(), 10);

        setting
            .bus
            .publish((10..15).map(|n| out(&topic, "k", n)).collect())
            .await
            .unwrap();
        assert_eq!(drain(&mut setting.consumer("g", &topic), 5).await[0].1, "10");
        assert_eq!(drain(&mut setting.consumer("other", &topic), 15).await[0].1, "0");
        wait_for("no lag", || async {
            setting
                .bus
                .lag("g")
                .await
                .unwrap()
                .iter()
                .map(|lag| lag.records)
                .collect::<Vec<_>>()
                == [0]
        })
        .await;
    });
}

#[test]
fn uncommitted_records_are_read_again_after_a_rewind_and_after_a_restart() {
    on_each_backend(1, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Email, Lane::Normal);
        setting
            .bus
            .publish((0..3).map(|n| out(&topic, "k", n)).collect())
            .await
            .unwrap();
        let mut consumer = setting.consumer("g", &topic);
        assert_eq!(consumer.next(&LIMITS).await.unwrap().records[0].value, "0");
        consumer.rewind().await.unwrap();
        assert_eq!(consumer.next(&LIMITS).await.unwrap().records[0].value, "0");
        drop(consumer);

        let mut again = setting.consumer("g", &topic);
        assert_eq!(again.next(&LIMITS).await.unwrap().records[0].value, "0");
    });
}

#[test]
fn all_records_survive_a_kill_of_the_process() {
    on_each_backend(2, |setting| async move {
        let topic = setting.bus.topics().events(Lane::Bulk);
        setting
            .bus
            .publish((0..50).map(|n| out(&topic, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let mut consumer = setting.consumer("g", &topic);
        let batch = consumer.next(&LIMITS).await.unwrap();
        let read = batch.records.len();
        consumer.commit(&batch).await.unwrap();
        drop(consumer);

        // The first handle is still open and was never closed, as after kill -9.
        let bus = setting.restarted().await;
        bus.publish(vec![out(&topic, "new", "new")]).await.unwrap();
        let mut consumer = bus.subscribe(&crate::support::subscription("g", &topic)).unwrap();
        let left = drain(&mut consumer, 51 - read).await;
        assert!(left.iter().any(|(key, _)| key == "new"));
        assert_eq!(left.len(), 51 - read);
    });
}

#[test]
fn a_large_record_and_one_without_key_pass() {
    on_each_backend(2, |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        let large = Bytes::from(vec![b'x'; 600 * 1024]);
        let mut record = out(&topic, "", "");
        record.key = None;
        record.value = large.clone();
        setting.bus.publish(vec![record]).await.unwrap();
        let batch = setting.consumer("g", &topic).next(&LIMITS).await.unwrap();
        assert_eq!(batch.records[0].value, large);
    });
}

#[test]
fn creating_the_topics_twice_is_no_error() {
    on_each_backend(2, |setting| async move {
        assert_eq!(setting.bus.create_topics().await.unwrap(), []);
    });
}

#[test]
fn an_embedded_log_that_is_open_is_not_opened_again_until_it_is_closed() {
    on_each_backend(1, |setting| async move {
        if setting.bus.backend_name() != "embedded" {
            return;
        }
        let error = setting.open_again().await.err().expect("it is open");
        assert!(matches!(error, carillon_bus::BusError::InUse { .. }), "{error}");
        let holder = format!("in use by another carillon (process {})", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        let (config, dir) = setting.close();
        let again = carillon_bus::Bus::connect(config, std::sync::Arc::new(carillon_domain::SystemClock))
            .await
            .unwrap();
        again.check().await.unwrap();
        drop(dir);
    });
}
