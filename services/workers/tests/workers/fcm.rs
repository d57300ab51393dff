//! FCM's wire format, and the outcomes of its answers.

use std::{sync::Arc, time::Duration};

use carillon_domain::Clock as _;
use carillon_domain::Content;
use carillon_providers::OutgoingMessage;
use carillon_testkit::ManualClock;
use carillon_workers::Sender as _;
use serde_json::{Value, json};

use crate::{
    fcm_tokens::{SEND, TOKEN, sender, sender_within},
    http_server::{HttpServer, Reply, breaks_off, message, reply, reply_after, told},
    support::START,
};

pub(crate) fn push() -> OutgoingMessage {
    let content = Content::Push {
        title: "Your parcel".to_owned(),
        body: "is on its way".to_owned(),
        data: [("url".to_owned(), "https://shop.example/1001".to_owned())].into(),
        collapse: None,
    };
    message("device-token", content)
}

/// FCM's error, as its documentation shows it.
pub(crate) fn error(status: u16, name: &str, code: &str) -> Value {
    json!({"error": {
        "code": status, "message": "text that nobody reads", "status": name,
        "details": [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}],
    }})
}

#[tokio::test]
async fn a_push_message_names_its_delivery_so_that_a_second_copy_replaces_the_first() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    assert_eq!(told(&sender.send(&push()).await), "ok projects/shop-1/messages/1");
    let asked = server.asked(SEND).remove(0);
    assert_eq!(asked.path, "/v1/projects/shop-1/messages:send");
    assert_eq!(asked.content_type, "application/json");
    assert_eq!(asked.authorization.as_deref(), Some("Bearer token-1"));
    let delivery = "00000000-0000-0000-0000-000000000007";
    let expected = json!({"message": {
        "token": "device-token",
        "notification": {"title": "Your parcel", "body": "is on its way"},
        "data": {
            "url": "https://shop.example/1001",
            "carillon_delivery_id": delivery, "carillon_event_id": "order 1001/shipped",
        },
        "android": {"notification": {"tag": delivery}},
    }});
    assert_eq!(asked.json(), expected);
}

#[tokio::test]
async fn messages_collapse_only_where_the_template_asks_for_it() {
    let server = HttpServer::start().await;
    let sender = sender(&server, &Arc::new(ManualClock::at(START)));
    assert_eq!(sender.send(&push()).await.name(), "ok");
    let plain = &server.asked(SEND).pop().unwrap().json()["message"];
    assert!(plain["android"].get("collapse_key").is_none() && plain.get("apns").is_none());

    let mut outgoing = push();
    let Content::Push { collapse, .. } = &mut outgoing.content else {
        unreachable!()
    };
    *collapse = Some("score-7".to_owned());
    assert_eq!(sender.send(&outgoing).await.name(), "ok");
    let message = &server.asked(SEND).pop().unwrap().json()["message"];
    assert_eq!(
        message["android"],
        json!({"collapse_key": "score-7", "notification": {"tag": "score-7"}})
    );
    assert_eq!(
        message["apns"],
        json!({"headers": {"apns-collapse-id": "score-7"}})
    );
}

#[tokio::test]
async fn the_expiry_of_a_message_is_passed_on_to_android_ios_and_the_web() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender(&server, &clock);
    let now = clock.now();
    // FCM keeps a message for four weeks at most.
    for (expires_at, ttl) in [
        (now + chrono::TimeDelta::seconds(90), 90),
        (now - chrono::TimeDelta::seconds(5), 0),
        (now + chrono::TimeDelta::seconds(9_000_000), 2_419_200),
        ("9999-12-31T23:59:59Z".parse().unwrap(), 2_419_200),
        (chrono::DateTime::<chrono::Utc>::MAX_UTC, 2_419_200),
    ] {
        let outgoing = OutgoingMessage {
            expires_at: Some(expires_at),
            ..push()
        };
        assert_eq!(sender.send(&outgoing).await.name(), "ok");
        let message = &server.asked(SEND).pop().unwrap().json()["message"];
        assert_eq!(message["android"]["ttl"], format!("{ttl}s"));
        assert_eq!(
            message["apns"],
            json!({"headers": {"apns-expiration": (now.timestamp() + ttl).to_string()}})
        );
        assert_eq!(message["webpush"], json!({"headers": {"TTL": ttl.to_string()}}));
    }
}

#[tokio::test]
async fn answers_are_told_apart_by_their_codes() {
    let server = HttpServer::start().await;
    let sender = sender(&server, &Arc::new(ManualClock::at(START)));
    for (answer, expected) in [
        (
            reply(404, &error(404, "NOT_FOUND", "UNREGISTERED")),
            "address_dead UNREGISTERED",
        ),
        (
            reply_after(429, "7", &error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")),
            "throttle QUOTA_EXCEEDED after 7",
        ),
        (
            reply_after(503, "20", &error(503, "UNAVAILABLE", "UNAVAILABLE")),
            "retry UNAVAILABLE after 20",
        ),
        (
            reply(503, &error(503, "UNAVAILABLE", "UNAVAILABLE")),
            "retry UNAVAILABLE",
        ),
        (reply(500, &error(500, "INTERNAL", "INTERNAL")), "retry INTERNAL"),
        (
            reply(401, &error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")),
            "config THIRD_PARTY_AUTH_ERROR",
        ),
    ] {
        server.answers(SEND, [answer]);
        assert_eq!(told(&sender.send(&push()).await), expected);
    }
    assert_eq!(server.asked(SEND).len(), 6, "nothing is sent twice");
    assert_eq!(server.asked(TOKEN).len(), 1);
}

#[tokio::test]
async fn silence_after_bytes_have_left_is_uncertain() {
    let server = HttpServer::start().await;
    let clock = Arc::new(ManualClock::at(START));
    let sender = sender_within(&server.url, &server.url, Duration::from_millis(500), &clock);
    // A token is cached first, so that the whole time belongs to the message.
    assert_eq!(sender.send(&push()).await.name(), "ok");
    server.answers(SEND, [Reply::Silence]);
    assert_eq!(told(&sender.send(&push()).await), "uncertain timeout");

    let broken = breaks_off("").await;
    let sender = sender_within(&broken, &server.url, Duration::from_secs(5), &clock);
    assert_eq!(told(&sender.send(&push()).await), "uncertain connection-lost");
}

#[tokio::test]
async fn content_of_another_channel_is_refused_without_a_request() {
    let server = HttpServer::start().await;
    let sender = sender(&server, &Arc::new(ManualClock::at(START)));
    let text = Content::Sms {
        text: "text".to_owned(),
    };
    assert_eq!(
        told(&sender.send(&message("device-token", text)).await),
        "terminal wrong-content"
    );
    assert!(server.asked("").is_empty());
}
