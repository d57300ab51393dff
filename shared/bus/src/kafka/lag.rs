//! The lag of a group.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{CALL_TIMEOUT, admin::blocking, classify, logs::Plain};
use crate::{error::BusError, lag::TopicLag, topics::Topics};

/// The greatest lag of a partition, in offsets, at which its markers are counted. Each transaction ends with a marker,
/// which takes an offset and is not a record, so a small lag may consist of markers only.
const FEW: i64 = 16;
/// The longest time of counting markers. If it does not suffice, all offsets count as records.
const LOOK: Duration = Duration::from_secs(2);

type Looking = BaseConsumer<Plain>;

/// A partition with offsets that are not committed.
struct Behind {
    topic: Arc<str>,
    partition: i32,
    committed: i64,
    count: i64,
}

/// The lag of a group on each topic on which it has committed an offset.
pub(super) async fn lag(
    base: &ClientConfig,
    group: &str,
    topics: &Topics,
) -> Result<Vec<TopicLag>, BusError> {
    let mut config = base.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10");
    let mut specs: Vec<(Arc<str>, u32)> = topics
        .all()
        .iter()
        .map(|spec| (Arc::clone(&spec.name), spec.partitions))
        .collect();
    // Each source has a group of its own, so most groups read none.
    let sources: Vec<Arc<str>> = topics
        .sources()
        .iter()
        .filter(|spec| topics.source_group(&spec.name) == group)
        .map(|spec| Arc::clone(&spec.name))
        .collect();
    blocking(move || {
        let consumer: Looking = config.create_with_context(Plain).map_err(classify)?;
        for name in sources {
            let metadata = consumer
                .fetch_metadata(Some(&name), CALL_TIMEOUT)
                .map_err(classify)?;
            let known = metadata.topics().iter().find(|topic| topic.name() == &*name);
            let count = known.map_or(0, |topic| topic.partitions().len());
            specs.push((name, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        let (mut lags, mut few) = (Vec::new(), Vec::new());
        let committed = committed(&consumer, &specs)?;
        for (name, _) in &specs {
            let elements = committed.elements_for_topic(name);
            if !elements
                .iter()
                .any(|element| matches!(element.offset(), Offset::Offset(_)))
            {
                continue;
            }
            let mut lag = TopicLag {
                topic: Arc::clone(name),
                records: 0,
                committed: 0,
            };
            for element in elements {
                let partition = element.partition();
                let (low, high) = consumer
                    .fetch_watermarks(name, partition, CALL_TIMEOUT)
                    .map_err(classify)?;
                let committed = match element.offset() {
                    Offset::Offset(at) => at.max(low),
                    _ => low,
                };
                let count = (high - committed).max(0);
                lag.records += count;
                lag.committed += committed;
                if (1..=FEW).contains(&count) {
                    few.push(Behind {
                        topic: Arc::clone(name),
                        partition,
                        committed,
                        count,
                    });
                }
            }
            lags.push(lag);
        }
        for (topic, markers) in markers(&consumer, &few)? {
            if let Some(lag) = lags.iter_mut().find(|lag| lag.topic == topic) {
                lag.records -= markers;
            }
        }
        Ok(lags)
    })
    .await
}

fn committed(consumer: &Looking, specs: &[(Arc<str>, u32)]) -> Result<TopicPartitionList, BusError> {
    let mut partitions = TopicPartitionList::new();
    for (name, count) in specs {
        for index in 0..*count {
            partitions.add_partition(name, i32::try_from(index).unwrap_or(i32::MAX));
        }
    }
    consumer
        .committed_offsets(partitions, CALL_TIMEOUT)
        .map_err(classify)
}

/// The number of uncommitted offsets that are markers, by topic. Each partition is read to its end; the list is empty if
/// that takes longer than [`LOOK`].
fn markers(consumer: &Looking, few: &[Behind]) -> Result<Vec<(Arc<str>, i64)>, BusError> {
    let mut partitions = TopicPartitionList::new();
    for behind in few {
        partitions
            .add_partition_offset(&behind.topic, behind.partition, Offset::Offset(behind.committed))
            .map_err(classify)?;
    }
    consumer.assign(&partitions).map_err(classify)?;
    let (mut ended, mut records) = (0, HashMap::<(String, i32), i64>::new());
    let deadline = Instant::now() + LOOK;
    while ended < few.len() {
        match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => {
                *records
                    .entry((message.topic().to_owned(), message.partition()))
                    .or_default() += 1;
            }
            // The client reports the end once for each partition. Records appended meanwhile hardly ever lead to a
            // second report within this time.
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            // A record that cannot be read is a record and not a marker.
            Some(Err(_)) | None => return Ok(Vec::new()),
        }
    }
    let markers = few.iter().map(|behind| {
        let place = (behind.topic.to_string(), behind.partition);
        let records = records.get(&place).copied().unwrap_or(0);
        (Arc::clone(&behind.topic), (behind.count - records).max(0))
    });
    Ok(markers.collect())
}
