//! The list of events with the outcomes for their recipients, and the plans of its queries.

use carillon_domain::{
    Channel, DeliveryStatus, Timestamp,
    contact::AddressHash,
    decide::{Decision, Outcome, Reason, Steps},
    status::EventVerdict,
};
use carillon_store::{
    Dialect,
    read_model::{
        DeliveryRow, EventRow,
        activity::{ActivityCursor, ActivityFilter, ActivityView, MOST_OUTCOMES, OutcomeFilter, Recipients},
    },
};
use uuid::Uuid;

use crate::{
    read_model::routed,
    support::{TestStore, apply, delivery_id, delivery_row, on_each, origin, seconds, start, state},
};

fn decision(user: Option<&str>, channel: Channel, outcome: Outcome, reason: Reason) -> Decision {
    Decision {
        recipient: user.unwrap_or("g…@example.com").into(),
        user_id: user.map(Into::into),
        channel,
        category: "news".into(),
        outcome,
        reason,
        sentence: format!("{outcome} by {channel}."),
        steps: Steps::default(),
        address_hash: user.is_none().then(guest),
        to_masked: None,
        until: None,
        digest_id: None,
        after: Vec::new(),
        delivery_id: None,
    }
}

fn sent(user: &str, channel: Channel, delivery: u128) -> Decision {
    Decision {
        delivery_id: Some(delivery_id(delivery)),
        ..decision(Some(user), channel, Outcome::Send, Reason::Allowed)
    }
}

fn guest() -> AddressHash {
    AddressHash(Uuid::from_u128(77))
}

fn at(number: u32) -> Timestamp {
    start() + seconds(number.into())
}

/// An event that is decided `number` seconds after the start.
fn event(number: u32, decisions: Vec<Decision>) -> EventRow {
    EventRow {
        event_id: format!("event-{number}").into(),
        at: at(number),
        ..routed(origin(number.into()), decisions)
    }
}

fn delivery(number: u128, event: &str, status: DeliveryStatus, code: Option<&str>) -> DeliveryRow {
    let mut row = delivery_row(number, state(0, 1, status), start());
    row.event_id = event.into();
    row.error_code = code.map(str::to_owned);
    row.provider_message_id = Some(format!("SM{number}"));
    row
}

async fn page(store: &TestStore, filter: &ActivityFilter) -> Vec<ActivityView> {
    let found = store
        .read_model()
        .activity(&store.tenant, filter, None, 100)
        .await
        .unwrap();
    assert_eq!(found.next, None);
    found.items
}

async fn ids(store: &TestStore, filter: &ActivityFilter) -> Vec<String> {
    let views = page(store, filter).await;
    let id = |view: ActivityView| view.event_id.as_str().trim_start_matches("event-").to_owned();
    views.into_iter().map(id).collect()
}

/// Outcomes as `recipient channel reason status`.
fn told(view: &ActivityView) -> Vec<String> {
    let outcomes = view.outcomes.iter().map(|outcome| {
        let decision = &outcome.decision;
        let status = outcome.status.map_or("-", DeliveryStatus::as_str);
        format!(
            "{} {} {} {status}",
            decision.recipient, decision.channel, decision.reason
        )
    });
    outcomes.collect()
}

async fn seed(store: &TestStore) {
    use Channel::{Email, Sms};
    let mut offers = event(
        4,
        vec![decision(Some("bob"), Email, Outcome::Drop, Reason::OverLimit)],
    );
    offers.event_type = "Offers".into();
    let events = vec![
        event(
            1,
            vec![
                sent("ada", Email, 1),
                decision(Some("ada"), Sms, Outcome::Suppress, Reason::NoAddress),
            ],
        ),
        event(2, vec![sent("ada", Email, 2), sent("bob", Email, 3)]),
        event(
            3,
            vec![decision(None, Email, Outcome::Suppress, Reason::Complained)],
        ),
        offers,
        EventRow {
            verdict: EventVerdict::Rejected,
            ..event(5, vec![])
        },
        event(
            6,
            vec![decision(Some("ada"), Email, Outcome::Send, Reason::Critical)],
        ),
    ];
    let deliveries = vec![
        delivery(1, "event-1", DeliveryStatus::Sent, None),
        delivery(2, "event-2", DeliveryStatus::Failed, Some("550")),
        delivery(3, "event-2", DeliveryStatus::Failed, Some("550")),
    ];
    apply(store, events.clone(), deliveries).await;
    // A record that comes again changes nothing.
    apply(store, events, vec![]).await;
}

