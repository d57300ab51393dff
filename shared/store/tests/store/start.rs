//! Starting on new and existing databases.

use std::sync::Arc;

use carillon_domain::SystemClock;
use carillon_store::{Store, StoreConfig, StoreError, schema};

use crate::support::{on_each, on_postgres, postgres_url};

#[tokio::test]
async fn several_roles_that_start_at_once_share_one_migrated_database() {
    on_postgres(async |store| {
        let starts = (0..4).map(|_| Store::connect(&store.config, Arc::new(SystemClock)));
        for started in futures::future::join_all(starts).await {
            let started = started.unwrap();
            started.check().await.unwrap();
            started.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_fresh_database_is_migrated_by_its_first_process() {
    let Some(url) = postgres_url() else { return };
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let own = schema::create(&url, &name).await.unwrap();
    let config = StoreConfig {
        max_connections: 1,
        ..StoreConfig::new(own)
    };
    let starts = (0..4).map(|_| Store::connect(&config, Arc::new(SystemClock)));
    let stores = futures::future::join_all(starts).await;
    let outcomes: Vec<bool> = stores.iter().map(Result::is_ok).collect();
    for store in stores.into_iter().flatten() {
        store.close().await;
    }
    schema::remove(&url, &name).await.unwrap();
    assert_eq!(outcomes, [true; 4]);
}

/// During an upgrade, roles of the release before restart on the newer schema. Every test that runs `on_postgres` shows
/// that their statements work on it.
#[tokio::test]
async fn the_release_before_starts_and_works_on_a_newer_schema() {
    on_postgres(async |store| {
        let again = Store::connect(&store.config, Arc::new(SystemClock))
            .await
            .unwrap();
        again.check().await.unwrap();
        let catalog = carillon_domain::Catalog::default();
        again.catalog().put(&store.tenant, &catalog, None).await.unwrap();
        assert_eq!(
            again.catalog().get(&store.tenant).await.unwrap().unwrap().version,
            1
        );
        again.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_store_opened_again_has_its_data() {
    on_each(async |store| {
        store
            .catalog()
            .put(&store.tenant, &carillon_domain::Catalog::default(), None)
            .await
            .unwrap();
        let again = Store::connect(&store.config, Arc::new(SystemClock))
            .await
            .unwrap();
        assert_eq!(
            again.catalog().get(&store.tenant).await.unwrap().unwrap().version,
            1
        );
        assert_eq!(again.dialect(), store.dialect());
        again.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_absent_database_is_unavailable_within_the_time_limit() {
    let config = StoreConfig {
        acquire_timeout: std::time::Duration::from_millis(200),
        ..StoreConfig::new("postgres://nobody@127.0.0.1:1/none".to_owned())
    };
    let error = Store::connect(&config, Arc::new(SystemClock)).await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert!(matches!(error, StoreError::Unavailable(..)));
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    on_each(async |store| {
        let again = Store::connect(&store.config, Arc::new(SystemClock))
            .await
            .unwrap();
        again.close().await;
        assert!(again.check().await.unwrap_err().is_retriable());
        let key = carillon_store::events::EventKey {
            tenant: store.tenant.clone(),
            event_id: "e".into(),
            source: "/".into(),
        };
        assert!(
            again
                .events()
                .mark_published(vec![key])
                .await
                .unwrap_err()
                .is_retriable()
        );
    })
    .await;
}

#[tokio::test]
async fn a_schema_name_needs_lower_case_letters_digits_and_underscores() {
    let url = "postgres://nobody@127.0.0.1:1/none".to_owned().into();
    for name in ["", "a b", "a;drop", "A"] {
        assert!(
            matches!(schema::create(&url, name).await, Err(StoreError::Config(_))),
            "{name}"
        );
    }
}
