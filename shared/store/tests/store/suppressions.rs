//! The suppression list: an entry holds for every user and guest with the address, and only its own causes end it.

use carillon_domain::{
    Channel, DeliveryId, Platform, Timestamp, UserId,
    contact::{AddressKey, mask},
    suppression::{Suppression, SuppressionReason},
};
use carillon_runtime::http::Conditions;
use carillon_store::{
    Page, Store, StoreConfig, StoreError,
    api_keys::{Principal, Role},
    suppressions::{Imported, Strike, SuppressionFilter, SuppressionPut, SuppressionView},
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

fn strike(store: &TestStore, channel: Channel, address: &str, reason: SuppressionReason) -> Strike {
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

fn stop(store: &TestStore) -> Strike {
    strike(store, Channel::Sms, NUMBER, SuppressionReason::OptedOut)
}

fn bounce(store: &TestStore) -> Strike {
    strike(store, Channel::Sms, NUMBER, SuppressionReason::HardBounce)
}

/// The entry of an address as a decision sees it.
async fn seen(store: &TestStore, channel: Channel, address: &str) -> Option<Suppression> {
    let hash = store.address_key().hash(channel, address);
    let found = store.suppressions().of(&store.tenant, &[hash]).await.unwrap();
    found.get(&hash).copied()
}

async fn get(store: &TestStore) -> Option<SuppressionView> {
    let entry = store
        .suppressions()
        .get(&store.tenant, Channel::Sms, NUMBER)
        .await
        .unwrap();
    entry.map(|entry| entry.value)
}

fn until(expires_at: Timestamp) -> SuppressionPut {
    SuppressionPut {
        note: None,
        expires_at: Some(expires_at),
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
        let note = SuppressionPut {
            note: Some("asked Ada by phone".to_owned()),
            expires_at: None,
        };
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
async fn a_person_puts_an_address_on_the_list_once_changes_the_entry_and_lifts_it() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        let plain = SuppressionPut::default();
        let put = async |put: &SuppressionPut, conditions: Option<&Conditions>| {
            suppressions
                .put(&who, Channel::Email, "Ada@Example.com", put, conditions)
                .await
        };
        let made = put(&plain, None).await.unwrap();
        assert!(made.created);
        let again = put(&plain, None).await.unwrap();
        assert_eq!(
            (again.created, again.version),
            (false, made.version),
            "the same wish twice"
        );
        let none = put(&plain, Some(&Conditions::exactly("\"7\""))).await;
        assert!(matches!(none, Err(StoreError::PreconditionFailed(_))));
        let noted = SuppressionPut {
            note: Some("moved away".to_owned()),
            expires_at: None,
        };
        let seen = Conditions::exactly(&made.etag());
        assert_eq!(put(&noted, Some(&seen)).await.unwrap().version, made.version + 1);

        let get = async || {
            suppressions
                .get(&store.tenant, Channel::Email, "ada@example.com")
                .await
                .unwrap()
        };
        let entry = get().await.unwrap();
        assert_eq!(entry.version, made.version + 1);
        let entry = entry.value;
        assert_eq!(
            (entry.reason, entry.created_at),
            (SuppressionReason::Manual, store.now())
        );
        assert_eq!(entry.actor.as_deref(), Some("support desk"));
        assert_eq!(entry.note.as_deref(), Some("moved away"));
        assert_eq!(entry.address_masked.as_deref(), Some("A…@Example.com"));

        let lift = async |conditions| {
            suppressions
                .lift(&who, Channel::Email, "ADA@example.com", conditions)
                .await
        };
        assert!(matches!(
            lift(Some(&seen)).await,
            Err(StoreError::PreconditionFailed(_))
        ));
        assert!(lift(None).await.unwrap());
        assert!(!lift(None).await.unwrap());
        assert!(get().await.is_none());

        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        let mut told: Vec<String> = log
            .items
            .iter()
            .map(|entry| format!("{} {} {}", entry.key_name, entry.action, entry.route))
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "support desk lift /v1/suppressions/email/A…@example.com",
                "support desk suppress /v1/suppressions/email/A…@Example.com",
                "support desk suppress /v1/suppressions/email/A…@Example.com",
            ],
            "each change has its entry, and the address is in none"
        );
    })
    .await;
}

