//! Processes that die between any two steps.

use std::{collections::BTreeMap, time::Duration};

use carillon_domain::TenantId;
use carillon_store::{
    dead_letter_jobs::{JobKind, JobState},
    dead_letters::DeadLetterFilter,
};

use carillon_testkit::eventually;

use crate::support::{Setting, delivery_id, killed_after, letter, letter_id, on_scheduler};

/// The letters of each round.
const LETTERS: i64 = 3;

async fn round(setting: &Setting, round: i64) -> (std::ops::Range<i64>, uuid::Uuid) {
    let numbers = round * LETTERS..(round + 1) * LETTERS;
    let rows: Vec<_> = numbers.clone().map(|number| letter("default", number)).collect();
    setting.bury(&rows).await;
    setting.clock.advance(Duration::from_mins(10));
    let ids = numbers.clone().map(letter_id).collect();
    let filter = DeadLetterFilter {
        ids,
        ..DeadLetterFilter::default()
    };
    (numbers, setting.job(JobKind::Replay, filter, None).await)
}

/// How often each delivery is expected: once, with generation 1.
fn once(count: i64) -> BTreeMap<(uuid::Uuid, u32), usize> {
    (0..count).map(|number| ((delivery_id(number), 1), 1)).collect()
}

#[tokio::test]
async fn each_letter_is_put_back_once_wherever_the_job_runner_dies() {
    on_scheduler(async |setting| {
        let mut rounds = 0;
        loop {
            let (_, job) = round(setting, rounds).await;
            let waits = usize::try_from(rounds).unwrap();
            rounds += 1;
            let survived = killed_after(waits, Box::pin(setting.runner().step()))
                .await
                .is_some();
            // Another instance takes over when the lease has ended. PostgreSQL rolls the transaction of a dropped future back
            // in its own time, so an instance may take the job and fail; the next one waits for its lease too.
            eventually("the job ends", || async {
                setting.clock.advance(Duration::from_secs(61));
                setting.run_jobs().await;
                setting.view(job).await.state == JobState::Done
            })
            .await;
            let done = setting.view(job).await;
            assert_eq!(
                (done.state, done.settled, done.processed()),
                (JobState::Done, 3, 3),
                "{waits}"
            );
            if survived {
                break;
            }
        }
        assert!(rounds > 3, "the runner waits for the database several times");
        setting.publish_all().await;
        assert_eq!(setting.deliveries().await, once(rounds * LETTERS));
    })
    .await;
}

#[tokio::test]
async fn each_letter_is_published_at_least_once_and_always_as_the_same_attempt_wherever_the_publisher_dies() {
    on_scheduler(async |setting| {
        let mut rounds = 0;
        loop {
            round(setting, rounds).await;
            let waits = usize::try_from(rounds).unwrap();
            rounds += 1;
            setting.run_jobs().await;
            let survived = killed_after(waits, Box::pin(setting.publisher().step()))
                .await
                .is_some();
            setting.clock.advance(Duration::from_secs(61));
            setting.publish_all().await;
            if survived {
                break;
            }
        }
        assert!(
            rounds > 3,
            "the publisher waits for database and bus several times"
        );
        let published = setting.deliveries().await;
        assert_eq!(
            published.keys().collect::<Vec<_>>(),
            once(rounds * LETTERS).keys().collect::<Vec<_>>(),
            "none is missing, and none has another generation"
        );
        let verdicts = setting.env.store.dead_letter_jobs();
        let all: Vec<_> = (0..rounds * LETTERS).map(letter_id).collect();
        let given = verdicts.verdicts(&TenantId::default(), &all).await.unwrap();
        assert_eq!(given.len(), all.len());
    })
    .await;
}

#[tokio::test]
async fn two_instances_share_a_job_and_put_no_letter_back_twice() {
    on_scheduler(async |setting| {
        let rows: Vec<_> = (0..1_200).map(|number| letter("default", number)).collect();
        for some in rows.chunks(300) {
            setting.bury(some).await;
        }
        setting.clock.advance(Duration::from_hours(1));
        let all = DeadLetterFilter::default();
        let jobs = [
            setting.job(JobKind::Replay, all.clone(), None).await,
            setting.job(JobKind::Replay, all, None).await,
        ];
        tokio::join!(Box::pin(setting.run_jobs()), Box::pin(setting.run_jobs()));
        let mut settled = 0;
        for job in jobs {
            let view = setting.view(job).await;
            assert_eq!(view.state, JobState::Done);
            settled += view.settled;
        }
        assert_eq!(settled, 1_200);
        tokio::join!(
            async { while Box::pin(setting.publisher().step()).await.unwrap() > 0 {} },
            async { while Box::pin(setting.publisher().step()).await.unwrap() > 0 {} }
        );
        setting.publish_all().await;
        assert_eq!(setting.deliveries().await, once(1_200));
    })
    .await;
}
