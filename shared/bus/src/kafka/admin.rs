//! Administration: creating and deleting topics, checking the brokers.

use std::{collections::HashSet, sync::Arc};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
    producer::{FutureProducer, Producer as _},
};

use super::{CALL_TIMEOUT, brokers::Brokers, classify, logs::Plain};
use crate::{error::BusError, topics::TopicSpec};

/// Creates the topics that do not exist yet, and returns their names.
pub(super) async fn create_topics(
    base: &ClientConfig,
    specs: &[TopicSpec],
) -> Result<Vec<Arc<str>>, BusError> {
    // librdkafka refuses a request for no topics.
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let admin: AdminClient<Plain> = base.create_with_context(Plain).map_err(classify)?;
    let settings: Vec<_> = specs
        .iter()
        .map(|spec| {
            (
                spec,
                spec.retention.as_millis().to_string(),
                spec.min_insync_replicas.to_string(),
                spec.max_message_bytes.map(|bytes| bytes.to_string()),
            )
        })
        .collect();
    let topics: Vec<NewTopic<'_>> = settings
        .iter()
        .map(|(spec, retention, insync, bytes)| {
            let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
            let replication = i32::try_from(spec.replication).unwrap_or(i32::MAX);
            let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(replication))
                .set("retention.ms", retention)
                .set("min.insync.replicas", insync)
                .set("cleanup.policy", "delete");
            match bytes {
                Some(bytes) => topic.set("max.message.bytes", bytes),
                None => topic,
            }
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(CALL_TIMEOUT))
        .request_timeout(Some(CALL_TIMEOUT));
    let mut created = Vec::new();
    for result in admin.create_topics(&topics, &options).await.map_err(classify)? {
        match result {
            Ok(name) => created.push(Arc::from(name)),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(BusError::Config(format!("topic {name}: {code:?}"))),
        }
    }
    Ok(created)
}

/// Deletes topics, and the groups with the given name prefix. A group that still has members cannot be deleted.
pub(super) async fn delete_topics(
    base: &ClientConfig,
    producer: FutureProducer<Brokers>,
    specs: &[TopicSpec],
    groups: String,
) -> Result<(), BusError> {
    let admin: AdminClient<Plain> = base.create_with_context(Plain).map_err(classify)?;
    let options = AdminOptions::new()
        .operation_timeout(Some(CALL_TIMEOUT))
        .request_timeout(Some(CALL_TIMEOUT));
    let names: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    for result in admin.delete_topics(&names, &options).await.map_err(classify)? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((name, code)) => return Err(BusError::Unavailable(format!("topic {name}: {code:?}"))),
        }
    }
    let groups = blocking(move || {
        let known = producer
            .client()
            .fetch_group_list(None, CALL_TIMEOUT)
            .map_err(classify)?;
        let ours = known.groups().iter().map(|group| group.name().to_owned());
        Ok(ours
            .filter(|name| name.starts_with(&groups))
            .collect::<Vec<String>>())
    })
    .await?;
    if !groups.is_empty() {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        // Broker-side expiry removes the others.
        admin.delete_groups(&groups, &options).await.map_err(classify)?;
    }
    Ok(())
}

/// Checks that a broker answers and has our topics.
pub(super) async fn check(producer: FutureProducer<Brokers>, specs: &[TopicSpec]) -> Result<(), BusError> {
    let names: Vec<Arc<str>> = specs.iter().map(|spec| Arc::clone(&spec.name)).collect();
    blocking(move || {
        let metadata = producer
            .client()
            .fetch_metadata(None, CALL_TIMEOUT)
            .map_err(classify)?;
        let known: HashSet<&str> = metadata
            .topics()
            .iter()
            .map(rdkafka::metadata::MetadataTopic::name)
            .collect();
        match names.iter().find(|name| !known.contains(&***name)) {
            Some(missing) => Err(BusError::NoTopic(missing.to_string())),
            None => Ok(()),
        }
    })
    .await
}

/// Runs a call of librdkafka that blocks.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|_| BusError::Closed)?
}
