//! TCP connections that a handler can reset, like those of a provider that disappears during a request.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

/// A handler's control over the connection of its request.
#[derive(Clone, Default)]
pub(crate) struct Connection(Arc<Control>);

#[derive(Default)]
struct Control {
    reset: AtomicBool,
    reader: AtomicWaker,
    /// Whether a request is being answered. Bytes that are read meanwhile belong to its body or to the next head.
    at_work: AtomicBool,
    /// Counts heads that have ended.
    heads: AtomicU64,
}

/// The time within which a head must end after its first byte.
const HEAD: Duration = Duration::from_secs(10);

impl Connection {
    /// Resets the connection: the client receives a TCP RST and no answer. Never returns, because the server drops
    /// the handler together with the connection.
    pub(crate) async fn reset(&self) -> std::convert::Infallible {
        self.0.reset.store(true, Ordering::Release);
        self.0.reader.wake();
        std::future::pending().await
    }
}

/// Notes on the connection that a request's head has ended and that its handler works.
pub(crate) async fn at_work(
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    connection.0.at_work.store(true, Ordering::Release);
    connection.0.heads.fetch_add(1, Ordering::AcqRel);
    let response = next.run(request).await;
    connection.0.at_work.store(false, Ordering::Release);
    response
}

/// Accepts connections that can be reset.
pub(crate) struct ResettableListener(pub(crate) TcpListener);

impl Listener for ResettableListener {
    type Io = ResettableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection keeps Nagle's algorithm");
        }
        (
            ResettableStream {
                stream,
                control: Arc::default(),
                head: None,
                heads: 0,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        Self(Arc::clone(&stream.io().control))
    }
}

/// A stream that can be reset. The server polls for the end of the connection while a handler runs; a reset takes
/// effect there.
pub(crate) struct ResettableStream {
    stream: TcpStream,
    control: Arc<Control>,
    /// Runs out when a head that has begun does not end in time.
    head: Option<Pin<Box<Sleep>>>,
    /// The number of heads that had ended when `head` was looked at last.
    heads: u64,
}

impl ResettableStream {
    /// A stream of a protocol without HTTP/1.1 heads, with the control over it.
    pub(crate) fn without_heads(stream: TcpStream) -> (Self, Connection) {
        let control: Arc<Control> = Arc::default();
        // The stream counts as working on a request for ever, so the time limit for heads does not apply.
        control.at_work.store(true, Ordering::Release);
        let connection = Connection(Arc::clone(&control));
        let stream = Self {
            stream,
            control,
            head: None,
            heads: 0,
        };
        (stream, connection)
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.control.reader.register(cx.waker());
        if self.control.reset.load(Ordering::Acquire) {
            self.stream.set_zero_linger()?;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let heads = self.control.heads.load(Ordering::Acquire);
        if std::mem::replace(&mut self.heads, heads) != heads {
            self.head = None;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let is_at_work = self.control.at_work.load(Ordering::Acquire);
        if buf.filled().len() > before && !is_at_work && self.head.is_none() {
            self.head = Some(Box::pin(tokio::time::sleep(HEAD)));
        }
        if read.is_pending()
            && let Some(head) = &mut self.head
            && head.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_in_time_ends_the_connection_and_an_idle_connection_stays() {
        let mut listener = ResettableListener(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        let mut bytes = [0; 64];
        let idle = timeout(3 * HEAD, stream.read(&mut bytes)).await;
        assert!(idle.is_err(), "no head has begun");

        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(head).await.unwrap();
        assert_eq!(stream.read(&mut bytes).await.unwrap(), head.len());
        stream.control.heads.fetch_add(1, Ordering::AcqRel);
        let idle = timeout(3 * HEAD, stream.read(&mut bytes)).await;
        assert!(idle.is_err(), "the head has ended");

        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 8);
        let late = stream.read(&mut bytes).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
