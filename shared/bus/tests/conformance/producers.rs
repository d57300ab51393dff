//! Effects of foreign producers, topic settings and damaged disks on records.

use std::{io::Write as _, os::unix::fs::FileExt as _, path::Path, time::Duration};

use carillon_bus::{Record, Unreadable};
use carillon_domain::Lane;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::support::{LIMITS, Setting, drain, on_kafka, out, text};

const COMPRESSIONS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn brokers() -> String {
    std::env::var("CARILLON_KAFKA__BROKERS").unwrap()
}

/// Writes values as one batch, as a producer other than Carillon does.
fn produce(topic: &str, compression: &str, values: &[&str]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("compression.type", compression)
        .set("linger.ms", "200")
        .create()
        .unwrap();
    for value in values {
        let record = BaseRecord::<str, str>::to(topic).key("k").payload(value);
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// A compressible value, so that no producer sends it uncompressed.
fn value(name: &str) -> String {
    format!("{name} {}", "compress me ".repeat(200))
}

#[test]
fn records_are_read_in_every_compression_of_their_producer() {
    on_kafka(1, Duration::from_mins(1), |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        for compression in COMPRESSIONS {
            produce(&topic, compression, &[&value(compression), &value(compression)]);
        }
        let read = drain(&mut setting.consumer("g", &topic), 2 * COMPRESSIONS.len()).await;
        for (index, compression) in COMPRESSIONS.iter().enumerate() {
            assert_eq!(read[2 * index].1, value(compression));
            assert_eq!(read[2 * index + 1].1, value(compression));
        }
    });
}

#[test]
fn records_are_read_in_every_compression_of_their_topic() {
    on_kafka(1, Duration::from_mins(2), |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers())
            .create()
            .unwrap();
        let mut consumer = setting.consumer("g", &topic);
        for compression in ["gzip", "snappy", "lz4", "zstd", "uncompressed"] {
            let change =
                AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("compression.type", compression);
            let changed = admin
                .alter_configs([&change], &AdminOptions::new())
                .await
                .unwrap();
            changed[0].as_ref().unwrap();
            // The broker recompresses the batches of both producers.
            let record = out(&topic, "k", value(compression));
            setting.bus.publish(vec![record]).await.unwrap();
            produce(&topic, "none", &[&value(compression)]);
            for (_, read) in drain(&mut consumer, 2).await {
                assert_eq!(read, value(compression));
            }
        }
    });
}

#[test]
fn a_header_that_is_null_is_absent_and_an_empty_one_is_present() {
    on_kafka(1, Duration::from_mins(1), |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers())
            .create()
            .unwrap();
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "ce_expiresat",
                value: None::<&str>,
            })
            .insert(Header {
                key: "ce_subject",
                value: Some(""),
            });
        let record = BaseRecord::<str, str>::to(&topic).payload("v").headers(headers);
        producer.send(record).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
        let batch = setting.consumer("g", &topic).next(&LIMITS).await.unwrap();
        let headers = &batch.records[0].headers;
        assert_eq!(headers.get("ce_expiresat"), None);
        assert_eq!(headers.get("ce_subject"), Some(&b""[..]));
    });
}

/// Changes a byte of a text in a partition's file.
fn damage(file: &Path, text: &str) {
    let bytes = std::fs::read(file).unwrap();
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes())
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(b"#", at as u64).unwrap();
    (&file).flush().unwrap();
}

/// Needs the data folder of a broker that no other test uses (`deploy/ci/services env` names it).
#[test]
fn a_batch_that_the_disk_has_damaged_is_reported_by_its_positions_and_no_other_record_is_lost() {
    let Ok(data) = std::env::var("CARILLON_TEST_KAFKA_DATA") else {
        return;
    };
    on_kafka(1, Duration::from_mins(2), |setting: Setting| {
        let data = data.clone();
        async move {
            let topic = setting.bus.topics().events(Lane::Normal);
            produce(&topic, "none", &["before"]);
            produce(&topic, "none", &["first", "the damaged one", "last"]);
            produce(&topic, "none", &["behind"]);
            let file = Path::new(&data)
                .join(format!("{topic}-0"))
                .join("00000000000000000000.log");
            damage(&file, "the damaged one");
            let mut consumer = setting.consumer("g", &topic);
            let mut read: Vec<Record> = Vec::new();
            while read.len() < 5 {
                let batch = consumer.next(&LIMITS).await.unwrap();
                consumer.commit(&batch).await.unwrap();
                read.extend(batch.records);
            }
            let told: Vec<_> = read
                .iter()
                .map(|record| (record.offset, text(&record.value), record.unreadable))
                .collect();
            let damaged = Some(Unreadable::Checksum);
            let expected = [
                (0, "before", None),
                (1, "", damaged),
                (2, "", damaged),
                (3, "", damaged),
                (4, "behind", None),
            ];
            assert_eq!(
                told,
                expected.map(|(offset, value, why)| (offset, value.to_owned(), why))
            );
        }
    });
}
