//! Jobs over dead letters, their verdicts, and the outbox.

use std::collections::BTreeMap;

use carillon_domain::{
    Channel, Timestamp,
    dead_letter::{LetterVerdict, SkipReason},
    ids::dead_letter_id,
};
use carillon_store::{
    Lease, Page, Store,
    api_keys::{Principal, Role},
    audit_log::AuditAction,
    dead_letter_jobs::{
        Cancelled, JobKind, JobState, JobStep, JobView, NewJob, SettledLetter, StepEnd, TakenJob,
    },
    dead_letters::{BatchOf, DeadLetterFilter, DeadLetterState},
    outbox::OutboxRecord,
};
use uuid::Uuid;

use crate::{
    dead_letters::letter,
    support::{TestStore, on_each, seconds, start},
};

fn who(tenant: &str) -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "ada".to_owned(),
        tenant: tenant.into(),
        role: Role::Operator,
    }
}

fn id(offset: i64) -> Uuid {
    dead_letter_id("notifications.sms.dlq", 0, offset)
}

async fn job(store: &TestStore, kind: JobKind) -> Uuid {
    let job = NewJob {
        id: Uuid::now_v7(),
        kind,
        selection: DeadLetterFilter::default(),
        total: 3,
        rate: None,
        note: Some("a note".to_owned()),
        canary: None,
        edit: None,
        at: store.now(),
    };
    store
        .dead_letter_jobs()
        .create(&who("default"), &job)
        .await
        .unwrap();
    job.id
}

fn lease(store: &TestStore) -> Lease {
    Lease {
        owner: Uuid::now_v7(),
        until: store.now() + seconds(60),
    }
}

async fn take(store: &TestStore) -> Option<TakenJob> {
    store.dead_letter_jobs().take(lease(store), false).await.unwrap()
}

fn record(value: &str) -> OutboxRecord {
    OutboxRecord {
        topic: "notifications.sms".into(),
        key: None,
        headers: vec![1, 2],
        value: value.into(),
    }
}

/// A step over these letters, each with one record.
fn over(letters: &[i64], now: Timestamp) -> JobStep {
    JobStep {
        letters: letters
            .iter()
            .map(|offset| SettledLetter {
                id: id(*offset),
                generation: Some(1),
                records: vec![record(&offset.to_string())],
            })
            .collect(),
        next_step_at: now,
        ..JobStep::default()
    }
}

async fn view(store: &Store, job: Uuid) -> JobView {
    let found = store.dead_letter_jobs().get(&"default".into(), job).await;
    found.unwrap().unwrap()
}

async fn outbox(store: &TestStore) -> Vec<String> {
    let claimed = store.outbox().claim(lease(store), true).await.unwrap();
    let values = claimed.into_iter().map(|claimed| claimed.record.value);
    values.map(|value| String::from_utf8(value).unwrap()).collect()
}

