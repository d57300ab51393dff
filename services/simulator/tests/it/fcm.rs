use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use carillon_simulator::{Channel, Provider, SimulatorConfig};

use crate::support::{answer, assertion, config, grant, now, signed, start, start_with};

fn fcm_code(body: &Value) -> &str {
    let details = body["error"]["details"].as_array().unwrap();
    let fcm = details
        .iter()
        .find(|detail| detail["@type"].as_str().unwrap().ends_with("fcm.v1.FcmError"));
    fcm.and_then(|detail| detail["errorCode"].as_str()).unwrap()
}

#[tokio::test]
async fn a_push_message_is_received_with_its_ids_and_answered_with_its_name() {
    let running = start().await;
    let (status, body) = running
        .push(json!({
            "token": "device-1",
            "notification": { "title": "Expédié", "body": "En route" },
            "data": { "carillon_delivery_id": "d-1", "carillon_event_id": "e-1", "order": "1001" },
            "android": { "ttl": "3600s", "collapse_key": "d-1" },
        }))
        .await;
    assert_eq!(status, 200);
    let name = body["name"].as_str().unwrap();
    assert!(name.starts_with("projects/shop/messages/"), "{name}");
    let messages = running.all().await;
    let message = &messages[0];
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (message.provider, message.channel, message.to.as_str()),
        (Provider::Fcm, Channel::Push, "device-1")
    );
    assert_eq!(
        (message.subject.as_deref(), message.text.as_deref()),
        (Some("Expédié"), Some("En route"))
    );
    assert_eq!(
        (message.delivery_id.as_deref(), message.event_id.as_deref()),
        (Some("d-1"), Some("e-1"))
    );
    assert_eq!(message.datum("order"), Some("1001"));
    assert_eq!(message.provider_message_id, name);
    assert!(message.header("android").unwrap().contains("3600s"));
}

