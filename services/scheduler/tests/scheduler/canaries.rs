//! Jobs that put some letters back first, and jobs that edit their letter.

use std::time::Duration;

use carillon_bus::headers;
use carillon_domain::{
    Channel, DeliveryId, DeliveryState, DeliveryStatus, Lane, TenantId, edit::Edit, status::Origin,
};
use carillon_store::{
    Page,
    audit_log::AuditAction,
    dead_letter_jobs::{Canary, CanaryPhase, CanaryView, JobKind, JobState},
    dead_letters::DeadLetterFilter,
    events::{EventKey, RouteClaim},
    read_model::{DeliveryRow, Projection},
};
use uuid::Uuid;

use crate::support::{Setting, delivery_id, letter, letter_id, on_scheduler, row, start, who};

/// Letters 1 to 6, and a job over them with a canary of three.
async fn six(setting: &Setting, tolerance: u32) -> Uuid {
    let rows: Vec<_> = (1..=6).map(|number| letter("default", number)).collect();
    setting.bury(&rows).await;
    setting.clock.advance(Duration::from_mins(1));
    let canary = Canary {
        letters: 3,
        tolerance,
    };
    setting
        .job_with(
            JobKind::Replay,
            DeadLetterFilter::default(),
            None,
            Some(canary),
            None,
        )
        .await
}

/// Brings deliveries of generation 1 into a state, as the tracker does.
async fn reach(setting: &Setting, numbers: &[i64], status: DeliveryStatus) {
    let deliveries = numbers.iter().map(|number| DeliveryRow {
        id: DeliveryId(delivery_id(*number)),
        tenant: TenantId::default(),
        event_id: format!("e-{number}").as_str().into(),
        source: "/shop".into(),
        event_type: "OrderShipped".into(),
        category: "transactional".into(),
        user_id: None,
        channel: Channel::Sms,
        state: DeliveryState {
            generation: 1,
            attempt: 1,
            status,
        },
        created_at: start(),
        at: start(),
        reason: None,
        error_code: None,
        to_masked: None,
        provider: None,
        provider_message_id: None,
        template: None,
        queued: None,
    });
    let projection = Projection {
        consumer: "a test".to_owned(),
        deliveries: deliveries.collect(),
        ..Projection::default()
    };
    setting.env.store.read_model().apply(&projection).await.unwrap();
}

async fn canary(setting: &Setting, job: Uuid) -> CanaryView {
    setting.view(job).await.canary.unwrap()
}

async fn published(setting: &Setting) -> Vec<Uuid> {
    setting.publish_all().await;
    let deliveries = setting.deliveries().await;
    assert!(deliveries.values().all(|count| *count == 1), "{deliveries:?}");
    deliveries.into_keys().map(|(id, _)| id).collect()
}

fn ids(numbers: std::ops::RangeInclusive<i64>) -> Vec<Uuid> {
    numbers.map(delivery_id).collect()
}

/// Lets the time pass until the next look.
async fn look(setting: &Setting) {
    setting.clock.advance(Duration::from_secs(20));
    setting.run_jobs().await;
}

#[tokio::test]
async fn the_others_follow_once_each_of_the_first_letters_has_ended() {
    on_scheduler(async |setting| {
        let job = six(setting, 0).await;
        setting.run_jobs().await;
        assert_eq!(published(setting).await, ids(1..=3));
        assert_eq!(canary(setting, job).await.phase, CanaryPhase::Watching);
        reach(setting, &[1, 2], DeliveryStatus::Sent).await;
        reach(setting, &[3], DeliveryStatus::Retrying).await;
        look(setting).await;
        let watched = canary(setting, job).await;
        assert_eq!((watched.sent, watched.ended, watched.failed), (3, 2, 0));
        assert_eq!(published(setting).await.len(), 3, "one has not ended");
        // A pause keeps it watching, and a resumption does not let it pass.
        let jobs = setting.env.store.dead_letter_jobs();
        jobs.pause(&who(), job).await.unwrap();
        look(setting).await;
        jobs.resume(&who(), job).await.unwrap();
        look(setting).await;
        assert_eq!(canary(setting, job).await.phase, CanaryPhase::Watching);
        reach(setting, &[3], DeliveryStatus::Delivered).await;
        look(setting).await;
        let done = setting.view(job).await;
        assert_eq!((done.state, done.settled), (JobState::Done, 6));
        assert_eq!(done.canary.unwrap().phase, CanaryPhase::Passed);
        assert_eq!(published(setting).await, ids(1..=6));
    })
    .await;
}

