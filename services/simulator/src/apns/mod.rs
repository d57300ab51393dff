//! Apple Push Notification service: HTTP/2 with TLS, a provider token in each request.
//!
//! Every hexadecimal device token stands for an iPhone. Tokens with one of the beginnings in [`push`] fail, each with
//! its own error. Sources: "Sending notification requests to APNs", "Handling notification responses from APNs" and
//! "Establishing a token-based connection to APNs" at developer.apple.com/documentation/usernotifications.

mod identity;
mod push;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, header};
use h2::{RecvStream, server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

pub use self::identity::ApnsIdentity;
use self::push::Answered;
pub(crate) use self::token::ProviderTokens;
use crate::context::{Context, DRAIN};
use crate::http::connection::{Connection, ResettableStream};
use crate::http::send::{Fate, fate};
use crate::{Provider, SimulatorError};

/// The longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The number of bytes after which a payload is no longer read. A payload of that size is refused.
const READ: usize = 64 * 1024;

/// The server, and the account that it knows.
pub(crate) struct Apns {
    pub(crate) context: Context,
    pub(crate) tls: TlsAcceptor,
    pub(crate) tokens: ProviderTokens,
    /// The only topic of the account.
    pub(crate) topic: String,
    /// The most streams of a connection.
    pub(crate) max_streams: u32,
}

/// Serves until the shutdown, then gives streams in progress [`DRAIN`] to end.
pub(crate) async fn serve(listener: TcpListener, apns: Apns) -> Result<(), SimulatorError> {
    let (apns, connections) = (Arc::new(apns), TaskTracker::new());
    let shutdown = apns.context.shutdown.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&apns)));
            }
            Err(error) => {
                tracing::debug!(error = %error, "a connection to APNs was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!("APNs streams were still in progress at the end of the simulator");
    }
    Ok(())
}

async fn connection(stream: TcpStream, apns: Arc<Apns>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection keeps Nagle's algorithm");
    }
    let (stream, control) = ResettableStream::without_heads(stream);
    let opened = tokio::time::timeout(HANDSHAKE, async {
        let stream = apns.tls.accept(stream).await.ok()?;
        let mut builder = server::Builder::new();
        builder.max_concurrent_streams(apns.max_streams);
        builder.handshake(stream).await.ok()
    });
    let Ok(Some(mut connection)) = opened.await else {
        return;
    };
    // The set is dropped with the connection. This ends the streams that are never answered.
    let mut streams = JoinSet::new();
    let (goes_away, mut is_leaving) = (Arc::new(Notify::new()), false);
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (apns, control) = (Arc::clone(&apns), control.clone());
                    streams.spawn(stream_of(request, respond, apns, control, Arc::clone(&goes_away)));
                }
                Some(Err(_)) | None => break,
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            () = goes_away.notified() => connection.graceful_shutdown(),
            () = apns.context.shutdown.cancelled(), if !is_leaving => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
        }
    }
}

/// Answers one request.
async fn stream_of(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    apns: Arc<Apns>,
    control: Connection,
    goes_away: Arc<Notify>,
) {
    let (head, body) = request.into_parts();
    let Some(body) = read(body).await else { return };
    let to = push::device(head.uri.path()).map(str::to_owned);
    let judge = || push::judge(&apns, &head, &body);
    let fate = fate(
        &apns.context,
        Provider::Apns,
        to.as_slice(),
        judge,
        std::convert::identity,
        push::scripted,
    )
    .await;
    let (answered, is_last) = match fate {
        Fate::Answer(answered) => (answered, false),
        Fate::LastAnswer(answered) => (answered, true),
        Fate::Reset => match control.reset().await {},
    };
    reply(&mut respond, &answered);
    if is_last {
        goes_away.notify_one();
    }
}

/// Sends an answer. An error means that the client has left.
fn reply(respond: &mut server::SendResponse<Bytes>, answered: &Answered) {
    let mut response = Response::builder()
        .status(answered.status)
        .header("apns-id", &answered.id);
    if let Some(after) = &answered.retry_after {
        response = response.header(header::RETRY_AFTER, after);
    }
    let Ok(response) = response.body(()) else { return };
    let body = answered.body();
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        let _ = stream.send_data(body.into(), true);
    }
}

/// The body, or its beginning; `None` if the client has left.
async fn read(mut body: RecvStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        body.flow_control().release_capacity(chunk.len()).ok()?;
        let room = READ.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Some(bytes)
}
