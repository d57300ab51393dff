//! The stored messages: their content, and the restarts that they survive.

use std::path::Path;

use carillon_simulator::{MessageFilter, Simulator, SimulatorConfig, SimulatorError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{Running, answer, config, start, start_with};

async fn start_in(folder: &Path) -> Running {
    start_with(SimulatorConfig {
        data_dir: Some(folder.to_owned()),
        ..config()
    })
    .await
}

async fn push(running: &Running, delivery: &str) {
    let message = json!({ "token": "d", "data": { "carillon_delivery_id": delivery } });
    assert_eq!(running.push(message).await.0, 200);
}

#[tokio::test]
async fn a_restart_keeps_messages_counts_and_access_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let first = start_in(folder.path()).await;
    push(&first, "a").await;
    push(&first, "b").await;
    let token = first.access_token().await;
    let before = first.all().await;
    first.stop().await;

    let second = start_in(folder.path()).await;
    assert_eq!(second.all().await, before);
    let request = second
        .http
        .post(second.url("/v1/projects/shop/messages:send"))
        .bearer_auth(token)
        .json(&json!({ "message": { "token": "d", "data": { "carillon_delivery_id": "a" } } }));
    assert_eq!(answer(request).await.0, 200);
    let duplicates = second.simulator.messages().duplicates(None, 10).await.unwrap();
    assert_eq!(
        (
            duplicates.len(),
            duplicates[0].delivery_id.as_str(),
            duplicates[0].count
        ),
        (1, "a", 2)
    );
}

/// A `kill -9` leaves the files as they are, without the steps of a shutdown.
#[tokio::test]
async fn an_answered_message_is_in_the_files_before_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let running = start_in(folder.path()).await;
    for number in 0..20 {
        push(&running, &format!("d-{number}")).await;
    }
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        // The -shm index is rebuilt when the files are opened after a crash.
        if entry.file_name() != "simulator.db-shm" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let survivor = start_in(copy.path()).await;
    assert_eq!(survivor.all().await.len(), 20);
}

#[tokio::test]
async fn without_a_folder_two_simulators_know_nothing_of_each_other() {
    let (one, other) = (start().await, start().await);
    push(&one, "a").await;
    assert_eq!((one.all().await.len(), other.all().await.len()), (1, 0));
}

#[tokio::test]
async fn a_test_can_wait_for_messages() {
    let running = start().await;
    let messages = running.simulator.messages().clone();
    let waiting = tokio::spawn(async move {
        messages
            .wait_for(&MessageFilter::delivery("b"), 1, crate::support::PATIENCE)
            .await
            .unwrap()
    });
    push(&running, "a").await;
    push(&running, "b").await;
    assert_eq!(waiting.await.unwrap().len(), 1);
    let none = running
        .simulator
        .messages()
        .wait_for(
            &MessageFilter::delivery("c"),
            1,
            std::time::Duration::from_millis(50),
        )
        .await;
    assert_eq!(none.unwrap(), []);
}

#[tokio::test]
async fn a_simulator_that_cannot_start_names_the_cause() {
    let running = start().await;
    let taken = SimulatorConfig {
        listen: running.simulator.http_addr(),
        ..config()
    };
    let started = Simulator::start(taken, axum::Router::new(), CancellationToken::new()).await;
    assert!(matches!(started.err(), Some(SimulatorError::Listen { .. })));

    let no_key = SimulatorConfig {
        service_account_public_key_pem: Some("none".to_owned()),
        ..config()
    };
    let started = Simulator::start(no_key, axum::Router::new(), CancellationToken::new()).await;
    assert!(matches!(started.err(), Some(SimulatorError::PublicKey)));

    let file = tempfile::NamedTempFile::new().unwrap();
    let no_folder = SimulatorConfig {
        data_dir: Some(file.path().join("data")),
        ..config()
    };
    let started = Simulator::start(no_folder, axum::Router::new(), CancellationToken::new()).await;
    assert!(matches!(started.err(), Some(SimulatorError::DataDir { .. })));
}