#[tokio::test]
async fn a_persons_entry_keeps_a_stop_as_it_is_and_replaces_a_bounce() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        suppressions.strike(&[bounce(store)]).await.unwrap();
        let ends = store.now() + seconds(60);
        let put = SuppressionPut {
            note: Some("n".to_owned()),
            expires_at: Some(ends),
        };
        suppressions
            .put(&who, Channel::Sms, NUMBER, &put, None)
            .await
            .unwrap();
        let entry = get(store).await.unwrap();
        assert_eq!(
            (entry.reason, entry.expires_at, entry.code),
            (SuppressionReason::Manual, Some(ends), None)
        );
        suppressions.strike(&[stop(store)]).await.unwrap();
        for _ in 0..2 {
            suppressions
                .put(&who, Channel::Sms, NUMBER, &put, None)
                .await
                .unwrap();
            let entry = get(store).await.unwrap();
            assert_eq!(
                (entry.reason, entry.expires_at),
                (SuppressionReason::OptedOut, None)
            );
            assert_eq!(
                (entry.note.as_deref(), entry.provider.as_deref()),
                (Some("n"), Some("twilio"))
            );
        }
        assert!(suppressions.lift(&who, Channel::Sms, NUMBER, None).await.unwrap());
        assert_eq!(get(store).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_list_is_filtered_and_paged_newest_first() {
    on_each(async |store| {
        let suppressions = store.suppressions();
        for number in 0..5 {
            store.clock.advance(seconds(1));
            let reason = if number == 2 {
                SuppressionReason::OptedOut
            } else {
                SuppressionReason::HardBounce
            };
            let one = strike(store, Channel::Sms, &format!("+491511234567{number}"), reason);
            suppressions.strike(&[one]).await.unwrap();
        }
        let mail = strike(
            store,
            Channel::Email,
            "a@example.com",
            SuppressionReason::HardBounce,
        );
        suppressions.strike(&[mail]).await.unwrap();
        let page = |after| Page { after, limit: 2 };
        let sms = SuppressionFilter {
            channels: vec![Channel::Sms],
            reasons: Vec::new(),
        };
        let (mut after, mut hints) = (None, Vec::new());
        loop {
            let list = suppressions.list(&store.tenant, &sms, page(after)).await.unwrap();
            hints.extend(list.items.into_iter().map(|entry| entry.address_masked.unwrap()));
            let Some(cursor) = list.next_cursor else { break };
            after = carillon_store::Cursor::parse(&cursor);
        }
        assert_eq!(hints, ["+49…74", "+49…73", "+49…72", "+49…71", "+49…70"]);
        let stopped = SuppressionFilter {
            channels: Vec::new(),
            reasons: vec![SuppressionReason::OptedOut, SuppressionReason::Manual],
        };
        let list = suppressions
            .list(&store.tenant, &stopped, Page::default())
            .await
            .unwrap();
        assert_eq!(list.items.len(), 1);
        let foreign = suppressions
            .list(&"other".into(), &stopped, Page::default())
            .await
            .unwrap();
        assert!(foreign.items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_import_adds_each_address_once_and_keeps_present_entries() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        suppressions.strike(&[stop(store)]).await.unwrap();
        let line = |channel, address: &str, reason| Imported {
            channel,
            address: address.to_owned(),
            reason,
            put: SuppressionPut::default(),
        };
        let lines = [
            line(Channel::Sms, NUMBER, SuppressionReason::Import),
            line(Channel::Email, "a@example.com", SuppressionReason::Complaint),
            line(Channel::Email, "A@Example.com", SuppressionReason::Import),
            line(Channel::Email, "b@example.com", SuppressionReason::Import),
        ];
        suppressions.begin_import(&who).await.unwrap();
        assert_eq!(suppressions.import(&who, &lines).await.unwrap(), 2);
        assert_eq!(suppressions.import(&who, &lines).await.unwrap(), 0);
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
        let first = seen(store, Channel::Email, "a@example.com").await.unwrap();
        assert_eq!(first.reason, SuppressionReason::Complaint);
        let many: Vec<_> = (0..700)
            .map(|n| {
                line(
                    Channel::Email,
                    &format!("m{n}@example.com"),
                    SuppressionReason::Import,
                )
            })
            .collect();
        assert_eq!(suppressions.import(&who, &many).await.unwrap(), 700);
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
