//! A connection: its stream, its service, and the end of both.

use std::{
    convert::Infallible,
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, header},
    response::IntoResponse as _,
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower::Service as _;

use super::{head, progress::Progress};
use crate::{
    http::{HttpConfig, body::TimedBody},
    lifecycle::Shutdown,
};

/// The smallest read buffer; a larger head needs a larger one.
const MIN_BUFFER: usize = 64 << 10;

/// Serves one connection until the client leaves or is late, or until the shutdown.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    progress: Arc<Progress>,
    config: Arc<HttpConfig>,
    shutdown: Shutdown,
) {
    let stream = WatchedStream {
        stream,
        progress: Arc::clone(&progress),
    };
    let service = RequestService {
        router,
        peer,
        progress: Arc::clone(&progress),
        config: Arc::clone(&config),
    };
    // The timeout for heads is this module's own, because hyper's would also end connections that are idle
    // between requests.
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(config.max_header_bytes.max(MIN_BUFFER));
    if config.max_headers != HttpConfig::default().max_headers {
        // hyper keeps its default number of headers on the stack, and any other number on the heap.
        builder.max_headers(config.max_headers);
    }
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut late = pin!(progress.late(&config));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
                }
                return;
            }
            why = late.as_mut() => {
                metrics::counter!("carillon_http_connections_closed_total", "reason" => why.name()).increment(1);
                return;
            }
            () = shutdown.soft(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shutdown.hard(), if ending => return,
        }
    }
}

/// A stream that reports its reads and writes to the connection's progress.
struct WatchedStream {
    stream: TcpStream,
    progress: Arc<Progress>,
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.progress.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress.wrote(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.progress.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The router behind one connection. Its clone shares the routes.
struct RequestService {
    router: Router,
    peer: SocketAddr,
    progress: Arc<Progress>,
    config: Arc<HttpConfig>,
}

type Answering = Pin<Box<dyn Future<Output = Result<axum::http::Response<ResponseBody>, Infallible>> + Send>>;

impl hyper::service::Service<Request<Incoming>> for RequestService {
    type Response = axum::http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let is_pipelined = self.progress.begin();
        let guard = EndOfRequest(Arc::clone(&self.progress));
        if let Err(problem) = head::check(request.version(), request.headers()) {
            // The body is not read, so nothing can follow it.
            let mut response = problem.into_response();
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            let response = response.map(|body| ResponseBody { body, _guard: guard });
            return Box::pin(std::future::ready(Ok(response)));
        }
        let mut request = request.map(|body| Body::new(TimedBody::new(body, &self.config)));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        // A router is always ready.
        let answering = self.router.clone().call(request);
        Box::pin(async move {
            if is_pipelined {
                // One task serves all pipelined requests of a connection. It yields before each, so that other tasks
                // run as well.
                tokio::task::yield_now().await;
            }
            let response = answering.await?;
            Ok(response.map(|body| ResponseBody { body, _guard: guard }))
        })
    }
}

/// Reports the end of a request when the body of its answer is dropped, whether it was sent completely or not.
struct EndOfRequest(Arc<Progress>);

impl Drop for EndOfRequest {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of an answer.
pub(super) struct ResponseBody {
    body: Body,
    _guard: EndOfRequest,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
