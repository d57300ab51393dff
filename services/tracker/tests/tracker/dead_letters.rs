//! From the dead letter topics to rows.

use bytes::Bytes;
use carillon_bus::{Headers, OutRecord, Position, Queue, Record, dead_letter, headers};
use carillon_domain::{
    Channel, Lane, StatusRecord, Timestamp,
    dead_letter::{DeadLetter, FailureClass},
    ids::dead_letter_id,
    status::{STATUS_VERSION, VerdictGiven},
};
use carillon_store::dead_letters::{DeadLetterFilter, DeadLetterState, DeadLetterView, OpenCount};
use carillon_store::{
    Lease, Page,
    api_keys::{Principal, Role},
    dead_letter_jobs::{JobKind, JobStep, NewJob, SettledLetter, StepEnd},
};

use uuid::Uuid;

use crate::{
    statuses::{at, delivery_id},
    support::{Setting, on_tracker},
};

/// A record as a consumer read it before it failed.
fn source(setting: &Setting, topic: std::sync::Arc<str>, value: &str) -> Record {
    let mut headers = Headers::default();
    headers.push(headers::TENANT, "default");
    headers.push("x-bytes", Bytes::from_static(&[0, 0xff]));
    assert!(setting.env.bus.topics().kind_of(&topic).is_some());
    Record {
        topic,
        partition: 1,
        offset: 4_711,
        key: Some(Bytes::from_static(b"default|u-42")),
        value: Bytes::from(value.to_owned()),
        headers,
        timestamp: at(0),
        unreadable: None,
    }
}

fn letter(class: FailureClass, provider: Option<&str>, code: &str) -> DeadLetter {
    DeadLetter {
        class,
        provider: provider.map(str::to_owned),
        code: code.to_owned(),
        reason: "the provider says no".to_owned(),
        attempts: 3,
        first_failed_at: at(5),
    }
}

/// Writes dead letters and runs a tracker until it has read them.
async fn bury(setting: &Setting, letters: Vec<OutRecord>) -> Vec<Position> {
    let written = setting.publish(letters).await;
    let tracker = setting.start();
    setting.caught_up(&written).await;
    tracker.end().await;
    written
}

async fn view(setting: &Setting, at: &Position) -> DeadLetterView {
    let id = dead_letter_id(&at.topic, at.partition, at.offset);
    let letters = setting.env.store.dead_letters();
    letters.get(&setting.tenant, id).await.unwrap().unwrap()
}

/// A name of several thousand bytes, longer than a database index takes.
fn long_name() -> String {
    (0..9_999).map(|n| n.to_string()).collect()
}

