//! SendGrid's v3 API: mails it takes, and requests it refuses.

use serde_json::{Value, json};

use crate::support::{Running, answer, start};

pub(crate) fn mail() -> Value {
    json!({
        "personalizations": [{
            "to": [{"email": "ada@example.com", "name": "Ada"}],
            "custom_args": {"carillon_delivery_id": "d-1", "carillon_attempt": "2"},
        }],
        "from": {"email": "shop@example.com", "name": "Café"},
        "subject": "Grüße",
        "content": [
            {"type": "text/plain", "value": "Hallo"},
            {"type": "text/html", "value": "<p>Hallo</p>"},
        ],
        "headers": {"X-Carillon-Event": "=?utf-8?b?Y2Fmw6k=?="},
        "categories": ["shop"],
    })
}

/// The mail with another value at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut mail = mail();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    mail.pointer_mut(parent).unwrap()[member] = value;
    mail
}

/// The status of the answer and the field that it names.
async fn refusal(running: &Running, body: &Value) -> (u16, Value) {
    let (status, answer) = running.sendgrid(body).await;
    (status, answer["errors"][0]["field"].clone())
}

#[tokio::test]
async fn a_mail_is_shown_as_its_receiver_sees_it() {
    let running = start().await;
    let response = running.sendgrid_request(&mail()).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 202);
    let id = response.headers()["x-message-id"].to_str().unwrap().to_owned();
    assert_eq!(response.text().await.unwrap(), "");
    let shown = running.all().await.remove(0);
    assert_eq!(shown.provider_message_id, id);
    assert_eq!((&*shown.to, shown.channel.as_str()), ("ada@example.com", "email"));
    assert_eq!(shown.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(shown.event_id.as_deref(), Some("café"));
    assert_eq!(shown.subject.as_deref(), Some("Grüße"));
    assert_eq!(shown.text.as_deref(), Some("Hallo"));
    assert_eq!(shown.html.as_deref(), Some("<p>Hallo</p>"));
    assert_eq!(shown.datum("from"), Some("Café <shop@example.com>"));
    assert_eq!(shown.data["custom_args"]["carillon_attempt"], "2");
    assert_eq!(shown.data["categories"], json!(["shop"]));
    let (status, page) = running.get("/?channel=email").await;
    assert_eq!(status, 200);
    assert!(
        page.as_str().unwrap().contains("Café &#60;shop@example.com&#62;"),
        "{page}"
    );
}

#[tokio::test]
async fn every_receiver_of_every_personalization_gets_a_mail_with_its_values() {
    let running = start().await;
    let mut body = mail();
    let second = json!({
        "to": [{"email": "b@example.com"}],
        "bcc": [{"email": "c@example.com"}],
        "subject": "Other",
        "custom_args": {"carillon_delivery_id": "d-2"},
    });
    body["personalizations"].as_array_mut().unwrap().push(second);
    assert_eq!(running.sendgrid(&body).await.0, 202);
    let mut all: Vec<_> = running
        .all()
        .await
        .into_iter()
        .map(|mail| (mail.to, mail.subject.unwrap(), mail.delivery_id.unwrap()))
        .collect();
    all.sort();
    let expected = [
        ("ada@example.com", "Grüße", "d-1"),
        ("b@example.com", "Other", "d-2"),
        ("c@example.com", "Other", "d-2"),
    ];
    assert_eq!(
        all,
        expected.map(|(to, subject, id)| (to.to_owned(), subject.to_owned(), id.to_owned()))
    );
}

