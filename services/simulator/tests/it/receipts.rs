//! The simulator's reports of messages' fates, as their receiver gets them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::any;
use carillon_simulator::SimulatorConfig;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::support::{PATIENCE, Running, SENDGRID_KEY, answer, config, start_with};

/// A call of a provider: the path with its query, the headers and the body.
struct Called {
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

/// Takes calls in the place of Carillon.
struct Receiver {
    url: String,
    calls: mpsc::UnboundedReceiver<Called>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

#[derive(Clone)]
struct Shared {
    calls: mpsc::UnboundedSender<Called>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    async fn start() -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let answers = Arc::default();
        let shared = Shared {
            calls: sender,
            answers: Arc::clone(&answers),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(any(take)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, calls, answers }
    }

    async fn next(&mut self) -> Called {
        tokio::time::timeout(PATIENCE, self.calls.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

/// Answers with the next status that a test has set, by default 204.
async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let _ = shared.calls.send(Called { uri, headers, body });
    let next = shared.answers.lock().await.pop_front();
    next.unwrap_or(StatusCode::NO_CONTENT)
}

fn reporting() -> SimulatorConfig {
    SimulatorConfig {
        receipts_after: Some(Duration::from_millis(10)),
        ..config()
    }
}

async fn text(running: &Running, callback: &str) {
    let fields = [
        ("To", "+4915112345678"),
        ("From", "+15005550006"),
        ("Body", "Hello"),
        ("StatusCallback", callback),
    ];
    assert_eq!(running.sms(&fields).await.0, 201);
}

/// The status in a callback of Twilio.
fn status(called: &Called) -> String {
    let mut fields = called.body.split('&');
    let status = fields.find_map(|field| field.strip_prefix("MessageStatus="));
    status.unwrap().to_owned()
}

#[tokio::test]
async fn twilio_calls_back_without_the_fragment_and_again_until_it_is_answered_2xx() {
    let mut receiver = Receiver::start().await;
    let running = start_with(reporting()).await;
    receiver
        .answers
        .lock()
        .await
        .extend([StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]);
    let callback = format!("{}/v1/receipts/texts?reference=R-1_#rc=5&rp=all", receiver.url);
    text(&running, &callback).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let called = receiver.next().await;
        assert_eq!(called.uri.to_string(), "/v1/receipts/texts?reference=R-1_");
        assert!(called.headers.contains_key("x-twilio-signature"));
        told.push(status(&called));
    }
    assert_eq!(told, ["sent", "sent", "sent", "delivered"]);
}

#[tokio::test]
async fn reports_come_as_the_script_says_and_a_refused_signature_is_given_up() {
    let mut receiver = Receiver::start().await;
    let running = start_with(reporting()).await;
    let receipt = json!({"report": "undelivered", "code": 30003, "copies": 2, "reversed": true});
    running
        .script(json!([{"provider": "twilio", "receipt": receipt}]))
        .await;
    text(&running, &receiver.url).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let called = receiver.next().await;
        told.push((status(&called), called.body.contains("ErrorCode=30003")));
    }
    let told: Vec<(&str, bool)> = told
        .iter()
        .map(|(status, code)| (status.as_str(), *code))
        .collect();
    assert_eq!(
        told,
        [
            ("undelivered", true),
            ("undelivered", true),
            ("sent", false),
            ("sent", false)
        ]
    );

