//! Endpoints of users: registration, secrets, suppression, erasure and a change of the key.

use carillon_domain::{
    Channel, ContactPointId, DeliveryId, UserId,
    contact::{AddressKey, SigningSecret, mask},
    suppression::SuppressionReason,
};
use carillon_store::{
    Store, StoreConfig, StoreError,
    suppressions::Strike,
    users::{EndpointPut, MOST_ENDPOINTS, UserPut},
};
use uuid::Uuid;

use crate::support::{TestStore, on_each, seconds};

const URL: &str = "https://hooks.example.com/erp?key=1";

fn secret(byte: u8) -> SigningSecret {
    SigningSecret::of([byte; 32])
}

fn put(name: &str, url: &str, secrets: &[u8]) -> EndpointPut {
    EndpointPut {
        name: name.to_owned(),
        url: url.to_owned(),
        secrets: secrets.iter().map(|byte| secret(*byte)).collect(),
        first_secret: secret(99),
    }
}

async fn user(store: &TestStore, id: &str) -> UserId {
    let id = UserId::from(id);
    store
        .users()
        .put(&store.tenant, &id, &UserPut::default(), None)
        .await
        .unwrap();
    id
}

/// The secrets with which requests to an endpoint are signed; `None` if the endpoint does not exist.
async fn secrets(store: &TestStore, user: &UserId, name: &str) -> Option<Vec<SigningSecret>> {
    let id = ContactPointId::endpoint(&store.tenant, user, name);
    let users = store.users();
    let mut found = users.resolve_endpoints(&store.tenant, &[id]).await.unwrap();
    found.remove(&id).map(|(_, secrets)| secrets)
}

async fn strike(store: &TestStore, url: &str) {
    let strike = Strike {
        tenant: store.tenant.clone(),
        channel: Channel::Webhook,
        address_hash: store.address_key().hash(Channel::Webhook, url),
        masked: mask(Channel::Webhook, url),
        reason: SuppressionReason::HardBounce,
        code: "http-410".to_owned(),
        provider: "webhooks".into(),
        delivery_id: DeliveryId(Uuid::from_u128(7)),
        seen_at: carillon_domain::Clock::now(&*store.clock),
    };
    store.suppressions().strike(&[strike]).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_keeps_its_id_and_its_secrets_when_its_url_changes() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        let written = users
            .put_endpoint(&store.tenant, &id, &put("orders", URL, &[]))
            .await
            .unwrap();
        assert!(written.created);
        assert_eq!(secrets(store, &id, "orders").await.unwrap(), [secret(99)]);
        let other = "https://other.example.com/";
        let written = users
            .put_endpoint(&store.tenant, &id, &put("orders", other, &[]))
            .await
            .unwrap();
        assert!(!written.created);
        assert_eq!(secrets(store, &id, "orders").await.unwrap(), [secret(99)]);
        users
            .put_endpoint(&store.tenant, &id, &put("orders", other, &[1, 2]))
            .await
            .unwrap();
        assert_eq!(
            secrets(store, &id, "orders").await.unwrap(),
            [secret(1), secret(2)]
        );
        let shown = users.get(&store.tenant, &id).await.unwrap().unwrap().value;
        assert_eq!(shown.webhooks.len(), 1);
        assert_eq!((&*shown.webhooks[0].url, shown.webhooks[0].secrets), (other, 2));
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("whsec"), "{json}");
        assert!(!users.delete_endpoint(&store.tenant, &id, "other").await.unwrap());
        assert!(users.delete_endpoint(&store.tenant, &id, "orders").await.unwrap());
        assert_eq!(secrets(store, &id, "orders").await, None);
    })
    .await;
}