fn header<'a>(view: &'a DeadLetterView, name: &str) -> Option<&'a str> {
    let found = view.headers.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_dead_letter_of_each_queue_is_a_row_with_its_position_and_its_whole_description() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let mut letters = Vec::new();
        for channel in Channel::ALL {
            let id = delivery_id(1, channel);
            let value = format!(r#"{{"delivery_id": "{id}","type":"OrderShipped","extra":  1.50}}"#);
            let source = source(setting, topics.channel(channel, Lane::Normal), &value);
            let said = letter(FailureClass::Terminal, Some("account-1"), "21612");
            letters.push(dead_letter::record(
                topics,
                &source,
                Queue::Channel(channel),
                "a.group",
                &said,
            ));
        }
        let event = source(
            setting,
            topics.events(Lane::Bulk),
            r#"{"type":"Unheard","data":{}}"#,
        );
        let said = letter(FailureClass::Invalid, None, "unknown-event-type");
        letters.push(dead_letter::record(
            topics,
            &event,
            Queue::Events,
            "a.group",
            &said,
        ));
        let written = bury(setting, letters.clone()).await;

        for (number, (position, letter)) in written.iter().zip(&letters).enumerate() {
            let view = view(setting, position).await;
            assert_eq!(view.id.get_version_num(), 5);
            assert_eq!(view.state, DeadLetterState::Open);
            assert_eq!(view.value, letter.value);
            assert_eq!(view.reason, "the provider says no");
            assert_eq!((view.attempts, view.first_failed_at), (3, at(5)));
            assert_eq!(
                view.fingerprint,
                letter.headers.get_str("carillon-fingerprint").unwrap()
            );
            let names: Vec<_> = view.headers.iter().map(|(name, _)| name.as_str()).collect();
            let expected: Vec<_> = letter.headers.iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected, "all headers, in order");
            assert_eq!(header(&view, "x-bytes"), Some("base64:AP8="));
            assert_eq!(
                header(&view, "kafka_dlt-original-offset"),
                Some("base64:AAAAAAAAEmc=")
            );
            assert_eq!(
                header(&view, "kafka_dlt-original-consumer-group"),
                Some("a.group")
            );
            if let Some(channel) = Channel::ALL.get(number) {
                assert_eq!(view.channel, Some(*channel));
                assert_eq!(*view.source_topic, *topics.channel(*channel, Lane::Normal));
                assert_eq!(
                    (view.class.as_str(), view.provider.as_deref(), view.code.as_str()),
                    ("terminal", Some("account-1"), "21612")
                );
                assert_eq!(view.delivery_id, Some(delivery_id(1, *channel)));
                assert_eq!(view.event_type.as_deref(), Some("OrderShipped"));
            } else {
                assert_eq!(view.channel, None);
                assert_eq!(*view.source_topic, *topics.events(Lane::Bulk));
                assert_eq!(
                    (view.class.as_str(), view.provider.as_deref(), view.code.as_str()),
                    ("invalid", None, "unknown-event-type")
                );
                assert_eq!(
                    (view.delivery_id, view.event_type.as_deref()),
                    (None, Some("Unheard"))
                );
            }
        }
        let open = by_queue(setting.env.store.dead_letters().open_counts().await.unwrap());
        let expected = ["email", "events", "push", "sms", "webhook"].map(|queue| (queue.to_owned(), 1));
        assert_eq!(open, expected);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_of_another_program_is_a_row_too() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let mut bare = OutRecord::new(topics.dlq(Channel::Sms), "", Bytes::from_static(&[0, 0xff, b'{']));
        bare.key = None;
        let odd = OutRecord::new(topics.dlq(Channel::Sms), "key", r#"{"delivery_id":7,"type":[]}"#)
            .with("carillon-class", "unheard-of")
            .with("carillon-attempts", "many")
            .with("carillon-fingerprint", long_name())
            .with("nul\0", "\0");
        let written = bury(setting, vec![bare, odd]).await;
        for position in &written {
            let view = view(setting, position).await;
            assert_eq!(
                (view.class.as_str(), view.code.as_str(), view.attempts),
                ("unparseable", "unknown", 0)
            );
            assert_eq!((view.source_topic.as_str(), view.delivery_id), ("", None));
            assert_eq!(view.first_failed_at, view.dead_at);
            assert_eq!((view.channel, view.fingerprint.len()), (Some(Channel::Sms), 16));
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_in_binary_mode_is_described_by_its_headers_and_not_by_its_data() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let parcel = delivery_id(1, Channel::Email);
        let data = format!(r#"{{"type":"gift","delivery_id":"{parcel}"}}"#);
        let letter = OutRecord::new(topics.events_dlq(), "key", data).with("ce_type", "OrderShipped");
        let written = bury(setting, vec![letter]).await;
        let view = view(setting, &written[0]).await;
        assert_eq!(view.event_type.as_deref(), Some("OrderShipped"));
        assert_eq!(view.delivery_id, None, "the parcel's is none of ours");
    })
    .await;
}

#[tokio::test]
async fn a_row_of_a_source_is_of_no_event_type_even_if_a_column_has_the_name_of_one() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let mut from = source(setting, topics.events(Lane::Normal), r#"{"type":"OrderShipped"}"#);
        from.topic = "shop.outbox".into();
        let said = letter(FailureClass::Invalid, None, "no-id");
        let group = topics.source_group("shop.outbox");
        let dead = dead_letter::record(topics, &from, Queue::Events, &group, &said);
        let written = bury(setting, vec![dead]).await;
        let view = view(setting, &written[0]).await;
        assert_eq!((view.event_type, &*view.source_topic), (None, "shop.outbox"));
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_with_an_invalid_tenant_belongs_to_the_default_tenant_and_stops_no_other() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let tenants = [
            Bytes::new(),
            Bytes::from_static(b"\xff"),
            Bytes::from_static(b"a\0b"),
            long_name().into(),
        ];
        let mut letters: Vec<_> = tenants
            .into_iter()
            .map(|tenant| OutRecord::new(topics.events_dlq(), "key", "bad").with(headers::TENANT, tenant))
            .collect();
        let acme = OutRecord::new(topics.events_dlq(), "key", "bad").with(headers::TENANT, "acme");
        letters.push(acme);
        let written = bury(setting, letters).await;
        for position in &written[..4] {
            view(setting, position).await;
        }
        let of_acme = setting
            .env
            .store
            .dead_letters()
            .list(&"acme".into(), &DeadLetterFilter::default(), Page::default())
            .await
            .unwrap();
        assert_eq!(of_acme.items.len(), 1);
    })
    .await;
}

