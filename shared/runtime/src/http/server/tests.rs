use std::time::Duration;

use axum::{body::Body, extract::Request, response::IntoResponse as _, routing::get};
use bytes::Bytes;
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::{Instant, interval},
};

use super::*;
use crate::http::{ClientOptions, client, read_capped};

/// A server for one test.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<io::Result<()>>,
    entered: tokio::sync::mpsc::UnboundedReceiver<()>,
    finish: tokio::sync::watch::Sender<bool>,
}

/// Timeouts for tests: short ones where a test waits for them, long ones elsewhere.
fn config() -> HttpConfig {
    let long = Duration::from_mins(1);
    HttpConfig {
        header_timeout: long,
        body_timeout: long,
        stall_timeout: long,
        idle_timeout: long,
        ..HttpConfig::default()
    }
}

const SHORT: Duration = Duration::from_millis(300);

impl Server {
    /// Starts a server: `/` answers, `/wait` waits for `finish`, `/body` reads a body, `/endless` answers without an
    /// end.
    async fn start(config: HttpConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entering, entered) = tokio::sync::mpsc::unbounded_channel();
        let (finish, gate) = tokio::sync::watch::channel(false);
        let wait = move || async move {
            entering.send(()).unwrap();
            gate.clone().wait_for(|open| *open).await.unwrap();
            "done"
        };
        let body = async |request: Request| match read_capped(request.into_body(), 1 << 20).await {
            Ok(bytes) => bytes.len().to_string().into_response(),
            Err(problem) => problem.into_response(),
        };
        let endless = || async {
            let pieces =
                futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 8_192])));
            Body::from_stream(pieces)
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/wait", get(wait))
            .route("/body", axum::routing::post(body))
            .route("/endless", get(endless));
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(serve(listener, router, config, shutdown.clone()));
        Self {
            address,
            shutdown,
            serving,
            entered,
            finish,
        }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// Reads all bytes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    // A reset also counts as closed.
    let _ = read.expect("the server keeps the connection open");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn hello(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
}

