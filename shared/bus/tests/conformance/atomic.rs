use std::time::Duration;

use carillon_bus::{BatchLimits, BusError};
use carillon_domain::Lane;

use crate::support::{LIMITS, drain, on_each_backend, out, subscription, wait_for};

#[test]
fn output_and_offsets_become_visible_together() {
    on_each_backend(1, |setting| async move {
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        setting
            .bus
            .publish((0..3).map(|n| out(&input, "k", n)).collect())
            .await
            .unwrap();
        let mut consumer = setting.consumer("g", &input);
        let batch = consumer.next(&LIMITS).await.unwrap();
        let copies = batch
            .records
            .iter()
            .map(|record| out(&output, "k", crate::support::text(&record.value)));
        consumer.commit_with(&batch, copies.collect()).await.unwrap();
        assert_eq!(drain(&mut setting.consumer("reader", &output), 3).await.len(), 3);
        drop(consumer);

        setting.bus.publish(vec![out(&input, "k", "next")]).await.unwrap();
        assert_eq!(drain(&mut setting.consumer("g", &input), 1).await[0].1, "next");
    });
}

#[test]
fn a_group_that_has_read_all_records_of_atomic_steps_has_no_lag() {
    on_each_backend(2, |setting| async move {
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        let records = (0..6)
            .map(|n| out(&input, ["a", "b", "c", "d"][n % 4], n))
            .collect();
        setting.bus.publish(records).await.unwrap();
        let mut consumer = setting.consumer("g", &input);
        let mut read = 0;
        while read < 6 {
            let batch = consumer.next(&LIMITS).await.unwrap();
            read += batch.records.len();
            let copies = batch.records.iter().map(|record| {
                let key = crate::support::text(record.key.as_ref().unwrap());
                out(&output, &key, crate::support::text(&record.value))
            });
            consumer.commit_with(&batch, copies.collect()).await.unwrap();
        }
        let mut reader = setting.consumer("reader", &output);
        let behind = async || {
            let lags = setting.bus.lag("reader").await.unwrap();
            lags.iter().map(|lag| lag.records).sum::<i64>()
        };
        drain(&mut reader, 6).await;
        // The marker behind a transaction's last record is not a record.
        wait_for("no lag", || async { behind().await == 0 }).await;
        setting
            .bus
            .publish(vec![out(&output, "a", "last")])
            .await
            .unwrap();
        wait_for("a lag of one", || async { behind().await == 1 }).await;
    });
}

#[test]
fn steps_that_are_begun_one_behind_the_other_happen_in_order_and_once_each() {
    on_each_backend(1, |setting| async move {
        const COUNT: usize = 60;
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        let records = (0..COUNT).map(|n| out(&input, "k", n)).collect();
        setting.bus.publish(records).await.unwrap();
        let few = BatchLimits {
            max_records: 5,
            linger: Duration::ZERO,
            ..LIMITS
        };
        let mut consumer = setting.consumer("g", &input);
        let mut read = 0;
        while read < COUNT {
            let batch = consumer.next(&few).await.unwrap();
            read += batch.records.len();
            let copies = batch
                .records
                .iter()
                .map(|record| out(&output, "k", crate::support::text(&record.value)));
            consumer
                .begin_commit_with(&batch, copies.collect())
                .await
                .unwrap();
        }
        consumer.settle().await.unwrap();
        drop(consumer);
        let copies = drain(&mut setting.consumer("reader", &output), COUNT).await;
        let values: Vec<String> = copies.into_iter().map(|(_, value)| value).collect();
        let expected: Vec<String> = (0..COUNT).map(|n| n.to_string()).collect();
        assert_eq!(values, expected);
        // The committed offsets are behind all of it.
        setting.bus.publish(vec![out(&input, "k", "next")]).await.unwrap();
        assert_eq!(drain(&mut setting.consumer("g", &input), 1).await[0].1, "next");
    });
}

#[test]
fn a_step_that_is_aborted_leaves_nothing_behind_and_its_input_is_read_again() {
    on_each_backend(1, |setting| async move {
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        setting.bus.publish(vec![out(&input, "k", "in")]).await.unwrap();
        let mut consumer = setting.consumer("g", &input);
        let batch = consumer.next(&LIMITS).await.unwrap();
        // The second record goes to a topic that does not exist: the step fails after the first was produced.
        let nowhere = "there-is-no-such-topic".into();
        let broken = vec![out(&output, "k", "half"), out(&nowhere, "k", "other half")];
        consumer.commit_with(&batch, broken).await.unwrap_err();

        consumer.rewind().await.unwrap();
        let batch = consumer.next(&LIMITS).await.unwrap();
        assert_eq!(batch.records[0].value, "in");
        consumer
            .commit_with(&batch, vec![out(&output, "k", "whole")])
            .await
            .unwrap();
        assert_eq!(
            drain(&mut setting.consumer("reader", &output), 1).await[0].1,
            "whole"
        );
    });
}