fn people(users: &[&str], guests: &[AddressHash]) -> Recipients {
    Recipients {
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        guests: guests.to_vec(),
    }
}

/// The filters of the list, each with the index that its query has to use on PostgreSQL and on SQLite.
#[expect(clippy::too_many_lines, reason = "a table")]
fn filters() -> Vec<(ActivityFilter, &'static str)> {
    let none = ActivityFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let outcome = |outcome| Some(OutcomeFilter::Is(outcome));
    vec![
        (none(), "decided_events_newest"),
        (
            ActivityFilter {
                from: Some(at(2)),
                to: Some(at(5)),
                ..none()
            },
            "decided_events_newest",
        ),
        (
            ActivityFilter {
                event_type: text("Offers"),
                ..none()
            },
            "decided_events_by_type",
        ),
        (
            ActivityFilter {
                event: text("event-2"),
                ..none()
            },
            "decided_events_by_event",
        ),
        (
            ActivityFilter {
                who: Some(people(&["ada"], &[])),
                ..none()
            },
            "decisions_of_user",
        ),
        (
            ActivityFilter {
                who: Some(people(&["ada"], &[])),
                outcome: Some(OutcomeFilter::NotSent),
                event_type: text("OrderShipped"),
                ..none()
            },
            "decisions_of_user",
        ),
        (
            ActivityFilter {
                who: Some(people(&[], &[guest()])),
                ..none()
            },
            "decisions_of_guest",
        ),
        (
            ActivityFilter {
                outcome: Some(OutcomeFilter::NotSent),
                ..none()
            },
            "decisions_not_sent",
        ),
        (
            ActivityFilter {
                outcome: outcome(Outcome::Suppress),
                ..none()
            },
            "decisions_by_outcome",
        ),
        (
            ActivityFilter {
                outcome: outcome(Outcome::Defer),
                ..none()
            },
            "decisions_by_outcome",
        ),
        (
            ActivityFilter {
                reason: Some(Reason::OverLimit),
                ..none()
            },
            "decisions_by_reason",
        ),
        (
            ActivityFilter {
                reason: Some(Reason::Critical),
                ..none()
            },
            "decisions_rarely_sent",
        ),
        // Nearly all decisions are of this outcome, so the newest are the ones that are wanted.
        (
            ActivityFilter {
                outcome: outcome(Outcome::Send),
                ..none()
            },
            "decisions",
        ),
        (
            ActivityFilter {
                code: text("550"),
                ..none()
            },
            "deliveries_by_code",
        ),
        (
            ActivityFilter {
                code: text("550"),
                who: Some(people(&["bob"], &[])),
                ..none()
            },
            "deliveries",
        ),
        (
            ActivityFilter {
                provider_message_id: text("SM3"),
                ..none()
            },
            "delivery_messages",
        ),
    ]
}

