//! The members of a consumer group, as the broker knows them.

use std::sync::Arc;

use rdkafka::producer::{FutureProducer, Producer as _};

use super::{CALL_TIMEOUT, admin::blocking, brokers::Brokers, classify};
use crate::{
    error::BusError,
    lag::{CrowdedTopic, crowds as find_crowds},
};

/// The crowded subscriptions of the group; see [`CrowdedTopic`].
pub(super) async fn crowds(
    producer: FutureProducer<Brokers>,
    group: String,
) -> Result<Vec<CrowdedTopic>, BusError> {
    blocking(move || {
        let client = producer.client();
        let groups = client
            .fetch_group_list(Some(&group), CALL_TIMEOUT)
            .map_err(classify)?;
        // While the group rebalances, the subscriptions of its members are not known.
        let members = groups
            .groups()
            .iter()
            .flat_map(rdkafka::groups::GroupInfo::members);
        let subscriptions = members.filter_map(|member| topics_of(member.metadata()?));
        find_crowds(subscriptions, |topic| {
            let metadata = client
                .fetch_metadata(Some(topic), CALL_TIMEOUT)
                .map_err(classify)?;
            let known = metadata.topics().iter().find(|known| known.name() == topic);
            Ok(known.map_or(0, |topic| topic.partitions().len()))
        })
    })
    .await
}

/// The topics of a member's subscription, as Kafka's consumer protocol encodes it: a version of two bytes, the number
/// of topics in four, and each topic with its length in two.
fn topics_of(subscription: &[u8]) -> Option<Vec<Arc<str>>> {
    let (_version, rest) = subscription.split_at_checked(2)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (name, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(Arc::from(std::str::from_utf8(name).ok()?));
        rest = behind;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_names_its_topics_and_a_truncated_one_names_none() {
        let whole = b"\0\x01\0\0\0\x02\0\x01a\0\x03b.c\0\0\0\0rest";
        let topics = topics_of(whole).unwrap();
        assert_eq!(
            topics.iter().map(|topic| &**topic).collect::<Vec<_>>(),
            ["a", "b.c"]
        );
        for end in 0..14 {
            assert_eq!(topics_of(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(topics_of(b"\0\x01\xff\xff\xff\xff"), None);
    }
}