#[tokio::test]
async fn a_dry_run_is_answered_and_not_received() {
    let running = start().await;
    let request = running
        .http
        .post(running.url("/v1/projects/shop/messages:send"))
        .bearer_auth(running.access_token().await)
        .json(&json!({ "validate_only": true, "message": { "token": "device-1" } }));
    let (status, body) = answer(request).await;
    assert_eq!(
        (status, body["name"].as_str()),
        (200, Some("projects/shop/messages/fake_message_id"))
    );
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn a_bad_bearer_is_unauthenticated_and_has_no_fcm_error() {
    let running = start().await;
    for bearer in [None, Some("made-up")] {
        let mut request = running
            .http
            .post(running.url("/v1/projects/shop/messages:send"))
            .json(&json!({ "message": { "token": "device-1" } }));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        let (status, body) = answer(request).await;
        assert_eq!(
            (status, body["error"]["status"].as_str()),
            (401, Some("UNAUTHENTICATED"))
        );
        assert_eq!(body["error"].get("details"), None);
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn devices_fail_as_their_tokens_say() {
    let running = start().await;
    let fates = [
        ("unregistered-1", 404, "UNREGISTERED"),
        ("invalid-1", 400, "INVALID_ARGUMENT"),
        ("sender-mismatch-1", 403, "SENDER_ID_MISMATCH"),
        ("third-party-auth-1", 401, "THIRD_PARTY_AUTH_ERROR"),
        ("quota-1", 429, "QUOTA_EXCEEDED"),
        ("unavailable-1", 503, "UNAVAILABLE"),
        ("internal-1", 500, "INTERNAL"),
    ];
    for (token, status, code) in fates {
        let response = running
            .push_request(json!({ "token": token }))
            .await
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{token}");
        assert_eq!(
            response.headers().contains_key("retry-after"),
            matches!(status, 429 | 503),
            "{token}"
        );
        assert_eq!(fcm_code(&response.json().await.unwrap()), code, "{token}");
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn bodies_that_fcm_refuses_are_invalid_arguments_that_name_the_field() {
    let running = start().await;
    let bad = [
        (
            json!({ "token": "d", "data": { "count": 1 } }),
            "message.data[0].value",
        ),
        (
            json!({ "token": "d", "data": { "google.x": "1" } }),
            "message.data",
        ),
        (
            json!({ "token": "d", "webpush": { "headers": { "TTL": "soon" } } }),
            "message.webpush.headers",
        ),
        (
            json!({ "token": "d", "apns": { "headers": { "apns-expiration": 1 } } }),
            "message.apns.headers",
        ),
        (json!({ "token": "d", "tokn": "e" }), "message"),
        (
            json!({ "token": "d", "notification": "hello" }),
            "message.notification",
        ),
        (
            json!({ "token": "d", "notification": { "title": 1 } }),
            "message.notification.title",
        ),
        (
            json!({ "token": "d", "android": { "ttl": "2419201s" } }),
            "message.android.ttl",
        ),
        (
            json!({ "token": "d", "android": { "ttl": "an hour" } }),
            "message.android.ttl",
        ),
        (json!({ "notification": {} }), "message"),
        (json!("not an object"), "message"),
    ];
    for (message, field) in bad {
        let (status, body) = running.push(message.clone()).await;
        assert_eq!(
            (status, body["error"]["status"].as_str()),
            (400, Some("INVALID_ARGUMENT")),
            "{message}"
        );
        let details = body["error"]["details"].as_array().unwrap();
        let violations = details
            .iter()
            .find_map(|detail| detail.get("fieldViolations"))
            .unwrap();
        assert_eq!(violations[0]["field"].as_str(), Some(field), "{body}");
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn data_keys_that_google_keeps_for_itself_are_refused() {
    let running = start().await;
    for key in [
        "from",
        "message_type",
        "collapse_key",
        "notification",
        "gcm",
        "gcm.y",
        "google",
        "google.x",
    ] {
        let (status, body) = running.push(json!({ "token": "d", "data": { key: "1" } })).await;
        assert_eq!((status, fcm_code(&body)), (400, "INVALID_ARGUMENT"), "{key}");
    }
    let fine = json!({ "token": "d", "data": { "googly": "1", "from_whom": "1", "gcmx": "1" } });
    assert_eq!(running.push(fine).await.0, 200);
    assert_eq!(running.all().await.len(), 1);
}

#[tokio::test]
async fn a_payload_that_is_too_big_is_an_invalid_argument_that_names_no_field() {
    let running = start().await;
    let (status, body) = running
        .push(json!({ "token": "d", "data": { "text": "x".repeat(4_096) } }))
        .await;
    assert_eq!(status, 400);
    let expected: Value = serde_json::from_str(include_str!(
        "../../../../shared/providers/cases/fcm-400-no-violation.json"
    ))
    .unwrap();
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_payload_of_exactly_4096_bytes_is_accepted() {
    let running = start().await;
    let frame = json!({ "text": "" }).to_string().len();
    let (status, body) = running
        .push(json!({ "token": "d", "data": { "text": "x".repeat(4_096 - frame) } }))
        .await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn another_method_of_messages_is_not_there() {
    let running = start().await;
    let (status, _) = answer(
        running
            .http
            .post(running.url("/v1/projects/shop/messages:subscribe")),
    )
    .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn with_a_public_key_only_assertions_of_its_owner_are_exchanged() {
    let owner = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1_024).unwrap();
    let stranger = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1_024).unwrap();
    let pem = owner.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let running = start_with(SimulatorConfig {
        service_account_public_key_pem: Some(pem),
        ..config()
    })
    .await;
    let key = |private: &RsaPrivateKey| {
        EncodingKey::from_rsa_pem(private.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap()
    };
    let exchange = async |assertion: String| {
        answer(running.http.post(running.url("/token")).form(&grant(&assertion))).await
    };

    let (status, body) = exchange(assertion(&key(&owner), Algorithm::RS256)).await;
    assert_eq!(
        (status, body["expires_in"].as_i64(), body["token_type"].as_str()),
        (200, Some(3_600), Some("Bearer"))
    );

    let (status, body) = exchange(assertion(&key(&stranger), Algorithm::RS256)).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
}

#[tokio::test]
async fn assertions_with_wrong_claims_and_other_grants_are_refused_as_oauth_says() {
    let running = start().await;
    let key = EncodingKey::from_secret(b"any");
    let good = json!({
        "iss": "sender@shop.example", "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "http://simulator/token", "iat": now(), "exp": now() + 60,
    });
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        signed(&key, Algorithm::HS256, &claims)
    };
    let refused = [
        grant("not a token"),
        grant(&with("exp", json!(now() - 1))),
        grant(&with("exp", json!(now() + 4_000))),
        grant(&with("iss", json!(""))),
        grant(&with("aud", json!("http://simulator/elsewhere"))),
        grant(&with("scope", json!("https://www.googleapis.com/auth/drive"))),
    ];
    for form in refused {
        let (status, body) = answer(running.http.post(running.url("/token")).form(&form)).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (400, Some("invalid_grant")),
            "{form:?}"
        );
    }
    let (status, body) = answer(
        running
            .http
            .post(running.url("/token"))
            .form(&[("grant_type", "password")]),
    )
    .await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("unsupported_grant_type"))
    );
    let (status, body) = answer(running.http.post(running.url("/token")).body("nothing")).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")));
}
