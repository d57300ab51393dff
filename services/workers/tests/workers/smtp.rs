//! SMTP: mails on the wire, and connections.

use std::time::Duration;

use carillon_domain::Content;
use carillon_domain::DeliveryId;
use carillon_providers::{OutgoingMessage, SmtpConfig, SmtpTls};
use carillon_workers::Sender as _;
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    http_server::{message, told},
    relay::{Relay, Say, config, open},
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
    // Another process builds the same one.
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
async fn a_mail_has_its_parts_and_names_its_delivery() {
    let relay = Relay::start().await;
    assert_eq!(relay.sender().send(&mail()).await.name(), "ok");
    let mail = relay.mails().remove(0);
    for (name, value) in [
        ("From", "Shop <shop@shop.example>"),
        ("To", "ada@example.com"),
        ("Subject", "Your parcel"),
        ("X-Carillon-Delivery", "00000000-0000-0000-0000-000000000007"),
        ("X-Carillon-Event", "order 1001/shipped"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
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
async fn the_unsubscribe_link_is_one_unbroken_header_at_any_length() {
    let relay = Relay::start().await;
    let url = format!("https://notify.example/u/{}", "A1-_".repeat(150));
    let linked = OutgoingMessage {
        unsubscribe_url: Some(url.clone()),
        ..mail()
    };
    assert_eq!(relay.sender().send(&linked).await.name(), "ok");
    assert_eq!(relay.sender().send(&mail()).await.name(), "ok");
    let mails = relay.mails();
    assert_eq!(header(&mails[0], "List-Unsubscribe:"), Some(&*format!("<{url}>")));
    assert_eq!(
        header(&mails[0], "List-Unsubscribe-Post"),
        Some("List-Unsubscribe=One-Click")
    );
    assert!(!mails[1].contains("List-Unsubscribe"));
}

const OFFERS_SMTPUTF8: &str = "250-relay\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN";

fn mail_to(address: &str) -> OutgoingMessage {
    OutgoingMessage {
        to: address.to_owned(),
        ..mail()
    }
}

fn subject(text: &str) -> OutgoingMessage {
    let content = Content::Email {
        subject: text.to_owned(),
        text: "x".to_owned(),
        html: None,
    };
    message("ada@example.com", content)
}

#[tokio::test]
async fn an_internationalised_domain_goes_out_in_punycode() {
    let relay = Relay::start().await;
    let sender = relay.sender();
    for address in ["Ada@Bücher.example", "Ada@bu\u{308}cher.example"] {
        assert_eq!(sender.send(&mail_to(address)).await.name(), "ok");
    }
    let heard = relay.heard();
    assert!(heard.iter().all(|line| line.is_ascii()), "{heard:?}");
    let receivers = heard.iter().filter(|line| line.starts_with("RCPT"));
    assert!(
        receivers
            .clone()
            .all(|line| line == "RCPT TO:<Ada@xn--bcher-kva.example>"),
        "{heard:?}"
    );
    assert_eq!(receivers.count(), 2);
    assert_eq!(header(&relay.mails()[0], "To"), Some("Ada@xn--bcher-kva.example"));
}

#[tokio::test]
async fn letters_beyond_ascii_before_the_at_sign_go_out_with_smtputf8_if_the_relay_offers_it() {
    let relay = Relay::start().await;
    relay.says("EHLO", [Say::Line(OFFERS_SMTPUTF8)]);
    let sender = relay.sender();
    let outcome = sender.send(&mail_to("jörg@bücher.example")).await;
    assert_eq!(told(&outcome), format!("ok {MESSAGE_ID}"));
    assert_eq!(sender.send(&mail_to("ada@example.com")).await.name(), "ok");
    let heard = relay.heard();
    let said = |start: &str| -> Vec<&str> {
        let lines = heard.iter().map(|line| line.trim_end());
        lines.filter(|line| line.starts_with(start)).collect()
    };
    assert_eq!(
        said("MAIL"),
        [
            "MAIL FROM:<shop@shop.example> BODY=8BITMIME SMTPUTF8",
            "MAIL FROM:<shop@shop.example>"
        ]
    );
    assert_eq!(
        said("RCPT"),
        [
            "RCPT TO:<jörg@xn--bcher-kva.example>",
            "RCPT TO:<ada@example.com>"
        ]
    );
    assert_eq!(
        header(&relay.mails()[0], "To"),
        Some("jörg@xn--bcher-kva.example")
    );
}

#[tokio::test]
async fn letters_beyond_ascii_before_the_at_sign_are_refused_before_sending_if_the_relay_does_not_offer_smtputf8()
 {
    let relay = Relay::start().await;
    let sender = relay.sender();
    let outcome = sender.send(&mail_to("jörg@example.com")).await;
    assert_eq!(told(&outcome), "terminal smtputf8-unsupported");
    let heard = relay.heard();
    assert!(
        !heard
            .iter()
            .any(|line| line.starts_with("MAIL") || line.starts_with("RCPT")),
        "{heard:?}"
    );
    // The connection can still be used.
    assert_eq!(sender.send(&mail()).await.name(), "ok");
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn any_subject_is_one_header_of_short_lines() {
    let relay = Relay::start().await;
    let sender = relay.sender();
    let long = "x".repeat(990);
    let words = format!("{} {long} end", "word ".repeat(50).trim());
    let umlauts = "ü".repeat(499);
    let emoji = "😀".repeat(200);
    let subjects = [
        long.as_str(),
        &words,
        &umlauts,
        &emoji,
        "Hello\r\nBcc: eve@example.com",
        "nul \0 and bell \u{7}",
        "=?utf-8?b?SGk=?= is taken literally",
        "two  spaces, and one at the end ",
        "a\u{2028}b\u{85}c",
        "Your parcel",
    ];
    for text in subjects {
        assert_eq!(sender.send(&subject(text)).await.name(), "ok", "{text:?}");
    }
    for (mail, text) in relay.mails().iter().zip(subjects) {
        let (head, _) = mail.split_once("\n\n").unwrap();
        assert!(head.lines().all(|line| line.len() <= 78), "{head}");
        assert!(head.is_ascii() && !head.contains("\nBcc"), "{head}");
        assert!(
            head.bytes()
                .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)),
            "{head:?}"
        );
        let names = head
            .lines()
            .filter(|line| !line.starts_with(' ') && line.contains(": "));
        let names: Vec<_> = names.map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(names.iter().filter(|name| **name == "Subject").count(), 1);
        let parsed = mail_parser::MessageParser::default()
            .parse(mail.as_bytes())
            .unwrap();
        assert_eq!(
            parsed.subject().map(str::trim_end),
            Some(text.trim_end()),
            "{head}"
        );
    }
}

#[tokio::test]
async fn an_event_id_of_any_characters_keeps_its_header_line_short_and_ascii() {
    let relay = Relay::start().await;
    for id in ["café \u{1f600} 1", "x\r\nBcc: eve@example.com", &"y".repeat(255)] {
        let mail = OutgoingMessage {
            event_id: id.into(),
            ..mail()
        };
        assert_eq!(relay.sender().send(&mail).await.name(), "ok", "{id:?}");
        let mail = relay.mails().pop().unwrap();
        let (head, _) = mail.split_once("\n\n").unwrap();
        assert!(
            head.is_ascii() && head.lines().all(|line| line.len() <= 78),
            "{head}"
        );
        assert!(!head.contains("\nBcc"), "{head}");
    }
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
async fn a_closing_reply_to_the_first_command_on_an_idle_connection_concerns_the_connection_only() {
    for closed in [
        Say::HangUp,
        Say::Line("421 4.4.2 you were idle for too long"),
        Say::Goodbye("451 4.4.2 timeout"),
        Say::Goodbye("450 4.4.2 timeout"),
        Say::Goodbye("554 5.4.2 connection timed out"),
    ] {
        let relay = Relay::start().await;
        let sender = relay.sender();
        relay.says("MAIL", [Say::Usual, closed]);
        assert_eq!(sender.send(&mail()).await.name(), "ok");
        assert_eq!(told(&sender.send(&mail()).await), format!("ok {MESSAGE_ID}"));
        assert_eq!((relay.connections(), relay.mails().len()), (2, 2));
    }
}

#[tokio::test]
async fn when_one_idle_connection_is_closed_those_that_were_idle_for_longer_are_dropped() {
    let relay = Relay::start().await;
    let sender = relay.sender();
    let mails = mail();
    // There are two connections.
    relay.says(".", [Say::Usual, Say::Usual]);
    let outcomes = join_all((0..2).map(|_| sender.send(&mails))).await;
    assert!(outcomes.iter().all(|outcome| outcome.name() == "ok"));
    assert_eq!(relay.connections(), 2);
    relay.says("MAIL", [Say::Goodbye("451 4.4.2 timeout")]);
    assert_eq!(sender.send(&mails).await.name(), "ok");
    assert_eq!(relay.connections(), 3);
    // Only the third connection is idle now, so two mails at once need a fourth.
    let outcomes = join_all((0..2).map(|_| sender.send(&mails))).await;
    assert!(outcomes.iter().all(|outcome| outcome.name() == "ok"));
    assert_eq!((relay.connections(), relay.mails().len()), (4, 5));
}

#[tokio::test]
async fn a_refusal_on_an_idle_connection_that_stays_open_concerns_the_account() {
    let relay = Relay::start().await;
    let sender = relay.sender();
    assert_eq!(sender.send(&mail()).await.name(), "ok");
    relay.says("MAIL", [Say::Line("451 4.7.1 slow down")]);
    assert_eq!(told(&sender.send(&mail()).await), "throttle 4.7.1");
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn credentials_are_given_before_the_mail() {
    let relay = Relay::start().await;
    let sender = open(&SmtpConfig {
        username: Some("shop".to_owned()),
        password: Some("secret".to_owned().into()),
        ..config(relay.address)
    });
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
    let sender = open(&SmtpConfig {
        tls: SmtpTls::Starttls,
        username: Some("shop".to_owned()),
        password: Some("secret".to_owned().into()),
        ..config(relay.address)
    });
    assert_eq!(told(&sender.send(&mail()).await), "config unsupported");
    let implicit = open(&SmtpConfig {
        tls: SmtpTls::Implicit,
        request_timeout: Duration::from_secs(2),
        ..config(relay.address)
    });
    assert_ne!(implicit.send(&mail()).await.name(), "ok");
    let heard = relay.heard();
    assert!(
        !heard
            .iter()
            .any(|line| line.starts_with("MAIL") || line.starts_with("AUTH")),
        "{heard:?}"
    );
}
