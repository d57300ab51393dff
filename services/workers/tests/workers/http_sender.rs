//! The transport of providers that take a message as one HTTP request.

use std::{sync::Arc, time::Duration};

use carillon_providers::twilio::TwilioRequests;
use carillon_testkit::ManualClock;
use carillon_workers::{HttpSender, Sender as _};

use crate::{
    http_server::{HttpServer, Reply, breaks_off, nobody, told},
    support::START,
    twilio::{MESSAGES, config, text},
};

/// A time limit that no test reaches.
const PATIENT: Duration = Duration::from_secs(5);

fn sender(url: &str, timeout: Duration) -> HttpSender<TwilioRequests> {
    let requests = TwilioRequests::new("main", &config(url)).unwrap();
    HttpSender::new(requests, timeout, Arc::new(ManualClock::at(START))).unwrap()
}

#[tokio::test]
async fn without_an_answer_the_outcome_depends_on_whether_bytes_were_sent() {
    let server = HttpServer::start().await;
    server.answers(MESSAGES, [Reply::Silence]);
    let outcome = sender(&server.url, Duration::from_millis(400))
        .send(&text())
        .await;
    assert_eq!(told(&outcome), "uncertain timeout");

    let refused = format!("http://{}", nobody().await);
    assert_eq!(
        told(&sender(&refused, PATIENT).send(&text()).await),
        "retry connect"
    );

    for (bytes, expected) in [
        ("", "uncertain connection-lost"),
        (
            "HTTP/1.1 201 Created\r\ncontent-length: 90\r\n\r\n{\"sid\":",
            "uncertain connection-lost",
        ),
        // A status line that refuses is an answer, even if the body is cut off.
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 90\r\n\r\n{\"co",
            "terminal http-400",
        ),
    ] {
        let url = breaks_off(bytes).await;
        assert_eq!(
            told(&sender(&url, PATIENT).send(&text()).await),
            expected,
            "{bytes}"
        );
    }
}
