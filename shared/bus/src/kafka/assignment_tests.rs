//! Assignments on a mock cluster. Each assigned partition is read, even if the coordinator at first refuses to return
//! its committed offset.

use std::collections::BTreeSet;

use rdkafka::{
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::rebalance_tests::{base, join, patiently, poll, produce};

/// The errors with which a coordinator refuses requests shortly after its start.
const REFUSALS: [RDKafkaRespErr; 3] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_read_although_the_coordinator_first_refuses_to_name_its_offset() {
    for refused in 1..=REFUSALS.len() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let base = base(&cluster.bootstrap_servers());
        for partition in 0..2 {
            produce(&base, "t", partition, 0..3);
        }
        cluster.request_errors(RDKafkaApiKey::OffsetFetch, &REFUSALS[..refused]);
        let (mut member, mut owned) = (join(&base, "t"), BTreeSet::new());
        patiently("every record is read", async {
            let mut read = Vec::new();
            while read.len() < 6 {
                read.extend(poll(&mut member, &mut owned).await);
            }
        })
        .await;
    }
}