#[tokio::test]
async fn events_are_listed_newest_first_and_by_each_filter() {
    on_each(async |store| {
        seed(store).await;
        let expected: [&[&str]; 16] = [
            &["6", "5", "4", "3", "2", "1"],
            &["4", "3", "2"],
            &["4"],
            &["2"],
            &["6", "2", "1"],
            &["1"],
            &["3"],
            &["4", "3", "1"],
            &["3", "1"],
            &[],
            &["4"],
            &["6"],
            &["6", "2", "1"],
            &["2"],
            &[],
            &["2"],
        ];
        for ((filter, _), expected) in filters().into_iter().zip(expected) {
            assert_eq!(ids(store, &filter).await, expected, "{filter:?}");
        }
        let foreign = store
            .read_model()
            .activity(&"other".into(), &ActivityFilter::default(), None, 10)
            .await
            .unwrap();
        assert!(foreign.items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_row_has_each_recipient_and_channel_with_its_outcome_sent_or_not() {
    on_each(async |store| {
        seed(store).await;
        let all = page(store, &ActivityFilter::default()).await;
        assert_eq!(all[5].at, at(1));
        assert_eq!(told(&all[5]), ["ada email allowed sent", "ada sms no_address -"]);
        assert_eq!(
            told(&all[4]),
            ["ada email allowed failed", "bob email allowed failed"]
        );
        assert_eq!(all[4].outcomes[0].code.as_deref(), Some("550"));
        assert_eq!(
            (all[1].verdict, all[1].outcomes.len()),
            (EventVerdict::Rejected, 0)
        );
        // The outcomes that the filter has found come first.
        let filter = ActivityFilter {
            outcome: Some(OutcomeFilter::NotSent),
            ..ActivityFilter::default()
        };
        let unsent = page(store, &filter).await;
        assert_eq!(
            told(&unsent[2]),
            ["ada sms no_address -", "ada email allowed sent"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_that_has_waited_is_one_row_with_its_last_decision() {
    on_each(async |store| {
        let waits = |number| Decision {
            delivery_id: Some(delivery_id(number)),
            ..decision(Some("ada"), Channel::Email, Outcome::Defer, Reason::QuietHours)
        };
        let first = event(1, vec![waits(1), sent("bob", Channel::Email, 2)]);
        let again = EventRow {
            event_id: "event-1".into(),
            ..event(9, vec![sent("ada", Channel::Email, 1)])
        };
        let still = event(2, vec![waits(3)]);
        apply(store, vec![first, still, again], vec![]).await;
        assert_eq!(ids(store, &ActivityFilter::default()).await, ["1", "2"]);
        let deferred = ActivityFilter {
            outcome: Some(OutcomeFilter::Is(Outcome::Defer)),
            ..ActivityFilter::default()
        };
        assert_eq!(ids(store, &deferred).await, ["2"], "the other was sent since");
        for user in ["ada", "bob"] {
            let filter = ActivityFilter {
                who: Some(people(&[user], &[])),
                event: Some("event-1".to_owned()),
                ..ActivityFilter::default()
            };
            assert_eq!(ids(store, &filter).await, ["1"], "{user}");
        }
        let sent_ones = ActivityFilter {
            outcome: Some(OutcomeFilter::Is(Outcome::Send)),
            ..ActivityFilter::default()
        };
        let views = page(store, &sent_ones).await;
        assert_eq!(views.len(), 1, "an event with two is one row");
        let mut outcomes = told(&views[0]);
        outcomes.sort();
        assert_eq!(outcomes, ["ada email allowed -", "bob email allowed -"]);
        assert_eq!(views[0].at, at(9));
    })
    .await;
}

#[tokio::test]
async fn an_event_with_many_recipients_shows_some_and_says_that_there_are_more() {
    on_each(async |store| {
        let many = (0..1_000).map(|n| sent(&format!("u-{n}"), Channel::Email, 1_000 + n));
        apply(store, vec![event(1, many.collect())], vec![]).await;
        let views = page(store, &ActivityFilter::default()).await;
        assert_eq!(
            (views[0].outcomes.len(), views[0].has_more),
            (MOST_OUTCOMES, true)
        );
        let filter = ActivityFilter {
            who: Some(people(&["u-700"], &[])),
            ..ActivityFilter::default()
        };
        let views = page(store, &filter).await;
        assert_eq!(
            told(&views[0])[0],
            "u-700 email allowed -",
            "the one that is searched"
        );
        let filter = ActivityFilter {
            outcome: Some(OutcomeFilter::Is(Outcome::Send)),
            ..ActivityFilter::default()
        };
        assert_eq!(page(store, &filter).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn pages_of_every_kind_neither_skip_nor_repeat() {
    on_each(async |store| {
        let many: Vec<EventRow> = (0..40_u32)
            .map(|n| EventRow {
                event_id: format!("event-{n}").into(),
                // Several are decided at the same time.
                at: at(n / 8),
                ..routed(
                    origin(n.into()),
                    vec![
                        decision(Some("ada"), Channel::Sms, Outcome::Suppress, Reason::NoAddress),
                        sent("ada", Channel::Email, u128::from(n)),
                        decision(None, Channel::Sms, Outcome::Drop, Reason::OverLimit),
                    ],
                )
            })
            .collect();
        let deliveries = (0..80_u128).map(|n| {
            delivery(
                n,
                &format!("event-{}", n % 40),
                DeliveryStatus::Failed,
                Some("550"),
            )
        });
        apply(store, many, deliveries.collect()).await;
        let none = ActivityFilter::default;
        let filters = [
            none(),
            ActivityFilter {
                event_type: Some("OrderShipped".to_owned()),
                ..none()
            },
            ActivityFilter {
                who: Some(people(&["ada"], &[guest()])),
                ..none()
            },
            ActivityFilter {
                outcome: Some(OutcomeFilter::NotSent),
                ..none()
            },
            ActivityFilter {
                code: Some("550".to_owned()),
                ..none()
            },
        ];
        for filter in filters {
            for limit in [1, 7, 40] {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let model = store.read_model();
                    let found = model
                        .activity(&store.tenant, &filter, after.as_ref(), limit)
                        .await
                        .unwrap();
                    seen.extend(found.items.into_iter().map(|view| view.event_id));
                    let Some(next) = found.next else { break };
                    after = ActivityCursor::parse(&next.to_string());
                    assert!(after.is_some() && seen.len() <= 40, "{filter:?} {limit}");
                }
                let count = seen.len();
                seen.sort();
                seen.dedup();
                assert_eq!((count, seen.len()), (40, 40), "{filter:?} {limit}");
            }
        }
    })
    .await;
}

/// Every query finds its rows by an index, in the order of the list. PostgreSQL chooses by statistics, so the tables are large
/// enough to make a full scan cost more.
#[tokio::test]
async fn every_query_of_the_list_uses_its_index_and_none_scans_a_table() {
    on_each(async |store| {
        for round in 0..20_u32 {
            let many = (0..200_u32).map(|n| {
                let number = round * 200 + n;
                let decided = match number % 50 {
                    0 => decision(Some("ada"), Channel::Email, Outcome::Suppress, Reason::NoAddress),
                    1 => decision(None, Channel::Sms, Outcome::Drop, Reason::OverLimit),
                    2 => decision(Some("bob"), Channel::Email, Outcome::Send, Reason::Critical),
                    3 => decision(Some("bob"), Channel::Email, Outcome::Defer, Reason::QuietHours),
                    _ => sent(&format!("u-{number}"), Channel::Email, u128::from(number)),
                };
                let mut row = event(number, vec![decided]);
                row.event_type = if number % 40 == 0 {
                    "Offers".into()
                } else {
                    row.event_type
                };
                row
            });
            let deliveries = (0..200_u32).map(|n| {
                let number = round * 200 + n;
                let code = (number % 50 == 7).then_some("550");
                let mut row = delivery(
                    number.into(),
                    &format!("event-{number}"),
                    DeliveryStatus::Sent,
                    code,
                );
                row.created_at = at(number);
                row
            });
            apply(store, many.collect(), deliveries.collect()).await;
        }
        store.read_model().analyze().await.unwrap();
        let mut wrong = Vec::new();
        for (filter, index) in filters() {
            let plan = store
                .read_model()
                .activity_plan(&store.tenant, &filter)
                .await
                .unwrap();
            let is_scan = |step: &String| match store.dialect() {
                Dialect::Postgres => step.contains("Seq Scan"),
                Dialect::Sqlite => step.starts_with("SCAN "),
            };
            let has_scan = plan.iter().any(is_scan);
            let uses = plan.iter().any(|step| step.contains(index));
            if has_scan || !uses {
                wrong.push(format!("{filter:?} without {index}, or with a scan: {plan:#?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}
