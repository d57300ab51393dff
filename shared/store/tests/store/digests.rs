//! Digests: members are added once, a digest is closed once with all of its members, and one that comes late waits by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use carillon_domain::{
    Channel, DeliveryId, DigestId, NotificationId, Recipient, Timestamp,
    conclusion::Conclusion,
    waiting::{DigestMembership, Release, WAITING_VERSION, Waiting, WaitingContent, WaitingPart},
};
use carillon_store::{
    Lease,
    api_keys::{Principal, Role},
    digests::{Closing, ClosingMember, LeasedDigest, MemberRecord},
    outbox::OutboxRecord,
    send_ledger::{ClaimVerdict, SendKey},
    waiting::NewWaiting,
};
use proptest::{prelude::*, test_runner::TestRunner};
use uuid::Uuid;

use crate::support::{TestStore, on_each, origin, seconds, start};

const HOUR: Duration = Duration::from_hours(1);

/// The digest of a run that ends a number of hours after the start.
fn digest(run: u128, hours: u32) -> (DigestId, Timestamp) {
    let id = DigestId(Uuid::from_u128(run << 32 | u128::from(hours)));
    (id, start() + HOUR * hours)
}

fn key(run: u128, number: u32) -> SendKey {
    SendKey {
        accepted_at: start() + seconds(u64::from(number)),
        delivery_id: DeliveryId(Uuid::from_u128(run << 64 | u128::from(number))),
        generation: 0,
        attempt: 1,
    }
}

/// A member of the digest that ends at this hour.
fn member(run: u128, hours: u32, number: u32) -> NewWaiting {
    let (id, due) = digest(run, hours);
    let notification = NotificationId(Uuid::from_u128(run << 48 | u128::from(number)));
    let SendKey {
        accepted_at,
        delivery_id,
        ..
    } = key(run, number);
    let part = WaitingPart {
        notification_id: notification,
        user_id: Some("u-1".into()),
        channel: Channel::Email,
        deliveries: vec![delivery_id],
        after: Vec::new(),
    };
    NewWaiting {
        waiting: Waiting {
            tenant: "default".into(),
            event_id: format!("{run}-{number}").into(),
            source: "/shop".into(),
            event_type: "PriceDrop".into(),
            user_id: Some("u-1".into()),
            due,
            reason: "digest".into(),
            digest: Some(DigestMembership {
                id,
                event_type: "PriceDropDigest".into(),
                category: "alerts".into(),
                channel: Channel::Email,
                recipient: Recipient::user(format!("u-{run}").as_str()),
                max: 5,
            }),
            release: Release {
                v: WAITING_VERSION,
                id: Waiting::id_of_member(id, notification, None),
                number: 1,
                origin: origin(1),
                written_at: start(),
                content: WaitingContent::Deliveries {
                    accepted_at,
                    event_type: "PriceDrop".into(),
                    category: "alerts".into(),
                    parts: vec![part],
                },
            },
        },
        record: OutboxRecord {
            topic: "notifications.events".into(),
            key: None,
            headers: number.to_be_bytes().to_vec(),
            value: format!("event {number}").into_bytes(),
        },
    }
}

fn number_of(member: &MemberRecord) -> u32 {
    u32::from_be_bytes(member.headers.as_slice().try_into().unwrap())
}

fn lease(store: &TestStore, owner: u128) -> Lease {
    Lease {
        owner: Uuid::from_u128(owner),
        until: store.now() + seconds(60),
    }
}

async fn leased(store: &TestStore, owner: u128) -> Vec<LeasedDigest> {
    store
        .digests()
        .lease(lease(store, owner), false, 10)
        .await
        .unwrap()
}

/// Closes a digest as a scheduler does. Its record names the digest and the members that are part of it.
async fn close(store: &TestStore, run: u128, digest: &LeasedDigest) -> Closing {
    let members: Vec<u32> = store
        .digests()
        .members(digest.id)
        .await
        .unwrap()
        .iter()
        .map(number_of)
        .collect();
    if members.len() as u64 != digest.members {
        return Closing::Changed;
    }
    let outcome = serde_json::value::to_raw_value(&Conclusion::cancelled(start(), "a digest")).unwrap();
    let deliveries: Vec<ClosingMember> = members
        .iter()
        .map(|number| ClosingMember {
            key: key(run, *number),
            outcome: outcome.clone(),
        })
        .collect();
    let records = |verdicts: &[ClaimVerdict]| {
        let won = members.iter().zip(verdicts);
        let won = won.filter(|(_, verdict)| **verdict == ClaimVerdict::Claimed);
        let value = won
            .map(|(number, _)| number.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        vec![OutboxRecord {
            topic: "sent".into(),
            key: Some(digest.id.0.as_bytes().to_vec()),
            headers: Vec::new(),
            value: value.into_bytes(),
        }]
    };
    store.digests().close(digest, &deliveries, records).await.unwrap()
}

/// Takes the outbox's records: for each digest the members of each record.
async fn sent(store: &TestStore) -> BTreeMap<Uuid, Vec<String>> {
    let mut sent: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    loop {
        let lease = lease(store, 99);
        let claimed = store.outbox().claim(lease, true).await.unwrap();
        if claimed.is_empty() {
            return sent;
        }
        let ids: Vec<i64> = claimed.iter().map(|one| one.id).collect();
        store.outbox().published(lease.owner, &ids).await.unwrap();
        for record in claimed.into_iter().map(|one| one.record) {
            if &*record.topic == "sent" {
                let digest = Uuid::from_slice(&record.key.unwrap()).unwrap();
                sent.entry(digest)
                    .or_default()
                    .push(String::from_utf8(record.value).unwrap());
            }
        }
    }
}

fn who() -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: "ada".to_owned(),
        tenant: "default".into(),
        role: Role::Operator,
    }
}

