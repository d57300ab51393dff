use std::collections::BTreeMap;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{MessageFilter, Provider, clock};

fn message(number: usize) -> Message {
    Message {
        provider: Provider::Fcm,
        channel: Provider::Fcm.channel(),
        to: format!("device-{number}"),
        delivery_id: Some(format!("delivery-{number}")),
        event_id: None,
        subject: Some("Shipped".to_owned()),
        text: Some("On its way".to_owned()),
        html: None,
        data: serde_json::Map::new(),
        headers: BTreeMap::new(),
        received_at: clock::now(),
        provider_message_id: format!("projects/shop/messages/{number}"),
    }
}

/// Records messages 0 to `count` from many senders at once.
async fn record_many(store: &Store, count: usize) {
    futures::stream::iter(0..count)
        .map(|number| store.record(Transmission(vec![message(number)])))
        .buffer_unordered(256)
        .for_each(|recorded| async move { recorded.unwrap() })
        .await;
}

#[tokio::test]
async fn the_oldest_messages_are_dropped_and_the_counts_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer) = Store::open(Some(folder.path()), 100).await.unwrap();
    let writer = tokio::spawn(writer.run(CancellationToken::new()));
    record_many(&store, 1_000).await;
    let stats = store.messages().stats().await.unwrap();
    assert_eq!(
        (stats.received[&Provider::Fcm], stats.kept, stats.delivery_ids),
        (1_000, 100, 1_000)
    );
    let places: Vec<i64> = store
        .messages()
        .list_stored(&MessageFilter::default())
        .await
        .unwrap()
        .iter()
        .map(|one| one.place)
        .collect();
    assert_eq!(places, (901..=1_000).rev().collect::<Vec<_>>());
    drop(store);
    writer.await.unwrap();
}

#[tokio::test]
async fn messages_recorded_before_the_stop_are_written_and_later_ones_are_refused() {
    let (store, writer) = Store::open(None, KEPT_MESSAGES).await.unwrap();
    let stop = CancellationToken::new();
    let early = tokio::spawn({
        let store = store.clone();
        async move { store.record(Transmission(vec![message(1)])).await }
    });
    while store.commands.capacity() == QUEUED_SENDERS {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    writer.run(stop).await;
    assert!(early.await.unwrap().is_ok());
    let late = store.record(Transmission(vec![message(2)])).await;
    assert!(matches!(late, Err(SimulatorError::Stopping)));
}