const HELLO: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn an_open_request_is_finished_after_the_soft_signal_and_waiting_connections_end() {
    let mut server = Server::start(config()).await;
    let client = client(&ClientOptions::default()).unwrap();
    let url = format!("http://{}/wait", server.address);
    let request = tokio::spawn(client.get(url).send());
    let mut idle = server.send(HELLO).await;
    hello(&mut idle).await;
    server.entered.recv().await.unwrap();
    server.shutdown.begin();
    assert_eq!(rest(&mut idle).await, "");
    server.finish.send(true).unwrap();
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    server.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_hard_signal_ends_open_requests_half_heads_and_half_bodies() {
    let mut server = Server::start(config()).await;
    let mut streams = Vec::new();
    for text in [
        "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nho",
        "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        streams.push(server.send(text).await);
    }
    server.entered.recv().await.unwrap();
    server.shutdown.abort();
    for mut stream in streams {
        assert_eq!(rest(&mut stream).await, "");
    }
    server.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_closes_the_connection() {
    let server = Server::start(HttpConfig {
        header_timeout: SHORT,
        ..config()
    })
    .await;
    for half in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let began = Instant::now();
        assert_eq!(rest(&mut server.send(half).await).await, "");
        assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    }
    // The same limit holds for the head of a later request, although the connection may be idle for longer.
    let mut stream = server.send(HELLO).await;
    hello(&mut stream).await;
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_trickles_is_closed_in_time_as_well() {
    let server = Server::start(HttpConfig {
        header_timeout: SHORT,
        ..config()
    })
    .await;
    let mut stream = server.send("GET / HTTP/1.1\r\n").await;
    let (began, mut pace) = (Instant::now(), interval(SHORT / 20));
    while stream.write_all(b"a: b\r\n").await.is_ok() {
        pace.tick().await;
        assert!(began.elapsed() < SHORT * 30, "it is still open");
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_the_idle_time() {
    let server = Server::start(HttpConfig {
        header_timeout: SHORT / 3,
        idle_timeout: SHORT,
        ..config()
    })
    .await;
    let mut stream = server.send(HELLO).await;
    hello(&mut stream).await;
    let began = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_stalls_or_does_not_end_in_time_is_answered_408() {
    let stalling = Server::start(HttpConfig {
        stall_timeout: SHORT,
        ..config()
    })
    .await;
    let half = "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\nhalf";
    let answer = rest(&mut stalling.send(half).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("expected more of the body within 300ms"),
        "{answer}"
    );

    let ending = Server::start(HttpConfig {
        body_timeout: SHORT,
        ..config()
    })
    .await;
    let mut stream = ending.send(half).await;
    let (mut reading, mut writing) = stream.split();
    let trickle = async {
        let mut pace = interval(SHORT / 20);
        while writing.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        read = reading.read_buf(&mut answer) => { read.unwrap(); }
        () = trickle => panic!("closed without an answer"),
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_read_to_its_end() {
    let server = Server::start(HttpConfig {
        stall_timeout: SHORT,
        ..config()
    })
    .await;
    let mut stream = server
        .send("POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 30\r\n\r\n")
        .await;
    let mut pace = interval(SHORT / 20);
    for _ in 0..30 {
        stream.write_all(b"x").await.unwrap();
        pace.tick().await;
    }
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("30"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_connection_of_a_client_that_does_not_read_is_closed() {
    let server = Server::start(HttpConfig {
        stall_timeout: SHORT,
        ..config()
    })
    .await;
    let stream = server.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.shutdown.begin();
    // The server ends without the hard signal, so the connection was given up.
    server.serving.await.unwrap().unwrap();
    drop(stream);
}

#[tokio::test]
async fn waiting_connections_make_room_for_a_request() {
    let server = Server::start(HttpConfig {
        max_connections: 4,
        ..config()
    })
    .await;
    let mut waiting = Vec::new();
    for half in ["", "GET / HTTP/1.1\r\n"].into_iter().cycle().take(40) {
        waiting.push(server.send(half).await);
        hello(&mut server.send(HELLO).await).await;
    }
    assert_eq!(rest(&mut waiting[0]).await, "", "the first one was closed");
}

#[tokio::test]
async fn a_new_connection_is_answered_503_if_every_open_one_has_a_request() {
    let mut server = Server::start(HttpConfig {
        max_connections: 4,
        ..config()
    })
    .await;
    let working = join_all((0..4).map(|_| server.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n"))).await;
    for _ in 0..4 {
        server.entered.recv().await.unwrap();
    }
    let refused = rest(&mut TcpStream::connect(server.address).await.unwrap()).await;
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{refused}"
    );
    server.finish.send(true).unwrap();
    drop(working);
}

#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_fields_is_answered_431() {
    let server = Server::start(config()).await;
    let fields = "a: b\r\n".repeat(101);
    for fields in [format!("a: {}\r\n", "b".repeat(33 << 10)), fields] {
        let mut stream = server.send(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_host_that_is_no_name_or_address_is_refused_and_named() {
    let server = Server::start(config()).await;
    for host in [
        "a b/../@",
        "a, b",
        "a/b?c#d",
        "a/b",
        "b\u{fc}cher.example",
        "user@a",
        "@a",
        "a:b",
        "a:1:2",
        "a:99999",
        "a:+1",
        "[::1",
        "::1",
        "a\\b",
        "<a>",
    ] {
        let mut stream = server
            .send(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"))
            .await;
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 400")
                && answer.contains("the header host: expected a name or an address"),
            "{host}: {answer}"
        );
    }
    for host in [
        "a",
        "a.example:8080",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "xn--bcher-kva.example",
        "a_b",
        "a:",
        "A",
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = rest(&mut server.send(&head).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_head_without_one_host_and_a_transfer_coding_besides_chunked_are_refused() {
    let server = Server::start(config()).await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501",
        ),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "501",
        ),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
            "200",
        ),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "501",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n", "200"),
    ] {
        let mut stream = server.send(head).await;
        let answer = rest(&mut stream).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
    server.shutdown.begin();
    server.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_do_not_delay_other_connections() {
    let server = Server::start(config()).await;
    let mut pipelined = server.send(&HELLO.repeat(500)).await;
    for _ in 0..20 {
        hello(&mut server.send(HELLO).await).await;
    }
    let mut answers = Vec::new();
    while String::from_utf8_lossy(&answers).matches("hello").count() < 500 {
        assert_ne!(pipelined.read_buf(&mut answers).await.unwrap(), 0, "closed");
    }
}
