//! The auditor's counts.

use std::time::Duration;

use carillon_domain::{
    Channel, DeliveryStatus, StatusRecord,
    status::{EventVerdict, Origin},
};
use carillon_store::{
    Lease,
    audit::{AcceptError, Acceptance, AuditCounts},
    events::{EventKey, IngestClaim, IngestVerdict, RouteClaim, RouteVerdict},
};
use carillon_tracker::{Auditor, Report};
use uuid::Uuid;

use crate::{
    statuses::{at, decided, event_id, life, routed, said},
    support::{Setting, on_tracker},
};

fn key(setting: &Setting, event: u32) -> EventKey {
    EventKey {
        tenant: setting.tenant.clone(),
        event_id: event_id(event),
        source: "/shop".into(),
    }
}

/// Claims an event as a gateway does, and marks it as published.
async fn acknowledge(setting: &Setting, event: u32) {
    let claim = IngestClaim {
        key: key(setting, event),
        event_type: "OrderShipped".into(),
        fingerprint: [0; 32],
        lease: Lease {
            owner: Uuid::now_v7(),
            until: at(10),
        },
    };
    let events = setting.env.store.events();
    let verdicts = events.claim_ingest(vec![claim]).await.unwrap();
    assert_eq!(verdicts, [IngestVerdict::Claimed]);
    events.mark_published(vec![key(setting, event)]).await.unwrap();
}

/// Claims an event that a gateway has claimed, as a router does.
async fn claim(setting: &Setting, event: u32) {
    let claim = RouteClaim {
        key: key(setting, event),
        event_type: "OrderShipped".into(),
        fingerprint: [0; 32],
        origin: Origin {
            topic: "notifications.events".into(),
            partition: 0,
            offset: event.into(),
        },
    };
    let verdicts = setting.env.store.events().claim_route(&[claim]).await.unwrap();
    assert!(
        matches!(
            verdicts.as_slice(),
            [RouteVerdict::First {
                via_gateway: true,
                ..
            }]
        ),
        "{verdicts:?}"
    );
}

async fn report(setting: &Setting) -> Report {
    let report = Auditor::new(setting.env.store.clone()).report().await.unwrap();
    assert_eq!(report.counts, setting.counts().await);
    report
}

async fn differences(setting: &Setting) -> (i64, i64) {
    let report = report(setting).await;
    (report.events, report.deliveries)
}

#[tokio::test]
async fn the_books_balance_when_everything_was_read() {
    on_tracker(async |setting| {
        assert_eq!(differences(setting).await, (0, 0));
        let verdict = |event, verdict| StatusRecord::EventDecided(decided(event, verdict));
        let mut statuses = life(1);
        statuses.extend([
            routed(2),
            said(2, Channel::Email, (0, 1), &[(1, DeliveryStatus::Sending)]),
            said(2, Channel::Sms, (0, 1), &[(1, DeliveryStatus::Failed)]),
            verdict(3, EventVerdict::Duplicate),
            verdict(4, EventVerdict::Rejected),
            verdict(5, EventVerdict::Tombstone),
            verdict(6, EventVerdict::DeletedRow),
            verdict(7, EventVerdict::NoRecipient),
        ]);
        setting.track(&statuses).await;
        let expected = AuditCounts {
            acknowledged: 7,
            routed: 2,
            duplicate: 1,
            rejected: 1,
            skipped: 3,
            waiting: 0,
            deliveries_produced: 4,
            ended: 2,
            pending: 2,
            ..AuditCounts::default()
        };
        let expected = Report {
            counts: expected,
            events: 0,
            deliveries: 0,
        };
        assert_eq!(report(setting).await, expected);
    })
    .await;
}

#[tokio::test]
async fn an_acknowledged_event_is_accounted_for_once_a_tracker_has_read_its_decision() {
    on_tracker(async |setting| {
        for event in [1, 2, 3] {
            acknowledge(setting, event).await;
        }
        let fresh = report(setting).await;
        assert_eq!((fresh.counts.acknowledged, fresh.counts.waiting), (3, 0));
        assert_eq!(
            (fresh.events, fresh.deliveries),
            (3, 0),
            "no router has decided them"
        );

        claim(setting, 1).await;
        claim(setting, 2).await;
        assert_eq!(differences(setting).await, (3, 0), "two are on their way");

        let via = |event, verdict| {
            let mut decided = decided(event, verdict);
            decided.via_gateway = true;
            StatusRecord::EventDecided(decided)
        };
        let mut again = decided(9, EventVerdict::Duplicate);
        again.event_id = event_id(1);
        setting
            .track(&[
                via(1, EventVerdict::Routed),
                via(2, EventVerdict::Rejected),
                // The gateway did not know that it had published the first record, and published another.
                StatusRecord::EventDecided(again),
            ])
            .await;
        let read = report(setting).await;
        assert_eq!((read.counts.acknowledged, read.counts.waiting), (4, 0));
        assert_eq!(
            (read.counts.routed, read.counts.rejected, read.counts.duplicate),
            (1, 1, 1)
        );
        assert_eq!((read.events, read.deliveries), (1, 0), "the third event was lost");
    })
    .await;
}

