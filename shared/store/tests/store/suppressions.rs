//! The suppression list: an entry holds for every user and guest with the address, and only its own causes end it.

use carillon_domain::{
    Channel, DeliveryId, Platform, Timestamp, UserId,
    contact::{AddressKey, mask},
    suppression::{Suppression, SuppressionReason},
};
use carillon_store::{
    Page, Store, StoreConfig, StoreError,
    api_keys::{Principal, Role},
    suppressions::{Change, Strike, SuppressionFilter, SuppressionPut, SuppressionView},
    users::{Device, UserPut},
};
use uuid::Uuid;

use crate::support::{TestStore, on_each, seconds};

pub(crate) const NUMBER: &str = "+4915112345678";

pub(crate) fn operator(store: &TestStore) -> Principal {
    Principal {
        key_id: Uuid::from_u128(1),
        name: "support desk".to_owned(),
        role: Role::Operator,
        tenant: store.tenant.clone(),
    }
}

fn with(phone: Option<&str>) -> UserPut {
    UserPut {
        phone: phone.map(str::to_owned),
        ..UserPut::default()
    }
}

async fn put(store: &TestStore, user: &str, phone: Option<&str>) {
    store.clock.advance(seconds(1));
    let users = store.users();
    users
        .put(&store.tenant, &user.into(), &with(phone), None)
        .await
        .unwrap();
}

/// The entry of the user's phone.
pub(crate) async fn phone_of(store: &TestStore, user: &str) -> Option<SuppressionView> {
    let user = store.users().get(&store.tenant, &user.into()).await.unwrap();
    user.unwrap().value.phone_suppressed
}

async fn reason(store: &TestStore) -> Option<SuppressionReason> {
    phone_of(store, "u-1").await.map(|entry| entry.reason)
}

pub(crate) fn strike(
    store: &TestStore,
    channel: Channel,
    address: &str,
    reason: SuppressionReason,
) -> Strike {
    Strike {
        tenant: store.tenant.clone(),
        channel,
        address_hash: store.address_key().hash(channel, address),
        masked: mask(channel, address),
        reason,
        code: "21610".to_owned(),
        provider: "twilio".into(),
        delivery_id: DeliveryId(Uuid::from_u128(7)),
        seen_at: store.now(),
    }
}

pub(crate) fn stop(store: &TestStore) -> Strike {
    strike(store, Channel::Sms, NUMBER, SuppressionReason::OptedOut)
}

pub(crate) fn bounce(store: &TestStore) -> Strike {
    strike(store, Channel::Sms, NUMBER, SuppressionReason::HardBounce)
}

/// The entry of an address as a decision sees it.
pub(crate) async fn seen(store: &TestStore, channel: Channel, address: &str) -> Option<Suppression> {
    let hash = store.address_key().hash(channel, address);
    let found = store.suppressions().of(&store.tenant, &[hash]).await.unwrap();
    found.get(&hash).copied()
}

pub(crate) async fn get(store: &TestStore) -> Option<SuppressionView> {
    let entry = store
        .suppressions()
        .get(&store.tenant, Channel::Sms, NUMBER)
        .await
        .unwrap();
    entry.map(|entry| entry.value)
}

pub(crate) fn noted(note: &str) -> SuppressionPut {
    SuppressionPut {
        note: Change::Set(Some(note.to_owned())),
        ..SuppressionPut::default()
    }
}

pub(crate) fn until(expires_at: Timestamp) -> SuppressionPut {
    SuppressionPut {
        expires_at: Change::Set(Some(expires_at)),
        ..SuppressionPut::default()
    }
}

