//! Receipts of providers: signatures, references, and the records that follow.

use std::time::Duration;

use axum::{body::Body, http::Request};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_bus::{Backend, Bus, KafkaConfig, Record};
use carillon_domain::{
    Channel, DeliveryId, DeliveryStatus, StatusRecord, TenantId, Timestamp, receipt::DeliveryReceipt,
    suppression::SuppressionReason,
};
use carillon_gateway::GatewayConfig;
use carillon_providers::{Reference, ReferenceKey};
use carillon_store::{
    Lease,
    send_ledger::{SendClaim, SendKey},
    users::UserPut,
};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use serde_json::json;
use uuid::Uuid;

use crate::{
    receipts_calls::of_sns,
    support::{Answer, Ask, START, Setting, on_gateway, on_gateway_with, send_to},
};

pub(crate) const PHONE: &str = "+4915112345678";

fn delivery() -> DeliveryId {
    DeliveryId(Uuid::from_u128(7))
}

pub(crate) fn reference() -> Reference {
    Reference {
        tenant: TenantId::default(),
        event_id: "o-7".into(),
        delivery_id: delivery(),
        accepted_at: START.parse().unwrap(),
        generation: 0,
        attempt: 2,
    }
}

pub(crate) fn signed_reference(setting: &Setting, reference: &Reference) -> String {
    ReferenceKey::of(setting.env.store.address_key()).sign(reference)
}

/// A status callback of Twilio, signed with a token.
pub(crate) fn callback(token: &str, reference: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let path = format!("/v1/receipts/texts?delivery_id=x&reference={reference}");
    signed_form(token, &path, fields)
}

/// A call of Twilio, signed with a token.
pub(crate) fn signed_form(token: &str, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut content = format!("https://notify.example.com{path}");
    for (name, value) in sorted {
        content.extend([name, value]);
    }
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let form: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace('+', "%2B").replace(' ', "+")))
        .collect();
    Request::post(path)
        .header(
            "x-twilio-signature",
            BASE64_STANDARD.encode(sign(&key, content.as_bytes())),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.join("&").into())
        .unwrap()
}

pub(crate) fn fate<'a>(status: &'a str, code: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("MessageSid", "SM1"),
        ("MessageStatus", status),
        ("To", PHONE),
        ("ErrorCode", code),
    ]
}

pub(crate) async fn report(setting: &Setting, status: &str, code: &str) -> Answer {
    let reference = signed_reference(setting, &reference());
    setting
        .send(callback("token-1", &reference, &fate(status, code)))
        .await
}

/// The receipts on the status topic.
pub(crate) async fn recorded(setting: &Setting) -> Vec<DeliveryReceipt> {
    let records = setting.statuses().await;
    let receipt = |record: &Record| match StatusRecord::parse(&record.value).unwrap() {
        StatusRecord::Receipt(receipt) => receipt,
        other => panic!("{other:?}"),
    };
    records.iter().map(receipt).collect()
}

#[tokio::test]
async fn a_signed_receipt_is_recorded_for_the_attempt_of_its_reference() {
    on_gateway(async |setting| {
        setting.advance(5);
        assert_eq!(report(setting, "delivered", "0").await.status, 204);
        let [receipt] = recorded(setting).await.try_into().unwrap();
        assert_eq!(
            (receipt.tenant.as_str(), receipt.event_id.as_str()),
            ("default", "o-7")
        );
        assert_eq!(
            (receipt.delivery_id, receipt.generation, receipt.attempt),
            (delivery(), 0, 2)
        );
        assert_eq!(
            (&*receipt.provider, receipt.provider_message_id.as_deref()),
            ("texts", Some("SM1"))
        );
        assert_eq!(receipt.step.status, DeliveryStatus::Delivered);
        let at: Timestamp = START.parse().unwrap();
        assert_eq!(receipt.step.at, at + Duration::from_secs(5));
        let records = setting.statuses().await;
        assert_eq!(records[0].headers.get_str("carillon-tenant"), Some("default"));
        assert_eq!(records[0].key.as_deref(), Some("default|o-7".as_bytes()));
    })
    .await;
}

