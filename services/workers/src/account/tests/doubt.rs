//! Doubted refusals of addresses.

use carillon_bus::{Headers, Record};
use carillon_domain::{Channel, contact::AddressHash, suppression::SuppressionReason};
use carillon_store::suppressions::Strike;

use super::*;
use crate::{
    attempt::DeliveryAttempt,
    policy::{Course, MANY_REFUSED, PATIENCE, SOME_REFUSED},
};

#[tokio::test(start_paused = true)]
async fn the_refusal_of_an_address_is_believed_once_a_success_follows() {
    let account = account(vec![dead()]);
    let ruled = send(&account).await.unwrap();
    assert_eq!(ruled.course, Course::Doubt);
    let (blame, _) = tokio::join!(account.breaker.blame(&ruled), send(&account));
    assert_eq!(blame, Blame::Address);
}

#[tokio::test(start_paused = true)]
async fn a_single_refusal_of_an_address_is_believed_after_a_time() {
    let account = account(vec![dead()]);
    let ruled = send(&account).await.unwrap();
    let begun = Instant::now();
    assert_eq!(account.breaker.blame(&ruled).await, Blame::AddressUnproven);
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(account.breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn many_refused_addresses_without_a_success_are_the_accounts_fault() {
    let account = account(vec![dead(); SOME_REFUSED + 1]);
    let ruled = send_to(&account, 0..SOME_REFUSED).await;
    let blames = futures::future::join_all(ruled.iter().map(|ruled| account.breaker.blame(ruled))).await;
    assert_eq!(blames, vec![Blame::Account; SOME_REFUSED]);
    assert!(!account.breaker.is_open());
    tokio::time::advance(FIRST_PARK).await;
    let probe = send_to(&account, 50..51).await.remove(0);
    assert_eq!(
        account.breaker.blame(&probe).await,
        Blame::Account,
        "the probe is refused as well"
    );
    assert!(!account.breaker.is_open());
    tokio::time::advance(2 * FIRST_PARK).await;
    send_to(&account, 51..52).await;
    assert!(
        account.breaker.is_open() && account.burst() > 1,
        "a success ends it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_run_of_refused_addresses_parks_the_account_at_once() {
    let account = account(vec![dead(); MANY_REFUSED]);
    let ruled = send_to(&account, 0..MANY_REFUSED).await;
    assert!(!account.breaker.is_open());
    let begun = Instant::now();
    assert_eq!(account.breaker.blame(&ruled[0]).await, Blame::Account);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn repeated_refusals_of_one_address_are_not_a_run() {
    let account = account(vec![dead(); 3 * MANY_REFUSED]);
    for _ in 0..3 * MANY_REFUSED {
        assert!(send(&account).await.is_some());
    }
    assert!(account.breaker.is_open());
}

fn struck(strike: Strike) -> Struck {
    let at: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    let json = serde_json::json!({
        "v": 1, "tenant": "default", "notification_id": Uuid::nil(), "delivery_id": Uuid::nil(), "event_id": "e",
        "source": "/shop", "type": "OrderShipped", "category": "transactional", "event_time": at, "accepted_at": at,
        "channel": "sms", "target": {"kind": "inline", "address": "+49"}, "priority": "normal", "data": {},
    });
    Struck {
        strike,
        record: Record {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            key: None,
            value: bytes::Bytes::new(),
            headers: Headers::default(),
            timestamp: at,
            unreadable: None,
        },
        attempt: DeliveryAttempt {
            delivery: serde_json::from_value(json).unwrap(),
            attempt: 1,
            uncounted: 0,
            generation: 0,
            started_at: at,
        },
    }
}

#[tokio::test(start_paused = true)]
async fn the_strikes_of_a_slow_run_are_revoked_when_the_account_proves_to_be_at_fault() {
    let account = account(vec![dead(); SOME_REFUSED]);
    let strike = |number: usize| Strike {
        tenant: carillon_domain::TenantId::default(),
        channel: Channel::Sms,
        address_hash: AddressHash(Uuid::from_u128(number as u128)),
        masked: "…".to_owned(),
        code: "x".to_owned(),
        reason: SuppressionReason::HardBounce,
        provider: "p".into(),
        delivery_id: DeliveryId(Uuid::nil()),
        seen_at: "2026-11-24T10:00:00Z".parse().unwrap(),
    };
    for number in 0..SOME_REFUSED - 1 {
        let ruled = send_to(&account, number..number + 1).await.remove(0);
        assert_eq!(account.breaker.blame(&ruled).await, Blame::AddressUnproven);
        account.breaker.struck(struck(strike(number)));
    }
    assert!(account.breaker.take_revoked().is_empty());
    let last = send_to(&account, SOME_REFUSED..SOME_REFUSED + 1).await.remove(0);
    assert_eq!(account.breaker.blame(&last).await, Blame::Account);
    assert_eq!(account.breaker.take_revoked().len(), SOME_REFUSED - 1);
    assert!(account.breaker.take_revoked().is_empty());
}
