//! The connections of an account: a few, opened when messages need them, and replaced when they end.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use carillon_runtime::{Limited, os_sentence};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    connection::{Connection, Place},
    tls::Connector,
};

/// The wait after the first failure to connect. Each following wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// No connection could be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotConnected;

/// The connections of an account.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    account: String,
    connector: Connector,
    max_connections: usize,
    state: Mutex<State>,
    changed: Arc<Notify>,
    /// The number of messages that all connections may carry at a time.
    streams: watch::Sender<usize>,
    complaints: Limited,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    is_connecting: bool,
    /// Failures to connect, in all.
    failures: u64,
    /// Failures since the last success.
    failures_in_a_row: u32,
    next_try: Option<Instant>,
}

impl Pool {
    pub(super) fn new(account: &str, connector: Connector, max_connections: NonZeroU16) -> Self {
        let max_connections = usize::from(max_connections.get());
        Self(Arc::new(Shared {
            account: account.to_owned(),
            connector,
            max_connections,
            state: Mutex::default(),
            changed: Arc::new(Notify::new()),
            // A connection has one stream until its server says otherwise.
            streams: watch::Sender::new(max_connections),
            complaints: Limited::default(),
        }))
    }

    /// The number of messages that all connections may carry at a time.
    pub(super) fn streams(&self) -> watch::Receiver<usize> {
        self.0.streams.subscribe()
    }

    /// Waits for a place on a connection. If there is no connection and a try to open one fails meanwhile, so does this.
    pub(super) async fn place(&self) -> Result<Place, NotConnected> {
        let shared = &self.0;
        let failures = shared.state.lock().failures;
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // Registered before the state is read, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let mut state = shared.state.lock();
                state
                    .connections
                    .retain(|connection| !connection.slots().is_closed());
                for connection in &state.connections {
                    if let Some(slot) = connection.slots().take() {
                        return Ok(Place {
                            connection: Arc::clone(connection),
                            _slot: slot,
                        });
                    }
                }
                if state.connections.is_empty() && state.failures > failures {
                    return Err(NotConnected);
                }
                if !state.is_connecting && state.connections.len() < shared.max_connections {
                    state.is_connecting = true;
                    tokio::spawn(Arc::clone(shared).connect(state.next_try));
                }
            }
            changed.await;
        }
    }
}

impl Shared {
    /// Opens a connection, no earlier than `not_before`. It is a task of its own, so that its messages may give up.
    async fn connect(self: Arc<Self>, not_before: Option<Instant>) {
        if let Some(not_before) = not_before {
            tokio::time::sleep_until(not_before).await;
        }
        let streams = self.streams.clone();
        let max_connections = self.max_connections;
        let opened = async {
            let stream = self.connector.connect().await?;
            let on_limit = move |limit: usize| {
                streams.send_replace(limit.max(1) * max_connections);
            };
            Connection::open(stream, Arc::clone(&self.changed), on_limit).await
        }
        .await;
        let mut state = self.state.lock();
        state.is_connecting = false;
        match opened {
            Ok(connection) => {
                state.connections.push(Arc::new(connection));
                (state.failures_in_a_row, state.next_try) = (0, None);
            }
            Err(error) => {
                let wait = FIRST_WAIT
                    .saturating_mul(1 << state.failures_in_a_row.min(16))
                    .min(LONGEST_WAIT);
                state.failures += 1;
                state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
                state.next_try = Some(Instant::now() + wait);
                if let Some(left_out) = self.complaints.admit("connect") {
                    tracing::warn!(provider = %self.account, error = %os_sentence(&error), left_out,
                        "no connection to APNs could be opened");
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
