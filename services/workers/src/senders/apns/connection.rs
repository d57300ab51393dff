//! One connection of HTTP/2. A task drives it, pings the server, and learns its limit of streams.

use std::{future::poll_fn, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use carillon_domain::Timestamp;
use carillon_providers::{ProviderResponse, parse_retry_after};
use h2::{
    Ping, PingPong, Reason, RecvStream,
    client::{self, SendRequest},
};
use http::{Request, header::RETRY_AFTER};
use tokio::{net::TcpStream, sync::Notify};
use tokio_rustls::client::TlsStream;

use super::slots::{Slot, Slots};

/// The time between two pings. Apple: "You can check the health of your connection using an HTTP/2 PING frame".
const PING_EVERY: Duration = Duration::from_mins(1);
/// The longest wait for the answer to a ping.
const PONG_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read. APNs' have about a hundred.
const MAX_ANSWER: usize = 16 * 1024;

/// The progress of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    NotSent,
    MayHaveLeft,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The request was not sent, or the server has said that it did not process it: its stream is above the last one
    /// of a GOAWAY (RFC 9113 §6.8), or was refused (§8.7).
    NotProcessed {
        /// Whether the connection takes no further message.
        is_leaving: bool,
    },
    /// The connection broke before the answer.
    Lost,
}

/// A connection.
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    slots: Arc<Slots>,
    doubted: Arc<Notify>,
}

impl Connection {
    /// Shakes hands on a stream of TLS. `on_limit` learns the server's limit of streams, and `changed` wakes those who
    /// wait for one.
    pub(super) async fn open(
        stream: TlsStream<TcpStream>,
        changed: Arc<Notify>,
        on_limit: impl Fn(usize) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (requests, connection) = client::Builder::new()
            // Apple allows one stream until its settings say otherwise.
            .initial_max_send_streams(1)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| {
                error
                    .into_io()
                    .unwrap_or_else(|| io::Error::other("HTTP/2 handshake"))
            })?;
        let (slots, doubted) = (Slots::new(changed), Arc::new(Notify::new()));
        tokio::spawn(drive(
            connection,
            Arc::clone(&slots),
            Arc::clone(&doubted),
            on_limit,
        ));
        Ok(Self {
            requests,
            slots,
            doubted,
        })
    }

    pub(super) fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }
}

/// A place for one request on a connection.
pub(super) struct Place {
    pub(super) connection: Arc<Connection>,
    pub(super) _slot: Slot,
}

impl Place {
    /// Prevents further messages on this connection; messages under way continue.
    pub(super) fn leave(&self) {
        self.connection.slots.close();
    }

    /// Takes no further message to this connection until the server answers a ping.
    pub(super) fn doubt(&self) {
        self.connection.slots.doubt(true);
        self.connection.doubted.notify_one();
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(
        &self,
        request: &Request<Bytes>,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<ProviderResponse, Unanswered> {
        // An error here is the connection's: it is closed, or its server is going away.
        let not_sent = |_| Unanswered::NotProcessed { is_leaving: true };
        let mut requests = self.connection.requests.clone().ready().await.map_err(not_sent)?;
        let mut head = Request::new(());
        head.method_mut().clone_from(request.method());
        head.uri_mut().clone_from(request.uri());
        head.headers_mut().clone_from(request.headers());
        let (response, mut stream) = requests.send_request(head, false).map_err(not_sent)?;
        *progress = Progress::MayHaveLeft;
        // If the stream has ended meanwhile, the response says why.
        let _ = stream.send_data(request.body().clone(), true);
        let mut response = response.await.map_err(|error| unanswered(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| {
            let text = value.to_str().ok()?;
            parse_retry_after(text, now)
        });
        Ok(ProviderResponse {
            status,
            retry_after,
            headers: std::mem::take(response.headers_mut()),
            // The status is an answer; only its details may be lost.
            body: read(response.into_body()).await.unwrap_or_default(),
        })
    }
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        // An error means that the stream has ended.
        let _ = body.flow_control().release_capacity(chunk.len());
        let room = MAX_ANSWER.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() >= MAX_ANSWER {
            break;
        }
    }
    Ok(bytes)
}

/// `h2` gives the GOAWAY of a server only to streams above its last one; a stream that the server may have processed
/// ends with the connection's end.
fn unanswered(error: &h2::Error) -> Unanswered {
    let is_leaving = error.is_go_away();
    if error.is_remote() && (is_leaving || error.reason() == Some(Reason::REFUSED_STREAM)) {
        Unanswered::NotProcessed { is_leaving }
    } else {
        Unanswered::Lost
    }
}

/// Drives a connection to its end.
async fn drive(
    mut connection: client::Connection<TlsStream<TcpStream>, Bytes>,
    slots: Arc<Slots>,
    doubted: Arc<Notify>,
    on_limit: impl Fn(usize),
) {
    let pings = connection.ping_pong();
    let health = watch_health(pings, &slots, &doubted);
    let work = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some(limit) = slots.limit(connection.max_concurrent_send_streams()) {
            on_limit(limit);
        }
        polled
    });
    tokio::select! {
        ended = work => match ended {
            Ok(()) => tracing::debug!("a connection to APNs has ended"),
            // A GOAWAY's reason is in the error.
            Err(error) => tracing::info!(%error, "a connection to APNs has ended"),
        },
        () = health => tracing::warn!("a connection to APNs is given up: its server answers no ping"),
    }
    slots.close();
}

/// Ends when the server does not answer a ping.
async fn watch_health(pings: Option<PingPong>, slots: &Slots, doubted: &Notify) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(PING_EVERY) => {}
            () = doubted.notified() => {}
        }
        match tokio::time::timeout(PONG_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => slots.doubt(false),
            _ => return,
        }
    }
}
