//! All kinds of faults over SMTP, at the final dot.

use std::time::{Duration, Instant};

use lettre::AsyncTransport as _;
use serde_json::{Value, json};

use crate::support::{RawSmtp, Running, mail, start};

const MESSAGE: &str = "Subject: x\r\n\r\ny\r\n.";

async fn received(running: &Running) -> usize {
    running.all().await.len()
}

/// A client that has sent all but the final dot.
async fn before_the_dot(running: &Running, rule: Value) -> RawSmtp {
    running.script(json!([rule])).await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.envelope("ann@example.com").await;
    client
}

#[tokio::test]
async fn a_status_and_its_enhanced_code_answer_the_final_dot() {
    let running = start().await;
    let rule = json!({ "provider": "smtp", "status": 454, "code": "4.7.0" });
    let mut client = before_the_dot(&running, rule).await;
    assert!(client.ask(MESSAGE).await.starts_with("454 4.7.0 "));
    assert!(client.ask("NOOP").await.starts_with("250"), "the session ended");

    running.script(json!([{ "provider": "*", "status": 550 }])).await;
    let refused = running
        .mailer(None)
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.is_permanent(), refused.status().map(u16::from)),
        (true, Some(550))
    );
    assert_eq!(received(&running).await, 0);
}

#[tokio::test]
async fn a_recorded_refusal_was_received() {
    let running = start().await;
    let mut client = before_the_dot(
        &running,
        json!({ "provider": "smtp", "status": 451, "recorded": true }),
    )
    .await;
    assert!(client.ask(MESSAGE).await.starts_with("451 4.7.1 "));
    assert_eq!(received(&running).await, 1);
}

#[tokio::test]
async fn a_reset_comes_after_the_final_dot() {
    let running = start().await;
    for recorded in [false, true] {
        let rule = json!({ "provider": "smtp", "action": "reset", "recorded": recorded });
        let mut client = before_the_dot(&running, rule).await;
        client.say(&format!("{MESSAGE}\r\n")).await;
        let error = client.try_line().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(received(&running).await, usize::from(recorded));
    }
}

#[tokio::test]
async fn a_hang_sends_no_reply_and_ignores_further_commands() {
    let running = start().await;
    let rule = json!({ "provider": "smtp", "action": "hang", "recorded": true });
    let mut client = before_the_dot(&running, rule).await;
    client.say(&format!("{MESSAGE}\r\nNOOP\r\n")).await;
    running
        .simulator
        .messages()
        .wait_for(
            &carillon_simulator::MessageFilter::default(),
            1,
            crate::support::PATIENCE,
        )
        .await
        .unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(200), client.line()).await;
    assert!(silence.is_err(), "it said {silence:?}");
    running.stop().await;
}

#[tokio::test]
async fn going_away_is_a_421_and_a_closed_connection() {
    let running = start().await;
    let mut client = before_the_dot(&running, json!({ "provider": "smtp", "action": "goaway" })).await;
    assert!(client.ask(MESSAGE).await.starts_with("421 4.3.2 "));
    assert_eq!(client.line().await, "");
    assert_eq!(received(&running).await, 0);
}

#[tokio::test]
async fn a_delay_comes_before_the_reply_to_the_final_dot() {
    let running = start().await;
    let mut client = before_the_dot(&running, json!({ "provider": "smtp", "delay_ms": 150 })).await;
    let begun = Instant::now();
    assert!(client.ask(MESSAGE).await.starts_with("250"));
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_rule_may_name_the_step_and_the_domain() {
    let running = start().await;
    running
        .script(json!([
            { "provider": "smtp", "at": "rcpt", "to": "*@relay.example", "status": 554, "code": "5.7.1" },
            { "provider": "smtp", "at": "mail", "status": 450, "percent": 0.000_001 },
        ]))
        .await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.ask("EHLO client").await;
    assert!(
        client
            .ask("MAIL FROM:<shop@example.com>")
            .await
            .starts_with("250")
    );
    assert!(
        client
            .ask("RCPT TO:<ann@relay.example>")
            .await
            .starts_with("554 5.7.1 ")
    );
    assert!(client.ask("RCPT TO:<ann@example.com>").await.starts_with("250"));

    running
        .script(json!([{ "provider": "smtp", "at": "connect", "status": 421, "code": "4.7.0" }]))
        .await;
    let stream = tokio::net::TcpStream::connect(running.simulator.smtp_addr())
        .await
        .unwrap();
    let mut greeting = String::new();
    let mut reader = tokio::io::BufReader::new(stream);
    tokio::io::AsyncBufReadExt::read_line(&mut reader, &mut greeting)
        .await
        .unwrap();
    assert!(greeting.starts_with("421 4.7.0 "), "{greeting}");
}

#[tokio::test]
async fn a_greylisted_domain_accepts_a_mail_that_is_tried_again_later() {
    let running = start().await;
    let rcpt = async |client: &mut RawSmtp, to: &str| client.ask(&format!("RCPT TO:<{to}>")).await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.ask("EHLO client").await;
    client.ask("MAIL FROM:<shop@example.com>").await;
    running
        .script(json!([{ "provider": "smtp", "to": "*@grey.example", "greylist_ms": 150 }]))
        .await;
    let begun = Instant::now();
    assert!(
        rcpt(&mut client, "ann@grey.example")
            .await
            .starts_with("451 4.7.1 ")
    );
    assert!(rcpt(&mut client, "ann@example.com").await.starts_with("250"));
    while !rcpt(&mut client, "ann@grey.example").await.starts_with("250") {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn an_idle_connection_gets_a_421_and_is_closed() {
    let running = start().await;
    let mut client = RawSmtp::connect(running.simulator.smtp_addr()).await;
    client.ask("EHLO client").await;
    running
        .script(json!([{ "provider": "smtp", "idle_ms": 50, "status": 451, "code": "4.4.2" }]))
        .await;
    // The script applies from the next command on.
    assert!(client.ask("NOOP").await.starts_with("250"));
    assert!(client.line().await.starts_with("451 4.4.2 "));
    assert_eq!(client.line().await, "");
}
