use http::{HeaderMap, HeaderValue};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rsa::{Pkcs1v15Sign, RsaPrivateKey, pkcs8::EncodePrivateKey as _};
use serde_json::{Value, json};

use super::*;

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:receipts";
const CERTIFICATE_URL: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem";
const SUBSCRIBE_URL: &str = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t-1";
const AT: &str = "2026-11-24T10:00:00.000Z";

/// SNS's key, and its certificate in PEM.
struct Sns {
    key: RsaPrivateKey,
    certificate: String,
}

impl Sns {
    fn new() -> Self {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der.as_bytes().into(), &PKCS_RSA_SHA256).unwrap();
        let params = CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap().pem();
        Self { key, certificate }
    }

    /// Signs the lines of `names`, which the documentation lists for the type.
    fn sign(&self, call: &mut Value, names: &[&str]) {
        let lines = names
            .iter()
            .filter_map(|name| Some(format!("{name}\n{}\n", call[*name].as_str()?)));
        let text: String = lines.collect();
        // The prefixes of RFC 8017 §9.2, note 1.
        let (hash, prefix): (_, &[u8]) = if call["SignatureVersion"] == "1" {
            let prefix = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
            (digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()), prefix)
        } else {
            let prefix = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
            (digest(&SHA256, text.as_bytes()), prefix)
        };
        let scheme = Pkcs1v15Sign {
            hash_len: Some(hash.as_ref().len()),
            prefix: prefix.into(),
        };
        let signature = self.key.sign(scheme, hash.as_ref()).unwrap();
        call["Signature"] = BASE64_STANDARD.encode(signature).into();
    }
}

const NOTIFICATION: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
const CONFIRMATION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

fn notification(version: &str) -> Value {
    let event = json!({"eventType": "Delivery", "mail": {"messageId": "m", "tags": {"carillon_reference": ["R"]}},
        "delivery": {"timestamp": AT}});
    json!({"Type": "Notification", "MessageId": "id-1", "TopicArn": TOPIC, "Message": event.to_string(), "Timestamp": AT,
        "SignatureVersion": version, "Signature": "", "SigningCertURL": CERTIFICATE_URL, "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/"})
}

fn confirmation() -> Value {
    json!({"Type": "SubscriptionConfirmation", "MessageId": "id-2", "Token": "t-1", "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe…", "SubscribeURL": SUBSCRIBE_URL, "Timestamp": AT, "SignatureVersion": "2", "Signature": "",
        "SigningCertURL": CERTIFICATE_URL})
}

fn receipts(endpoint: Option<&str>) -> SnsReceipts {
    let config = SesConfig {
        sns_endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
        ..crate::ses::testing::config()
    };
    SnsReceipts::new(&TOPIC.parse().unwrap(), &config).unwrap()
}

fn open(call: &Value) -> Result<SnsCall, NotGenuine> {
    receipts(None).open(&Callback {
        query: None,
        headers: &HeaderMap::new(),
        body: call.to_string().as_bytes(),
    })
}

fn judge(sns: &Sns, call: &Value) -> Result<(), NotGenuine> {
    judge_at(sns, call, "2026-11-24T10:00:30Z")
}

fn judge_at(sns: &Sns, call: &Value, now: &str) -> Result<(), NotGenuine> {
    open(call)?.verify(sns.certificate.as_bytes(), now.parse().unwrap())
}

#[test]
fn both_versions_of_the_signature_are_genuine_and_any_change_of_a_signed_field_is_not() {
    let sns = Sns::new();
    for version in ["1", "2"] {
        let mut call = notification(version);
        sns.sign(&mut call, &NOTIFICATION);
        judge(&sns, &call).unwrap();
        let mut with_subject = notification(version);
        with_subject["Subject"] = "Amazon SES Email Event Notification".into();
        sns.sign(&mut with_subject, &NOTIFICATION);
        judge(&sns, &with_subject).unwrap();
        for (field, other) in [
            ("Message", "{}"),
            ("MessageId", "id-3"),
            ("Subject", "s"),
            ("Timestamp", "2026-11-24T10:00:01.000Z"),
        ] {
            let mut changed = call.clone();
            changed[field] = other.into();
            assert_eq!(judge(&sns, &changed), Err(NotGenuine::WrongSignature), "{field}");
        }
        assert_eq!(judge(&Sns::new(), &call), Err(NotGenuine::WrongSignature));
    }
    let mut swapped = notification("1");
    sns.sign(&mut swapped, &NOTIFICATION);
    swapped["SignatureVersion"] = "2".into();
    assert_eq!(judge(&sns, &swapped), Err(NotGenuine::WrongSignature));
    swapped["SignatureVersion"] = "3".into();
    assert_eq!(judge(&sns, &swapped), Err(NotGenuine::Unsigned));
}

