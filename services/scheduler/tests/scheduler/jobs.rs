//! Jobs and their letters.

use std::{collections::BTreeMap, time::Duration};

use carillon_bus::headers;
use carillon_domain::{
    Channel, DeliveryStatus, Lane, StatusRecord, TenantId,
    dead_letter::{LetterVerdict, SkipReason},
    status::Origin,
};
use carillon_runtime::Shutdown;
use carillon_scheduler::Stepped;
use carillon_store::{
    dead_letter_jobs::{Cancelled, JobKind, JobState},
    dead_letters::DeadLetterFilter,
    events::{EventKey, RouteClaim},
};
use carillon_testkit::eventually;

use crate::support::{delivery_id, letter, letter_id, on_scheduler, row, start, who};

#[tokio::test]
async fn a_replay_reopens_the_delivery_tells_the_verdict_and_puts_the_record_back() {
    on_scheduler(async |setting| {
        setting.bury(&[letter("default", 1)]).await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        setting.run_jobs().await;
        setting.publish_all().await;
        let topic = setting.env.bus.topics().channel(Channel::Sms, Lane::Normal);
        let records = setting.published(&topic).await;
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!(record.value, letter("default", 1).value);
        assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(record.headers.get_str(headers::REPLAY), Some(&*job.to_string()));
        assert_eq!(record.headers.get_str(headers::TENANT), Some("default"));
        assert_eq!(record.headers.get("kafka_dlt-original-offset"), None);
        let statuses = setting.statuses().await;
        let [StatusRecord::Delivery(queued), StatusRecord::Verdict(given)] = &statuses[..] else {
            panic!("{statuses:?}")
        };
        assert_eq!(
            (queued.delivery_id.0, queued.generation, queued.attempt),
            (delivery_id(1), 1, 0)
        );
        assert_eq!(queued.steps[0].status, DeliveryStatus::Queued);
        assert_eq!(
            (given.letter_id, given.verdict, given.job_id),
            (letter_id(1), LetterVerdict::Replayed, job)
        );
    })
    .await;
}

