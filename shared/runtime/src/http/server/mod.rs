//! Serving until the shutdown, within the bounds of [`HttpConfig`]. HTTP/1.1 only: a connection has one request at a
//! time, so that a bound on connections is a bound on requests.

mod connection;
mod head;
mod open_connections;
mod progress;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;

use self::open_connections::OpenConnections;
use super::HttpConfig;
use crate::{lifecycle::Shutdown, panics};

/// The answer to a connection above the bound. It is written at once, without waiting for a request.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 172\r\n\r\n\
    {\"type\":\"https://carillon.dev/problems/overloaded\",\"title\":\"Too much is in flight\",\"status\":503,\
    \"detail\":\"the process has as many connections with requests as it may have\"}";
/// The pause after an error that concerns all connections, such as the limit of open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The most connections that wait to be accepted. A client beyond this number tries again after a second. Tokio's
/// default of 1,024 is too small for bursts.
const BACKLOG: u32 = 4_096;

/// Bytes that the system buffers for a connection in each direction. By default it buffers several megabytes
/// that a client does not read.
const BUFFER: u32 = 256 << 10;

/// Binds an address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Allows an address whose last connections have just ended.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the listener's buffer sizes.
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until the soft signal, then lets open requests finish until the hard one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: HttpConfig,
    shutdown: Shutdown,
) -> io::Result<()> {
    // The router is finished once, here. Otherwise each connection would finish a copy of all routes, which
    // takes a megabyte.
    let router: Router = router.with_state(());
    let config = Arc::new(config);
    let open_connections = OpenConnections::new(open_connections::affordable(config.max_connections));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.soft() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => enter(
                stream,
                peer,
                &router,
                &config,
                &open_connections,
                &tasks,
                &shutdown,
            ),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; connections without a request are closed");
                open_connections.make_room();
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shutdown.soft() => break,
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn enter(
    stream: TcpStream,
    peer: SocketAddr,
    router: &Router,
    config: &Arc<HttpConfig>,
    open_connections: &Arc<OpenConnections>,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) {
    let Some(place) = open_connections.enter() else {
        metrics::counter!("carillon_http_connections_closed_total", "reason" => "refused").increment(1);
        // The socket's buffer is empty, so the whole answer is written at once. A client that has left needs
        // no answer.
        let _ = stream.into_std().and_then(|mut stream| stream.write(REFUSAL));
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let (router, config, shutdown) = (router.clone(), Arc::clone(config), shutdown.clone());
    tasks.spawn(panics::in_role("http", async move {
        let progress = Arc::clone(&place.progress);
        connection::serve(stream, peer, router, progress, config, shutdown).await;
        drop(place);
    }));
}

/// Whether the error concerns only the connection that was being accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