#[tokio::test]
async fn a_call_without_the_providers_signature_is_401_and_changes_nothing() {
    on_gateway(async |setting| {
        let reference = signed_reference(setting, &reference());
        // The secondary token is accepted too, for the time of a rotation.
        for (token, status) in [("token-2", 204), ("token-3", 401), ("", 401)] {
            let call = callback(token, &reference, &fate("undelivered", "30005"));
            assert_eq!(setting.send(call).await.status, status, "{token}");
        }
        let mut unsigned = callback("token-1", &reference, &fate("delivered", "0"));
        unsigned.headers_mut().remove("x-twilio-signature");
        setting.send(unsigned).await.problem(401, "unauthorized");
        let mut twice = callback("token-1", &reference, &fate("delivered", "0"));
        let signature = twice.headers()["x-twilio-signature"].clone();
        twice.headers_mut().append("x-twilio-signature", signature);
        setting.send(twice).await.problem(401, "unauthorized");
        let mut other = callback("token-1", &reference, &fate("delivered", "0"));
        *other.body_mut() = "MessageSid=SM2&MessageStatus=delivered".into();
        setting.send(other).await.problem(401, "unauthorized");
        assert_eq!(recorded(setting).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_of_another_installation_or_of_an_old_delivery_is_answered_204_and_not_recorded() {
    on_gateway(async |setting| {
        let old = Reference {
            accepted_at: "2026-08-01T00:00:00Z".parse().unwrap(),
            ..reference()
        };
        let foreign =
            ReferenceKey::of(&carillon_domain::contact::AddressKey::new([9; 32])).sign(&reference());
        for text in [
            signed_reference(setting, &old),
            foreign,
            "x".to_owned(),
            String::new(),
        ] {
            let call = callback("token-1", &text, &fate("undelivered", "30005"));
            assert_eq!(setting.send(call).await.status, 204, "{text}");
        }
        assert!(recorded(setting).await.is_empty());
        let list = setting.get("/v1/suppressions").await.json();
        assert_eq!(list["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_number_that_a_carrier_reports_as_dead_or_stopped_takes_no_messages_and_the_entry_names_the_delivery()
 {
    on_gateway(async |setting| {
        report(setting, "undelivered", "30003").await;
        assert_eq!(
            setting.get("/v1/suppressions").await.json()["items"],
            json!([]),
            "it may be reached later"
        );
        report(setting, "undelivered", "30005").await;
        let path = format!("/v1/suppressions/sms/{PHONE}");
        let entry = setting.get(&path).await.json();
        assert_eq!(
            (
                &entry["reason"],
                &entry["code"],
                &entry["provider"],
                &entry["delivery_id"]
            ),
            (
                &json!("hard_bounce"),
                &json!("30005"),
                &json!("texts"),
                &json!(delivery())
            )
        );
        report(setting, "failed", "21610").await;
        let entry = setting.get(&path).await.json();
        assert_eq!(
            (&entry["reason"], &entry["code"]),
            (&json!("opted_out"), &json!("21610"))
        );
        setting.advance(10);
        // A person lifts the entry. A repeat of the old receipt does not restore it.
        assert_eq!(setting.ask(Ask::delete(&path)).await.status, 204);
        report(setting, "failed", "21610").await;
        assert_eq!(setting.get(&path).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn a_number_that_was_registered_after_the_message_was_sent_is_not_struck() {
    on_gateway(async |setting| {
        let claim = async |attempt: u32| {
            let key = SendKey {
                accepted_at: START.parse().unwrap(),
                delivery_id: delivery(),
                generation: 0,
                attempt,
            };
            let lease = Lease {
                owner: Uuid::now_v7(),
                until: key.accepted_at,
            };
            setting
                .env
                .store
                .send_ledger()
                .claim(&[SendClaim { key, lease }])
                .await
                .unwrap();
        };
        let register = async |phone: &str| {
            let put = UserPut {
                phone: Some(phone.to_owned()),
                ..UserPut::default()
            };
            let users = setting.env.store.users();
            users
                .put(&setting.tenant, &"u-7".into(), &put, None)
                .await
                .unwrap();
        };
        setting.advance(10);
        claim(2).await;
        setting.advance(10);
        register(PHONE).await;
        report(setting, "undelivered", "30005").await;
        assert_eq!(setting.get("/v1/suppressions").await.json()["items"], json!([]));
        // The next attempt went to the number that is registered now, although its event is older.
        setting.advance(10);
        claim(3).await;
        let third = Reference {
            attempt: 3,
            ..reference()
        };
        let reference = signed_reference(setting, &third);
        setting
            .send(callback("token-1", &reference, &fate("undelivered", "30005")))
            .await;
        let list = setting.env.store.suppressions();
        let hash = setting.env.store.address_key().hash(Channel::Sms, PHONE);
        let found = list.of(&setting.tenant, &[hash]).await.unwrap();
        assert_eq!(found[&hash].reason, SuppressionReason::HardBounce);
    })
    .await;
}

#[tokio::test]
async fn an_account_that_takes_no_receipts_says_why() {
    on_gateway(async |setting| {
        for (account, expected) in [
            ("nobody", "there is no provider account \"nobody\""),
            ("relay", "the provider of the account relay sends no receipts"),
            (
                "mute",
                "the account mute takes no receipts, because providers.mute.callback_url is not set",
            ),
        ] {
            let call = Request::post(format!("/v1/receipts/{account}"))
                .body(Body::empty())
                .unwrap();
            let answer = setting.send(call).await;
            answer.problem(404, "not-found");
            assert_eq!(answer.json()["detail"], expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_signed_call_without_a_message_is_refused_with_the_missing_parameter_and_a_large_call_is_refused() {
    on_gateway(async |setting| {
        let reference = signed_reference(setting, &reference());
        let call = callback("token-1", &reference, &[("MessageStatus", "sent")]);
        let answer = setting.send(call).await;
        answer.problem(422, "validation");
        assert_eq!(answer.json()["detail"], "expected the parameter MessageSid");
        let large = Request::post("/v1/receipts/texts")
            .header("x-twilio-signature", BASE64_STANDARD.encode([7; 20]))
            .body(vec![b'x'; (1 << 20) + 1].into())
            .unwrap();
        setting.send(large).await.problem(413, "too-large");
    })
    .await;
}

#[tokio::test]
async fn while_the_broker_is_away_a_receipt_is_answered_503_and_its_repeat_is_recorded() {
    on_gateway(async |setting| {
        let mut config = setting.env.bus_config.clone();
        config.backend = Backend::Kafka(Box::new(KafkaConfig {
            // No server listens on this port.
            brokers: "127.0.0.1:1".to_owned(),
            ..KafkaConfig::default()
        }));
        let away = Bus::connect(config, setting.clock.clone()).await.unwrap();
        let gateway = setting.process_on(&away);
        let reference = signed_reference(setting, &reference());
        let call = || callback("token-1", &reference, &fate("undelivered", "30005"));
        let refused = send_to(&gateway, call()).await;
        refused.problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(setting.send(call()).await.status, 204);
        assert_eq!(recorded(setting).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_account_has_a_bound_of_calls_a_second_and_does_not_take_those_of_another() {
    let config = GatewayConfig {
        receipts_per_second: 1,
        ..GatewayConfig::default()
    };
    on_gateway_with(config, async |setting| {
        let forged = || setting.send(callback("token-3", "x", &fate("delivered", "0")));
        // A call without a signature does not count.
        let mut unsigned = callback("token-1", "x", &fate("delivered", "0"));
        unsigned.headers_mut().remove("x-twilio-signature");
        setting.send(unsigned).await.problem(401, "unauthorized");
        forged().await.problem(401, "unauthorized");
        let limited = forged().await;
        limited.problem(429, "rate-limited");
        assert!(limited.header("retry-after").is_some());
        let other = setting.send(of_sns("http://127.0.0.1:1/certificate.pem")).await;
        other.problem(503, "unavailable");
    })
    .await;
}