#[tokio::test]
async fn a_letter_gets_one_verdict_and_only_the_job_that_gives_it_publishes() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let first = job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        assert_eq!(taken.job.id, first);
        let step = over(&[1, 2], store.now());
        assert_eq!(jobs.step(&taken, &step).await.unwrap(), StepEnd::Written(2));
        store.clock.advance(seconds(1));
        let second = job(store, JobKind::Discard).await;
        // The first job's next step is due first.
        let taken = take(store).await.unwrap();
        let mut last = over(&[2, 3], store.now());
        last.is_last = true;
        last.skipped = BTreeMap::from([(SkipReason::Expired, 4)]);
        assert_eq!(jobs.step(&taken, &last).await.unwrap(), StepEnd::Written(1));
        let done = view(store, first).await;
        assert_eq!(
            (done.state, done.settled, done.processed()),
            (JobState::Done, 3, 8)
        );
        let skipped = [(SkipReason::AlreadySettled, 1), (SkipReason::Expired, 4)];
        assert_eq!(done.skipped, BTreeMap::from(skipped));
        let taken = take(store).await.unwrap();
        assert_eq!(taken.job.id, second);
        let step = over(&[1, 4], store.now());
        assert_eq!(jobs.step(&taken, &step).await.unwrap(), StepEnd::Written(1));
        assert_eq!(outbox(store).await, ["1", "2", "3", "4"], "in order, each once");

        let mut verdicts = jobs
            .verdicts(&store.tenant, &[id(1), id(4), id(9)])
            .await
            .unwrap();
        verdicts.sort_by_key(|verdict| verdict.verdict.to_string());
        let seen: Vec<_> = verdicts
            .iter()
            .map(|given| (given.letter_id, given.verdict, given.job_id))
            .collect();
        let expected = [
            (id(4), LetterVerdict::Discarded, second),
            (id(1), LetterVerdict::Replayed, first),
        ];
        assert_eq!(seen, expected);
        assert_eq!(
            (verdicts[0].actor.as_str(), verdicts[0].note.as_deref()),
            ("ada", Some("a note"))
        );
        assert!(jobs.verdicts(&"other".into(), &[id(1)]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_letter_that_is_read_after_its_verdict_is_never_open() {
    on_each(async |store| {
        job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        let step = over(&[1], store.now());
        store.dead_letter_jobs().step(&taken, &step).await.unwrap();
        // A rebuild, or a read model from a backup: the letters come after their verdicts, whose statuses may be gone.
        let rows: Vec<_> = [1, 2]
            .map(|offset| letter(offset, Some(Channel::Sms), "x"))
            .into();
        let letters = store.dead_letters();
        for _ in 0..2 {
            letters.apply("tracker", &rows, &[]).await.unwrap();
            for (offset, state) in [(1, DeadLetterState::Replayed), (2, DeadLetterState::Open)] {
                let view = letters.get(&store.tenant, id(offset)).await.unwrap().unwrap();
                assert_eq!(view.state, state);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_paused_job_settles_no_further_letter_until_it_is_resumed_where_it_stopped() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let made = job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        let written = jobs.step(&taken, &over(&[1], store.now())).await.unwrap();
        assert_eq!(written, StepEnd::Written(1));
        let taken = take(store).await.unwrap();
        assert_eq!(
            jobs.pause(&who("other"), made).await.unwrap(),
            None,
            "of another tenant"
        );
        let paused = jobs.pause(&who("default"), made).await.unwrap().unwrap();
        assert_eq!((paused.is_moved, paused.job.state), (true, JobState::Paused));
        // The step that was under way has no effect, and no other is taken.
        let lost = jobs.step(&taken, &over(&[2], store.now())).await.unwrap();
        assert_eq!(lost, StepEnd::Lost);
        assert!(take(store).await.is_none());
        let again = jobs.pause(&who("default"), made).await.unwrap().unwrap();
        assert_eq!((again.is_moved, again.job.state), (false, JobState::Paused));
        // It waits, however long it takes.
        store.clock.advance(seconds(400 * 24 * 3_600));
        jobs.prune(seconds(1)).await.unwrap();

        let resumed = jobs.resume(&who("default"), made).await.unwrap().unwrap();
        assert_eq!((resumed.is_moved, resumed.job.state), (true, JobState::Running));
        assert_eq!((resumed.job.settled, resumed.job.after), (1, taken.job.after));
        let again = jobs.resume(&who("default"), made).await.unwrap().unwrap();
        assert!(!again.is_moved);
        let taken = take(store).await.unwrap();
        let written = jobs.step(&taken, &over(&[2], store.now())).await.unwrap();
        assert_eq!(written, StepEnd::Written(1));

        jobs.pause(&who("default"), made).await.unwrap();
        let cancelled = jobs.cancel(&who("default"), made).await.unwrap();
        assert!(matches!(cancelled, Some(Cancelled::Now(_))), "{cancelled:?}");
        let ended = jobs.resume(&who("default"), made).await.unwrap().unwrap();
        assert_eq!((ended.is_moved, ended.job.state), (false, JobState::Cancelled));
        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        let noted = |action: AuditAction| log.items.iter().filter(|entry| entry.action == action).count();
        assert_eq!((noted(AuditAction::Pause), noted(AuditAction::Resume)), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_job_settles_no_further_letter_and_both_are_audited() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let made = job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        assert_eq!(
            jobs.cancel(&who("other"), made).await.unwrap(),
            None,
            "of another tenant"
        );
        let Some(Cancelled::Now(cancelled)) = jobs.cancel(&who("default"), made).await.unwrap() else {
            panic!()
        };
        assert_eq!(
            (cancelled.state, cancelled.ended_at),
            (JobState::Cancelled, Some(store.now()))
        );
        let step = over(&[1], store.now());
        assert_eq!(jobs.step(&taken, &step).await.unwrap(), StepEnd::Lost);
        assert!(jobs.verdicts(&store.tenant, &[id(1)]).await.unwrap().is_empty());
        assert!(outbox(store).await.is_empty() && take(store).await.is_none());
        let again = jobs.cancel(&who("default"), made).await.unwrap();
        assert!(matches!(again, Some(Cancelled::HadEnded(_))));
        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap()
            .items;
        let mut actions: Vec<_> = log.iter().map(|entry| entry.action.to_string()).collect();
        actions.sort();
        assert_eq!(
            actions,
            [AuditAction::Cancel, AuditAction::Replay].map(|action| action.to_string())
        );
        assert_eq!(log[0].route, format!("/v1/dlq/jobs/{made}"));
    })
    .await;
}

#[tokio::test]
async fn a_step_is_one_process_s_until_its_lease_ends_and_the_former_one_writes_nothing_more() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let made = job(store, JobKind::Replay).await;
        let dead = take(store).await.unwrap();
        assert!(take(store).await.is_none(), "it is being worked on");
        store.clock.advance(seconds(61));
        let heir = take(store).await.unwrap();
        let step = over(&[1], store.now());
        assert_eq!(jobs.step(&dead, &step).await.unwrap(), StepEnd::Lost);
        jobs.fail(&dead, "late").await.unwrap();
        jobs.release(&dead).await.unwrap();
        assert_eq!(jobs.step(&heir, &step).await.unwrap(), StepEnd::Written(1));
        assert_eq!(view(store, made).await.settled, 1);
        // In the only process, the lease of another is a dead one's.
        let _dead = take(store).await.unwrap();
        assert!(jobs.take(lease(store), true).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_job_waits_for_its_next_step_and_a_failed_one_says_why() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let made = job(store, JobKind::Discard).await;
        let taken = take(store).await.unwrap();
        let step = over(&[1], store.now() + seconds(10));
        jobs.step(&taken, &step).await.unwrap();
        assert!(take(store).await.is_none());
        assert_eq!(jobs.running().await.unwrap(), (1, 2));
        store.clock.advance(seconds(10));
        let taken = take(store).await.unwrap();
        jobs.fail(&taken, "a bug").await.unwrap();
        let failed = view(store, made).await;
        assert_eq!(
            (failed.state, failed.error.as_deref()),
            (JobState::Failed, Some("a bug"))
        );
        assert!(take(store).await.is_none());
        assert_eq!(jobs.running().await.unwrap(), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_made_twice_is_one_and_lists_show_the_tenant_s_own() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let new = NewJob {
            id: Uuid::now_v7(),
            kind: JobKind::Replay,
            selection: DeadLetterFilter {
                ids: vec![id(1)],
                queue: vec![None, Some(Channel::Sms)],
                from: Some(start()),
                ..DeadLetterFilter::default()
            },
            total: 1,
            rate: Some(7),
            note: None,
            canary: None,
            edit: None,
            at: store.now(),
        };
        for _ in 0..2 {
            jobs.create(&who("default"), &new).await.unwrap();
        }
        jobs.create(&who("other"), &new).await.unwrap();
        let listed = jobs.list(&store.tenant, Page::default()).await.unwrap().items;
        assert_eq!(listed.len(), 1);
        assert_eq!((&listed[0].selection, listed[0].rate), (&new.selection, Some(7)));
        assert!(
            jobs.list(&"other".into(), Page::default())
                .await
                .unwrap()
                .items
                .is_empty()
        );
        assert!(jobs.get(&"other".into(), new.id).await.unwrap().is_none());
        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        assert_eq!(log.items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_job_selects_the_same_letters_as_the_list_oldest_first_and_in_bounded_batches() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let mut rows: Vec<_> = (0..40)
            .map(|n| {
                letter(
                    n,
                    if n % 4 == 0 { None } else { Some(Channel::Sms) },
                    if n % 2 == 0 { "a" } else { "b" },
                )
            })
            .collect();
        // Two of these records are larger than a batch.
        for n in [9, 13, 17] {
            rows[n].value = vec![b'x'; 5 << 20];
        }
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let filters = [
            DeadLetterFilter::default(),
            DeadLetterFilter {
                queue: vec![Some(Channel::Sms)],
                code: vec!["b".into()],
                ..DeadLetterFilter::default()
            },
            DeadLetterFilter {
                from: Some(start() + seconds(5)),
                to: Some(start() + seconds(20)),
                event_type: vec!["OrderShipped".into(), "Other".into()],
                ..DeadLetterFilter::default()
            },
            DeadLetterFilter {
                ids: vec![id(1), id(2), id(3)],
                ..DeadLetterFilter::default()
            },
        ];
        for filter in filters {
            let page = Page {
                after: None,
                limit: 500,
            };
            let listed = letters.list(&store.tenant, &filter, page).await.unwrap().items;
            let expected: Vec<Uuid> = listed.iter().rev().map(|letter| letter.id).collect();
            let mut of = BatchOf {
                tenant: &store.tenant,
                filter: &filter,
                until: Some(start() + seconds(3_600)),
                after: None,
                limit: 10,
            };
            assert_eq!(letters.count(of).await.unwrap(), expected.len() as u64);
            let mut selected = Vec::new();
            loop {
                let batch = letters.batch(of).await.unwrap();
                let bytes: usize = batch.letters.iter().map(|letter| letter.value.len()).sum();
                assert!(batch.letters.len() <= 10 && bytes < 9 << 20, "{bytes}");
                selected.extend(batch.letters.iter().map(|letter| letter.id));
                of.after = batch.end;
                if !batch.has_more {
                    break;
                }
            }
            assert_eq!(selected, expected, "{filter:?}");
            let other = BatchOf {
                tenant: &"other".into(),
                after: None,
                ..of
            };
            assert_eq!(letters.count(other).await.unwrap(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn the_outbox_keeps_a_record_until_the_bus_has_it_whichever_process_dies() {
    on_each(async |store| {
        job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        let mut step = over(&[1, 2], store.now());
        step.letters[0].records.push(OutboxRecord {
            value: vec![b'x'; 9 << 20],
            key: Some(vec![0xff]),
            ..record("")
        });
        store.dead_letter_jobs().step(&taken, &step).await.unwrap();
        let outbox = store.outbox();
        assert_eq!(outbox.count_up_to(2).await.unwrap(), 2);
        let depth = outbox.depth().await.unwrap();
        assert_eq!((depth.records, depth.oldest), (3, Some(store.now())));
        let dead = lease(store);
        let claimed = outbox.claim(dead, false).await.unwrap();
        assert_eq!(claimed.len(), 2, "no more than fits into memory");
        assert_eq!(claimed[0].record, record("1"));
        assert_eq!(claimed[1].record.key.as_deref(), Some(&[0xff][..]));
        let other = lease(store);
        let rest = outbox.claim(other, false).await.unwrap();
        assert_eq!(
            rest.iter().map(|claimed| &claimed.record).collect::<Vec<_>>(),
            [&record("2")]
        );
        outbox
            .published(other.owner, &[claimed[0].id, rest[0].id])
            .await
            .unwrap();
        assert_eq!(outbox.depth().await.unwrap().records, 2, "only its own");
        // The first process has died: its records are published again.
        store.clock.advance(seconds(61));
        let heir = lease(store);
        assert_eq!(outbox.claim(heir, false).await.unwrap(), claimed);
        let ids: Vec<i64> = claimed.iter().map(|claimed| claimed.id).collect();
        outbox.published(dead.owner, &ids).await.unwrap();
        assert_eq!(outbox.depth().await.unwrap().records, 2);
        outbox.published(heir.owner, &ids).await.unwrap();
        assert_eq!(
            outbox.depth().await.unwrap(),
            carillon_store::outbox::OutboxDepth::default()
        );
    })
    .await;
}

#[tokio::test]
async fn verdicts_and_ended_jobs_go_by_age_and_running_jobs_stay() {
    on_each(async |store| {
        let jobs = store.dead_letter_jobs();
        let running = job(store, JobKind::Replay).await;
        let taken = take(store).await.unwrap();
        jobs.step(&taken, &over(&[1], store.now() + seconds(1)))
            .await
            .unwrap();
        let ended = job(store, JobKind::Replay).await;
        jobs.cancel(&who("default"), ended).await.unwrap();
        let days = |days: u64| seconds(days * 24 * 3_600);
        store.clock.advance(days(92));
        assert_eq!(
            jobs.prune(days(93)).await.unwrap(),
            0,
            "the topics keep their letters for longer"
        );
        store.clock.advance(seconds(1));
        assert_eq!(jobs.prune(days(1)).await.unwrap(), 2);
        assert!(jobs.get(&store.tenant, running).await.unwrap().is_some());
        assert!(jobs.get(&store.tenant, ended).await.unwrap().is_none());
        assert!(jobs.verdicts(&store.tenant, &[id(1)]).await.unwrap().is_empty());
    })
    .await;
}
