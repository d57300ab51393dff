//! Amazon SES's wire format, and the outcomes of its answers.

use std::{sync::Arc, time::Duration};

use carillon_domain::Content;
use carillon_providers::{SesConfig, ses::SesRequests};
use carillon_testkit::ManualClock;
use carillon_workers::{HttpSender, Sender as _};
use serde_json::json;

use crate::{
    http_server::{HttpServer, message, reply, reply_after, reply_with, told},
    smtp::mail,
    support::{PHONE, START},
};

const SEND: &str = "/v2/email/outbound-emails";

fn config(url: &str) -> SesConfig {
    SesConfig {
        region: "eu-central-1".parse().unwrap(),
        access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret_access_key: Some("secret".to_owned().into()),
        session_token: None,
        from: "Shop <shop@shop.example>".parse().unwrap(),
        configuration_set: None,
        receipts_topic: None,
        sns_endpoint: None,
        base_url: Some(url.parse().unwrap()),
        request_timeout: Duration::from_secs(5),
        rate_per_second: None,
    }
}

fn sender(config: &SesConfig) -> HttpSender<SesRequests> {
    let requests = SesRequests::new(config).unwrap();
    HttpSender::new(requests, config.request_timeout, Arc::new(ManualClock::at(START))).unwrap()
}

#[tokio::test]
async fn a_mail_is_signed_with_the_clocks_time_and_its_answer_names_the_message() {
    let server = HttpServer::start().await;
    assert_eq!(
        told(&sender(&config(&server.url)).send(&mail()).await),
        "ok 0107-1"
    );
    let asked = server.asked(SEND).remove(0);
    let authorization = asked.authorization.as_deref().unwrap();
    let scope = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20241124/eu-central-1/ses/aws4_request,";
    assert!(authorization.starts_with(scope), "{authorization}");
    assert_eq!(asked.content_type, "application/json");
    assert_eq!(
        asked.json()["Destination"],
        json!({"ToAddresses": ["ada@example.com"]})
    );
}

#[tokio::test]
async fn answers_are_told_apart_by_their_types() {
    let server = HttpServer::start().await;
    let sender = sender(&config(&server.url));
    let of_type = |status, kind| reply_with(status, ("x-amzn-ErrorType", kind), &json!({"message": "m"}));
    for (answer, expected) in [
        (of_type(400, "MessageRejected"), "terminal MessageRejected"),
        (
            of_type(400, "BadRequestException"),
            "terminal BadRequestException",
        ),
        (
            of_type(429, "TooManyRequestsException:http://internal.amazon.com/"),
            "throttle TooManyRequestsException",
        ),
        (
            of_type(400, "AccountSuspendedException"),
            "config AccountSuspendedException",
        ),
        (
            of_type(403, "InvalidSignatureException"),
            "config InvalidSignatureException",
        ),
        (of_type(403, "RequestExpired"), "config RequestExpired"),
        (reply_after(429, "3", &json!({})), "throttle http-429 after 3"),
        (
            reply(400, &json!({"__type": "LimitExceededException"})),
            "throttle LimitExceededException",
        ),
        (
            of_type(500, "InternalServiceErrorException"),
            "uncertain InternalServiceErrorException",
        ),
        (reply(503, &json!({})), "uncertain http-503"),
        (reply(302, &json!({})), "uncertain http-302"),
    ] {
        server.answers(SEND, [answer]);
        assert_eq!(told(&sender.send(&mail()).await), expected);
    }
}

#[tokio::test]
async fn other_content_is_refused_without_asking() {
    let server = HttpServer::start().await;
    let text = Content::Sms { text: "x".to_owned() };
    let outcome = sender(&config(&server.url)).send(&message(PHONE, text)).await;
    assert_eq!(told(&outcome), "terminal wrong-content");
    assert!(server.asked(SEND).is_empty());
}
