//! SMTP: what a mail looks like on the wire, and its connections.

use std::time::Duration;

use carillon_domain::DeliveryId;
use carillon_render::Content;
use carillon_workers::{OutgoingMessage, Sender as _, SmtpConfig, SmtpSender, SmtpTls};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    http_server::{message, told},
    relay::{Relay, Say, config},
};

const MESSAGE_ID: &str = "00000000-0000-0000-0000-000000000007@shop.example";

pub(crate) fn mail() -> OutgoingMessage {
    let content = Content::Email {
        subject: "Your parcel".to_owned(),
        text: "is on its way\n.with a dot\n".to_owned(),
        html: Some("<p>is on its way</p>".to_owned()),
    };
    message("ada@example.com", content)
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = mail.split_once("\n\n")?;
    let line = head
        .lines()
        .find(|line| line.to_lowercase().starts_with(&name.to_lowercase()))?;
    Some(line[name.len()..].trim_start_matches(':').trim())
}

#[tokio::test]
async fn every_attempt_of_a_delivery_has_the_same_message_id() {
    let relay = Relay::start().await;
    relay.says(".", [Say::HangUp]);
    let sender = relay.sender();
    assert_eq!(sender.send(&mail()).await.name(), "uncertain");
    assert_eq!(told(&sender.send(&mail()).await), format!("ok {MESSAGE_ID}"));
    let other = OutgoingMessage {
        delivery_id: DeliveryId(Uuid::from_u128(8)),
        ..mail()
    };
    assert_eq!(sender.send(&other).await.name(), "ok");
    // Another process makes the same one.
    assert_eq!(relay.sender().send(&mail()).await.name(), "ok");

    let mails = relay.mails();
    assert_eq!(mails.len(), 4);
    let ids: Vec<_> = mails
        .iter()
        .map(|mail| header(mail, "Message-ID").unwrap())
        .collect();
    let expected = format!("<{MESSAGE_ID}>");
    assert_eq!((ids[0], ids[1], ids[3]), (&*expected, &*expected, &*expected));
    assert_ne!(ids[2], expected);
}

#[tokio::test]
async fn a_mail_has_its_parts_and_says_which_delivery_it_is() {
    let relay = Relay::start().await;
    assert_eq!(relay.sender().send(&mail()).await.name(), "ok");
    let mail = relay.mails().remove(0);
    for (name, value) in [
        ("From", "Shop <shop@shop.example>"),
        ("To", "ada@example.com"),
        ("Subject", "Your parcel"),
        ("X-Carillon-Delivery", "00000000-0000-0000-0000-000000000007"),
        ("X-Carillon-Event", "order 1001/shipped"),
    ] {
        assert_eq!(header(&mail, name), Some(value), "{mail}");
    }
    assert!(
        header(&mail, "Content-Type")
            .unwrap()
            .starts_with("multipart/alternative")
    );
    assert!(header(&mail, "Date").is_some(), "{mail}");
    let (text, html) = (mail.find("text/plain").unwrap(), mail.find("text/html").unwrap());
    assert!(text < html, "the best alternative comes last");
    assert!(
        mail.contains("\n..with a dot\n"),
        "a leading dot is doubled: {mail}"
    );
    let heard = relay.heard();
    let envelope: Vec<_> = heard[2..5].iter().map(|line| line.trim_end()).collect();
    assert_eq!(
        envelope,
        [
            "MAIL FROM:<shop@shop.example>",
            "RCPT TO:<ada@example.com>",
            "DATA"
        ]
    );
}

#[tokio::test]
async fn a_mail_without_html_is_plain_text() {
    let relay = Relay::start().await;
    let content = Content::Email {
        subject: "Grüße".to_owned(),
        text: "größer".to_owned(),
        html: None,
    };
    assert_eq!(
        relay
            .sender()
            .send(&message("ada@example.com", content))
            .await
            .name(),
        "ok"
    );
    let mail = relay.mails().remove(0);
    assert_eq!(header(&mail, "Content-Type"), Some("text/plain; charset=utf-8"));
    assert!(mail.is_ascii(), "headers and body are encoded: {mail}");
}

#[tokio::test]
async fn a_connection_serves_one_mail_after_the_other_and_no_more_are_open_than_allowed() {
    let relay = Relay::start().await;
    let (sender, message) = (relay.sender(), mail());
    for _ in 0..3 {
        assert_eq!(sender.send(&message).await.name(), "ok");
    }
    assert_eq!(relay.connections(), 1);
    let outcomes = join_all((0..12).map(|_| sender.send(&message))).await;
    assert!(outcomes.iter().all(|outcome| outcome.name() == "ok"));
    assert_eq!((relay.connections(), relay.mails().len()), (2, 15));
}

#[tokio::test]
async fn after_a_refusal_the_connection_is_reset_and_used_again() {
    let relay = Relay::start().await;
    relay.says("RCPT", [Say::Line("550 5.1.1 who?")]);
    let sender = relay.sender();
    assert_eq!(sender.send(&mail()).await.name(), "address_dead");
    assert_eq!(sender.send(&mail()).await.name(), "ok");
    assert_eq!((relay.connections(), relay.mails().len()), (1, 1));
    assert!(relay.heard().contains(&"RSET".to_owned()));
}

#[tokio::test]
async fn an_idle_connection_that_the_relay_has_closed_is_replaced() {
    for closed in [Say::HangUp, Say::Line("421 4.4.2 you were idle for too long")] {
        let relay = Relay::start().await;
        let sender = relay.sender();
        relay.says("MAIL", [Say::Usual, closed]);
        assert_eq!(sender.send(&mail()).await.name(), "ok");
        assert_eq!(told(&sender.send(&mail()).await), format!("ok {MESSAGE_ID}"));
        assert_eq!((relay.connections(), relay.mails().len()), (2, 2));
    }
}

#[tokio::test]
async fn credentials_are_given_before_the_mail() {
    let relay = Relay::start().await;
    let sender = SmtpSender::new(&SmtpConfig {
        username: Some("shop".to_owned()),
        password: Some("secret".to_owned().into()),
        ..config(relay.address)
    })
    .unwrap();
    assert_eq!(sender.send(&mail()).await.name(), "ok");
    // \0shop\0secret
    assert_eq!(relay.heard()[2], "AUTH PLAIN AHNob3AAc2VjcmV0");

    relay.says("EHLO", [Say::Line("250 relay")]);
    relay.says("MAIL", [Say::HangUp]);
    assert_eq!(told(&sender.send(&mail()).await), "config unsupported");
}

#[tokio::test]
async fn where_tls_is_asked_for_nothing_goes_out_in_the_clear() {
    let relay = Relay::start().await;
    let sender = SmtpSender::new(&SmtpConfig {
        tls: SmtpTls::Starttls,
        username: Some("shop".to_owned()),
        password: Some("secret".to_owned().into()),
        ..config(relay.address)
    })
    .unwrap();
    assert_eq!(told(&sender.send(&mail()).await), "config unsupported");
    let implicit = SmtpSender::new(&SmtpConfig {
        tls: SmtpTls::Implicit,
        request_timeout: Duration::from_secs(2),
        ..config(relay.address)
    })
    .unwrap();
    assert_ne!(implicit.send(&mail()).await.name(), "ok");
    let heard = relay.heard();
    assert!(
        !heard
            .iter()
            .any(|line| line.starts_with("MAIL") || line.starts_with("AUTH")),
        "{heard:?}"
    );
}