#[tokio::test]
async fn a_stop_holds_for_every_user_and_guest_with_the_number_and_for_no_other_tenant() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        store.suppressions().strike(&[stop(store)]).await.unwrap();
        put(store, "u-2", Some(NUMBER)).await;
        let since = store.now();
        for user in ["u-1", "u-2"] {
            let entry = phone_of(store, user).await.unwrap();
            assert_eq!(entry.reason, SuppressionReason::OptedOut);
            assert_eq!(
                (entry.code.as_deref(), entry.provider.as_deref()),
                (Some("21610"), Some("twilio"))
            );
            assert_eq!(entry.address_masked.as_deref(), Some("+49…78"));
            let ids = [UserId::from(user)];
            let facts = store.users().load_facts(&store.tenant, &ids).await.unwrap();
            assert_eq!(
                facts[&ids[0]].contacts[0].suppressed.unwrap().reason,
                SuppressionReason::OptedOut
            );
        }
        let guest = seen(store, Channel::Sms, NUMBER).await.unwrap();
        assert_eq!(guest.reason, SuppressionReason::OptedOut);
        assert!(guest.since <= since);
        assert_eq!(seen(store, Channel::Sms, "+4915100000000").await, None);
        let hash = store.address_key().hash(Channel::Sms, NUMBER);
        let foreign = store.suppressions().of(&"other".into(), &[hash]).await.unwrap();
        assert!(foreign.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stop_survives_profiles_that_are_written_with_the_same_number_another_one_and_none() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        store.suppressions().strike(&[stop(store)]).await.unwrap();
        for _ in 0..2 {
            put(store, "u-1", Some(NUMBER)).await;
            assert_eq!(reason(store).await, Some(SuppressionReason::OptedOut));
        }
        put(store, "u-1", Some("+4915100000000")).await;
        assert_eq!(reason(store).await, None, "another number is another address");
        put(store, "u-1", Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(SuppressionReason::OptedOut));
        put(store, "u-1", None).await;
        put(store, "u-1", Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(SuppressionReason::OptedOut));
    })
    .await;
}

#[tokio::test]
async fn a_number_that_is_gone_is_tried_again_when_any_user_puts_it_again() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        store.suppressions().strike(&[bounce(store)]).await.unwrap();
        assert_eq!(reason(store).await, Some(SuppressionReason::HardBounce));
        put(store, "u-2", Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
        assert_eq!(seen(store, Channel::Sms, NUMBER).await, None);
    })
    .await;
}

