//! The same rows in any order, with any repetition and in any batches, give the same tables.

use carillon_domain::{DeliveryState, DeliveryStatus, Timestamp, status::TemplateRef};
use carillon_store::read_model::{DeliveryRow, Queued, StepView};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use strum::IntoEnumIterator as _;

use crate::support::{TestStore, apply, contents, delivery_row, on_each, seconds, start};

/// A row of one of four deliveries, with a random state, time and words.
fn any_row() -> impl Strategy<Value = DeliveryRow> {
    let statuses: Vec<_> = DeliveryStatus::iter().collect();
    let state =
        (0..2_u32, 0..3_u32, proptest::sample::select(statuses)).prop_map(|(generation, attempt, status)| {
            DeliveryState {
                generation,
                attempt,
                status,
            }
        });
    let words = proptest::collection::vec(proptest::option::of("[ab]"), 6);
    (0..4_u128, state, 0..4_u64, words).prop_map(|(number, state, at, words)| {
        let mut row = delivery_row(number, state, start() + seconds(at));
        row.created_at = start();
        let mut words = words.into_iter();
        let mut word = || words.next().flatten();
        row.to_masked = word();
        row.provider = word().map(Into::into);
        row.provider_message_id = word();
        row.template = word().map(|id| TemplateRef {
            id: id.into(),
            version: 1,
            locale: "en".into(),
        });
        row.error_code = word();
        row.queued = word().map(|detail| Queued {
            at: row.at,
            reason: "allowed",
            detail,
        });
        row
    })
}

/// Rows, an order of arrival with repetitions, and its division into batches.
fn any_course() -> impl Strategy<Value = (Vec<DeliveryRow>, Vec<Index>, Vec<bool>)> {
    (
        proptest::collection::vec(any_row(), 1..12),
        proptest::collection::vec(any::<Index>(), 0..20),
        proptest::collection::vec(any::<bool>(), 40),
    )
}

/// Runs courses against one store, each from an empty projection.
fn check_courses(store: &TestStore, cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    let handle = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&any_course(), |(rows, order, cuts)| {
            let (straight, crooked) = handle.block_on(async {
                store.read_model().reset("test").await.unwrap();
                apply(store, vec![], rows.clone()).await;
                let straight = contents(store, 0..4).await;

                store.read_model().reset("test").await.unwrap();
                let mut course: Vec<_> = order.iter().map(|index| index.get(&rows).clone()).collect();
                course.extend(rows.iter().rev().cloned());
                let mut batch = Vec::new();
                for (row, cut) in course.into_iter().zip(cuts.into_iter().cycle()) {
                    batch.push(row);
                    if cut {
                        apply(store, vec![], std::mem::take(&mut batch)).await;
                    }
                }
                apply(store, vec![], batch).await;
                (straight, contents(store, 0..4).await)
            });
            // Repeated steps of one moment are compared by their keys only, since their words may differ.
            let steps = |timelines: &[Vec<StepView>]| -> Vec<Vec<(Timestamp, DeliveryStatus, u32, u32)>> {
                let key = |step: &StepView| (step.at, step.status, step.attempt, step.generation);
                timelines
                    .iter()
                    .map(|timeline| timeline.iter().map(key).collect())
                    .collect()
            };
            prop_assert_eq!(&straight.0, &crooked.0);
            prop_assert_eq!(steps(&straight.1), steps(&crooked.1));
            prop_assert_eq!(straight.2, crooked.2);
            // The state follows the domain's rule.
            for view in &straight.0 {
                let seen = rows.iter().filter(|row| row.id == view.id).map(|row| row.state);
                let expected = seen.reduce(DeliveryState::merge).unwrap();
                let found = DeliveryState {
                    generation: view.generation,
                    attempt: view.attempt,
                    status: view.status,
                };
                prop_assert_eq!(found, expected);
            }
            let ended = straight.0.iter().filter(|view| view.status.is_ended()).count() as u64;
            prop_assert_eq!(
                (straight.2.ended, straight.2.pending),
                (ended, straight.0.len() as u64 - ended)
            );
            Ok(())
        })
    });
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_repetition_and_cut_of_the_same_rows_gives_the_same_tables() {
    on_each(async |store| check_courses(store, 40)).await;
}
