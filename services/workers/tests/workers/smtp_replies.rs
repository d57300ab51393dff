//! The meaning of SMTP replies, at each stage of the transaction.

use std::time::Duration;

use carillon_domain::Content;
use carillon_providers::{SendOutcome, SmtpConfig};
use carillon_workers::Sender as _;
use futures::future::join_all;

use crate::{
    http_server::{message, nobody, told},
    relay::{Relay, Say, config, open},
    smtp::mail,
};

/// The outcome of a mail if the relay replies with this line to a verb.
async fn said(verb: &'static str, line: &'static str) -> String {
    let relay = Relay::start().await;
    relay.says(verb, [Say::Line(line)]);
    let sender = open(&SmtpConfig {
        username: Some("shop".to_owned()),
        password: Some("secret".to_owned().into()),
        ..config(relay.address)
    });
    told(&sender.send(&mail()).await)
}

#[tokio::test]
async fn a_reply_to_the_recipient_or_the_content_concerns_the_address_or_the_mail() {
    for (verb, line, expected) in [
        ("RCPT", "450 4.2.1 mailbox is busy", "retry 4.2.1"),
        ("RCPT", "451 greylisted", "throttle 451"),
        ("RCPT", "432 4.3.2 not now", "throttle 4.3.2"),
        ("RCPT", "452 4.7.28 too fast", "throttle 4.7.28"),
        ("RCPT", "550 5.1.1 no such user", "address_dead 5.1.1"),
        ("RCPT", "550 #5.1.0 Address rejected", "address_dead 5.1.0"),
        ("RCPT", "550 5.1.1: no such user", "address_dead 5.1.1"),
        ("RCPT", "504 5.5.2 Helo command rejected", "config 5.5.2"),
        ("RCPT", "503 5.5.1 bad sequence", "config 5.5.1"),
        (".", "452 4.3.1 no space", "throttle 4.3.1"),
        (
            "RCPT",
            "550-5.1.1 no such\r\n550 5.1.1 user",
            "address_dead 5.1.1",
        ),
        ("RCPT", "550 no such user", "terminal 550"),
        ("RCPT", "552 5.2.2 full", "retry 5.2.2"),
        ("DATA", "550 5.1.1 no such user", "address_dead 5.1.1"),
        (".", "550 5.1.1 no such user", "address_dead 5.1.1"),
        (".", "554 5.6.0 bad content", "terminal 5.6.0"),
        (".", "550 5.7.26 not authenticated", "terminal 5.7.26"),
        (".", "451 4.3.0 try again", "throttle 4.3.0"),
    ] {
        assert_eq!(said(verb, line).await, expected, "{verb}: {line}");
    }
}

