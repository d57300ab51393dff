use std::collections::BTreeSet;

use carillon_bus::BatchConsumer;
use carillon_domain::Lane;

use crate::support::{LIMITS, on_each_backend, out, subscription, text};

/// Reads the records that arrive within a short time.
async fn some(consumer: &mut BatchConsumer) -> Vec<String> {
    let wait = std::time::Duration::from_millis(300);
    match tokio::time::timeout(wait, consumer.next(&LIMITS)).await {
        Ok(batch) => {
            let batch = batch.unwrap();
            let values = batch.records.iter().map(|record| text(&record.value)).collect();
            match consumer.commit(&batch).await {
                Ok(()) => values,
                Err(error) if error.is_retriable() => {
                    consumer.rewind().await.unwrap();
                    Vec::new()
                }
                Err(error) => panic!("{error}"),
            }
        }
        Err(_) => Vec::new(),
    }
}

#[test]
fn two_members_share_the_partitions_and_a_member_that_leaves_gives_its_own_back() {
    on_each_backend(4, |setting| async move {
        let topic = setting.bus.topics().events(Lane::Normal);
        let mut first = setting.consumer("g", &topic);
        while first.assignment().count() < 4 {
            some(&mut first).await;
        }
        let other = setting.another_process().await;
        let mut second = other.subscribe(&subscription("g", &topic)).unwrap();
        while (first.assignment().count(), second.assignment().count()) != (2, 2) {
            some(&mut first).await;
            some(&mut second).await;
        }
        let of = |consumer: &BatchConsumer| consumer.assignment().map(|p| p.index).collect::<BTreeSet<_>>();
        assert!(of(&first).is_disjoint(&of(&second)));

        setting
            .bus
            .publish((0..40).map(|n| out(&topic, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let (mut by_first, mut by_second) = (Vec::new(), Vec::new());
        while by_first.len() + by_second.len() < 40 {
            by_first.extend(some(&mut first).await);
            by_second.extend(some(&mut second).await);
        }
        assert!(!by_first.is_empty() && !by_second.is_empty());
        let all: BTreeSet<_> = by_first.iter().chain(&by_second).collect();
        assert_eq!(
            (all.len(), by_first.len() + by_second.len()),
            (40, 40),
            "each record once"
        );

        drop(second);
        while first.assignment().count() < 4 {
            some(&mut first).await;
        }
    });
}
