//! The embedded log's write lock in another process's hands.

use std::sync::Arc;

use carillon_bus::{Backend, Bus, BusConfig, EmbeddedConfig, TopicSettings};
use carillon_domain::{Lane, SystemClock, retry::RetryPolicy};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{out, wait_for};

#[tokio::test]
async fn a_log_whose_write_lock_another_process_holds_says_so_until_the_lock_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus.db");
    let config = BusConfig {
        prefix: "locked".to_owned(),
        backend: Backend::Embedded(EmbeddedConfig { path: path.clone() }),
        retry: RetryPolicy::new(vec![std::time::Duration::from_secs(1)], 5).unwrap(),
        topics: TopicSettings::default(),
    };
    let bus = Bus::connect(config, Arc::new(SystemClock)).await.unwrap();
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