#[tokio::test]
async fn a_reply_before_the_recipient_concerns_the_account_and_never_the_address() {
    for (verb, line, expected) in [
        ("banner", "421 4.3.2 closing", "throttle 4.3.2"),
        ("banner", "554 no mail from your address", "config 554"),
        ("EHLO", "550 who are you", "config 550"),
        ("AUTH", "535 5.7.8 bad credentials", "config 5.7.8"),
        ("AUTH", "454 4.7.0 temporary failure", "throttle 4.7.0"),
        ("MAIL", "550 5.1.0 sender refused", "config 5.1.0"),
        ("MAIL", "550 5.7.1 sender refused", "config 5.7.1"),
        ("MAIL", "553 sender refused", "config 553"),
        ("MAIL", "451 4.7.1 slow down", "throttle 4.7.1"),
        ("MAIL", "452 4.3.1 no space", "throttle 4.3.1"),
        ("MAIL", "552 5.3.4 too big", "terminal 5.3.4"),
    ] {
        assert_eq!(said(verb, line).await, expected, "{verb}: {line}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_uncertain_only_behind_the_final_dot() {
    for (verb, expected) in [
        ("banner", "retry connect"),
        ("EHLO", "retry connect"),
        ("MAIL", "retry connect"),
        ("RCPT", "retry connect"),
        ("DATA", "retry connect"),
        (".", "uncertain connection-lost"),
    ] {
        let relay = Relay::start().await;
        relay.says(verb, [Say::HangUp]);
        assert_eq!(told(&relay.sender().send(&mail()).await), expected, "{verb}");
        assert_eq!(
            relay.connections(),
            1,
            "{verb}: what may have gone out is not repeated here"
        );
    }
}

#[tokio::test]
async fn a_mail_that_may_have_gone_out_on_a_used_connection_is_not_repeated_on_another() {
    for (ending, expected) in [
        (Say::HangUp, "uncertain connection-lost"),
        (Say::Line("421 4.3.2 shutting down"), "throttle 4.3.2"),
    ] {
        let relay = Relay::start().await;
        relay.says(".", [Say::Usual, ending]);
        let sender = relay.sender();
        assert_eq!(sender.send(&mail()).await.name(), "ok");
        assert_eq!(told(&sender.send(&mail()).await), expected);
        assert_eq!((relay.connections(), relay.mails().len()), (1, 2));
    }
}

#[tokio::test]
async fn silence_is_uncertain_only_behind_the_final_dot() {
    for (verb, expected) in [
        ("banner", "retry timeout"),
        ("RCPT", "retry timeout"),
        ("DATA", "retry timeout"),
        (".", "uncertain timeout"),
    ] {
        let relay = Relay::start().await;
        relay.says(verb, [Say::Nothing]);
        let sender = relay.sender_within(Duration::from_millis(500));
        assert_eq!(told(&sender.send(&mail()).await), expected, "{verb}");
        // The connection of the broken transaction is not used again.
        assert_eq!(sender.send(&mail()).await.name(), "ok");
        assert_eq!(relay.connections(), 2, "{verb}");
    }
}

#[tokio::test]
async fn a_reply_counts_even_if_the_connection_breaks_after_it() {
    for (verb, line, expected) in [
        (".", "451 4.3.0 try again", "throttle 4.3.0"),
        (".", "554 5.6.0 bad content", "terminal 5.6.0"),
        ("RCPT", "550 5.1.1 no such user", "address_dead 5.1.1"),
    ] {
        for reset in [Say::Nothing, Say::HangUp] {
            let relay = Relay::start().await;
            relay.says(verb, [Say::Line(line)]);
            relay.says("RSET", [reset]);
            let sender = relay.sender_within(Duration::from_millis(500));
            assert_eq!(told(&sender.send(&mail()).await), expected, "{verb}: {line}");
            assert_eq!(sender.send(&mail()).await.name(), "ok");
            assert_eq!(relay.connections(), 2, "the connection was given up");
        }
    }
}

#[tokio::test]
async fn the_wait_for_a_connection_is_not_part_of_the_request_timeout() {
    let relay = Relay::start().await;
    relay.says(".", [Say::Nothing, Say::Nothing]);
    let sender = relay.sender_within(Duration::from_millis(500));
    // There are two connections.
    let mail = mail();
    let outcomes = join_all((0..4).map(|_| sender.send(&mail))).await;
    let told: Vec<_> = outcomes.iter().map(SendOutcome::name).collect();
    assert_eq!(told, ["uncertain", "uncertain", "ok", "ok"]);
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_tried_again() {
    let sender = open(&config(nobody().await));
    assert_eq!(told(&sender.send(&mail()).await), "retry connect");
}

#[tokio::test]
async fn a_message_that_cannot_be_a_mail_is_refused_without_a_connection() {
    let relay = Relay::start().await;
    let sender = relay.sender();
    let text = Content::Sms {
        text: "text".to_owned(),
    };
    let wrong = message("ada@example.com", text);
    assert_eq!(told(&sender.send(&wrong).await), "terminal wrong-content");
    for address in ["ada", "ada@example.com\r\nRCPT TO:<eve@example.com>"] {
        let wrong = message(address, mail().content);
        assert_eq!(told(&sender.send(&wrong).await), "terminal address-syntax");
    }
    assert_eq!(relay.connections(), 0);
}