#[tokio::test]
async fn a_discard_publishes_verdicts_alone() {
    on_scheduler(async |setting| {
        // Also letters that could not be put back.
        let unreadable = row("default", 2, Some(Channel::Sms), "sms", vec![0xff]);
        let event = row("default", 3, None, "elsewhere", b"no event".to_vec());
        setting.bury(&[letter("default", 1), unreadable, event]).await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting.job(JobKind::Discard, DeadLetterFilter::default(), None).await;
        setting.run_jobs().await;
        setting.publish_all().await;
        let done = setting.view(job).await;
        assert_eq!((done.state, done.settled), (JobState::Done, 3));
        let statuses = setting.statuses().await;
        let is_discard = |status: &StatusRecord| {
            matches!(status, StatusRecord::Verdict(given) if given.verdict == LetterVerdict::Discarded)
        };
        assert!(statuses.len() == 3 && statuses.iter().all(is_discard));
        assert!(setting.deliveries().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn letters_that_cannot_be_put_back_stay_open_and_are_counted_by_reason() {
    on_scheduler(async |setting| {
        let mut expired = letter("default", 1);
        let text = String::from_utf8(expired.value).unwrap();
        expired.value = text
            .replacen('{', r#"{"expires_at":"2026-11-24T10:00:30Z","#, 1)
            .into_bytes();
        let mut cut = letter("default", 2);
        cut.headers
            .push((headers::TRUNCATED.to_owned(), "9000000".to_owned()));
        let unreadable = row("default", 3, Some(Channel::Sms), "sms", b"{}".to_vec());
        setting
            .bury(&[expired, cut, unreadable, letter("default", 4)])
            .await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        setting.run_jobs().await;
        let done = setting.view(job).await;
        assert_eq!((done.state, done.total, done.settled), (JobState::Done, 4, 1));
        let expected = [SkipReason::Expired, SkipReason::Truncated, SkipReason::Unreadable];
        assert_eq!(done.skipped, BTreeMap::from(expected.map(|reason| (reason, 1))));
        let all: Vec<_> = (1..5).map(letter_id).collect();
        let given = setting
            .env
            .store
            .dead_letter_jobs()
            .verdicts(&TenantId::default(), &all)
            .await
            .unwrap();
        assert_eq!(given.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_job_does_not_touch_letters_of_other_tenants_later_ones_and_its_own_replays() {
    on_scheduler(async |setting| {
        setting
            .bury(&[letter("default", 1), letter("other", 2), letter("default", 90)])
            .await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        // It failed again, on a machine whose clock is late.
        let mut again = letter("default", 5);
        again.headers.push((headers::REPLAY.to_owned(), job.to_string()));
        setting.bury(&[again]).await;
        setting.run_jobs().await;
        let done = setting.view(job).await;
        assert_eq!(
            (done.state, done.total, done.settled, done.processed()),
            (JobState::Done, 1, 1, 1)
        );
        setting.publish_all().await;
        let published = setting.deliveries().await;
        assert_eq!(published.keys().collect::<Vec<_>>(), [&(delivery_id(1), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_was_replayed_before_gets_the_next_generation() {
    on_scheduler(async |setting| {
        let mut again = letter("default", 1);
        again
            .headers
            .push((headers::GENERATION.to_owned(), "1".to_owned()));
        setting.bury(&[again]).await;
        setting.clock.advance(Duration::from_mins(1));
        setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        setting.run_jobs().await;
        setting.publish_all().await;
        assert_eq!(
            setting.deliveries().await,
            BTreeMap::from([((delivery_id(1), 2), 1)])
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_is_put_back_unless_the_router_has_claimed_it() {
    on_scheduler(async |setting| {
        let topic = setting.env.bus.topics().events(Lane::Normal);
        let event = |id: &str| {
            format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"T","recipient":"u"}}"#)
                .into_bytes()
        };
        // The header of each letter names partition 1 and offset 7.
        let claim = |id: &str, offset| RouteClaim {
            key: EventKey {
                tenant: TenantId::default(),
                event_id: id.into(),
                source: "/shop".into(),
            },
            event_type: "T".into(),
            fingerprint: [0; 32],
            origin: Origin {
                topic: topic.clone(),
                partition: 1,
                offset,
            },
        };
        let claims = [claim("claimed", 7), claim("routed", 8)];
        setting.env.store.events().claim_route(&claims).await.unwrap();
        let rows: Vec<_> = [
            event("free"),
            event("claimed"),
            event("routed"),
            b"no event".to_vec(),
        ]
        .into_iter()
        .zip(1..)
        .map(|(value, number)| row("default", number, None, &topic, value))
        .collect();
        setting.bury(&rows).await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        setting.run_jobs().await;
        setting.publish_all().await;
        let done = setting.view(job).await;
        let expected = [(SkipReason::EventClaimed, 1), (SkipReason::EventRouted, 1)];
        assert_eq!((done.settled, done.skipped), (2, BTreeMap::from(expected)));
        let mut values: Vec<_> = setting
            .published(&topic)
            .await
            .into_iter()
            .map(|record| record.value)
            .collect();
        values.sort();
        assert_eq!(values, [b"no event".to_vec(), event("free")]);
    })
    .await;
}

#[tokio::test]
async fn a_job_with_a_rate_takes_its_time_and_keeps_no_other_waiting() {
    on_scheduler(async |setting| {
        let rows: Vec<_> = (0..5).map(|number| letter("default", number)).collect();
        setting.bury(&rows).await;
        setting.clock.advance(Duration::from_mins(1));
        let slow = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), Some(2))
            .await;
        let runner = setting.runner();
        for settled in [2, 4] {
            assert_eq!(runner.step().await.unwrap(), Stepped::Worked);
            assert_eq!(setting.view(slow).await.settled, settled);
            assert_eq!(
                runner.step().await.unwrap(),
                Stepped::Idle,
                "its next step is due in a second"
            );
            if settled == 2 {
                let ids = vec![letter_id(4)];
                let filter = DeadLetterFilter {
                    ids,
                    ..DeadLetterFilter::default()
                };
                let other = setting.job(JobKind::Discard, filter, None).await;
                setting.run_jobs().await;
                assert_eq!(setting.view(other).await.state, JobState::Done);
            }
            setting.clock.advance(Duration::from_secs(1));
        }
        setting.run_jobs().await;
        let done = setting.view(slow).await;
        assert_eq!((done.state, done.settled), (JobState::Done, 4));
        assert_eq!(done.skipped, BTreeMap::from([(SkipReason::AlreadySettled, 1)]));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_job_leaves_the_rest_open() {
    on_scheduler(async |setting| {
        let rows: Vec<_> = (0..5).map(|number| letter("default", number)).collect();
        setting.bury(&rows).await;
        setting.clock.advance(Duration::from_mins(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), Some(2))
            .await;
        setting.runner().step().await.unwrap();
        let cancelled = setting
            .env
            .store
            .dead_letter_jobs()
            .cancel(&who(), job)
            .await
            .unwrap();
        assert!(matches!(cancelled, Some(Cancelled::Now(_))));
        setting.clock.advance(Duration::from_mins(1));
        setting.run_jobs().await;
        setting.publish_all().await;
        assert_eq!(setting.view(job).await.settled, 2);
        assert_eq!(setting.deliveries().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_role_runs_jobs_publishes_and_ends_at_the_shutdown() {
    on_scheduler(async |setting| {
        let rows: Vec<_> = (0..700).map(|number| letter("default", number)).collect();
        for some in rows.chunks(350) {
            setting.bury(some).await;
        }
        setting.clock.advance(Duration::from_hours(1));
        let job = setting
            .job(JobKind::Replay, DeadLetterFilter::default(), None)
            .await;
        let readiness = carillon_runtime::http::Readiness::default();
        let deps = carillon_scheduler::SchedulerDeps {
            bus: setting.env.bus.clone(),
            store: setting.env.store.clone(),
            clock: setting.clock.clone(),
            only_process: false,
            ready: readiness.register("scheduler"),
        };
        let shutdown = Shutdown::new();
        let role = tokio::spawn(carillon_scheduler::run(deps, shutdown.clone()));
        eventually("the job is done and published", || async {
            let is_done = setting.view(job).await.state == JobState::Done;
            is_done && setting.env.store.outbox().depth().await.unwrap().records == 0
        })
        .await;
        assert!(readiness.is_ready());
        shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(30), role).await;
        ended.expect("a soft shutdown is enough").unwrap().unwrap();
        assert!(!readiness.is_ready());
        let published = setting.deliveries().await;
        assert!(published.len() == 700 && published.values().all(|count| *count == 1));
        assert_eq!(start() + Duration::from_hours(1), setting.env.store.now());
    })
    .await;
}
