//! Connections that end while messages are under way, frame by frame: only the server's last stream decides what may
//! have been processed (RFC 9113 §6.8).

use std::{net::SocketAddr, sync::Arc};

use carillon_testkit::ManualClock;
use carillon_workers::{ApnsSender, Sender as _};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;

use crate::{
    apple::{Identity, config_at, to_iphone},
    http_server::told,
    support::START,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` of HPACK's static table.
const STATUS_200: [u8; 1] = [0x88];

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn read(from: &mut TlsStream<TcpStream>) -> Option<Frame> {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    })
}

async fn write(to: &mut TlsStream<TcpStream>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    // The other side may have closed.
    let _ = to.write_all(&bytes).await;
}

/// The streams whose requests a connection received whole, and those that it answered.
#[derive(Default)]
struct Log {
    received: Vec<Vec<u32>>,
    answered: Vec<Vec<u32>>,
}

/// The course of the first connection. Each later one answers everything.
#[derive(Clone, Copy)]
struct Course {
    /// The number of whole requests after which it goes away.
    after: usize,
    /// The last stream that it names; `None` closes without a GOAWAY.
    last: Option<u32>,
    /// The streams that it still answers, up to this one.
    answers: u32,
}

async fn start(identity: Arc<Identity>, course: Course) -> (SocketAddr, Arc<Mutex<Log>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, log) = (
        listener.local_addr().unwrap(),
        Arc::new(Mutex::new(Log::default())),
    );
    let shared = Arc::clone(&log);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let course = (number == 0).then_some(course);
            let tls = identity.tls.accept(stream).await.unwrap();
            {
                let mut log = shared.lock();
                log.received.push(Vec::new());
                log.answered.push(Vec::new());
            }
            tokio::spawn(serve(tls, course, number, Arc::clone(&shared)));
            number += 1;
        }
    });
    (address, log)
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    course: Option<Course>,
    number: usize,
    log: Arc<Mutex<Log>>,
) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    // SETTINGS_MAX_CONCURRENT_STREAMS (3) is 100.
    write(&mut stream, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).await;
    while let Some(frame) = read(&mut stream).await {
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, &[]).await,
            PING if frame.flags & ACK == 0 => write(&mut stream, PING, ACK, 0, &frame.payload).await,
            DATA | HEADERS if frame.flags & END_STREAM != 0 => {
                log.lock().received[number].push(frame.stream);
                let Some(course) = course else {
                    answer(&mut stream, frame.stream, number, &log).await;
                    continue;
                };
                if log.lock().received[number].len() < course.after {
                    continue;
                }
                if let Some(last) = course.last {
                    let error_and_reason =
                        [&last.to_be_bytes()[..], &[0; 4], br#"{"reason":"Shutdown"}"#].concat();
                    write(&mut stream, GOAWAY, 0, 0, &error_and_reason).await;
                }
                let received = log.lock().received[number].clone();
                for one in received.into_iter().filter(|one| *one <= course.answers) {
                    answer(&mut stream, one, number, &log).await;
                }
                let _ = stream.shutdown().await;
                return;
            }
            _ => {}
        }
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>, one: u32, number: usize, log: &Mutex<Log>) {
    log.lock().answered[number].push(one);
    write(stream, HEADERS, END_STREAM | END_HEADERS, one, &STATUS_200).await;
}

/// Sends one message, which opens the connection, and then ten at a time; the outcomes of all eleven.
async fn eleven(course: Course) -> (Vec<String>, Arc<Mutex<Log>>) {
    let identity = Arc::new(Identity::new());
    let (address, log) = start(Arc::clone(&identity), course).await;
    let sender = Arc::new(
        ApnsSender::new(
            "apns",
            &config_at(address, &identity),
            Arc::new(ManualClock::at(START)),
        )
        .unwrap(),
    );
    let mut streams = sender.connections().unwrap();
    let send = |number| {
        let sender = Arc::clone(&sender);
        tokio::spawn(async move { sender.send(&to_iphone(number)).await })
    };
    let first = send(0);
    streams.wait_for(|count| *count == 100).await.unwrap();
    let rest: Vec<_> = (1..=10).map(send).collect();
    let outcomes = join_all(std::iter::once(first).chain(rest)).await;
    let told = outcomes.iter().map(|outcome| {
        let told = told(outcome.as_ref().unwrap());
        told.split(' ').next().unwrap().to_owned()
    });
    (told.collect(), log)
}

fn count(outcomes: &[String], name: &str) -> usize {
    outcomes.iter().filter(|outcome| *outcome == name).count()
}

#[tokio::test]
async fn messages_above_the_last_stream_of_a_goaway_go_out_again_and_the_others_once() {
    // Streams of a client are 1, 3, 5, …: the eleventh is 21, the fourth is 7.
    let course = Course {
        after: 11,
        last: Some(7),
        answers: 7,
    };
    let (outcomes, log) = eleven(course).await;
    assert_eq!(count(&outcomes, "ok"), 11, "{outcomes:?}");
    let log = log.lock();
    assert_eq!(log.answered[0], [1, 3, 5, 7]);
    assert_eq!(
        log.answered[1..].iter().map(Vec::len).sum::<usize>(),
        7,
        "no message goes out twice"
    );
}

#[tokio::test]
async fn messages_that_a_server_may_have_processed_before_it_went_are_uncertain_and_not_sent_again() {
    let course = Course {
        after: 11,
        last: Some(15),
        answers: 7,
    };
    let (outcomes, log) = eleven(course).await;
    assert_eq!(
        (count(&outcomes, "ok"), count(&outcomes, "uncertain")),
        (7, 4),
        "{outcomes:?}"
    );
    let log = log.lock();
    assert_eq!(log.answered[1..].iter().map(Vec::len).sum::<usize>(), 3);
}

#[tokio::test]
async fn without_a_goaway_every_message_under_way_is_uncertain_when_the_connection_ends() {
    let course = Course {
        after: 11,
        last: None,
        answers: 5,
    };
    let (outcomes, log) = eleven(course).await;
    assert_eq!(
        (count(&outcomes, "ok"), count(&outcomes, "uncertain")),
        (3, 8),
        "{outcomes:?}"
    );
    assert_eq!(log.lock().received.len(), 1, "nothing is sent again");
}