#[tokio::test]
async fn a_failure_stops_the_job_until_a_person_resumes_it() {
    on_scheduler(async |setting| {
        let job = six(setting, 0).await;
        setting.run_jobs().await;
        reach(setting, &[1], DeliveryStatus::Sent).await;
        reach(setting, &[2], DeliveryStatus::DeadLettered).await;
        look(setting).await;
        let stopped = setting.view(job).await;
        assert_eq!(stopped.state, JobState::Stopped);
        let seen = stopped.canary.unwrap();
        assert_eq!((seen.phase, seen.ended, seen.failed), (CanaryPhase::Failed, 2, 1));
        look(setting).await;
        assert_eq!(published(setting).await, ids(1..=3));
        let jobs = setting.env.store.dead_letter_jobs();
        assert!(!jobs.pause(&who(), job).await.unwrap().unwrap().is_moved);
        let resumed = jobs.resume(&who(), job).await.unwrap().unwrap();
        assert_eq!((resumed.is_moved, resumed.job.state), (true, JobState::Running));
        setting.run_jobs().await;
        let done = setting.view(job).await;
        assert_eq!((done.state, done.settled), (JobState::Done, 6));
        assert_eq!(done.canary.unwrap().phase, CanaryPhase::Overruled);
        assert_eq!(published(setting).await, ids(1..=6));
    })
    .await;
}

