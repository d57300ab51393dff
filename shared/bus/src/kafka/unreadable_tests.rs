//! Unreadable batches on librdkafka's mock cluster. The mock stores any bytes, whereas a real broker refuses
//! most of these batches.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rdkafka::{ClientConfig, mocking::MockCluster, types::RDKafkaApiKey};

use super::{client::MemberConfig, member::KafkaMember, rebalance_tests::produce};
use crate::{
    member::{Member, Polled},
    record::{Record, Unreadable},
};

const TOPIC: &str = "t";

/// The fault of a batch.
#[derive(Clone, Copy)]
enum Fault {
    /// Compression 7 does not exist.
    Codec,
    /// Compression 4 is zstd, but the bytes are not zstd.
    Compression,
    Checksum,
}

/// A batch of records that cannot be read.
fn batch(fault: Fault, records: i32) -> Vec<u8> {
    let attributes: i16 = match fault {
        Fault::Codec => 7,
        Fault::Compression => 4,
        Fault::Checksum => 0,
    };
    let mut summed = Vec::new();
    summed.extend(attributes.to_be_bytes());
    summed.extend((records - 1).to_be_bytes());
    // Both timestamps.
    summed.extend([0; 16]);
    // Producer, its epoch and sequence: none.
    summed.extend([0xff; 14]);
    summed.extend(records.to_be_bytes());
    summed.extend(b"no bytes that any compression has made");
    let checksum = match fault {
        Fault::Checksum => 0,
        Fault::Codec | Fault::Compression => crc32c(&summed),
    };
    let mut batch = 0_i64.to_be_bytes().to_vec();
    // Leader epoch, magic and checksum (9 bytes) precede the checksummed bytes.
    batch.extend(i32::try_from(summed.len() + 9).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(checksum.to_be_bytes());
    batch.extend(summed);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// Writes bytes into a partition by a Produce request of version 7.
fn produce_raw(brokers: &str, partition: i32, batch: &[u8]) {
    let string = |text: &str| {
        let length = i16::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    let mut request = [0_i16, 7].map(i16::to_be_bytes).concat();
    request.extend(1_i32.to_be_bytes());
    request.extend(string("raw"));
    // No transaction, one acknowledgement, a timeout, one topic with one partition.
    request.extend((-1_i16).to_be_bytes());
    request.extend(1_i16.to_be_bytes());
    request.extend(5_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(string(TOPIC));
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(i32::try_from(batch.len()).unwrap().to_be_bytes());
    request.extend(batch);
    let mut broker = TcpStream::connect(brokers).unwrap();
    let length = i32::try_from(request.len()).unwrap().to_be_bytes();
    broker.write_all(&[&length[..], &request].concat()).unwrap();
    let mut length = [0; 4];
    broker.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    broker.read_exact(&mut answer).unwrap();
    // Correlation, topics, name, partitions, partition, error.
    let error = 4 + 4 + 2 + TOPIC.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "the batch was taken");
}

struct Setting {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    base: ClientConfig,
}

impl Setting {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", cluster.bootstrap_servers());
        Self { cluster, base }
    }

    fn good(&self, partition: i32, count: usize) {
        produce(&self.base, TOPIC, partition, 0..count);
    }

    fn bad(&self, fault: Fault, records: i32) {
        produce_raw(&self.cluster.bootstrap_servers(), 0, &batch(fault, records));
    }

    fn member(&self) -> KafkaMember {
        let membership = MemberConfig {
            group: "g".to_owned(),
            topics: vec![Arc::from(TOPIC)],
            session_timeout: Duration::from_secs(6),
            reading_patience: Duration::from_secs(20),
            gathers: false,
        };
        KafkaMember::join(&self.base, membership).unwrap()
    }
}

/// Polls until `count` records have come.
async fn read(member: &mut KafkaMember, count: usize) -> Vec<Record> {
    let all = async {
        let mut records = Vec::new();
        while records.len() < count {
            if let Polled::Records(polled) = member.poll(100).await.unwrap() {
                records.extend(polled);
            }
        }
        records
    };
    tokio::time::timeout(Duration::from_secs(40), all).await.unwrap()
}

/// The offsets of partition 0, each with the reason if it is unreadable.
fn said(records: &[Record]) -> Vec<(i64, Option<Unreadable>)> {
    let of_first = records.iter().filter(|record| record.partition == 0);
    of_first
        .map(|record| (record.offset, record.unreadable))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_of_an_unreadable_batch_is_reported_by_its_position_and_reading_goes_on_behind_it() {
    for (fault, why) in [
        (Fault::Codec, Unreadable::Codec),
        (Fault::Compression, Unreadable::Compression),
        (Fault::Checksum, Unreadable::Checksum),
    ] {
        let setting = Setting::new();
        setting.good(0, 2);
        setting.bad(fault, 3);
        setting.good(0, 1);
        setting.good(1, 2);
        let mut member = setting.member();
        let records = read(&mut member, 8).await;
        let expected = [
            (0, None),
            (1, None),
            (2, Some(why)),
            (3, Some(why)),
            (4, Some(why)),
            (5, None),
        ];
        assert_eq!(said(&records), expected);
        assert_eq!(records.iter().filter(|record| record.partition == 1).count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_batch_at_any_place_does_not_end_the_member() {
    let setting = Setting::new();
    setting.bad(Fault::Compression, 1);
    setting.bad(Fault::Codec, 2);
    let mut member = setting.member();
    let told: Vec<i64> = said(&read(&mut member, 3).await)
        .into_iter()
        .filter_map(|(offset, why)| why.map(|_| offset))
        .collect();
    assert_eq!(told, [0, 1, 2]);
    setting.good(0, 1);
    assert_eq!(said(&read(&mut member, 1).await), [(3, None)]);
    setting.bad(Fault::Checksum, 1);
    assert_eq!(
        said(&read(&mut member, 1).await),
        [(4, Some(Unreadable::Checksum))]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_unreadable_position_is_not_reported_again() {
    let setting = Setting::new();
    setting.good(0, 1);
    setting.bad(Fault::Codec, 2);
    let mut member = setting.member();
    let records = read(&mut member, 3).await;
    let partition = records[0].position().partition();
    member.commit(&[(partition, 3)]).await.unwrap();
    drop(member);
    setting.good(0, 1);
    let mut again = setting.member();
    assert_eq!(said(&read(&mut again, 1).await), [(3, None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_of_a_topic_or_partition_ends_a_member_and_it_reads_on_when_the_error_is_gone() {
    use rdkafka::types::RDKafkaRespErr as Error;

    for error in [
        Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Error::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        Error::RD_KAFKA_RESP_ERR_INVALID_MSG,
        Error::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Error::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Error::RD_KAFKA_RESP_ERR_UNKNOWN,
    ] {
        let setting = Setting::new();
        setting.good(0, 1);
        setting.cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 3]);
        let mut member = setting.member();
        assert_eq!(said(&read(&mut member, 1).await), [(0, None)], "{error:?}");
    }
}
