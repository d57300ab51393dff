//! APNs over HTTP/2 with TLS, by a client that trusts the simulator's authority.

use carillon_simulator::{Provider, Simulator, SimulatorConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::{Certificate, Client, Method, RequestBuilder, Version};
use serde_json::{Value, json};

use crate::support::{Running, config, start_with};

const TEAM: &str = "SIMTEAM001";
const KEY_ID: &str = "SIMKEY0001";
const TOPIC: &str = "dev.carillon.shop";
const DEVICE: &str = "a1a1a1a1";

/// A simulator that knows a key, and a client with that key.
struct Phone {
    running: Running,
    client: Client,
    key: KeyPair,
    /// The team's token. It stays the same, because a team may not change it within 20 minutes.
    token: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator's tests are strangers to carillon-runtime's client"
)]
fn client(simulator: &Simulator) -> Client {
    let authority = Certificate::from_pem(simulator.apns_authority_pem().as_bytes()).unwrap();
    Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .build()
        .unwrap()
}

async fn phone() -> Phone {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let running = start_with(SimulatorConfig {
        apns_public_key_pem: Some(key.public_key_pem()),
        ..config()
    })
    .await;
    Phone {
        client: client(&running.simulator),
        running,
        token: signed(&key, KEY_ID, TEAM, now() - 60),
        key,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator goes by the machine's clock"
)]
fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn signed(key: &KeyPair, key_id: &str, team: &str, iat: i64) -> String {
    let header = Header {
        kid: Some(key_id.to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &json!({"iss": team, "iat": iat}), &key).unwrap()
}

fn payload() -> Value {
    json!({
        "aps": {"alert": {"title": "Your parcel", "body": "is on its way"}},
        "carillon_delivery_id": "d-1", "carillon_event_id": "e-1", "url": "https://shop.example",
    })
}

impl Phone {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("https://{}{path}", self.running.simulator.apns_addr());
        self.client.request(method, url).body(payload().to_string())
    }

    fn push(&self, device: &str) -> RequestBuilder {
        self.request(Method::POST, &format!("/3/device/{device}"))
            .header("apns-topic", TOPIC)
            .header("apns-push-type", "alert")
            .bearer_auth(&self.token)
    }
}

