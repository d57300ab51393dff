//! SQLite's write lock in another process's hands.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_domain::{SystemClock, UserId};
use carillon_store::{Fault, Store, StoreConfig, users::UserPut};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

async fn sql(connection: &mut SqliteConnection, statement: &'static str) {
    sqlx::query(statement).execute(connection).await.unwrap();
}

async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_store_says_that_another_process_holds_the_write_lock_and_takes_writes_as_soon_as_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = Store::connect(&StoreConfig::sqlite(&file), Arc::new(SystemClock))
        .await
        .unwrap();
    for file in [file.clone(), folder.path().join("store.read-model.db")] {
        store.check().await.unwrap();
        let mut other = connect(&file).await;
        sql(&mut other, "BEGIN IMMEDIATE").await;
        for _ in 0..2 {
            let error = store.check().await.unwrap_err();
            assert_eq!(error.fault(), Some(Fault::Locked), "{error}");
            assert_eq!(
                error.to_string(),
                "another process holds the database's write lock"
            );
        }
        assert!(
            store.catalog().versions().await.unwrap().is_empty(),
            "it can be read"
        );
        sql(&mut other, "ROLLBACK").await;
        store.check().await.unwrap();
        // The check leaves the lock free.
        sql(&mut other, "BEGIN IMMEDIATE").await;
        sql(&mut other, "ROLLBACK").await;
        other.close().await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn writes_that_another_process_keeps_waiting_end_together_within_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = Store::connect(&StoreConfig::sqlite(&file), Arc::new(SystemClock))
        .await
        .unwrap();
    let mut other = connect(&file).await;
    sql(&mut other, "BEGIN IMMEDIATE").await;
    let put = async |n: u32| {
        let user = UserId::from(format!("u-{n}"));
        let since = Instant::now();
        let put = store
            .users()
            .put(&"default".into(), &user, &UserPut::default(), None)
            .await;
        (put, since.elapsed())
    };
    let puts = futures::future::join_all((0..20).map(put)).await;
    for (put, took) in puts {
        let error = put.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Locked), "{error}");
        assert!(error.retry_after().is_some());
        // Two seconds are the aim; another is for a busy machine. One after another, they would take thirty.
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    sql(&mut other, "ROLLBACK").await;
    store.check().await.unwrap();
    put(0).await.0.unwrap();
    store.close().await;
}