    running
        .script(json!([{"provider": "twilio", "receipt": {"signature": "wrong"}}]))
        .await;
    receiver
        .answers
        .lock()
        .await
        .extend([StatusCode::UNAUTHORIZED; 2]);
    text(&running, &receiver.url).await;
    assert_eq!(status(&receiver.next().await), "sent");
    assert_eq!(
        status(&receiver.next().await),
        "delivered",
        "the first one is not repeated"
    );
}

#[tokio::test]
async fn nothing_is_reported_without_a_time_and_a_rule_about_reports_fails_no_message() {
    let mut receiver = Receiver::start().await;
    let running = start_with(config()).await;
    running
        .script(json!([{"provider": "*", "receipt": {"report": "failed"}}]))
        .await;
    text(&running, &receiver.url).await;
    running.stop().await;
    assert!(receiver.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_rule_about_reports_has_no_other_effect_and_a_bound_of_copies() {
    let running = start_with(config()).await;
    for (rule, pointer) in [
        (
            json!({"provider": "twilio", "receipt": {"copies": 11}}),
            "/0/receipt/copies",
        ),
        (
            json!({"provider": "twilio", "status": 500, "receipt": {}}),
            "/0/receipt",
        ),
        (json!({"provider": "smtp", "receipt": {}}), "/0/receipt"),
        (
            json!({"provider": "twilio", "receipt": {"colour": 1}}),
            "/0/receipt/colour",
        ),
    ] {
        let (status, body) = running.put("/v1/faults", &json!([rule])).await;
        assert_eq!(
            (status, &body["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn sendgrid_reports_to_its_webhook_with_the_custom_arguments_of_the_mail() {
    let mut receiver = Receiver::start().await;
    let config = SimulatorConfig {
        sendgrid_webhook_url: Some(receiver.url.clone()),
        ..reporting()
    };
    let running = start_with(config).await;
    let mail = json!({
        "personalizations": [{"to": [{"email": "ada@example.com"}], "custom_args": {"carillon_reference": "R-1_"}}],
        "from": {"email": "shop@example.com"}, "subject": "Hello", "content": [{"type": "text/plain", "value": "Hello"}],
    });
    let request = running
        .http
        .post(running.url("/v3/mail/send"))
        .bearer_auth(SENDGRID_KEY)
        .json(&mail);
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-message-id"].to_str().unwrap().to_owned();
    for expected in ["processed", "delivered"] {
        let called = receiver.next().await;
        assert!(
            called
                .headers
                .contains_key("x-twilio-email-event-webhook-signature")
        );
        let events: Value = serde_json::from_str(&called.body).unwrap();
        assert_eq!(events[0]["event"], expected);
        assert_eq!(events[0]["carillon_reference"], "R-1_");
        assert!(
            events[0]["sg_message_id"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{id}."))
        );
    }
}

#[tokio::test]
async fn sns_asks_for_a_confirmation_of_its_subscription() {
    let mut receiver = Receiver::start().await;
    let config = SimulatorConfig {
        sns_subscriber_url: Some(receiver.url.clone()),
        ..reporting()
    };
    let running = start_with(config).await;
    let called = receiver.next().await;
    assert_eq!(
        called.headers["x-amz-sns-message-type"],
        "SubscriptionConfirmation"
    );
    let asked: Value = serde_json::from_str(&called.body).unwrap();
    let get = async |url: &str| running.http.get(url).send().await.unwrap();
    let certificate = get(asked["SigningCertURL"].as_str().unwrap())
        .await
        .text()
        .await
        .unwrap();
    assert!(
        certificate.starts_with("-----BEGIN CERTIFICATE-----"),
        "{certificate}"
    );
    let url = asked["SubscribeURL"].as_str().unwrap();
    let token = asked["Token"].as_str().unwrap();
    assert_eq!(get(&url.replace(token, "other")).await.status(), 404);
    assert_eq!(get(url).await.status(), 200);
}

#[tokio::test]
async fn stop_ends_the_messages_of_one_sender_until_start_and_both_are_posted_to_the_webhook() {
    let mut receiver = Receiver::start().await;
    let running = start_with(SimulatorConfig {
        twilio_inbound_url: Some(format!("{}/v1/receipts/texts#rc=5", receiver.url)),
        ..config()
    })
    .await;
    let reply = async |body: Value| {
        let request = running.http.post(running.url("/v1/replies")).json(&body);
        answer(request).await
    };
    let send = async |from: &str| {
        let fields = [("To", "+4915112345678"), ("From", from), ("Body", "Hello")];
        let (status, body) = running.sms(&fields).await;
        (status, body["code"].as_u64())
    };
    let (sender, other) = ("+15005550006", "+15005550016");
    for (text, expected) in [
        ("Hello?", (201, None)),
        (" stop ", (400, Some(21_610))),
        ("please start", (400, Some(21_610))),
        ("Start", (201, None)),
    ] {
        let (status, _) = reply(json!({"from": "+4915112345678", "to": sender, "text": text})).await;
        assert_eq!(status, 202);
        assert_eq!(send(sender).await, expected, "{text}");
        assert_eq!(send(other).await.0, 201, "{text}");
        let called = receiver.next().await;
        assert_eq!(called.uri.to_string(), "/v1/receipts/texts");
        assert!(called.headers.contains_key("x-twilio-signature"));
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(called.body.as_bytes())
            .into_owned()
            .collect();
        for (name, value) in [
            ("SmsStatus", "received"),
            ("Body", text),
            ("To", sender),
            ("From", "+4915112345678"),
        ] {
            assert!(
                fields.contains(&(name.to_owned(), value.to_owned())),
                "{fields:?}"
            );
        }
    }
    for (wrong, pointer) in [
        (json!({"from": "0151", "to": sender, "text": "STOP"}), "/from"),
        (json!({"from": "+4915112345678", "to": "", "text": "STOP"}), "/to"),
        (json!({"from": "+4915112345678", "to": sender}), "/text"),
        (
            json!({"from": "+4915112345678", "to": sender, "text": "x", "signature": "none"}),
            "/signature",
        ),
    ] {
        let (status, body) = reply(wrong).await;
        assert_eq!(
            (status, body["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{body}"
        );
    }
}
