//! Calls of providers that are refused or held back before they become receipts: bodies, headers, times and certificates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
    response::Redirect,
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    receipts::{recorded, report},
    support::{START, on_gateway, send_to},
};

/// A call to the account `texts` with a signature of Twilio's form, whose body begins and never ends. `read` counts bodies of
/// which the gateway awaits more.
fn half_call(read: &Arc<Semaphore>) -> Request<Body> {
    let read = Arc::clone(read);
    let begin = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"M")) });
    let rest = stream::once(async move {
        read.add_permits(1);
        std::future::pending().await
    });
    Request::post("/v1/receipts/texts")
        .header("x-twilio-signature", BASE64_STANDARD.encode([7; 20]))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from_stream(begin.chain(rest)))
        .unwrap()
}

#[tokio::test]
async fn a_genuine_receipt_is_recorded_while_forty_calls_hold_back_their_bodies() {
    on_gateway(async |setting| {
        let read = Arc::new(Semaphore::new(0));
        let mut held = JoinSet::new();
        for _ in 0..40 {
            let (gateway, call) = (setting.router.clone(), half_call(&read));
            let read = Arc::clone(&read);
            held.spawn(async move {
                let answer = send_to(&gateway, call).await;
                read.add_permits(1);
                answer
            });
        }
        let _all = read.acquire_many(40).await.unwrap();
        assert_eq!(report(setting, "delivered", "0").await.status, 204);
        assert_eq!(recorded(setting).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_headers_are_not_the_providers_is_401_before_its_body_is_read() {
    on_gateway(async |setting| {
        let signature = |text: &'static str| [("x-twilio-signature", text)];
        let sendgrid = |signature, timestamp| {
            [
                ("x-twilio-email-event-webhook-signature", signature),
                ("x-twilio-email-event-webhook-timestamp", timestamp),
            ]
        };
        let of_a_form = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
        for (account, headers) in [
            ("texts", vec![]),
            ("texts", signature("AAAA").to_vec()),
            ("texts", signature("no base64!").to_vec()),
            ("mails", vec![]),
            ("mails", sendgrid("AAAA", "1600112502").to_vec()),
            ("mails", sendgrid(of_a_form, "soon").to_vec()),
            ("mails", sendgrid(of_a_form, "1600112502").to_vec()),
            ("amazon", vec![("x-amz-sns-rawdelivery", "true")]),
            ("amazon", vec![("x-amz-sns-topic-arn", "arn:aws:sns:eu-central-1:1:other")]),
        ] {
            let mut call = Request::post(format!("/v1/receipts/{account}"));
            for (name, value) in &headers {
                call = call.header(*name, *value);
            }
            let unread = stream::poll_fn(|_| -> Poll<Option<std::io::Result<Bytes>>> {
                panic!("the body is read");
            });
            let answer = setting.send(call.body(Body::from_stream(unread)).unwrap()).await;
            assert_eq!(answer.status, 401, "{account} {headers:?} {answer:?}");
        }
    })
    .await;
}

/// SendGrid's test vector: its libraries verify this body.
const SENDGRID_BODY: &str = concat!(
    r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
    "\r\n"
);

#[tokio::test]
async fn a_call_of_sendgrid_from_another_year_is_refused_although_its_signature_fits() {
    on_gateway(async |setting| {
        let signature =
            "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
        let call = Request::post("/v1/receipts/mails")
            .header("x-twilio-email-event-webhook-signature", signature)
            .header("x-twilio-email-event-webhook-timestamp", "1600112502")
            .body(SENDGRID_BODY.into())
            .unwrap();
        let refused = setting.send(call).await;
        refused.problem(401, "unauthorized");
        assert_eq!(refused.json()["detail"], "the signature is not of this time");
    })
    .await;
}

/// A call of SNS with an empty signature, which is never valid.
pub(crate) fn of_sns(certificate_url: &str) -> Request<Body> {
    let envelope = json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-central-1:000000000000:receipts",
        "Message": "{}", "Timestamp": START, "SignatureVersion": "2", "Signature": "", "SigningCertURL": certificate_url});
    Request::post("/v1/receipts/amazon")
        .body(envelope.to_string().into())
        .unwrap()
}

#[tokio::test]
async fn snss_certificate_is_fetched_once_within_bounds_and_from_its_own_host_alone() {
    // The account's `sns_endpoint`; tests of this file share it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let host = Router::new()
        .route(
            "/certificate.pem",
            get(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                let certificate = certificate.clone();
                async move { certificate }
            }),
        )
        .route("/other.pem", get(|| async { "no certificate" }))
        .route("/large.pem", get(|| async { "x".repeat(17 << 10) }))
        .route(
            "/moved.pem",
            get(|| async { Redirect::temporary("/certificate.pem") }),
        );
    tokio::spawn(async move { axum::serve(listener, host).await });
    on_gateway(async |setting| {
        let gateway = setting.with_sns_at(&endpoint);
        let send = |path: &str| send_to(&gateway, of_sns(&format!("{endpoint}{path}")));
        for path in ["/large.pem", "/moved.pem", "/missing.pem"] {
            // SNS repeats a call that is answered 503.
            send(path).await.problem(503, "unavailable");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0, "no redirect is followed");
        for _ in 0..3 {
            let refused = send("/certificate.pem").await;
            refused.problem(401, "unauthorized");
            let detail = "the signature does not match the content and the account's secrets";
            assert_eq!(refused.json()["detail"], detail);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let refused = send("/other.pem").await;
        refused.problem(401, "unauthorized");
        let detail = "the certificate cannot be read, or is not valid now";
        assert_eq!(refused.json()["detail"], detail);
        let foreign = send_to(&gateway, of_sns("http://127.0.0.1:1/certificate.pem")).await;
        foreign.problem(401, "unauthorized");
        let detail = "the URL of the certificate or of the confirmation is not on SNS's own host";
        assert_eq!(foreign.json()["detail"], detail);
    })
    .await;
}