/// Settles a letter as a job does; returns the status that it publishes.
async fn settle(setting: &Setting, letter: Uuid, kind: JobKind) -> StatusRecord {
    let (jobs, now) = (setting.env.store.dead_letter_jobs(), setting.env.store.now());
    let who = Principal {
        key_id: Uuid::nil(),
        name: "ada".to_owned(),
        tenant: setting.tenant.clone(),
        role: Role::Operator,
    };
    let job = NewJob {
        id: Uuid::now_v7(),
        kind,
        selection: DeadLetterFilter::default(),
        total: 1,
        rate: None,
        note: None,
        canary: None,
        edit: None,
        at: now,
    };
    jobs.create(&who, &job).await.unwrap();
    let lease = Lease {
        owner: Uuid::now_v7(),
        until: now,
    };
    let taken = jobs.take(lease, true).await.unwrap().unwrap();
    let step = JobStep {
        letters: vec![SettledLetter {
            id: letter,
            generation: None,
            records: Vec::new(),
        }],
        is_last: true,
        ..JobStep::default()
    };
    assert_eq!(jobs.step(&taken, &step).await.unwrap(), StepEnd::Written(1));
    StatusRecord::Verdict(VerdictGiven {
        v: STATUS_VERSION,
        tenant: setting.tenant.clone(),
        letter_id: letter,
        verdict: kind.verdict(),
        job_id: job.id,
        at: now,
        event_id: None,
    })
}

#[tokio::test]
async fn a_discarded_letter_stays_discarded_when_later_trackers_run() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let letter = || OutRecord::new(topics.events_dlq(), "key", "bad");
        let first = bury(setting, vec![letter()]).await;
        let id = view(setting, &first[0]).await.id;
        let verdict = settle(setting, id, JobKind::Discard).await;
        setting.track(&[verdict]).await;
        let second = bury(setting, vec![letter()]).await;
        assert_eq!(view(setting, &first[0]).await.state, DeadLetterState::Discarded);
        assert_eq!(view(setting, &second[0]).await.state, DeadLetterState::Open);
        let open = by_queue(setting.env.store.dead_letters().open_counts().await.unwrap());
        assert_eq!(open, [("events".to_owned(), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_tracker_that_reads_a_letter_after_its_verdict_does_not_reopen_it_although_the_status_is_gone() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let letters = (0..3)
            .map(|_| OutRecord::new(topics.events_dlq(), "key", "bad"))
            .collect();
        let written = setting.publish(letters).await;
        // The verdicts are in the authoritative tables alone, as after a restore of the read model.
        let id = |at: &Position| dead_letter_id(&at.topic, at.partition, at.offset);
        settle(setting, id(&written[0]), JobKind::Replay).await;
        settle(setting, id(&written[1]), JobKind::Discard).await;
        let tracker = setting.start();
        setting.caught_up(&written).await;
        tracker.end().await;
        let states = [
            DeadLetterState::Replayed,
            DeadLetterState::Discarded,
            DeadLetterState::Open,
        ];
        for (position, state) in written.iter().zip(states) {
            assert_eq!(view(setting, position).await.state, state);
        }
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_that_the_database_refuses_does_not_keep_others_out_of_the_read_model() {
    on_tracker(async |setting| {
        let topics = setting.env.bus.topics();
        let letter = |first_failed_at| {
            let said = DeadLetter {
                first_failed_at,
                ..letter(FailureClass::Invalid, None, "x")
            };
            let source = source(setting, topics.events(Lane::Normal), "{}");
            dead_letter::record(topics, &source, Queue::Events, "a.group", &said)
        };
        let letters = vec![letter(at(5)), letter(Timestamp::MIN_UTC), letter(at(7))];
        let written = bury(setting, letters).await;
        for position in [&written[0], &written[2]] {
            assert_eq!(view(setting, position).await.code, "x");
        }
    })
    .await;
}

/// Open letters by queue, where each queue has letters of one class.
fn by_queue(open: Vec<OpenCount>) -> Vec<(String, u64)> {
    open.into_iter().map(|count| (count.queue, count.open)).collect()
}