#[tokio::test]
async fn registering_a_token_again_lifts_a_dead_token_and_no_other_reason() {
    on_each(async |store| {
        let device = Device {
            platform: Platform::Ios,
            token: "token-a".into(),
        };
        put(store, "u-1", None).await;
        for (cause, left) in [
            (SuppressionReason::DeadToken, None),
            (SuppressionReason::OptedOut, Some(SuppressionReason::OptedOut)),
        ] {
            let users = store.users();
            users
                .put_device(&store.tenant, &"u-1".into(), &device)
                .await
                .unwrap();
            let strike = strike(store, Channel::Push, "token-a", cause);
            store.suppressions().strike(&[strike]).await.unwrap();
            assert_eq!(
                seen(store, Channel::Push, "token-a").await.map(|one| one.reason),
                Some(cause)
            );
            store.clock.advance(seconds(1));
            users
                .put_device(&store.tenant, &"u-1".into(), &device)
                .await
                .unwrap();
            assert_eq!(
                seen(store, Channel::Push, "token-a").await.map(|one| one.reason),
                left
            );
            // The whole profile registers its devices as well.
            let whole = UserPut {
                devices: Some(vec![device.clone()]),
                ..UserPut::default()
            };
            users
                .put(&store.tenant, &"u-1".into(), &whole, None)
                .await
                .unwrap();
            assert_eq!(
                seen(store, Channel::Push, "token-a").await.map(|one| one.reason),
                left
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_an_older_message_does_not_strike_a_newer_registration_but_an_older_stop_counts() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        let (gone, stopped) = (bounce(store), stop(store));
        put(store, "u-2", Some(NUMBER)).await;
        store
            .suppressions()
            .strike(std::slice::from_ref(&gone))
            .await
            .unwrap();
        assert_eq!(seen(store, Channel::Sms, NUMBER).await, None);
        let newer = Strike {
            seen_at: store.now(),
            ..gone
        };
        store.suppressions().strike(&[newer]).await.unwrap();
        assert_eq!(reason(store).await, Some(SuppressionReason::HardBounce));
        store.suppressions().strike(&[stopped]).await.unwrap();
        assert_eq!(reason(store).await, Some(SuppressionReason::OptedOut));
    })
    .await;
}

#[tokio::test]
async fn a_bounce_does_not_replace_a_stop_and_a_stop_replaces_a_bounce_and_the_first_answer_stays() {
    on_each(async |store| {
        let suppressions = store.suppressions();
        let second = Strike {
            code: "30003".to_owned(),
            ..bounce(store)
        };
        suppressions.strike(&[bounce(store)]).await.unwrap();
        suppressions.strike(std::slice::from_ref(&second)).await.unwrap();
        assert_eq!(get(store).await.unwrap().code.as_deref(), Some("21610"));
        suppressions
            .strike(&[second.clone(), stop(store), second])
            .await
            .unwrap();
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
        suppressions.strike(&[bounce(store)]).await.unwrap();
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
    })
    .await;
}

#[tokio::test]
async fn only_consent_ends_an_opt_out_and_a_later_stop_counts_again() {
    on_each(async |store| {
        let (users, id, who) = (store.users(), UserId::from("u-1"), operator(store));
        put(store, "u-1", Some(NUMBER)).await;
        let early = stop(store);
        store
            .suppressions()
            .strike(std::slice::from_ref(&early))
            .await
            .unwrap();
        assert!(!users.consent(&who, &id, Channel::Email).await.unwrap());
        store.clock.advance(seconds(60));
        assert!(users.consent(&who, &id, Channel::Sms).await.unwrap());
        assert_eq!(reason(store).await, None);
        assert!(!users.consent(&who, &id, Channel::Sms).await.unwrap());
        let nobody = users.consent(&who, &"nobody".into(), Channel::Sms).await;
        assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
        put(store, "u-1", Some(NUMBER)).await;
        assert_eq!(reason(store).await, None);
        // A message from before the consent says nothing about it.
        store.suppressions().strike(&[early]).await.unwrap();
        assert_eq!(reason(store).await, None);
        store.suppressions().strike(&[stop(store)]).await.unwrap();
        put(store, "u-1", Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(SuppressionReason::OptedOut));
        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        let routes: Vec<&str> = log.items.iter().map(|entry| entry.route.as_str()).collect();
        assert_eq!(routes, ["/v1/users/u-1/opt-outs/sms"]);
    })
    .await;
}

#[tokio::test]
async fn only_strikes_that_were_the_accounts_fault_are_revoked() {
    on_each(async |store| {
        let other = Strike {
            delivery_id: DeliveryId(Uuid::from_u128(8)),
            ..strike(store, Channel::Sms, "+4915100000000", SuppressionReason::OptedOut)
        };
        let suppressions = store.suppressions();
        suppressions.strike(&[stop(store), other.clone()]).await.unwrap();
        let same_address = Strike {
            delivery_id: DeliveryId(Uuid::from_u128(9)),
            ..other
        };
        suppressions.revoke(&[stop(store), same_address]).await.unwrap();
        assert_eq!(seen(store, Channel::Sms, NUMBER).await, None);
        assert!(seen(store, Channel::Sms, "+4915100000000").await.is_some());
    })
    .await;
}

#[tokio::test]
async fn an_entry_survives_the_erasure_of_the_user_without_its_personal_data() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        let note = noted("asked Ada by phone");
        let suppressions = store.suppressions();
        suppressions.strike(&[stop(store)]).await.unwrap();
        suppressions
            .put(&operator(store), Channel::Sms, NUMBER, &note, None)
            .await
            .unwrap();
        assert!(
            store
                .users()
                .delete(&store.tenant, &"u-1".into(), None)
                .await
                .unwrap()
        );
        let entry = get(store).await.unwrap();
        assert_eq!((entry.address_masked, entry.note), (None, None));
        assert_eq!(
            (entry.reason, entry.code.as_deref()),
            (SuppressionReason::OptedOut, Some("21610"))
        );
        put(store, "u-2", Some(NUMBER)).await;
        assert!(phone_of(store, "u-2").await.is_some());
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_has_expired_does_not_count_and_is_deleted_a_day_later() {
    on_each(async |store| {
        let suppressions = store.suppressions();
        let who = operator(store);
        let ends = store.now() + seconds(60);
        suppressions
            .put(&who, Channel::Sms, NUMBER, &until(ends), None)
            .await
            .unwrap();
        put(store, "u-1", Some(NUMBER)).await;
        assert_eq!(reason(store).await, Some(SuppressionReason::Manual));
        store.clock.advance(seconds(60));
        assert_eq!(reason(store).await, None);
        assert_eq!(seen(store, Channel::Sms, NUMBER).await, None);
        assert_eq!(get(store).await, None);
        let ids = [UserId::from("u-1")];
        let facts = store.users().load_facts(&store.tenant, &ids).await.unwrap();
        assert_eq!(facts[&ids[0]].contacts[0].suppressed, None);
        let filter = SuppressionFilter::default();
        let listed = suppressions
            .list(&store.tenant, &filter, Page::default())
            .await
            .unwrap();
        assert!(listed.items.is_empty());
        assert_eq!(suppressions.prune().await.unwrap(), 0);
        store.clock.advance(seconds(24 * 3_600 + 1));
        assert_eq!(suppressions.prune().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn under_a_new_address_key_the_entries_of_users_addresses_go_on_counting() {
    on_each(async |store| {
        put(store, "u-1", Some(NUMBER)).await;
        put(store, "u-2", Some(NUMBER)).await;
        put(store, "u-3", Some("+4915100000003")).await;
        let guest = strike(store, Channel::Sms, "+4915100000000", SuppressionReason::OptedOut);
        let third = strike(store, Channel::Sms, "+4915100000003", SuppressionReason::OptedOut);
        store
            .suppressions()
            .strike(&[stop(store), guest, third])
            .await
            .unwrap();
        assert_eq!(
            store.suppressions().follow_key().await.unwrap(),
            0,
            "the first key"
        );

        let config = StoreConfig {
            address_key: AddressKey::new([9; 32]),
            ..store.config.clone()
        };
        let renewed = Store::connect(&config, store.clock.clone()).await.unwrap();
        // A profile that is written before the tracker follows keeps its STOP.
        let written = with(Some("+4915100000003"));
        renewed
            .users()
            .put(&store.tenant, &"u-3".into(), &written, None)
            .await
            .unwrap();
        assert!(!renewed.suppressions().has_key().await.unwrap());
        assert_eq!(renewed.suppressions().follow_key().await.unwrap(), 2);
        assert!(renewed.suppressions().has_key().await.unwrap());
        assert_eq!(renewed.suppressions().follow_key().await.unwrap(), 0);
        let ids: Vec<UserId> = ["u-1", "u-2", "u-3"].map(UserId::from).to_vec();
        let facts = renewed.users().load_facts(&store.tenant, &ids).await.unwrap();
        for id in &ids {
            let suppressed = facts[id].contacts[0].suppressed.unwrap();
            assert_eq!(suppressed.reason, SuppressionReason::OptedOut, "{id}");
        }
        let entry = renewed
            .suppressions()
            .get(&store.tenant, Channel::Sms, NUMBER)
            .await
            .unwrap();
        assert_eq!(entry.unwrap().value.code.as_deref(), Some("21610"));
        let lost = renewed
            .suppressions()
            .get(&store.tenant, Channel::Sms, "+4915100000000")
            .await
            .unwrap();
        assert!(lost.is_none(), "nobody knows the address of that hash");
        renewed.close().await;
    })
    .await;
}