#[test]
fn a_member_that_lost_its_partitions_can_neither_commit_nor_produce() {
    on_each_backend(1, |setting| async move {
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        setting.bus.publish(vec![out(&input, "k", "in")]).await.unwrap();
        let mut zombie = setting.consumer("g", &input);
        let stale = zombie.next(&LIMITS).await.unwrap();

        // A rewind discards the batch, as happens when its partitions return after a loss.
        zombie.rewind().await.unwrap();
        assert!(matches!(zombie.commit(&stale).await, Err(BusError::Revoked)));
        let late = zombie
            .commit_with(&stale, vec![out(&output, "k", "zombie")])
            .await;
        assert!(matches!(late, Err(BusError::Revoked)), "{late:?}");
        drop(zombie);

        let mut heir = setting.consumer("g", &input);
        let batch = heir.next(&LIMITS).await.unwrap();
        heir.commit_with(&batch, vec![out(&output, "k", "heir")])
            .await
            .unwrap();
        assert_eq!(
            drain(&mut setting.consumer("reader", &output), 1).await[0].1,
            "heir"
        );
    });
}

#[test]
fn a_zombie_that_does_not_know_it_yet_is_fenced() {
    on_each_backend(2, |setting| async move {
        if setting.bus.backend_name() != "kafka" {
            return; // In one process a partition moves only when its owner has released it.
        }
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        let mut zombie = setting.consumer("g", &input);
        while zombie.assignment().count() < 2 {
            // No record can be read yet; the poll brings the assignment.
            let _ = tokio::time::timeout(Duration::from_millis(100), zombie.next(&LIMITS)).await;
        }
        setting
            .bus
            .publish((0..20).map(|n| out(&input, &n.to_string(), n)).collect())
            .await
            .unwrap();
        let mut stale = zombie.next(&LIMITS).await.unwrap();
        while stale.next_positions().count() < 2 {
            zombie.rewind().await.unwrap();
            stale = zombie.next(&LIMITS).await.unwrap();
        }
        // From here on the zombie does not poll, so it does not hear that a partition moves to the other member.
        let other = setting.another_process().await;
        let mut heir = other.subscribe(&subscription("g", &input)).unwrap();
        let batch = heir.next(&LIMITS).await.unwrap();
        let late = zombie
            .commit_with(&stale, vec![out(&output, "k", "zombie")])
            .await;
        assert!(matches!(late, Err(BusError::Revoked)), "{late:?}");
        heir.commit_with(&batch, vec![out(&output, "k", "heir")])
            .await
            .unwrap();
        assert_eq!(
            drain(&mut setting.consumer("reader", &output), 1).await[0].1,
            "heir"
        );
    });
}

#[test]
fn a_step_that_is_not_awaited_happens_once_or_not_at_all_before_the_next_member_reads() {
    on_each_backend(1, |setting| async move {
        let (input, output) = (
            setting.bus.topics().events(Lane::Normal),
            setting.bus.topics().status(),
        );
        for round in 0..5 {
            setting.bus.publish(vec![out(&input, "k", round)]).await.unwrap();
            let mut consumer = setting.consumer("g", &input);
            let batch = consumer.next(&LIMITS).await.unwrap();
            assert_eq!(batch.records[0].value, round.to_string());
            {
                let mut step = Box::pin(consumer.commit_with(&batch, vec![out(&output, "k", round)]));
                // The step is begun and then not polled further, as after a hard shutdown.
                let _ = futures::poll!(&mut step);
            }
            drop(consumer);
            setting.bus.publish(vec![out(&input, "k", "end")]).await.unwrap();
            let mut heir = setting.consumer("g", &input);
            let mut is_at_end = false;
            while !is_at_end {
                let batch = heir.next(&LIMITS).await.unwrap();
                is_at_end = batch.records.iter().any(|record| record.value == "end");
                let copies = batch
                    .records
                    .iter()
                    .map(|record| out(&output, "k", crate::support::text(&record.value)));
                heir.commit_with(&batch, copies.collect()).await.unwrap();
            }
        }
        let written: Vec<String> = drain(&mut setting.consumer("reader", &output), 10)
            .await
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(
            written,
            ["0", "end", "1", "end", "2", "end", "3", "end", "4", "end"]
        );
    });
}
