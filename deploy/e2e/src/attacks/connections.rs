//! Connections that send nothing, or very slowly. None of them needs a key.

use std::{io::ErrorKind::WouldBlock, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::attacker::Attacker;

/// More connections than `http.max_connections` allows.
const MANY: usize = 6_000;
const FEW: usize = 1_000;
/// The time between two connections that send a request.
const PACE: Duration = Duration::from_millis(5);
/// The time between two bytes of a trickle.
const TRICKLE: Duration = Duration::from_secs(1);

/// Opens connections and keeps them.
async fn open(attacker: &Attacker, count: usize, text: &str) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        // The gateway may refuse or close a connection at its limit.
        streams.extend(attacker.connect(text).await.ok());
    }
    streams
}

/// Writes a piece to each connection again and again, and reopens closed ones.
async fn trickle(attacker: Attacker, count: usize, begin: &str, piece: &[u8]) -> anyhow::Result<()> {
    let mut streams = open(&attacker, count, begin).await;
    loop {
        let mut kept = Vec::with_capacity(count);
        for mut stream in streams {
            if stream.write_all(piece).await.is_ok() {
                kept.push(stream);
            }
        }
        let missing = count - kept.len();
        kept.extend(open(&attacker, missing, begin).await);
        streams = kept;
        tokio::time::sleep(TRICKLE).await;
    }
}

pub(super) async fn idle(attacker: Attacker) -> anyhow::Result<()> {
    let _streams = open(&attacker, MANY, "").await;
    std::future::pending().await
}

pub(super) async fn half_heads(attacker: Attacker) -> anyhow::Result<()> {
    trickle(attacker, FEW, "GET / HTTP/1.1\r\nhost: a\r\n", b"a: b\r\n").await
}

pub(super) async fn half_bodies(attacker: Attacker) -> anyhow::Result<()> {
    let begin = "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    trickle(attacker, FEW, begin, b" ").await
}

/// Calls with receipts whose signature has Twilio's form, and whose bodies never end.
pub(super) async fn half_receipts(attacker: Attacker) -> anyhow::Result<()> {
    let begin = "POST /v1/receipts/twilio HTTP/1.1\r\nhost: a\r\n\
        x-twilio-signature: BwcHBwcHBwcHBwcHBwcHBwcHBwc=\r\ncontent-length: 100000\r\n\r\n";
    trickle(attacker, FEW, begin, b" ").await
}

pub(super) async fn answers_not_taken(attacker: Attacker) -> anyhow::Result<()> {
    let many = "GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
    let mut streams = Vec::with_capacity(FEW);
    loop {
        while streams.len() < FEW {
            streams.extend(attacker.connect_narrow(&many).await.ok());
            // This attack leaves responses unread. Its connections are opened one after another, because opening all at
            // once would be a flood of requests.
            tokio::time::sleep(PACE).await;
        }
        // Closed connections are opened again.
        streams.retain(
            |stream: &TcpStream| !matches!(stream.try_write(b"G"), Err(error) if error.kind() != WouldBlock),
        );
        tokio::time::sleep(TRICKLE).await;
    }
}