#[tokio::test]
async fn facts_have_endpoints_only_if_they_are_asked_for() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        for name in ["b", "a"] {
            let url = format!("https://{name}.example.com/");
            users
                .put_endpoint(&store.tenant, &id, &put(name, &url, &[1]))
                .await
                .unwrap();
        }
        let ids = [id.clone()];
        let without = users.load_facts(&store.tenant, &ids).await.unwrap();
        assert!(without[&id].contacts.is_empty());
        let with = users
            .load_facts_with_endpoints(&store.tenant, &ids)
            .await
            .unwrap();
        let found: Vec<_> = with[&id]
            .contacts
            .iter()
            .map(|contact| (contact.point.channel, &*contact.point.address))
            .collect();
        assert_eq!(
            found,
            [
                (Channel::Webhook, "https://a.example.com/"),
                (Channel::Webhook, "https://b.example.com/")
            ]
        );
        let other = users.load_facts_with_endpoints(&"other".into(), &ids).await;
        assert!(other.unwrap().is_empty());
        let id = ContactPointId::endpoint(&store.tenant, &id, "a");
        let foreign = users.resolve_endpoints(&"other".into(), &[id]).await.unwrap();
        assert!(foreign.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_gone_endpoint_is_suppressed_until_it_is_registered_again() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        let register = async || {
            let put = put("orders", URL, &[1]);
            users.put_endpoint(&store.tenant, &id, &put).await.unwrap();
        };
        let suppressed = async || {
            let user = users.get(&store.tenant, &id).await.unwrap().unwrap().value;
            user.webhooks[0].suppressed.as_ref().map(|entry| entry.reason)
        };
        register().await;
        store.clock.advance(seconds(1));
        strike(store, URL).await;
        assert_eq!(suppressed().await, Some(SuppressionReason::HardBounce));
        let point = ContactPointId::endpoint(&store.tenant, &id, "orders");
        let found = users.resolve_endpoints(&store.tenant, &[point]).await.unwrap();
        assert!(found[&point].0.suppressed.is_some());
        store.clock.advance(seconds(1));
        register().await;
        assert_eq!(suppressed().await, None);
        // A verdict that is older than the registration does not count.
        let late = carillon_domain::Clock::now(&*store.clock) - seconds(1);
        let old = Strike {
            tenant: store.tenant.clone(),
            channel: Channel::Webhook,
            address_hash: store.address_key().hash(Channel::Webhook, URL),
            masked: mask(Channel::Webhook, URL),
            reason: SuppressionReason::HardBounce,
            code: "http-410".to_owned(),
            provider: "webhooks".into(),
            delivery_id: DeliveryId(Uuid::from_u128(8)),
            seen_at: late,
        };
        store.suppressions().strike(&[old]).await.unwrap();
        assert_eq!(suppressed().await, None);
    })
    .await;
}

#[tokio::test]
async fn an_erased_user_has_no_endpoints_and_the_list_does_not_show_their_urls() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        users
            .put_endpoint(&store.tenant, &id, &put("orders", URL, &[1]))
            .await
            .unwrap();
        store.clock.advance(seconds(1));
        strike(store, URL).await;
        let entry = async || {
            let found = store
                .suppressions()
                .get(&store.tenant, Channel::Webhook, URL)
                .await;
            found.unwrap().unwrap().value
        };
        assert_eq!(
            entry().await.address_masked.as_deref(),
            Some("https://hooks.example.com/…")
        );
        assert!(users.delete(&store.tenant, &id, None).await.unwrap());
        assert_eq!(entry().await.address_masked, None);
        assert_eq!(secrets(store, &id, "orders").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_endpoints_and_a_stranger_none() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        for n in 0..MOST_ENDPOINTS {
            let put = put(&format!("e-{n}"), URL, &[1]);
            users.put_endpoint(&store.tenant, &id, &put).await.unwrap();
        }
        let more = users
            .put_endpoint(&store.tenant, &id, &put("more", URL, &[1]))
            .await;
        assert!(matches!(more, Err(StoreError::Full { .. })), "{more:?}");
        users
            .put_endpoint(&store.tenant, &id, &put("e-0", URL, &[2]))
            .await
            .unwrap();
        let stranger = users
            .put_endpoint(&store.tenant, &"nobody".into(), &put("e", URL, &[1]))
            .await;
        assert!(
            matches!(stranger, Err(StoreError::NotFound { .. })),
            "{stranger:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_suppression_of_an_endpoint_follows_a_change_of_the_key() {
    on_each(async |store| {
        let (users, id) = (store.users(), user(store, "erp").await);
        users
            .put_endpoint(&store.tenant, &id, &put("orders", URL, &[1]))
            .await
            .unwrap();
        store.clock.advance(seconds(1));
        strike(store, URL).await;
        store.suppressions().follow_key().await.unwrap();
        let config = StoreConfig {
            address_key: AddressKey::new([9; 32]),
            ..store.config.clone()
        };
        let renewed = Store::connect(&config, store.clock.clone()).await.unwrap();
        assert_eq!(renewed.suppressions().follow_key().await.unwrap(), 1);
        let user = renewed.users().get(&store.tenant, &id).await.unwrap().unwrap();
        assert!(user.value.webhooks[0].suppressed.is_some());
        renewed.close().await;
    })
    .await;
}
