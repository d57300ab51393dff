//! Google's OAuth: the assertion, the lifetime of a cached token, and failures to obtain one.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use carillon_domain::Clock as _;
use carillon_providers::{FcmConfig, SendOutcome};
use carillon_testkit::ManualClock;
use carillon_workers::{FcmSender, Sender as _};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use serde_json::{Value, json};

use crate::{
    fcm::{error, push},
    http_server::{HttpServer, Reply, nobody, reply, reply_after, told},
    support::START,
};

pub(crate) const SEND: &str = "messages:send";
pub(crate) const TOKEN: &str = "/token";
const ACCOUNT: &str = "sender@shop-1.iam.gserviceaccount.com";

static KEY: LazyLock<RsaPrivateKey> =
    LazyLock::new(|| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap());

/// A service account's key in Google's format.
pub(crate) fn service_account(token_uri: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "shop-1", "private_key_id": "1", "client_email": ACCOUNT,
        "private_key": KEY.to_pkcs8_pem(LineEnding::LF).unwrap().as_str(), "token_uri": token_uri,
    })
}

pub(crate) fn config(url: &str, tokens: &str) -> FcmConfig {
    FcmConfig {
        service_account_path: None,
        service_account: Some(service_account(&format!("{tokens}/token")).to_string().into()),
        base_url: url.parse().unwrap(),
        request_timeout: Duration::from_secs(5),
        rate_per_second: None,
    }
}

pub(crate) fn sender(server: &HttpServer, clock: &Arc<ManualClock>) -> FcmSender {
    sender_within(&server.url, &server.url, Duration::from_secs(5), clock)
}

pub(crate) fn sender_within(
    url: &str,
    tokens: &str,
    request_timeout: Duration,
    clock: &Arc<ManualClock>,
) -> FcmSender {
    let config = FcmConfig {
        request_timeout,
        ..config(url, tokens)
    };
    FcmSender::new(&config, Arc::clone(clock) as _).unwrap()
}

/// Verifies a signed assertion and returns its claims.
fn verified(assertion: &str, audience: &str) -> Value {
    let pem = KEY.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[audience]);
    // jsonwebtoken checks expiry by the machine's clock, and the test has its own.
    validation.validate_exp = false;
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::decode(assertion, &key, &validation).unwrap().claims
}

fn tokens_used(server: &HttpServer) -> Vec<String> {
    server
        .asked(SEND)
        .into_iter()
        .map(|asked| asked.authorization.unwrap())
        .collect()
}

fn unauthenticated() -> Reply {
    reply(401, &json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}))
}

#[tokio::test]
async fn a_signed_assertion_is_exchanged_for_a_token() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    assert_eq!(sender(&server, &clock).send(&push()).await.name(), "ok");
    let form = server.asked(TOKEN).remove(0).form();
    assert_eq!(
        form[0],
        (
            "grant_type".to_owned(),
            "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()
        )
    );
    assert_eq!((form.len(), &*form[1].0), (2, "assertion"));
    let (audience, now) = (format!("{}/token", server.url), clock.now().timestamp());
    let expected = json!({
        "iss": ACCOUNT, "aud": audience, "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "iat": now, "exp": now + 3_600,
    });
    assert_eq!(verified(&form[1].1, &audience), expected);
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_end_and_fetched_once_for_all() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    let message = push();
    let outcomes = join_all((0..10).map(|_| sender.send(&message))).await;
    assert!(outcomes.iter().all(|outcome| outcome.name() == "ok"));
    assert_eq!(server.asked(TOKEN).len(), 1);
    clock.advance(Duration::from_secs(3_299));
    assert_eq!(sender.send(&message).await.name(), "ok");
    assert_eq!(server.asked(TOKEN).len(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(sender.send(&message).await.name(), "ok");
    assert_eq!(server.asked(TOKEN).len(), 2);
    let used = tokens_used(&server);
    assert!(used[..11].iter().all(|token| token == "Bearer token-1"));
    assert_eq!(used[11], "Bearer token-2");
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_time_is_renewed_once() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    assert_eq!(sender.send(&push()).await.name(), "ok");
    clock.advance(Duration::from_mins(1));
    server.answers(SEND, [unauthenticated()]);
    assert_eq!(sender.send(&push()).await.name(), "ok");
    assert_eq!(
        tokens_used(&server),
        ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    );

    clock.advance(Duration::from_mins(1));
    server.answers(SEND, [unauthenticated(), unauthenticated()]);
    assert_eq!(told(&sender.send(&push()).await), "config http-401");
    assert_eq!((server.asked(SEND).len(), server.asked(TOKEN).len()), (5, 3));
    // A refused token does not affect the next message.
    server.answers(SEND, [reply(404, &error(404, "NOT_FOUND", "UNREGISTERED"))]);
    assert_eq!(told(&sender.send(&push()).await), "address_dead UNREGISTERED");
}

#[tokio::test]
async fn many_messages_that_meet_a_revoked_token_renew_it_once() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    assert_eq!(sender.send(&push()).await.name(), "ok");
    clock.advance(Duration::from_mins(1));
    server.answers(SEND, vec![unauthenticated(); 8]);
    let message = push();
    let outcomes = join_all((0..8).map(|_| sender.send(&message))).await;
    assert!(outcomes.iter().all(|outcome| outcome.name() == "ok"));
    assert_eq!(server.asked(TOKEN).len(), 2);
}

#[tokio::test]
async fn without_a_token_no_message_is_sent() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    for (answer, expected) in [
        (
            reply(400, &json!({"error": "invalid_grant"})),
            "config oauth-http-400",
        ),
        (reply(401, &json!({})), "config oauth-http-401"),
        (
            reply_after(503, "4", &json!({})),
            "throttle oauth-http-503 after 4",
        ),
        (reply(429, &json!({})), "throttle oauth-http-429"),
        (reply(200, &json!({"token": "other"})), "throttle oauth-answer"),
    ] {
        server.answers(TOKEN, [answer]);
        assert_eq!(told(&sender.send(&push()).await), expected);
    }
    let unreachable = format!("http://{}", nobody().await);
    let lost = sender_within(&server.url, &unreachable, Duration::from_secs(5), &clock);
    assert_eq!(told(&lost.send(&push()).await), "retry oauth-unreachable");
    let lost = sender_within(&unreachable, &server.url, Duration::from_secs(5), &clock);
    assert_eq!(told(&lost.send(&push()).await), "retry connect");
    assert!(server.asked(SEND).is_empty());
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_delays_a_send_by_one_request_timeout_at_most() {
    let server = HttpServer::start().await;
    server.answers(TOKEN, vec![Reply::Silence; 8]);
    let limit = Duration::from_millis(600);
    let sender = sender_within(&server.url, &server.url, limit, &Arc::new(ManualClock::at(START)));
    let message = push();
    let all = join_all((0..8).map(|_| sender.send(&message)));
    // The lease of a claim relies on this: one after another they would take nearly five seconds.
    let outcomes: Vec<SendOutcome> = tokio::time::timeout(limit * 3, all)
        .await
        .expect("each ends within the request's time");
    assert!(
        outcomes.iter().all(|outcome| outcome.name() == "retry"),
        "{outcomes:?}"
    );
    assert!(server.asked(SEND).is_empty());
}