async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.get("timestamp").is_some(), status == 410);
    (status, body["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_push_is_shown_with_its_ids_as_on_an_iphone() {
    let phone = phone().await;
    let id = "00000000-0000-0000-0000-000000000007";
    let response = phone.push(DEVICE).header("apns-id", id).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(response.headers()["apns-id"], id);
    let messages = phone.running.simulator.messages();
    let message = messages
        .list(&carillon_simulator::MessageFilter::default())
        .await
        .unwrap()
        .remove(0);
    assert_eq!((message.provider, &*message.to), (Provider::Apns, DEVICE));
    assert_eq!(message.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(message.subject.as_deref(), Some("Your parcel"));
    assert_eq!(message.text.as_deref(), Some("is on its way"));
    assert_eq!(message.datum("url"), Some("https://shop.example"));
    let page = phone
        .running
        .http
        .get(phone.running.url("/"))
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("lock iphone") && page.contains(TOPIC), "{page}");
    phone.running.stop().await;
}

#[tokio::test]
async fn a_provider_token_is_checked_by_signature_key_team_and_age() {
    let phone = phone().await;
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let bare = || {
        phone
            .request(Method::POST, &format!("/3/device/{DEVICE}"))
            .header("apns-topic", TOPIC)
            .header("apns-push-type", "alert")
    };
    assert_eq!(refused(bare()).await, (403, "MissingProviderToken".to_owned()));
    for (token, reason) in [
        ("none".to_owned(), "InvalidProviderToken"),
        (signed(&other, KEY_ID, TEAM, now()), "InvalidProviderToken"),
        (
            signed(&phone.key, "OTHERKEY01", TEAM, now()),
            "InvalidProviderToken",
        ),
        (
            signed(&phone.key, KEY_ID, "OTHERTEAM1", now()),
            "InvalidProviderToken",
        ),
        (
            signed(&phone.key, KEY_ID, TEAM, now() + 900),
            "InvalidProviderToken",
        ),
        (
            signed(&phone.key, KEY_ID, TEAM, now() - 3_700),
            "ExpiredProviderToken",
        ),
    ] {
        assert_eq!(refused(bare().bearer_auth(token)).await, (403, reason.to_owned()));
    }
    phone.running.stop().await;
}

#[tokio::test]
async fn a_second_token_within_twenty_minutes_is_refused() {
    let phone = phone().await;
    let send = |iat| {
        phone
            .request(Method::POST, &format!("/3/device/{DEVICE}"))
            .header("apns-topic", TOPIC)
            .header("apns-push-type", "alert")
            .bearer_auth(signed(&phone.key, KEY_ID, TEAM, iat))
    };
    let begun = now();
    assert_eq!(send(begun - 2_400).send().await.unwrap().status(), 200);
    assert_eq!(send(begun - 2_400).send().await.unwrap().status(), 200);
    let too_many = (429, "TooManyProviderTokenUpdates".to_owned());
    assert_eq!(refused(send(begun - 2_000)).await, too_many);
    assert_eq!(send(begun).send().await.unwrap().status(), 200);
    phone.running.stop().await;
}

#[tokio::test]
async fn headers_payload_and_device_are_checked_as_apple_does() {
    let phone = phone().await;
    let long = "x".repeat(65);
    for (request, status, reason) in [
        (
            phone.push(DEVICE).header("apns-collapse-id", long),
            400,
            "BadCollapseId",
        ),
        (
            phone.push(DEVICE).header("apns-priority", "7"),
            400,
            "BadPriority",
        ),
        (
            phone.push(DEVICE).header("apns-expiration", "soon"),
            400,
            "BadExpirationDate",
        ),
        (phone.push(DEVICE).header("apns-id", "7"), 400, "BadMessageId"),
        (phone.push(DEVICE).body("{}"), 400, "PayloadEmpty"),
        (phone.push(DEVICE).body(" ".repeat(4_097)), 413, "PayloadTooLarge"),
        (phone.push("not-hexadecimal"), 400, "BadDeviceToken"),
        (phone.push("bad0"), 400, "BadDeviceToken"),
        (phone.push("c0ffee"), 400, "DeviceTokenNotForTopic"),
        (phone.push("dead"), 410, "Unregistered"),
        (phone.push("feed"), 429, "TooManyRequests"),
        (
            phone.request(Method::GET, "/3/device/a1"),
            405,
            "MethodNotAllowed",
        ),
        (phone.request(Method::POST, "/3/devices"), 404, "BadPath"),
        (
            phone.request(Method::POST, "/3/device/"),
            400,
            "MissingDeviceToken",
        ),
    ] {
        assert_eq!(refused(request).await, (status, reason.to_owned()));
    }
    let token = phone.token.clone();
    let topicless = |topic: Option<&'static str>| {
        let request = phone.request(Method::POST, "/3/device/a1").bearer_auth(&token);
        topic
            .into_iter()
            .fold(request, |request, topic| request.header("apns-topic", topic))
    };
    assert_eq!(refused(topicless(None)).await.1, "MissingTopic");
    assert_eq!(refused(topicless(Some("other"))).await.1, "TopicDisallowed");
    assert_eq!(refused(topicless(Some(TOPIC))).await.1, "InvalidPushType");
    phone.running.stop().await;
}

#[tokio::test]
async fn scripts_answer_reset_and_go_away() {
    let phone = phone().await;
    let script = async |rule: Value| phone.running.script(json!([rule])).await;
    script(json!({"provider": "apns", "status": 503, "code": "Shutdown", "retry_after": 3})).await;
    let response = phone.push(DEVICE).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(refused(phone.push(DEVICE)).await, (503, "Shutdown".to_owned()));
    script(json!({"provider": "apns", "action": "reset"})).await;
    assert!(phone.push(DEVICE).send().await.is_err());
    script(json!({"provider": "apns", "action": "goaway"})).await;
    for _ in 0..3 {
        assert_eq!(phone.push(DEVICE).send().await.unwrap().status(), 200);
    }
    let (status, _) = phone
        .running
        .put(
            "/v1/faults",
            &json!([{"provider": "apns", "status": 400, "code": "bad code"}]),
        )
        .await;
    assert_eq!(status, 422);
    phone.running.stop().await;
}

#[tokio::test]
async fn an_authority_is_generated_once_and_kept_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || SimulatorConfig {
        data_dir: Some(folder.path().to_owned()),
        ..config()
    };
    let first = start_with(kept()).await;
    let authority = first.simulator.apns_authority_pem().to_owned();
    first.stop().await;
    let second = start_with(kept()).await;
    assert_eq!(second.simulator.apns_authority_pem(), authority);
    let file = std::fs::read_to_string(folder.path().join("apns-authority.pem")).unwrap();
    assert_eq!(file, authority);
    second.stop().await;
}