#[test]
fn the_certificate_and_the_confirmation_are_fetched_from_snss_own_host_only() {
    let call = notification("2");
    assert_eq!(open(&call).unwrap().certificate_url().as_str(), CERTIFICATE_URL);
    for url in [
        "http://sns.eu-central-1.amazonaws.com/c.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/c.pem",
        "https://sns.eu-west-1.amazonaws.com/c.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/c.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/c.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/c.pem",
        "https://u:p@sns.eu-central-1.amazonaws.com/c.pem",
        "file:///etc/passwd",
        "c.pem",
        "",
    ] {
        let mut call = notification("2");
        call["SigningCertURL"] = url.into();
        assert_eq!(open(&call).unwrap_err(), NotGenuine::ForeignUrl, "{url}");
        let mut call = confirmation();
        call["SubscribeURL"] = url.into();
        assert_eq!(open(&call).unwrap_err(), NotGenuine::ForeignUrl, "{url}");
    }
}

#[test]
fn another_endpoint_replaces_snss_host_and_does_not_add_to_it() {
    let receipts = receipts(Some("http://127.0.0.1:8081"));
    let judge = |url: &str| {
        let mut call = notification("2");
        call["SigningCertURL"] = url.into();
        let body = call.to_string();
        let opened = receipts.open(&Callback {
            query: None,
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        });
        opened.map(drop)
    };
    judge("http://127.0.0.1:8081/sns/certificate.pem").unwrap();
    for url in [
        CERTIFICATE_URL,
        "http://127.0.0.1:8082/c.pem",
        "https://127.0.0.1:8081/c.pem",
    ] {
        assert_eq!(judge(url), Err(NotGenuine::ForeignUrl), "{url}");
    }
}

#[test]
fn a_message_of_another_topic_a_raw_one_and_an_old_one_are_refused() {
    let sns = Sns::new();
    let mut call = notification("2");
    call["TopicArn"] = "arn:aws:sns:eu-central-1:999999999999:receipts".into();
    sns.sign(&mut call, &NOTIFICATION);
    assert_eq!(judge(&sns, &call), Err(NotGenuine::WrongTopic));

    let mut headers = HeaderMap::new();
    headers.insert("x-amz-sns-rawdelivery", HeaderValue::from_static("true"));
    let raw = Callback {
        query: None,
        headers: &headers,
        body: br#"{"eventType":"Delivery"}"#,
    };
    assert_eq!(receipts(None).open(&raw).unwrap_err(), NotGenuine::RawDelivery);
    assert_eq!(
        open(&json!({"eventType": "Delivery"})).unwrap_err(),
        NotGenuine::Unsigned
    );
    assert_eq!(open(&json!([])).unwrap_err(), NotGenuine::Unsigned);

    let mut call = notification("2");
    sns.sign(&mut call, &NOTIFICATION);
    judge_at(&sns, &call, "2026-11-25T10:00:00Z").unwrap();
    for now in ["2026-11-25T12:00:00Z", "2026-11-24T09:00:00Z"] {
        assert_eq!(judge_at(&sns, &call, now), Err(NotGenuine::OutOfTime), "{now}");
    }
    let bad = open(&call)
        .unwrap()
        .verify(b"no certificate", AT.parse().unwrap());
    assert_eq!(bad, Err(NotGenuine::BadCertificate));
}

#[test]
fn a_call_holds_a_receipt_or_a_subscription_to_confirm() {
    let sns = Sns::new();
    let SnsContent::Receipts(receipts) = open(&notification("2")).unwrap().content().unwrap() else {
        panic!()
    };
    assert_eq!(
        (receipts[0].id.as_str(), receipts[0].reference.as_deref()),
        ("id-1", Some("R"))
    );
    let mut call = confirmation();
    sns.sign(&mut call, &CONFIRMATION);
    judge(&sns, &call).unwrap();
    let confirm = SnsContent::Confirm(SUBSCRIBE_URL.parse().unwrap());
    assert_eq!(open(&call).unwrap().content(), Ok(confirm));
    call["SubscribeURL"] =
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t-2".into();
    assert_eq!(judge(&sns, &call), Err(NotGenuine::WrongSignature));
    call["Type"] = "UnsubscribeConfirmation".into();
    sns.sign(&mut call, &CONFIRMATION);
    judge(&sns, &call).unwrap();
    assert_eq!(open(&call).unwrap().content(), Ok(SnsContent::Unsubscribed));
}
