//! An opt-out belongs to the user and the address. Changes of the profile do not affect it.

use carillon_domain::{Channel, ContactPointId, DeliveryId, UserId, contact::DeathReason};
use carillon_store::users::{DeadContact, UserPut};
use uuid::Uuid;

use crate::support::{TestStore, on_each, seconds};

const NUMBER: &str = "+4915112345678";

fn with(phone: Option<&str>) -> UserPut {
    UserPut {
        phone: phone.map(str::to_owned),
        ..UserPut::default()
    }
}

async fn put(store: &TestStore, phone: Option<&str>) {
    store.clock.advance(seconds(1));
    store
        .users()
        .put(&store.tenant, &"u-1".into(), &with(phone), None)
        .await
        .unwrap();
}

async fn reason(store: &TestStore) -> Option<DeathReason> {
    let user = store
        .users()
        .get(&store.tenant, &"u-1".into())
        .await
        .unwrap()
        .unwrap();
    user.value.phone_dead.map(|dead| dead.reason)
}

fn stop(store: &TestStore, reason: DeathReason) -> DeadContact {
    DeadContact {
        tenant: store.tenant.clone(),
        id: ContactPointId::primary(&store.tenant, &UserId::from("u-1"), Channel::Sms),
        code: "21610".to_owned(),
        reason,
        provider: "twilio".into(),
        delivery_id: DeliveryId(Uuid::from_u128(7)),
        seen_at: store.now(),
    }
}

#[tokio::test]
async fn a_stop_survives_profiles_that_are_written_with_the_same_number_another_one_and_none() {
    on_each(async |store| {
        put(store, Some(NUMBER)).await;
        store
            .users()
            .mark_dead(&[stop(store, DeathReason::OptedOut)])
            .await
            .unwrap();
        for _ in 0..2 {
            put(store, Some(NUMBER)).await;
            assert_eq!(reason(store).await, Some(DeathReason::OptedOut));
        }
        put(store, Some("+4915100000000")).await;
        assert_eq!(reason(store).await, None, "another number is another address");
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(DeathReason::OptedOut));
        put(store, None).await;
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(DeathReason::OptedOut));
        let user = store
            .users()
            .get(&store.tenant, &"u-1".into())
            .await
            .unwrap()
            .unwrap()
            .value;
        let dead = user.phone_dead.unwrap();
        assert_eq!(
            (dead.code.as_str(), dead.provider.as_deref()),
            ("21610", Some("twilio"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_number_that_is_gone_is_tried_again_when_it_is_put_again() {
    on_each(async |store| {
        put(store, Some(NUMBER)).await;
        store
            .users()
            .mark_dead(&[stop(store, DeathReason::Gone)])
            .await
            .unwrap();
        assert_eq!(reason(store).await, Some(DeathReason::Gone));
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
    })
    .await;
}

#[tokio::test]
async fn only_consent_ends_an_opt_out_and_a_later_stop_counts_again() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        put(store, Some(NUMBER)).await;
        let early = stop(store, DeathReason::OptedOut);
        users.mark_dead(std::slice::from_ref(&early)).await.unwrap();
        assert!(!users.consent(&store.tenant, &id, Channel::Email).await.unwrap());
        store.clock.advance(seconds(60));
        assert!(users.consent(&store.tenant, &id, Channel::Sms).await.unwrap());
        assert_eq!(reason(store).await, None);
        assert!(!users.consent(&store.tenant, &id, Channel::Sms).await.unwrap());
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
        // A message from before the consent says nothing about it.
        users.mark_dead(&[early]).await.unwrap();
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
        users
            .mark_dead(&[stop(store, DeathReason::OptedOut)])
            .await
            .unwrap();
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(DeathReason::OptedOut));
    })
    .await;
}

#[tokio::test]
async fn an_opt_out_that_was_the_accounts_fault_is_revoked_for_good() {
    on_each(async |store| {
        put(store, Some(NUMBER)).await;
        let strike = stop(store, DeathReason::OptedOut);
        store
            .users()
            .mark_dead(std::slice::from_ref(&strike))
            .await
            .unwrap();
        store.users().revive(&[strike]).await.unwrap();
        put(store, Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
    })
    .await;
}