#[tokio::test]
async fn only_the_accounts_key_is_admitted_and_only_json_is_read() {
    let running = start().await;
    let request = || running.http.post(running.url("/v3/mail/send"));
    for (request, expected) in [
        (request().json(&mail()), 401),
        (request().bearer_auth("SG.other").json(&mail()), 401),
        (request().basic_auth("apikey", Some("SG.key")).json(&mail()), 401),
        (request().bearer_auth("SG.key").body(mail().to_string()), 415),
        (
            request()
                .bearer_auth("SG.key")
                .header("content-type", "text/json")
                .body(mail().to_string()),
            415,
        ),
        (
            request()
                .bearer_auth("SG.key")
                .header("content-type", "application/json; charset=utf-8")
                .body("{"),
            400,
        ),
    ] {
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["errors"][0]["field"]), (expected, &Value::Null));
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn a_request_that_sendgrid_refuses_is_refused_with_its_field() {
    let running = start().await;
    let to = |email: &str| with("/personalizations/0/to", json!([{ "email": email }]));
    let many = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"to": [{"email": format!("{n}@example.com")}]}))
            .collect()
    };
    let categories: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    for (body, field) in [
        (with("/personalizations", json!([])), "personalizations"),
        (with("/personalizations", json!(many(1_001))), "personalizations"),
        (with("/personalizations/0/to", json!([])), "personalizations.0.to"),
        (to("ada"), "personalizations.0.to.0.email"),
        (to("ädä@example.com"), "personalizations.0.to.0.email"),
        (to("invalid@example.com"), "personalizations.0.to.0.email"),
        (
            with("/personalizations/0/to", json!("ada@example.com")),
            "personalizations.0.to",
        ),
        (
            with("/personalizations/0/to/0/email", json!(["ada@example.com"])),
            "personalizations.0.to.0.email",
        ),
        (
            with("/personalizations/0/cc", json!([{"email": "ADA@example.com"}])),
            "personalizations",
        ),
        (with("/from", Value::Null), "from"),
        (with("/from/email", json!("shop")), "from.email"),
        (with("/subject", json!("")), "personalizations.0.subject"),
        (with("/subject", Value::Null), "subject"),
        (with("/content", json!([])), "content"),
        (with("/content/0/value", json!("")), "content.0.value"),
        (
            with(
                "/content",
                json!([{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]),
            ),
            "content",
        ),
        (with("/headers/Reply-To", json!("a@example.com")), "headers"),
        (with("/headers/X-A", json!("a\r\nBcc: b@example.com")), "headers"),
        (with("/headers/X-A", json!("ä")), "headers"),
        (with("/headers/X-A", json!(7)), "headers.X-A"),
        (with("/categories", json!(categories)), "categories"),
        (with("/categories", json!(["a", "a"])), "categories.1"),
        (
            with("/personalizations/0/custom_args/x", json!("x".repeat(10_000))),
            "custom_args",
        ),
        (
            with("/personalizations/0/custom_args/x", json!(7)),
            "personalizations.0.custom_args.x",
        ),
        (with("/colour", json!("red")), "colour"),
    ] {
        assert_eq!(refusal(&running, &body).await, (400, json!(field)), "{body}");
    }
    let unverified = with("/from/email", json!("unverified@example.com"));
    assert_eq!(refusal(&running, &unverified).await, (403, json!("from")));
    let big = with("/content/0/value", json!("x".repeat(31 * 1024 * 1024)));
    assert_eq!(refusal(&running, &big).await, (413, Value::Null));
    let large = with("/content/0/value", json!("x".repeat(5 * 1024 * 1024)));
    assert_eq!(
        running.sendgrid(&large).await.0,
        202,
        "other roles' limit is smaller"
    );
}

#[tokio::test]
async fn the_sandbox_checks_a_mail_and_delivers_none() {
    let running = start().await;
    let sandbox = json!({"sandbox_mode": {"enable": true}});
    assert_eq!(
        running.sendgrid(&with("/mail_settings", sandbox.clone())).await.0,
        200
    );
    let mut wrong = with("/mail_settings", sandbox);
    wrong["content"] = json!([]);
    assert_eq!(running.sendgrid(&wrong).await.0, 400);
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn faults_have_the_providers_form_and_a_throttle_names_the_end_of_its_period() {
    let running = start().await;
    running
        .script(json!([
            {"provider": "sendgrid", "to": "*@slow.example", "status": 429, "retry_after": 30},
            {"provider": "sendgrid", "to": "*@wrong.example", "status": 400, "field": "from.email"},
            {"provider": "smtp", "status": 421},
        ]))
        .await;
    let to = |email: &str| with("/personalizations/0/to", json!([{ "email": email }]));
    let slow = running
        .sendgrid_request(&to("a@slow.example"))
        .send()
        .await
        .unwrap();
    assert_eq!(slow.status().as_u16(), 429);
    let header = |name: &str| slow.headers()[name].to_str().unwrap().parse::<i64>().unwrap();
    let left = header("x-ratelimit-reset") - seconds_now();
    assert!((29..=32).contains(&left), "{left}");
    assert_eq!(header("x-ratelimit-remaining"), 0);
    assert!(slow.headers().get("retry-after").is_none());
    assert_eq!(
        refusal(&running, &to("a@wrong.example")).await,
        (400, json!("from.email"))
    );
    assert_eq!(running.sendgrid(&to("a@fine.example")).await.0, 202);
    assert_eq!(running.all().await.len(), 1);
}

fn seconds_now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