#[tokio::test]
async fn some_may_fail_if_the_job_says_so_and_a_stopped_job_can_be_cancelled() {
    on_scheduler(async |setting| {
        let job = six(setting, 34).await;
        setting.run_jobs().await;
        reach(setting, &[1, 2], DeliveryStatus::Sent).await;
        reach(setting, &[3], DeliveryStatus::Failed).await;
        look(setting).await;
        assert_eq!(setting.view(job).await.state, JobState::Done);

        let rows: Vec<_> = (11..=14).map(|number| letter("default", number)).collect();
        setting.bury(&rows).await;
        setting.clock.advance(Duration::from_mins(1));
        let strict = Canary {
            letters: 2,
            tolerance: 49,
        };
        let ids = (11..=14).map(letter_id).collect();
        let filter = DeadLetterFilter {
            ids,
            ..DeadLetterFilter::default()
        };
        let job = setting
            .job_with(JobKind::Replay, filter, None, Some(strict), None)
            .await;
        setting.run_jobs().await;
        reach(setting, &[11], DeliveryStatus::Bounced).await;
        look(setting).await;
        assert_eq!(setting.view(job).await.state, JobState::Stopped);
        let jobs = setting.env.store.dead_letter_jobs();
        jobs.cancel(&who(), job).await.unwrap();
        assert_eq!(setting.view(job).await.state, JobState::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_takes_all_letters_ends_with_the_job() {
    on_scheduler(async |setting| {
        setting.bury(&[letter("default", 1), letter("default", 2)]).await;
        setting.clock.advance(Duration::from_mins(1));
        for letters in [2, 10] {
            let canary = Canary {
                letters,
                tolerance: 0,
            };
            let job = setting
                .job_with(
                    JobKind::Replay,
                    DeadLetterFilter::default(),
                    None,
                    Some(canary),
                    None,
                )
                .await;
            setting.run_jobs().await;
            assert_eq!(setting.view(job).await.state, JobState::Done);
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_of_a_canary_is_fine_once_it_is_claimed_and_has_failed_once_it_is_rejected_again() {
    on_scheduler(async |setting| {
        let topic = setting.env.bus.topics().events(Lane::Normal);
        // Without an id: it is derived from the position of the first record.
        let event = |n: i64| {
            let value = format!(r#"{{"specversion":"1.0","source":"/shop/{n}","type":"T","recipient":"u"}}"#);
            row("default", n, None, &topic, value.into_bytes())
        };
        setting.bury(&[event(1), event(2), event(3), event(4)]).await;
        setting.clock.advance(Duration::from_mins(1));
        let two = Canary {
            letters: 2,
            tolerance: 50,
        };
        let job = setting
            .job_with(
                JobKind::Replay,
                DeadLetterFilter::default(),
                None,
                Some(two),
                None,
            )
            .await;
        setting.run_jobs().await;
        setting.publish_all().await;
        let records = setting.published(&topic).await;
        assert_eq!(records.len(), 2);
        let first = records[0].headers.get_str(headers::FIRST).unwrap();
        assert!(first.contains("\"offset\":7"), "{first}");
        look(setting).await;
        assert_eq!(canary(setting, job).await.ended, 0);
        let claim = RouteClaim {
            key: EventKey {
                tenant: TenantId::default(),
                event_id: carillon_domain::EventId::of_record(&topic, 1, 7),
                source: "/shop/1".into(),
            },
            event_type: "T".into(),
            fingerprint: [0; 32],
            origin: Origin {
                topic: topic.clone(),
                partition: 0,
                offset: 99,
            },
        };
        setting.env.store.events().claim_route(&[claim]).await.unwrap();
        let mut again = event(2);
        again.position.offset = 20;
        again.headers.push((headers::REPLAY.to_owned(), job.to_string()));
        again.headers.push((headers::FIRST.to_owned(), first.to_owned()));
        setting.bury(&[again]).await;
        look(setting).await;
        let done = setting.view(job).await;
        let seen = done.canary.unwrap();
        assert_eq!((seen.ended, seen.failed, seen.phase), (2, 1, CanaryPhase::Passed));
        assert_eq!(done.settled, 4);
    })
    .await;
}

#[tokio::test]
async fn an_edited_letter_is_put_back_once_with_its_next_generation_and_the_edit_is_audited() {
    on_scheduler(async |setting| {
        setting.bury(&[letter("default", 1), letter("default", 2)]).await;
        setting.clock.advance(Duration::from_mins(1));
        let edit = Edit::parse(r#"[{"op":"add","path":"/data/total","value":1.50}]"#).unwrap();
        let filter = || DeadLetterFilter {
            ids: vec![letter_id(1)],
            ..DeadLetterFilter::default()
        };
        for expected in [1, 0] {
            let job = setting
                .job_with(JobKind::Replay, filter(), None, None, Some(edit.clone()))
                .await;
            setting.run_jobs().await;
            assert_eq!(
                setting.view(job).await.settled,
                expected,
                "the second finds the verdict of the first"
            );
        }
        assert_eq!(published(setting).await, ids(1..=1));
        let topic = setting.env.bus.topics().channel(Channel::Sms, Lane::Normal);
        let records = setting.published(&topic).await;
        let delivery = carillon_domain::Delivery::parse(&records[0].value).unwrap();
        assert_eq!(delivery.data.get(), r#"{"total":1.50}"#);
        assert_eq!(records[0].headers.get_u32(headers::GENERATION), Some(1));
        let kept = setting
            .env
            .store
            .dead_letters()
            .get(&TenantId::default(), letter_id(1))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(kept.value, letter("default", 1).value, "the original stays");
        let log = setting
            .env
            .store
            .audit_log()
            .list(&TenantId::default(), Page::default())
            .await;
        let actions: Vec<_> = log.unwrap().items.iter().map(|entry| entry.action).collect();
        assert_eq!(actions, [AuditAction::Edit, AuditAction::Edit]);
    })
    .await;
}
