use std::{collections::BTreeSet, time::Duration};

use carillon_bus::BatchConsumer;
use carillon_domain::{Channel, Lane};
use carillon_runtime::{Shutdown, http::Readiness};

use crate::support::{LIMITS, on_each_backend, out, subscription, text, wait_for};

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

#[test]
fn members_without_a_partition_are_noted_until_one_of_them_leaves() {
    on_each_backend(2, |setting| async move {
        let topic = setting.bus.topics().channel(Channel::Sms, Lane::Bulk);
        let members = async |count: usize| {
            let (stop, stopped) = tokio::sync::watch::channel(false);
            let mut tasks = Vec::new();
            for _ in 0..count {
                let bus = setting.another_process().await;
                let mut consumer = bus.subscribe(&subscription("crowd", &topic)).unwrap();
                let mut stopped = stopped.clone();
                tasks.push(tokio::spawn(async move {
                    tokio::select! {
                        _ = consumer.next(&LIMITS) => panic!("nothing was published"),
                        _ = stopped.changed() => {}
                    }
                }));
            }
            (stop, tasks)
        };
        let readiness = Readiness::default();
        let part = readiness.register("sms");
        part.ready();
        let shutdown = Shutdown::new();
        let bus = setting.bus.clone().with_stuck_after(Duration::from_millis(300));
        let watch = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { bus.report_lag("crowd".to_owned(), part, shutdown).await }
        });
        let note = || readiness.report().parts["sms"].note.clone();

        let (_both, _tasks) = members(2).await;
        let (third, third_task) = members(1).await;
        wait_for("a note", || async { note().is_some() }).await;
        let said = note().unwrap();
        assert_eq!(
            said,
            format!("3 members read {topic}, which has 2 partitions: 1 of them receive nothing")
        );
        assert!(readiness.is_ready(), "the other members work");
        third.send(true).unwrap();
        for task in third_task {
            task.await.unwrap();
        }
        wait_for("no note", || async { note().is_none() }).await;
        shutdown.begin();
        watch.await.unwrap();
    });
}
