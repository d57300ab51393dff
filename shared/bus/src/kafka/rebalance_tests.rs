//! Rebalances, and the records that are read again after them. These tests use Apache Kafka if it is available, because
//! librdkafka's mock coordinator is so slow that its members' sessions expire. Seeks, and the records that follow them,
//! on the mock cluster.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::{client::MemberConfig, member::KafkaMember};
use crate::{
    member::{Member, Polled},
    record::Partition,
};

const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn base(brokers: &str) -> ClientConfig {
    let mut base = ClientConfig::new();
    base.set("bootstrap.servers", brokers);
    base
}

pub(super) fn join(base: &ClientConfig, topic: &str) -> KafkaMember {
    let membership = MemberConfig {
        group: topic.to_owned(),
        topics: vec![Arc::from(topic)],
        session_timeout: Duration::from_secs(6),
        reading_patience: Duration::from_secs(8),
        gathers: false,
    };
    KafkaMember::join(base, membership).unwrap()
}

pub(super) fn produce(base: &ClientConfig, topic: &str, partition: i32, values: std::ops::Range<usize>) {
    let producer: BaseProducer = base.create().unwrap();
    for value in values {
        let value = value.to_string();
        let record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Polls, releases revoked partitions, keeps `owned` current; returns records.
pub(super) async fn poll(member: &mut KafkaMember, owned: &mut BTreeSet<Partition>) -> Vec<(i32, i64)> {
    let Ok(polled) = tokio::time::timeout(Duration::from_millis(50), member.poll(10_000)).await else {
        return Vec::new();
    };
    match polled.unwrap() {
        Polled::Assigned(partitions) => owned.extend(partitions),
        Polled::Revoked(partitions) => {
            owned.retain(|partition| !partitions.contains(partition));
            member.release(&partitions).await;
        }
        Polled::Records(records) => {
            return records
                .iter()
                .map(|record| (record.partition, record.offset))
                .collect();
        }
    }
    Vec::new()
}

pub(super) async fn patiently(what: &str, test: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(PATIENCE, test).await.is_ok(), "{what}");
}

/// A new topic on Apache Kafka, with a client that can delete it; `None` where Kafka is not available.
async fn topic_on_kafka(
    partitions: i32,
) -> Option<(ClientConfig, String, AdminClient<DefaultClientContext>)> {
    let brokers = std::env::var("CARILLON_KAFKA__BROKERS").ok()?;
    let (base, topic) = (base(&brokers), format!("test-{}", uuid::Uuid::now_v7()));
    let admin: AdminClient<DefaultClientContext> = base.create().unwrap();
    let spec = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
    admin.create_topics(&[spec], &AdminOptions::new()).await.unwrap();
    Some((base, topic, admin))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_was_held_when_it_was_revoked_is_read_when_it_is_assigned_again() {
    let Some((base, topic, admin)) = topic_on_kafka(2).await else {
        return;
    };
    let (mut first, mut of_first) = (join(&base, &topic), BTreeSet::new());
    patiently("both are assigned", async {
        while of_first.len() < 2 {
            poll(&mut first, &mut of_first).await;
        }
    })
    .await;
    for partition in &of_first {
        first.pause(partition).unwrap();
    }
    // The thread tells the client of the pause between two polls. From then on a held partition brings no records.
    for _ in 0..6 {
        assert_eq!(poll(&mut first, &mut of_first).await, []);
    }
    for partition in 0..2 {
        produce(&base, &topic, partition, 0..1);
    }
    for _ in 0..6 {
        assert_eq!(poll(&mut first, &mut of_first).await, []);
    }

    let (mut second, mut of_second) = (join(&base, &topic), BTreeSet::new());
    patiently("they are shared", async {
        while (of_first.len(), of_second.len()) != (1, 1) {
            assert_eq!(poll(&mut first, &mut of_first).await, []);
            poll(&mut second, &mut of_second).await;
        }
    })
    .await;
    let moved = of_second.first().unwrap().index;
    drop(second);
    patiently("it comes back and is read", async {
        loop {
            let records = poll(&mut first, &mut of_first).await;
            if !records.is_empty() {
                assert_eq!(of_first.len(), 2);
                assert_eq!(records, [(moved, 0)]);
                break;
            }
        }
    })
    .await;
    let kept = Partition {
        topic: topic.as_str().into(),
        index: 1 - moved,
    };
    first.resume(&kept).unwrap();
    patiently("what was kept goes on", async {
        while poll(&mut first, &mut of_first).await != [(1 - moved, 0)] {}
    })
    .await;
    admin
        .delete_topics(&[&topic], &AdminOptions::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_client_stands_still_goes_on_with_a_new_client() {
    let Some((base, topic, admin)) = topic_on_kafka(1).await else {
        return;
    };
    let (mut member, mut owned) = (join(&base, &topic), BTreeSet::new());
    patiently("it is assigned", async {
        while owned.is_empty() {
            poll(&mut member, &mut owned).await;
        }
    })
    .await;
    member.stop_reading();
    produce(&base, &topic, 0, 0..3);
    let mut read = Vec::new();
    patiently("a new client reads all", async {
        while read.len() < 3 {
            read.extend(poll(&mut member, &mut owned).await);
        }
    })
    .await;
    admin
        .delete_topics(&[&topic], &AdminOptions::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_client_lost_every_broker_joins_anew_and_goes_on_where_it_committed() {
    let Some((base, topic, admin)) = topic_on_kafka(1).await else {
        return;
    };
    produce(&base, &topic, 0, 0..3);
    let (mut member, mut owned) = (join(&base, &topic), BTreeSet::new());
    let mut seen = Vec::new();
    patiently("all is read", async {
        while seen.len() < 3 {
            seen.extend(poll(&mut member, &mut owned).await);
        }
    })
    .await;
    let partition = owned.first().unwrap().clone();
    member.commit(&[(partition.clone(), 2)]).await.unwrap();
    member.lose_brokers();
    // Until the member has released its old partitions, it cannot commit.
    assert!(member.commit(&[(partition.clone(), 3)]).await.is_err());
    assert!(member.rewind(std::slice::from_ref(&partition)).await.is_err());
    patiently("it is revoked", async {
        while !owned.is_empty() {
            poll(&mut member, &mut owned).await;
        }
    })
    .await;
    patiently("the last is read again", async {
        loop {
            let records = poll(&mut member, &mut owned).await;
            if !records.is_empty() {
                assert_eq!(records, [(0, 2)]);
                break;
            }
        }
    })
    .await;
    member.commit(&[(partition, 3)]).await.unwrap();
    admin
        .delete_topics(&[&topic], &AdminOptions::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_seek_the_first_record_is_the_one_that_was_asked_for() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let base = base(&cluster.bootstrap_servers());
    for partition in 0..2 {
        produce(&base, "t", partition, 0..3_000);
    }
    let (mut member, mut owned) = (join(&base, "t"), BTreeSet::new());
    let mut next = [None::<i64>; 2];
    let check = |records: Vec<(i32, i64)>, next: &mut [Option<i64>; 2]| {
        for (partition, offset) in records {
            let next = &mut next[usize::try_from(partition).unwrap()];
            assert!(next.is_none_or(|next| next == offset), "{next:?} {offset}");
            *next = Some(offset + 1);
        }
    };
    patiently("seeks", async {
        for target in [0, 2_900, 10, 1_500, 0, 2_999, 700, 1] {
            for _ in 0..3 {
                check(poll(&mut member, &mut owned).await, &mut next);
            }
            let partition = Partition {
                topic: "t".into(),
                index: i32::from(target % 20 != 0),
            };
            if !owned.contains(&partition) {
                continue;
            }
            // A seek that is cancelled at once has no effect, or the same effect.
            let _ = tokio::time::timeout(Duration::ZERO, member.seek(&partition, 5)).await;
            while let Err(error) = member.seek(&partition, target).await {
                assert!(error.is_retriable());
                check(poll(&mut member, &mut owned).await, &mut next);
            }
            next[usize::try_from(partition.index).unwrap()] = Some(target);
        }
        while next != [Some(3_000); 2] {
            check(poll(&mut member, &mut owned).await, &mut next);
        }
    })
    .await;
}
