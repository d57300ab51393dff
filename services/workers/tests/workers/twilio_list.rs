//! Twilio's list of messages over HTTP.

use std::{sync::Arc, time::Duration};

use carillon_domain::{DeliveryId, Timestamp, conclusion::UncertainSend};
use carillon_providers::{FoundMessage, OutgoingMessage, twilio::TwilioRequests};
use carillon_testkit::ManualClock;
use carillon_workers::{HttpSender, Sender as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    http_server::{HttpServer, Reply, nobody, reply},
    support::START,
    twilio::{MESSAGES, config, text},
};

const LIST: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";

fn sender(url: &str, timeout: Duration) -> HttpSender<TwilioRequests> {
    let requests = TwilioRequests::new("main", &config(url)).unwrap();
    HttpSender::new(requests, timeout, Arc::new(ManualClock::at(START))).unwrap()
}

fn sends() -> [UncertainSend; 1] {
    let at: Timestamp = START.parse().unwrap();
    [UncertainSend {
        attempt: 1,
        provider: Some("main".to_owned()),
        from: at,
        until: at,
    }]
}

fn page(sids: &[&str], next: Option<&str>) -> Reply {
    let messages: Vec<Value> = sids
        .iter()
        .map(|sid| {
            json!({"sid": sid, "body": "Your parcel & more: 100 % café", "from": "+14155550100", "status": "sent",
                "date_created": "Sun, 24 Nov 2024 10:00:01 +0000"})
        })
        .collect();
    reply(200, &json!({"messages": messages, "next_page_uri": next}))
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of the answers of a list")]
fn found(sid: &str) -> Result<Option<FoundMessage>, String> {
    Ok(Some(FoundMessage {
        attempt: 1,
        message_id: sid.to_owned(),
    }))
}

#[tokio::test]
async fn a_message_is_found_on_any_page_of_the_list_with_the_accounts_credentials() {
    let server = HttpServer::start().await;
    let sender = sender(&server.url, Duration::from_secs(5));
    assert!(sender.has_list());
    let next = format!("{LIST}?Page=1&PageToken=PASM1");
    server.answers(MESSAGES, [page(&[], Some(&next)), page(&["SM5"], None)]);
    assert_eq!(sender.find(&text(), &sends()).await, found("SM5"));
    let asked = server.asked(MESSAGES);
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!(asked.path, LIST);
        assert!(asked.authorization.unwrap().starts_with("Basic "));
        assert!(asked.body.is_empty());
    }
    server.answers(MESSAGES, [page(&[], None)]);
    assert_eq!(sender.find(&text(), &sends()).await, Ok(None));
}

#[tokio::test]
async fn a_list_that_gives_no_whole_answer_leaves_it_unknown() {
    let server = HttpServer::start().await;
    let sender = sender(&server.url, Duration::from_millis(400));
    let next = format!("{LIST}?Page=1");
    let endless: Vec<Reply> = (0..10).map(|_| page(&[], Some(&next))).collect();
    for (replies, code) in [
        (vec![reply(429, &json!({"code": 20_429}))], "http-429"),
        (vec![Reply::Silence], "timeout"),
        (vec![reply(200, &json!("busy"))], "unreadable-list"),
        (endless, "too-many-pages"),
    ] {
        server.answers(MESSAGES, replies);
        assert_eq!(sender.find(&text(), &sends()).await, Err(code.to_owned()));
    }
    let refused = self::sender(&format!("http://{}", nobody().await), Duration::from_secs(5));
    assert_eq!(refused.find(&text(), &sends()).await, Err("connect".to_owned()));
}

#[tokio::test]
async fn a_message_that_another_delivery_got_as_its_answer_is_not_taken_for_ours() {
    let server = HttpServer::start().await;
    let sender = sender(&server.url, Duration::from_secs(5));
    let other = OutgoingMessage {
        delivery_id: DeliveryId(Uuid::from_u128(8)),
        ..text()
    };
    // The usual answer to the first message is SM1.
    assert_eq!(sender.send(&other).await.name(), "ok");
    server.answers(MESSAGES, [page(&["SM1"], None)]);
    assert_eq!(sender.find(&text(), &sends()).await, Ok(None));
    server.answers(MESSAGES, [page(&["SM1"], None)]);
    assert_eq!(sender.find(&other, &sends()).await, found("SM1"));
    server.answers(MESSAGES, [page(&["SM1", "SM6"], None)]);
    assert_eq!(sender.find(&text(), &sends()).await, found("SM6"));
}
