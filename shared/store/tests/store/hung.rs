//! A PostgreSQL that stops answering without closing its connections, as behind a broken network.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use carillon_domain::Channel;
use carillon_store::{Store, StoreConfig, account_holds::AccountHold};
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinSet,
};
use uuid::Uuid;

use crate::support::{TestStore, on_postgres};

/// Passes bytes on while nothing hangs.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut hangs: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut bytes).await {
        if count == 0 || hangs.wait_for(|hangs| !hangs).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A proxy before the server at this address, which hangs at a word.
async fn proxy(server: String) -> (u16, watch::Sender<bool>) {
    let (hangs, said) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            ways.spawn(pass(from_client, to_server, said.clone()));
            ways.spawn(pass(from_server, to_client, said.clone()));
        }
    });
    (port, hangs)
}

/// The store of a test through a proxy.
async fn through_a_proxy(direct: &TestStore) -> (Store, watch::Sender<bool>) {
    let url = direct.config.url.expose_secret();
    let options = PgConnectOptions::from_str(url).unwrap();
    let (host, port) = (options.get_host(), options.get_port());
    let (proxy, hangs) = proxy(format!("{host}:{port}")).await;
    let (scheme, place) = url.split_once("://").unwrap();
    let (authority, rest) = place.split_once('/').unwrap();
    let user = authority
        .rsplit_once('@')
        .map_or(String::new(), |(user, _)| format!("{user}@"));
    let config = StoreConfig {
        max_connections: 2,
        statement_timeout: Duration::from_secs(1),
        acquire_timeout: Duration::from_secs(2),
        ..StoreConfig::new(format!("{scheme}://{user}127.0.0.1:{proxy}/{rest}"))
    };
    let store = Store::connect(&config, Arc::clone(&direct.clock) as _)
        .await
        .unwrap();
    (store, hangs)
}

fn hold() -> AccountHold {
    AccountHold {
        account: "relay".to_owned(),
        channel: Channel::Email,
        cause: "a".to_owned(),
        ends_at: None,
        park: None,
    }
}

#[tokio::test]
async fn a_server_that_stops_answering_is_unavailable_after_the_limit_and_used_again_when_it_answers() {
    on_postgres(async |direct| {
        let (store, hangs) = through_a_proxy(direct).await;
        let holds = store.account_holds();
        let process = Uuid::now_v7();
        holds.put(process, &hold()).await.unwrap();
        assert_eq!(holds.all().await.unwrap().len(), 1);

        hangs.send_replace(true);
        let since = std::time::Instant::now();
        // As many as the pool has connections: each is given up, and none is kept.
        let held = hold();
        let (read, written) = tokio::join!(holds.all(), holds.put(process, &held));
        let waited = since.elapsed();
        for error in [read.unwrap_err(), written.unwrap_err()] {
            assert!(error.to_string().contains("the database"), "{error}");
        }
        assert!(waited < Duration::from_secs(10), "{waited:?}");

        hangs.send_replace(false);
        holds.remove(process, "relay").await.unwrap();
        assert!(holds.all().await.unwrap().is_empty());
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_leave_while_the_server_hangs_keep_no_connection() {
    on_postgres(async |direct| {
        let (store, hangs) = through_a_proxy(direct).await;
        let holds = store.account_holds();
        holds.all().await.unwrap();
        hangs.send_replace(true);
        for _ in 0..2 {
            let left = tokio::time::timeout(Duration::from_millis(100), holds.all()).await;
            assert!(left.is_err(), "{left:?}");
        }
        hangs.send_replace(false);
        assert!(holds.all().await.unwrap().is_empty());

        // A statement of a transaction is left in the same way, with its lock.
        let held = hold();
        let writes = || holds.put(Uuid::now_v7(), &held);
        hangs.send_replace(true);
        let (one, other) = tokio::join!(
            tokio::time::timeout(Duration::from_millis(100), writes()),
            tokio::time::timeout(Duration::from_millis(100), writes()),
        );
        assert!(one.is_err() && other.is_err());
        let refused = holds.all().await.unwrap_err();
        assert!(refused.to_string().contains("the database"), "{refused}");
        hangs.send_replace(false);
        holds.all().await.unwrap();
        store.close().await;
    })
    .await;
}