#[tokio::test]
async fn a_lost_event_and_a_delivery_that_no_router_produced_are_differences() {
    on_tracker(async |setting| {
        // A router has claimed the event, and its output was lost.
        acknowledge(setting, 1).await;
        claim(setting, 1).await;
        // A worker reports a delivery that no router has produced.
        setting
            .track(&[said(2, Channel::Email, (0, 1), &[(1, DeliveryStatus::Sent)])])
            .await;
        assert_eq!(differences(setting).await, (1, -1));
        setting.track(&[routed(2)]).await;
        assert_eq!(
            differences(setting).await,
            (1, 0),
            "the router's word comes later and mends it"
        );
    })
    .await;
}

#[tokio::test]
async fn an_auditor_counts_until_it_is_told_to_end() {
    on_tracker(async |setting| {
        let shutdown = carillon_runtime::Shutdown::new();
        let auditor = Auditor::new(setting.env.store.clone());
        let signal = shutdown.clone();
        let task = tokio::spawn(async move { auditor.run(signal).await });
        shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(30), task).await;
        ended.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_difference_that_an_operator_accepts_is_shown_with_its_reason_and_only_new_ones_count() {
    on_tracker(async |setting| {
        let audit = setting.env.store.audit();
        let accept = async |events, deliveries| {
            let acceptance = Acceptance {
                by: " Ada ".to_owned(),
                reason: "restored from the dump of 12:00".to_owned(),
                events,
                deliveries,
            };
            audit.accept(&acceptance).await
        };
        acknowledge(setting, 1).await;
        acknowledge(setting, 2).await;
        let refused = accept(1, 0).await.unwrap_err();
        assert!(
            matches!(
                refused,
                AcceptError::Differs {
                    events: 2,
                    deliveries: 0
                }
            ),
            "{refused}"
        );
        assert_eq!(differences(setting).await, (2, 0));

        accept(2, 0).await.unwrap();
        assert_eq!(differences(setting).await, (0, 0));
        let counts = report(setting).await.counts;
        assert_eq!(
            (
                counts.acknowledged,
                counts.accepted_events,
                counts.accepted_deliveries
            ),
            (2, 2, 0)
        );
        let told = audit.accepted().await.unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].accepted_by.as_str(), told[0].reason.as_str()),
            ("Ada", "restored from the dump of 12:00")
        );
        assert_eq!((told[0].events, told[0].deliveries), (2, 0));
        assert!(matches!(accept(0, 0).await, Err(AcceptError::Nothing)));
        assert!(matches!(accept(2, 0).await, Err(AcceptError::Differs { .. })));

        // An event that was accepted as lost is decided after all, and a new one is not.
        acknowledge(setting, 3).await;
        assert_eq!(differences(setting).await, (1, 0), "a new difference is shown");
        setting
            .track(&[StatusRecord::EventDecided(decided(1, EventVerdict::Rejected))])
            .await;
        setting
            .track(&[StatusRecord::EventDecided(decided(3, EventVerdict::Rejected))])
            .await;
        let late = differences(setting).await;
        assert_eq!(late.1, 0);
        assert_ne!(late.0, 0, "a late decision is a difference again");
        accept(late.0, 0).await.unwrap();
        assert_eq!(differences(setting).await, (0, 0));
        assert_eq!(audit.accepted().await.unwrap().len(), 2, "no acceptance is lost");
    })
    .await;
}

#[tokio::test]
async fn an_acceptance_without_a_name_or_a_reason_is_refused() {
    on_tracker(async |setting| {
        acknowledge(setting, 1).await;
        for (by, reason, expected) in [
            (" ", "restored", "by: "),
            ("Ada", "", "reason: "),
            ("Ada", &*"x".repeat(1_001), "reason: "),
        ] {
            let acceptance = Acceptance {
                by: by.to_owned(),
                reason: reason.to_owned(),
                events: 1,
                deliveries: 0,
            };
            let refused = setting.env.store.audit().accept(&acceptance).await.unwrap_err();
            assert!(refused.to_string().starts_with(expected), "{refused}");
        }
        assert_eq!(differences(setting).await, (1, 0));
    })
    .await;
}
