//! SendGrid's wire format, and the outcomes of its answers.

use std::{sync::Arc, time::Duration};

use carillon_domain::Content;
use carillon_providers::{
    SendGridConfig,
    sendgrid::{Categories, SendGridRequests},
};
use carillon_testkit::ManualClock;
use carillon_workers::{HttpSender, Sender as _};
use serde_json::{Value, json};

use crate::{
    http_server::{HttpServer, message, reply, reply_after, reply_with, told},
    smtp::mail,
    support::{PHONE, START},
};

const SEND: &str = "/v3/mail/send";

fn config(url: &str) -> SendGridConfig {
    SendGridConfig {
        api_key: Some("SG.secret".to_owned().into()),
        from: "Shop <shop@shop.example>".parse().unwrap(),
        categories: Categories::default(),
        sandbox: false,
        webhook_key: None,
        secondary_webhook_key: None,
        base_url: url.parse().unwrap(),
        request_timeout: Duration::from_secs(5),
        rate_per_second: None,
    }
}

fn sender(config: &SendGridConfig) -> HttpSender<SendGridRequests> {
    let requests = SendGridRequests::new(config).unwrap();
    HttpSender::new(requests, config.request_timeout, Arc::new(ManualClock::at(START))).unwrap()
}

fn error(field: Option<&str>) -> Value {
    json!({"errors": [{"message": "text that nobody reads", "field": field, "help": null}]})
}

#[tokio::test]
async fn a_mail_is_json_with_the_key_as_bearer_and_its_answer_names_the_message() {
    let server = HttpServer::start().await;
    let outcome = sender(&config(&server.url)).send(&mail()).await;
    assert_eq!(told(&outcome), "ok 14c5d75ce93");
    let asked = server.asked(SEND).remove(0);
    assert_eq!(asked.authorization.as_deref(), Some("Bearer SG.secret"));
    assert_eq!(asked.content_type, "application/json");
    let body = asked.json();
    assert_eq!(
        body["personalizations"][0]["to"],
        json!([{"email": "ada@example.com"}])
    );
    assert_eq!(
        body["from"],
        json!({"email": "shop@shop.example", "name": "Shop"})
    );
}

#[tokio::test]
async fn answers_are_told_apart_by_status_and_field() {
    let server = HttpServer::start().await;
    let sender = sender(&config(&server.url));
    for (answer, expected) in [
        (reply(400, &error(None)), "terminal http-400"),
        (reply(400, &error(Some("subject"))), "terminal http-400:subject"),
        (
            reply(400, &error(Some("personalizations.0.to.0.email"))),
            "address_dead http-400:personalizations.to.email",
        ),
        (
            reply(400, &error(Some("from.email"))),
            "config http-400:from.email",
        ),
        (reply(401, &error(None)), "config http-401"),
        (reply(403, &error(Some("from"))), "config http-403"),
        (reply(413, &json!("no object")), "terminal http-413"),
        (reply(429, &error(None)), "throttle http-429"),
        (reply_after(429, "3", &error(None)), "throttle http-429 after 3"),
        // 2024-11-24T10:00:30Z
        (
            reply_with(429, ("x-ratelimit-reset", "1732442430"), &error(None)),
            "throttle http-429 after 30",
        ),
        (reply(500, &error(None)), "uncertain http-500"),
        (reply(503, &json!({})), "uncertain http-503"),
        (reply(302, &json!({})), "uncertain http-302"),
    ] {
        server.answers(SEND, [answer]);
        assert_eq!(told(&sender.send(&mail()).await), expected);
    }
}

#[tokio::test]
async fn content_of_another_channel_is_refused_without_a_request() {
    let server = HttpServer::start().await;
    let text = Content::Sms { text: "x".to_owned() };
    let outcome = sender(&config(&server.url)).send(&message(PHONE, text)).await;
    assert_eq!(told(&outcome), "terminal wrong-content");
    assert!(server.asked(SEND).is_empty());
}
