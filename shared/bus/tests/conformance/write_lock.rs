//! The embedded log's write lock in another process's hands.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use carillon_bus::{Backend, Bus, BusConfig, EmbeddedConfig, TopicSettings};
use carillon_domain::{Lane, SystemClock, retry::RetryPolicy};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{out, wait_for};

/// An embedded log in a folder of its own.
async fn log() -> (Bus, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus.db");
    let config = BusConfig {
        prefix: "locked".to_owned(),
        backend: Backend::Embedded(EmbeddedConfig { path: path.clone() }),
        retry: RetryPolicy::new(vec![Duration::from_secs(1)], 5).unwrap(),
        topics: TopicSettings::default(),
        sources: Vec::new(),
    };
    let bus = Bus::connect(config, Arc::new(SystemClock)).await.unwrap();
    (bus, folder)
}

#[tokio::test]
async fn a_log_whose_write_lock_another_process_holds_says_so_until_the_lock_is_free() {
    let (bus, folder) = log().await;
    let path = folder.path().join("bus.db");
    bus.check().await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let error = bus.check().await.unwrap_err().to_string();
    assert!(
        error.contains("takes no writes") && error.contains("another process holds its write lock"),
        "{error}"
    );
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    wait_for("the lock to be free", || async { bus.check().await.is_ok() }).await;
    let topic = bus.topics().events(Lane::Normal);
    bus.publish(vec![out(&topic, "k", 1)]).await.unwrap();
    bus.check().await.unwrap();
    // The check leaves the lock free.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
}

#[tokio::test]
async fn records_that_another_process_keeps_waiting_are_refused_together_within_two_seconds() {
    let (bus, folder) = log().await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("bus.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let topic = bus.topics().events(Lane::Normal);
    let publish = async |n| {
        let since = Instant::now();
        let published = bus.publish(vec![out(&topic, "k", n)]).await;
        (published, since.elapsed())
    };
    let first = publish(0);
    // These queue while the first one waits for the lock.
    let others = async {
        tokio::task::yield_now().await;
        futures::future::join_all((1..20).map(publish)).await
    };
    let (first, others) = futures::join!(first, others);
    for (published, took) in others.into_iter().chain([first]) {
        let error = published.unwrap_err().to_string();
        assert!(error.contains("another process holds its write lock"), "{error}");
        // Two seconds are the aim; another is for a busy machine.
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    bus.check().await.unwrap();
    publish(0).await.0.unwrap();
}