async fn cancel(store: &TestStore, run: u128, number: u32) -> bool {
    let outcome = serde_json::value::to_raw_value(&Conclusion::cancelled(start(), "ada")).unwrap();
    let ledger = store.send_ledger();
    let verdicts = ledger
        .cancel(&who(), "/", &[(key(run, number), outcome)])
        .await
        .unwrap();
    verdicts == [ClaimVerdict::Claimed]
}

#[tokio::test]
async fn a_digest_is_closed_once_at_its_end_with_all_members_in_the_order_of_their_events() {
    on_each(async |store| {
        let digests = store.digests();
        let three = [member(1, 1, 3), member(1, 1, 1), member(1, 1, 2)];
        assert_eq!(digests.add(&three).await.unwrap(), 3);
        // Records that are read again change nothing.
        assert_eq!(digests.add(&three).await.unwrap(), 0);
        assert_eq!(digests.depth().await.unwrap().members, 3);
        assert_eq!(digests.next_due().await.unwrap(), Some(digest(1, 1).1));
        store.clock.advance(Duration::from_micros(3_599_999_999));
        assert!(leased(store, 1).await.is_empty());
        store.clock.advance(Duration::from_micros(1));
        let [first] = &leased(store, 1).await[..] else {
            panic!()
        };
        assert_eq!((first.members, first.due), (3, digest(1, 1).1));
        assert_eq!(first.membership, three[0].waiting.digest.clone().unwrap());
        // Another owner has to wait for the end of the lease; the same one may lease it again.
        assert!(leased(store, 2).await.is_empty());
        assert_eq!(leased(store, 1).await.len(), 1);
        assert_eq!(close(store, 1, first).await, Closing::Closed);
        assert_eq!(close(store, 1, first).await, Closing::Changed);
        assert_eq!(
            sent(store).await,
            BTreeMap::from([(digest(1, 1).0.0, vec!["1 2 3".to_owned()])])
        );
        assert_eq!(
            digests.depth().await.unwrap(),
            carillon_store::digests::DigestDepth::default()
        );
        assert!(digests.members(first.id).await.unwrap().is_empty());
        // After the dedupe window they are forgotten.
        assert_eq!(digests.prune(HOUR).await.unwrap(), 0);
        store.clock.advance(HOUR * 2);
        assert_eq!(digests.prune(HOUR).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_member_that_comes_between_lease_and_closing_is_in_the_digest_and_one_after_it_waits_by_itself() {
    on_each(async |store| {
        let digests = store.digests();
        digests.add(&[member(1, 1, 1)]).await.unwrap();
        store.clock.advance(HOUR);
        let [first] = &leased(store, 1).await[..] else {
            panic!()
        };
        digests.add(&[member(1, 1, 2)]).await.unwrap();
        assert_eq!(close(store, 1, first).await, Closing::Changed);
        let [again] = &leased(store, 1).await[..] else {
            panic!()
        };
        assert_eq!(close(store, 1, again).await, Closing::Closed);

        let late = member(1, 1, 3);
        for new in [1, 0] {
            assert_eq!(digests.add(&[late.clone(), member(1, 1, 1)]).await.unwrap(), new);
        }
        let waiting = store.waiting().depth().await.unwrap();
        assert_eq!((waiting.deliveries, waiting.next_due), (1, Some(store.now())));
        assert_eq!(store.waiting().release().await.unwrap().due.len(), 1);
        assert_eq!(digests.depth().await.unwrap().members, 0);
        assert_eq!(
            sent(store).await,
            BTreeMap::from([(digest(1, 1).0.0, vec!["1 2".to_owned()])])
        );
    })
    .await;
}

#[tokio::test]
async fn the_latest_members_have_their_events_and_a_users_digests_end_when_the_user_is_erased() {
    on_each(async |store| {
        let digests = store.digests();
        let large = |number: u32| {
            let mut large = member(7, 5, number);
            large.record.value = vec![b'x'; 3 << 20];
            large
        };
        for number in 1..=4 {
            digests.add(&[large(number)]).await.unwrap();
        }
        let members = digests.members(digest(7, 5).0).await.unwrap();
        let loaded: Vec<bool> = members.iter().map(|member| member.value.is_some()).collect();
        assert_eq!(loaded, [false, false, true, true]);
        assert_eq!(members.iter().map(number_of).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(
            digests
                .end_of_user(&"default".into(), &"u-8".into())
                .await
                .unwrap(),
            0
        );
        assert_eq!(
            digests
                .end_of_user(&"default".into(), &"u-7".into())
                .await
                .unwrap(),
            1
        );
        assert_eq!(digests.next_due().await.unwrap(), Some(store.now()));
    })
    .await;
}

/// A step of schedulers, of which two share the work.
#[derive(Debug, Clone)]
enum Step {
    /// A record comes, perhaps again: the member's number.
    Add(u32),
    /// A scheduler leases and closes due digests; meanwhile, a record comes.
    Close(u128, Option<u32>),
    /// A scheduler leases due digests and dies.
    Die(u128),
    /// A member is cancelled.
    Cancel(u32),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0..12_u32;
    let step = prop_oneof![
        4 => number().prop_map(Step::Add),
        3 => (1..3_u128, prop::option::of(number())).prop_map(|(owner, new)| Step::Close(owner, new)),
        1 => (1..3_u128).prop_map(Step::Die),
        1 => number().prop_map(Step::Cancel),
        2 => (0..2_400_u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..30)
}

/// Members are spread over three windows.
fn window_of(number: u32) -> u32 {
    1 + number % 3
}

async fn run_course(store: &TestStore, run: u128, steps: &[Step]) -> Result<(), TestCaseError> {
    let began = store.now();
    let at = |hours: u32| hours + u32::try_from((began - start()).num_hours()).unwrap();
    let record = |number: u32| member(run, at(window_of(number)), number);
    let digests = store.digests();
    let (mut added, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::Add(number) => {
                digests.add(&[record(*number)]).await.unwrap();
                added.insert(*number);
            }
            Step::Close(owner, new) => {
                for digest in leased(store, *owner).await {
                    let added_now = async {
                        if let Some(number) = new {
                            digests.add(&[record(*number)]).await.unwrap();
                        }
                    };
                    tokio::join!(close(store, run, &digest), added_now);
                    added.extend(*new);
                }
            }
            Step::Die(owner) => drop(leased(store, *owner).await),
            Step::Cancel(number) => {
                if cancel(store, run, *number).await {
                    cancelled.insert(*number);
                }
            }
            Step::Advance(by) => store.clock.advance(seconds(*by)),
        }
    }
    // The next scheduler completes the work.
    store.clock.advance(HOUR * 4);
    while let Some(digest) = leased(store, 3).await.first() {
        close(store, run, digest).await;
    }
    let (mut in_digests, sent) = (BTreeSet::new(), sent(store).await);
    for (digest_id, records) in &sent {
        prop_assert_eq!(
            records.len(),
            1,
            "one digest a window: {} {:?}",
            digest_id,
            records
        );
        for number in records[0].split_whitespace() {
            let number: u32 = number.parse().unwrap();
            let (own, _) = digest(run, at(window_of(number)));
            prop_assert_eq!(own.0, *digest_id);
            prop_assert!(in_digests.insert(number), "{} is in two digests", number);
        }
    }
    let mut alone = BTreeSet::new();
    let released = store.waiting().release().await.unwrap().due.len();
    for number in &added {
        let key = carillon_store::events::EventKey {
            tenant: "default".into(),
            event_id: format!("{run}-{number}").into(),
            source: "/shop".into(),
        };
        if !store.waiting().of_event(&key).await.unwrap().is_empty() {
            alone.insert(*number);
        }
    }
    prop_assert_eq!(released, alone.len());
    prop_assert!(in_digests.is_disjoint(&alone) && in_digests.is_disjoint(&cancelled));
    let all: BTreeSet<u32> = in_digests.union(&alone).chain(&cancelled).copied().collect();
    prop_assert!(
        added.is_subset(&all),
        "{:?} of {:?} are lost",
        added.difference(&all),
        added
    );
    prop_assert_eq!(digests.depth().await.unwrap().members, 0);
    Ok(())
}

fn check_courses(store: &TestStore, cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    let handle = tokio::runtime::Handle::current();
    let run = std::cell::Cell::new(1_u128);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&steps(), |steps| {
            run.set(run.get() + 1);
            handle.block_on(run_course(store, run.get(), &steps))
        })
    });
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_digest_a_window_and_each_member_is_in_one_under_repeats_deaths_and_concurrent_members()
{
    on_each(async |store| check_courses(store, 300)).await;
}
