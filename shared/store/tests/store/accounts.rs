//! API keys, users, addresses, preferences.

use carillon_domain::{
    Channel, ContactPointId, DeliveryId, Platform, Preferences, TenantId, UserId, contact::mask,
    suppression::SuppressionReason,
};
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError,
    api_keys::Role,
    before_first, etag,
    suppressions::Strike,
    users::{Device, UserPut},
};
use uuid::Uuid;

use crate::support::{TestStore, on_each, seconds};

#[tokio::test]
async fn a_key_opens_its_tenant_until_it_is_revoked() {
    on_each(async |store| {
        let keys = store.api_keys();
        let key = keys.create(&store.tenant, "ci", Role::Operator).await.unwrap();
        assert!(key.secret.starts_with("ck_"));
        let who = keys.verify(&key.secret).await.unwrap().unwrap();
        assert_eq!(
            (who.key_id, who.role, &who.tenant),
            (key.id, Role::Operator, &store.tenant)
        );
        // At first from the cache, then by a query.
        for wait in [1, 10] {
            store.clock.advance(seconds(wait));
            assert_eq!(keys.verify(&key.secret).await.unwrap().as_ref(), Some(&who));
        }
        assert!(!keys.revoke(&TenantId::from("other"), key.id).await.unwrap());
        assert!(keys.revoke(&store.tenant, key.id).await.unwrap());
        assert!(!keys.revoke(&store.tenant, key.id).await.unwrap());
        assert_eq!(keys.verify(&key.secret).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_secret_opens_nothing() {
    on_each(async |store| {
        let keys = store.api_keys();
        let key = keys.create(&store.tenant, "ci", Role::Viewer).await.unwrap();
        let mut forged = key.secret.clone();
        forged.pop();
        forged.push(if key.secret.ends_with('0') { '1' } else { '0' });
        let unknown = key
            .secret
            .replace(&key.id.simple().to_string(), &Uuid::nil().simple().to_string());
        // Before and after the true secret was seen.
        for _ in 0..2 {
            for secret in [forged.as_str(), &unknown, "", "ck_", "ck__", "ck_x_y", "Bearer x"] {
                assert_eq!(keys.verify(secret).await.unwrap(), None, "{secret}");
            }
            assert!(keys.verify(&key.secret).await.unwrap().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_shows_keys_newest_first_with_their_last_use_and_never_a_secret() {
    on_each(async |store| {
        let keys = store.api_keys();
        let first = keys.create(&store.tenant, "first", Role::Viewer).await.unwrap();
        store.clock.advance(seconds(1));
        keys.create(&store.tenant, "second", Role::Admin).await.unwrap();
        keys.create(&TenantId::from("other"), "foreign", Role::Admin)
            .await
            .unwrap();
        keys.verify(&first.secret).await.unwrap();
        let list = keys.list(&store.tenant).await.unwrap();
        let names: Vec<_> = list
            .iter()
            .map(|key| (key.name.as_str(), key.last_used_at.is_some()))
            .collect();
        assert_eq!(names, [("second", false), ("first", true)]);
        let secret = first.secret.rsplit('_').next().unwrap();
        assert!(!serde_json::to_string(&list).unwrap().contains(secret));
    })
    .await;
}

fn ada() -> UserPut {
    UserPut {
        email: Some("ada@example.com".into()),
        phone: Some("+4915112345678".into()),
        locale: Some("fr-CA".into()),
        timezone: Some("Europe/Berlin".into()),
        devices: Some(vec![device("token-a"), device("token-b")]),
    }
}

fn device(token: &str) -> Device {
    Device {
        platform: Platform::Android,
        token: token.into(),
    }
}

fn version(version: i64) -> Conditions {
    Conditions::exactly(&etag(version))
}

async fn tokens(store: &TestStore, user: &str) -> Vec<String> {
    let user = store
        .users()
        .get(&store.tenant, &user.into())
        .await
        .unwrap()
        .unwrap();
    let mut tokens: Vec<String> = user
        .value
        .devices
        .into_iter()
        .map(|device| device.device.token)
        .collect();
    tokens.sort();
    tokens
}

#[tokio::test]
async fn a_user_is_created_then_replaced_and_omitted_devices_stay() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        let created = users.put(&store.tenant, &id, &ada(), None).await.unwrap();
        assert!(created.created);
        let read = users.get(&store.tenant, &id).await.unwrap().unwrap();
        assert_eq!((read.version, read.etag()), (created.version, created.etag()));
        assert_eq!(read.value.email.as_deref(), Some("ada@example.com"));
        assert_eq!(read.value.phone.as_deref(), Some("+4915112345678"));
        assert_eq!(read.value.devices.len(), 2);

        let put = UserPut {
            email: Some("ada@example.org".into()),
            ..UserPut::default()
        };
        let replaced = users
            .put(&store.tenant, &id, &put, Some(&version(created.version)))
            .await
            .unwrap();
        assert_eq!((replaced.created, replaced.version), (false, created.version + 1));
        let read = users.get(&store.tenant, &id).await.unwrap().unwrap().value;
        assert_eq!((read.phone, read.locale), (None, None));
        assert_eq!(read.devices.len(), 2);

        let none = UserPut {
            devices: Some(vec![]),
            ..put
        };
        users.put(&store.tenant, &id, &none, None).await.unwrap();
        assert!(tokens(store, "u-1").await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stale_if_match_changes_nothing() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        for seen in [version(0), version(1), version(7)] {
            let refused = users.put(&store.tenant, &id, &ada(), Some(&seen)).await;
            assert!(matches!(refused, Err(StoreError::PreconditionFailed(_))));
        }
        assert!(users.get(&store.tenant, &id).await.unwrap().is_none());
        let made = users.put(&store.tenant, &id, &ada(), None).await.unwrap();
        let seen = version(made.version);
        users.put(&store.tenant, &id, &ada(), Some(&seen)).await.unwrap();
        let refused = users
            .put(&store.tenant, &id, &UserPut::default(), Some(&seen))
            .await;
        assert!(matches!(refused, Err(StoreError::PreconditionFailed(_))));
        assert_eq!(tokens(store, "u-1").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_device_token_belongs_to_the_user_who_registered_it_last() {
    on_each(async |store| {
        let users = store.users();
        let made = users
            .put(&store.tenant, &"u-1".into(), &ada(), None)
            .await
            .unwrap();
        users
            .put(&store.tenant, &"u-2".into(), &UserPut::default(), None)
            .await
            .unwrap();
        let registered = users
            .put_device(&store.tenant, &"u-2".into(), &device("token-a"))
            .await
            .unwrap();
        assert!(registered.created);
        assert_eq!(tokens(store, "u-1").await, ["token-b"]);
        assert_eq!(tokens(store, "u-2").await, ["token-a"]);
        // The user that lost the device has a new version.
        assert_eq!(
            users
                .get(&store.tenant, &"u-1".into())
                .await
                .unwrap()
                .unwrap()
                .version,
            made.version + 1
        );
        // A whole PUT moves it too; another tenant's users are different ones.
        users
            .put(&store.tenant, &"u-1".into(), &ada(), None)
            .await
            .unwrap();
        users
            .put(&"other".into(), &"u-1".into(), &ada(), None)
            .await
            .unwrap();
        assert_eq!(tokens(store, "u-1").await, ["token-a", "token-b"]);
        assert!(tokens(store, "u-2").await.is_empty());

        assert!(
            users
                .delete_device(&store.tenant, &"u-1".into(), "token-a")
                .await
                .unwrap()
        );
        assert!(
            !users
                .delete_device(&store.tenant, &"u-1".into(), "token-a")
                .await
                .unwrap()
        );
        let unknown = users
            .put_device(&store.tenant, &"nobody".into(), &device("t"))
            .await;
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_suppressed_address_is_shown_with_its_cause_and_each_lookup_knows_it() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        users.put(&store.tenant, &id, &ada(), None).await.unwrap();
        let email = ContactPointId::primary(&store.tenant, &id, Channel::Email);
        let token = ContactPointId::device(&store.tenant, &id, "token-a");
        store.clock.advance(seconds(60));
        let strike = |channel, address: &str, reason| Strike {
            tenant: store.tenant.clone(),
            channel,
            address_hash: store.address_key().hash(channel, address),
            masked: mask(channel, address),
            reason,
            code: "UNREGISTERED".into(),
            provider: "fcm".into(),
            delivery_id: DeliveryId(Uuid::from_u128(7)),
            seen_at: store.now(),
        };
        let strikes = [
            strike(Channel::Email, "ADA@example.com", SuppressionReason::HardBounce),
            strike(Channel::Push, "token-a", SuppressionReason::DeadToken),
        ];
        store.suppressions().strike(&strikes).await.unwrap();
        let reasons = async || {
            let found = users.resolve(&store.tenant, &[email, token]).await.unwrap();
            [email, token].map(|id| found[&id].suppressed.map(|suppressed| suppressed.reason))
        };
        let both = [
            Some(SuppressionReason::HardBounce),
            Some(SuppressionReason::DeadToken),
        ];
        assert_eq!(reasons().await, both);

        let user = users.get(&store.tenant, &id).await.unwrap().unwrap().value;
        let entry = user.email_suppressed.unwrap();
        assert_eq!(
            (entry.reason, entry.created_at),
            (SuppressionReason::HardBounce, store.now())
        );
        assert_eq!(
            (entry.code.as_deref(), entry.provider.as_deref()),
            (Some("UNREGISTERED"), Some("fcm"))
        );
        assert_eq!(entry.delivery_id, Some(DeliveryId(Uuid::from_u128(7))));
        assert_eq!(user.phone_suppressed, None);
        for device in &user.devices {
            let reason = device.suppressed.as_ref().map(|entry| entry.reason);
            let expected = (device.device.token == "token-a").then_some(SuppressionReason::DeadToken);
            assert_eq!(reason, expected, "{device:?}");
        }
        let other = users.resolve(&"other".into(), &[email, token]).await.unwrap();
        assert!(other.is_empty(), "another tenant's");

        // The caller vouches for an address that is set again, and another address is not concerned.
        let moved = UserPut {
            email: Some("ada@new.example".into()),
            ..ada()
        };
        users.put(&store.tenant, &id, &moved, None).await.unwrap();
        assert_eq!(reasons().await, [None, None]);
        store.suppressions().strike(&strikes).await.unwrap();
        assert_eq!(reasons().await, [None, Some(SuppressionReason::DeadToken)]);
    })
    .await;
}

#[tokio::test]
async fn the_facts_of_many_users_come_together_and_unknown_ones_are_absent() {
    on_each(async |store| {
        let users = store.users();
        let ids: Vec<UserId> = (0..300).map(|n| UserId::from(format!("u-{n}"))).collect();
        for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 50 == 0) {
            let put = UserPut {
                email: Some(format!("u{n}@example.com")),
                devices: Some(vec![device(&format!("t-{n}"))]),
                locale: Some("de".into()),
                ..UserPut::default()
            };
            users.put(&store.tenant, id, &put, None).await.unwrap();
        }
        let wanted: Preferences = serde_json::from_str(r#"{"global":{"email":false}}"#).unwrap();
        store
            .preferences()
            .put(&store.tenant, &ids[50], &wanted, None)
            .await
            .unwrap();
        let mut asked = ids.clone();
        asked.push(ids[0].clone());
        let facts = users.load_facts(&store.tenant, &asked).await.unwrap();
        assert_eq!(facts.len(), 6);
        assert_eq!(*facts[&ids[50]].preferences, wanted);
        assert_eq!(*facts[&ids[0]].preferences, Preferences::default());
        assert_eq!(facts[&ids[100]].locale.as_deref(), Some("de"));
        let addresses: Vec<_> = facts[&ids[100]]
            .contacts
            .iter()
            .map(|contact| contact.point.address.as_str())
            .collect();
        assert_eq!(addresses.len(), 2);
        assert!(addresses.contains(&"u100@example.com") && addresses.contains(&"t-100"));
        assert!(users.load_facts(&"other".into(), &ids).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_address_is_found_by_its_contact_point_until_the_user_is_erased() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        users.put(&store.tenant, &id, &ada(), None).await.unwrap();
        store
            .preferences()
            .put(&store.tenant, &id, &Preferences::default(), None)
            .await
            .unwrap();
        let phone = ContactPointId::primary(&store.tenant, &id, Channel::Sms);
        let token = ContactPointId::device(&store.tenant, &id, "token-b");
        let found = users
            .resolve(&store.tenant, &[phone, token, ContactPointId(Uuid::nil())])
            .await
            .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[&phone].point.address, "+4915112345678");
        assert_eq!(found[&token].point.platform, Some(Platform::Android));

        assert!(users.delete(&store.tenant, &id, None).await.unwrap());
        assert!(!users.delete(&store.tenant, &id, None).await.unwrap());
        assert!(
            users
                .resolve(&store.tenant, &[phone, token])
                .await
                .unwrap()
                .is_empty()
        );
        assert!(users.get(&store.tenant, &id).await.unwrap().is_none());
        assert!(
            store
                .preferences()
                .get(&store.tenant, &id)
                .await
                .unwrap()
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn preferences_are_versioned_and_need_their_user() {
    on_each(async |store| {
        let (preferences, id) = (store.preferences(), UserId::from("u-1"));
        let said: Preferences = serde_json::from_str(
            r#"{"types":{"A\u0000":{"sms":true}},"quiet_hours":[{"days":["mon"],"from":"22:00","to":"07:00"}]}"#,
        )
        .unwrap();
        let nobody = preferences.put(&store.tenant, &id, &said, None).await;
        assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
        let user = store.users().put(&store.tenant, &id, &ada(), None).await.unwrap();
        let first = before_first(user.version) + 1;
        assert!(preferences.get(&store.tenant, &id).await.unwrap().is_none());
        assert!(preferences.put(&store.tenant, &id, &said, None).await.unwrap().created);
        let read = preferences.get(&store.tenant, &id).await.unwrap().unwrap();
        assert_eq!((read.value, read.version), (said.clone(), first));
        let seen = version(first);
        assert_eq!(preferences.put(&store.tenant, &id, &said, Some(&seen)).await.unwrap().version, first + 1);
        let stale = preferences.put(&store.tenant, &id, &said, Some(&seen)).await;
        assert!(matches!(stale, Err(StoreError::PreconditionFailed(_))));
    })
    .await;
}

#[tokio::test]
async fn a_tenant_begins_with_a_name_that_the_bus_and_the_indexes_can_carry() {
    on_each(async |store| {
        let keys = store.api_keys();
        for name in ["", "new\nline", &"t".repeat(129)] {
            let made = keys.create(&name.into(), "a test", Role::Admin).await;
            assert!(matches!(made, Err(StoreError::Invalid(_))), "{name:?}");
        }
        keys.create(&"t".repeat(128).as_str().into(), "a test", Role::Admin)
            .await
            .unwrap();
    })
    .await;
}
