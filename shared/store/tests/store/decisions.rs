//! The list of decisions.

use std::collections::HashSet;

use carillon_domain::{
    Channel, Timestamp,
    decide::{Decision, Outcome, Reason, Steps},
};
use carillon_store::{
    Page,
    read_model::{DecisionFilter, DecisionView, EventRow},
};

use crate::support::{TestStore, apply, on_each, origin, seconds, start};

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
        address_hash: None,
        to_masked: None,
        until: (outcome == Outcome::Defer).then(|| start() + seconds(3_600)),
        digest_id: None,
        after: Vec::new(),
        delivery_id: None,
    }
}

/// An event that is decided `number` seconds after the start.
fn event(number: u32, decisions: Vec<Decision>) -> EventRow {
    EventRow {
        event_id: format!("event-{number}").into(),
        at: at(number),
        ..crate::read_model::routed(origin(number.into()), decisions)
    }
}

fn at(number: u32) -> Timestamp {
    start() + seconds(number.into())
}

async fn found(store: &TestStore, filter: &DecisionFilter) -> Vec<DecisionView> {
    let model = store.read_model();
    let page = Page {
        limit: 500,
        ..Page::default()
    };
    model.decisions(&store.tenant, filter, page).await.unwrap().items
}

/// Decisions as `event user channel reason`.
async fn told(store: &TestStore, filter: DecisionFilter) -> Vec<String> {
    let word = |view: &DecisionView| {
        let event = view.event_id.as_str().trim_start_matches("event-").to_owned();
        let user = view.user_id.as_ref().map_or("guest", |user| user.as_str());
        format!("{event} {user} {} {}", view.channel, view.reason)
    };
    found(store, &filter).await.iter().map(word).collect()
}

async fn seed(store: &TestStore) {
    use Channel::{Email, Sms};
    let events = vec![
        event(
            1,
            vec![
                decision(Some("ada"), Email, Outcome::Send, Reason::Allowed),
                decision(Some("ada"), Sms, Outcome::Suppress, Reason::NoAddress),
                decision(None, Email, Outcome::Suppress, Reason::Complained),
            ],
        ),
        event(
            2,
            vec![decision(Some("bob"), Email, Outcome::Drop, Reason::OverLimit)],
        ),
        event(
            3,
            vec![decision(Some("ada"), Email, Outcome::Defer, Reason::QuietHours)],
        ),
    ];
    // A record that comes again changes nothing.
    apply(store, events.clone(), vec![]).await;
    apply(store, events, vec![]).await;
}

#[tokio::test]
async fn decisions_are_listed_newest_first_and_by_each_filter() {
    on_each(async |store| {
        seed(store).await;
        let none = DecisionFilter::default;
        let user = |name: &str| vec![name.to_owned()];
        let cases = [
            (
                none(),
                vec![
                    "3 ada email quiet_hours",
                    "2 bob email over_limit",
                    "1 guest email complained",
                    "1 ada sms no_address",
                    "1 ada email allowed",
                ],
            ),
            (
                DecisionFilter {
                    user: user("ada"),
                    ..none()
                },
                vec![
                    "3 ada email quiet_hours",
                    "1 ada sms no_address",
                    "1 ada email allowed",
                ],
            ),
            (
                DecisionFilter {
                    event: user("event-1"),
                    ..none()
                },
                vec![
                    "1 guest email complained",
                    "1 ada sms no_address",
                    "1 ada email allowed",
                ],
            ),
            (
                DecisionFilter {
                    event: user("event-1"),
                    user: user("bob"),
                    ..none()
                },
                vec![],
            ),
            (
                DecisionFilter {
                    outcome: vec![Outcome::Suppress, Outcome::Drop],
                    ..none()
                },
                vec![
                    "2 bob email over_limit",
                    "1 guest email complained",
                    "1 ada sms no_address",
                ],
            ),
            (
                DecisionFilter {
                    outcome: vec![Outcome::Send],
                    ..none()
                },
                vec!["1 ada email allowed"],
            ),
            (
                DecisionFilter {
                    reason: vec![Reason::Complained, Reason::Allowed],
                    ..none()
                },
                vec!["1 guest email complained", "1 ada email allowed"],
            ),
            (
                DecisionFilter {
                    channel: vec![Channel::Sms],
                    ..none()
                },
                vec!["1 ada sms no_address"],
            ),
            (
                DecisionFilter {
                    from: Some(at(2)),
                    to: Some(at(3)),
                    ..none()
                },
                vec!["2 bob email over_limit"],
            ),
        ];
        for (filter, expected) in cases {
            assert_eq!(told(store, filter.clone()).await, expected, "{filter:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_decision_is_read_as_it_was_made_and_by_its_own_tenant_only() {
    on_each(async |store| {
        seed(store).await;
        let none = DecisionFilter::default;
        let deferred = &found(store, &none()).await[0];
        assert_eq!(deferred.until, Some(start() + seconds(3_600)));
        assert_eq!(deferred.sentence, "defer by email.");
        let other = "other".into();
        let of_other = store
            .read_model()
            .decisions(&other, &none(), Page::default())
            .await
            .unwrap();
        assert!(of_other.items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn pages_of_decisions_neither_skip_nor_repeat() {
    on_each(async |store| {
        let many = (0..40).map(|n| {
            decision(
                Some(&format!("u-{n}")),
                Channel::Email,
                Outcome::Send,
                Reason::Allowed,
            )
        });
        apply(store, vec![event(1, many.collect()), event(2, vec![])], vec![]).await;
        let (mut seen, mut page) = (
            HashSet::new(),
            Page {
                after: None,
                limit: 7,
            },
        );
        loop {
            let found = store
                .read_model()
                .decisions(&store.tenant, &DecisionFilter::default(), page)
                .await
                .unwrap();
            for view in found.items {
                assert!(seen.insert(view.id), "{view:?}");
            }
            let Some(next) = found.next_cursor else { break };
            page.after = carillon_store::Cursor::parse(&next);
        }
        assert_eq!(seen.len(), 40);
    })
    .await;
}

#[tokio::test]
async fn decisions_of_an_erased_user_and_old_ones_are_deleted() {
    on_each(async |store| {
        seed(store).await;
        let put = carillon_store::users::UserPut::default();
        store
            .users()
            .put(&store.tenant, &"ada".into(), &put, None)
            .await
            .unwrap();
        store
            .users()
            .delete(&store.tenant, &"ada".into(), None)
            .await
            .unwrap();
        let left = told(store, DecisionFilter::default()).await;
        assert_eq!(left, ["2 bob email over_limit", "1 guest email complained"]);
        store.clock.advance(seconds(100 * 24 * 3_600));
        store.read_model().prune().await.unwrap();
        assert!(found(store, &DecisionFilter::default()).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_gives_the_same_decisions() {
    on_each(async |store| {
        seed(store).await;
        let before = found(store, &DecisionFilter::default()).await;
        store.read_model().reset("tracker").await.unwrap();
        assert!(found(store, &DecisionFilter::default()).await.is_empty());
        seed(store).await;
        assert_eq!(found(store, &DecisionFilter::default()).await, before);
    })
    .await;
}
