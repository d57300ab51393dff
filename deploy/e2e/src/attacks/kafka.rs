//! Records that a producer with access to the events topic may write.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use carillon_bus::{Backend, Bus, BusConfig, KafkaConfig, OutRecord, TopicSettings};
use carillon_domain::{Lane, SystemClock, retry::RetryPolicy};

use super::attacker::Attacker;

const EVENT: &str = r#"{"specversion":"1.0","id":"z-1","source":"/erp","type":"OrderShipped","recipient":"u-42",
    "data":{"order_id":"1","carrier":"UPS"}}"#;

/// Writes records with every compression codec. Most of the records are not events.
pub(super) async fn records(attacker: Attacker) -> anyhow::Result<()> {
    let brokers = attacker.brokers.context("Kafka")?;
    for codec in ["zstd", "snappy", "lz4", "gzip"] {
        let config = KafkaConfig {
            brokers: brokers.clone(),
            properties: BTreeMap::from([("compression.type".to_owned(), codec.to_owned())]),
            ..KafkaConfig::default()
        };
        let config = BusConfig {
            prefix: attacker.prefix.clone(),
            backend: Backend::Kafka(Box::new(config)),
            retry: RetryPolicy::default(),
            topics: TopicSettings::default(),
            sources: Vec::new(),
        };
        let bus = Bus::connect(config, Arc::new(SystemClock)).await?;
        let topic = bus.topics().events(Lane::Normal);
        let deep = "[".repeat(200_000);
        let large = format!("{{\"specversion\":\"1.0\",\"data\":\"{}", "x".repeat(500_000));
        for value in [EVENT, "", "\0\0\0\0\u{1}", "{", &deep, &large] {
            let record = OutRecord::new(Arc::clone(&topic), codec, value.to_owned())
                .with("content-type", "application/cloudevents+json");
            bus.publish(vec![record]).await?;
        }
    }
    Ok(())
}
