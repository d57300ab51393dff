//! The transport of webhooks: signatures, answers, and the addresses that are refused.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::{Content, contact::SigningSecret};
use carillon_providers::{OutgoingMessage, WebhookConfig, webhook::Networks};
use carillon_testkit::ManualClock;
use carillon_workers::{Lookup, Sender as _, SystemLookup, WebhookSender};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    http_server::{HttpServer, Reply, breaks_off, message, nobody, reply, reply_after, reply_with, told},
    support::START,
};

const BODY: &str = r#"{"type":"StockLow"}"#;

/// Settings under which endpoints may be on this machine.
pub(crate) fn local() -> WebhookConfig {
    WebhookConfig {
        allow_http: true,
        allowed_networks: Networks::parse(["127.0.0.0/8"]).unwrap(),
        request_timeout: Duration::from_millis(500),
        rate_per_second: None,
    }
}

fn sender(config: &WebhookConfig, lookup: Arc<dyn Lookup>) -> WebhookSender {
    WebhookSender::new(config, lookup, Arc::new(ManualClock::at(START))).unwrap()
}

fn to(url: &str) -> OutgoingMessage {
    let content = Content::Webhook {
        body: BODY.to_owned(),
    };
    OutgoingMessage {
        secrets: vec![SigningSecret::of([1; 32]), SigningSecret::of([2; 32])],
        ..message(url, content)
    }
}

async fn outcome_at(url: &str) -> String {
    told(&sender(&local(), Arc::new(SystemLookup)).send(&to(url)).await)
}

/// A resolver with scripted answers, the last of which stays.
struct Names {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    asked: AtomicUsize,
}

impl Names {
    fn answering(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(|addresses| addresses.to_vec()).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let addresses = answer.unwrap_or_default().into_iter();
        Ok(addresses.map(|text| text.parse().unwrap()).collect())
    }
}

#[tokio::test]
async fn a_request_is_signed_with_each_secret_over_the_bytes_that_arrive() {
    let server = HttpServer::start().await;
    assert_eq!(outcome_at(&format!("{}/hook?x=1", server.url)).await, "ok -");
    let asked = server.asked("/hook").remove(0);
    assert_eq!(asked.content_type, "application/json");
    assert_eq!(asked.body, BODY);
    let header = |name| asked.headers[name].to_str().unwrap();
    assert_eq!(header("webhook-id"), "00000000-0000-0000-0000-000000000007");
    assert_eq!(header("webhook-timestamp"), "1732442400");
    assert!(header("user-agent").starts_with("carillon/"));
    let signed = format!("{}.{}.{BODY}", header("webhook-id"), header("webhook-timestamp"));
    let expected = [[1; 32], [2; 32]].map(|key| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let signature = ring::hmac::sign(&key, signed.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signature))
    });
    assert_eq!(header("webhook-signature"), expected.join(" "));
}

#[tokio::test]
async fn each_answer_of_an_endpoint_has_its_outcome() {
    let server = HttpServer::start().await;
    server.answers(
        "/hook",
        [
            reply(204, &Value::Null),
            reply(410, &json!({"error": "gone"})),
            reply_after(429, "7", &Value::Null),
            reply(500, &Value::Null),
            reply_after(503, "9", &Value::Null),
            reply(404, &Value::Null),
            Reply::Silence,
        ],
    );
    for expected in [
        "ok -",
        "address_dead http-410",
        "throttle http-429 after 7",
        "retry http-500",
        "retry http-503 after 9",
        "retry http-404",
        "uncertain timeout",
    ] {
        assert_eq!(outcome_at(&format!("{}/hook", server.url)).await, expected);
    }
    let closed = nobody().await;
    assert_eq!(outcome_at(&format!("http://{closed}/")).await, "retry connect");
    assert_eq!(
        outcome_at(&breaks_off("").await).await,
        "uncertain connection-lost"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, other) = (HttpServer::start().await, HttpServer::start().await);
    let target: &'static str = format!("{}/inside", other.url).leak();
    for status in [301, 302, 303, 307, 308] {
        server.answers("/hook", [reply_with(status, ("location", target), &Value::Null)]);
        let outcome = outcome_at(&format!("{}/hook", server.url)).await;
        assert_eq!(outcome, format!("retry http-{status}"));
    }
    assert!(other.asked("/inside").is_empty());
}

#[tokio::test]
async fn the_status_counts_whatever_the_body_is() {
    // A body that is longer than it says it is, one that never ends, and one that is huge.
    let huge: &'static str = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n{}",
        "x".repeat(4_000_000)
    )
    .leak();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain",
        huge,
    ] {
        assert_eq!(outcome_at(&breaks_off(answer).await).await, "ok -");
    }
    let gone = "HTTP/1.1 410 Gone\r\ncontent-length: 100\r\n\r\nshort";
    assert_eq!(outcome_at(&breaks_off(gone).await).await, "address_dead http-410");
}

#[tokio::test]
async fn a_name_is_refused_if_none_of_its_addresses_is_public_or_allowed() {
    let server = HttpServer::start().await;
    let port = server.url.rsplit_once(':').unwrap().1;
    let url = format!("http://hooks.example.com:{port}/hook");
    let strict = WebhookConfig {
        allowed_networks: Networks::default(),
        ..local()
    };
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["10.0.0.1", "192.168.0.1"],
        &["169.254.169.254"],
        &["100.100.100.200"],
        &["fd00:ec2::254", "fe80::1"],
        &["64:ff9b::a9fe:a9fe"],
        &["224.0.0.1", "0.0.0.0"],
    ] {
        let names = Names::answering(&[addresses]);
        let outcome = sender(&strict, names).send(&to(&url)).await;
        assert_eq!(told(&outcome), "terminal address-not-allowed", "{addresses:?}");
    }
    assert!(server.asked("/hook").is_empty());
    // Of several addresses, only those that are allowed are tried.
    let names = Names::answering(&[&["10.0.0.1", "127.0.0.1"]]);
    let outcome = sender(&local(), names).send(&to(&url)).await;
    assert_eq!(told(&outcome), "ok -");
    assert_eq!(server.asked("/hook").len(), 1);
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked_even_if_the_name_has_another_one_by_then() {
    let server = HttpServer::start().await;
    let port = server.url.rsplit_once(':').unwrap().1;
    let url = format!("http://hooks.example.com:{port}/hook");
    let names = Names::answering(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let one = sender(&local(), Arc::clone(&names) as _);
    assert_eq!(told(&one.send(&to(&url)).await), "ok -");
    assert_eq!(
        names.asked.load(Ordering::Relaxed),
        1,
        "one resolution for one connection"
    );
    // A new connection is a new check.
    let other = format!("http://hooks.example.com:{}/hook", nobody().await.port());
    assert_eq!(told(&one.send(&to(&other)).await), "terminal address-not-allowed");
    let unknown = Names::answering(&[&[]]);
    let outcome = sender(&local(), unknown).send(&to(&url)).await;
    assert_eq!(told(&outcome), "retry connect");
}
