//! Secrets and addresses on every route and page, with a key of every role.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use carillon_domain::{
    Channel,
    dead_letter::{DeadLetter, FailureClass},
};
use carillon_store::{
    dead_letters::DeadLetterRow,
    users::{Device, UserPut},
};
use serde_json::{Value, json};

use crate::{
    dashboard::{csrf, form, page, sign_in},
    seed::{event_with_delivery, origin, start},
    support::{Answer, Ask, Setting, on_gateway},
};

/// The values that only a reveal by an admin may show.
const SECRETS: [&str; 8] = [
    "S3CR3T",
    "guest.one@",
    "+4915155501",
    "guest.two@",
    "ada@example.com",
    "+4915112345678",
    "token-of-ada",
    "refused.one@",
];

/// The places at which the secrets may be shown.
pub(crate) struct Seeded {
    /// Paths under `/v1` that show one object.
    pub(crate) api: Vec<String>,
    /// Pages that show one object, without the HTML of a message.
    pub(crate) pages: Vec<String>,
    /// The HTML of a message.
    message: String,
}

/// A dead letter's channel, type, record and headers.
type Letter<'a> = (
    Option<Channel>,
    Option<&'a str>,
    Vec<u8>,
    &'a [(&'a str, &'a str)],
);

pub(crate) async fn seeded(setting: &Setting) -> Seeded {
    let mut catalog = crate::support::catalog();
    catalog["types"]["OneTimePassword"] = json!({
        "category": "transactional", "channels": {"order": ["sms", "email"]},
        "sensitive": ["/data/code", "/data/links/*/url", "/subject"], "recipients_from": ["/data/buyer"],
        "schema": {"type": "object", "properties": {"code": {"type": "string"}}},
    });
    assert_eq!(
        setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
        200
    );
    let put = UserPut {
        email: Some("ada@example.com".to_owned()),
        phone: Some("+4915112345678".to_owned()),
        devices: Some(vec![Device {
            platform: carillon_domain::Platform::Android,
            token: "token-of-ada-on-her-phone".to_owned(),
        }]),
        ..UserPut::default()
    };
    let users = setting.env.store.users();
    users
        .put(&setting.tenant, &"u-42".into(), &put, None)
        .await
        .unwrap();

    let event = json!({
        "specversion": "1.0", "id": "otp-1", "source": "/shop", "type": "OneTimePassword", "time": crate::support::START,
        "subject": "S3CR3T", "recipients": [{"email": "guest.one@example.com", "phone": "+4915155501234"}],
        "data": {
            "code": "S3CR3T", "valid_minutes": 5, "links": [{"url": "https://shop.example/S3CR3T"}],
            "buyer": {"email": "guest.two@example.com"}, "note": "write to guest.one@example.com",
        },
    });
    let email = event_with_delivery(
        setting,
        1,
        &event,
        Channel::Email,
        "rejected for refused.one@example.com",
    )
    .await;
    let mut second = event.clone();
    second["id"] = json!("otp-2");
    let sms = event_with_delivery(setting, 2, &second, Channel::Sms, "rejected for +4915155501234").await;

    let delivery = json!({
        "v": 1, "type": "OneTimePassword", "target": {"kind": "inline", "address": "guest.one@example.com"},
        "data": event["data"],
    });
    let binary = [
        ("ce_type", "OneTimePassword"),
        ("ce_subject", "S3CR3T"),
        ("ce_recipient", "guest.two@example.com"),
    ];
    let letters: [Letter<'_>; 5] = [
        (None, Some("OneTimePassword"), event.to_string().into(), &[]),
        (None, None, format!("{{ not json, {event}").into(), &[]),
        (
            None,
            Some("Misspelt"),
            event.to_string().into(),
            &[("x", "guest.two@example.com")],
        ),
        (
            None,
            Some("OneTimePassword"),
            event["data"].to_string().into(),
            &binary,
        ),
        (
            Some(Channel::Email),
            Some("OneTimePassword"),
            delivery.to_string().into(),
            &[],
        ),
    ];
    let mut api = vec!["/v1/events/otp-1".to_owned(), "/v1/users/u-42".to_owned()];
    let mut pages = vec!["/events/otp-1?source=%2Fshop".to_owned()];
    for id in [email, sms] {
        api.push(format!("/v1/deliveries/{}", id.0));
        pages.push(format!("/deliveries/{}", id.0));
    }
    for (offset, (channel, event_type, value, headers)) in (0..).zip(letters) {
        let id = dead_letter(setting, offset, channel, event_type, value, headers).await;
        api.push(format!("/v1/dlq/{id}"));
        pages.push(format!("/dlq/{id}"));
    }
    Seeded {
        api,
        pages,
        message: format!("/deliveries/{}/message", email.0),
    }
}

async fn dead_letter(
    setting: &Setting,
    offset: i64,
    channel: Option<Channel>,
    event_type: Option<&str>,
    value: Vec<u8>,
    headers: &[(&str, &str)],
) -> uuid::Uuid {
    let queue = channel.map_or("events", Channel::as_str);
    let letter = DeadLetter {
        class: FailureClass::Invalid,
        provider: None,
        code: "invalid".to_owned(),
        reason: "nobody answers at refused.one@example.com".to_owned(),
        attempts: 1,
        first_failed_at: start(),
    };
    let position = origin(&format!("notifications.{queue}.dlq"), offset);
    let id = carillon_domain::ids::dead_letter_id(&position.topic, position.partition, position.offset);
    let row = DeadLetterRow {
        position,
        tenant: setting.tenant.clone(),
        channel,
        source_topic: format!("notifications.{queue}").into(),
        fingerprint: letter.fingerprint(queue),
        letter,
        dead_at: start(),
        delivery_id: None,
        event_type: event_type.map(str::to_owned),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        key: None,
        value,
    };
    setting
        .env
        .store
        .dead_letters()
        .apply("a test", &[row], &[])
        .await
        .unwrap();
    id
}

/// The answer's text, with the bytes of records beside their base64.
fn everything(answer: &Answer) -> String {
    let mut text = answer.text();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let items = json["items"].as_array().cloned().unwrap_or_default();
    for letter in items.iter().chain([&json]) {
        if let Some(base64) = letter["value_base64"].as_str() {
            text.push_str(&String::from_utf8_lossy(&STANDARD.decode(base64).unwrap()));
        }
    }
    text
}

#[track_caller]
pub(crate) fn assert_hides(answer: &Answer, route: &str) {
    let text = everything(answer);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{route} shows {secret}: {text}");
    }
}

pub(crate) const LISTS: [&str; 7] = [
    "/v1/deliveries",
    "/v1/deliveries?q=S3CR3",
    "/v1/deliveries?status=dead_lettered",
    "/v1/dlq",
    "/v1/dlq/groups",
    "/v1/users/u-42/preferences",
    "/v1/catalog",
];

#[tokio::test]
async fn no_route_shows_a_secret_or_an_address_to_any_role_without_a_reveal() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        for key in [&setting.viewer, &setting.operator, &setting.admin] {
            for route in seeded.api.iter().map(String::as_str).chain(LISTS) {
                let answer = setting.ask(Ask::get(route).key(key)).await;
                assert_eq!(answer.status, 200, "{route} {answer:?}");
                assert_hides(&answer, route);
            }
        }
        let event = setting.get("/v1/events/otp-1").await.json();
        assert_eq!(
            event["event"]["data"],
            json!({
                "code": "•••", "valid_minutes": 5, "links": [{"url": "https://•••"}],
                "buyer": {"email": "g…@example.com"}, "note": "write to g…@example.com",
            })
        );
        assert_eq!(event["masked"], true);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_shown_with_masks_in_the_place_of_secrets() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        for route in seeded.api.iter().filter(|route| route.contains("deliveries")) {
            let content = setting.ask(Ask::get(route).key(&setting.viewer)).await.json()["content"].clone();
            assert!(content["text"].as_str().unwrap().contains("•••"), "{content}");
        }
    })
    .await;
}

#[tokio::test]
async fn viewers_see_no_record_of_a_dead_letter_and_operators_see_records_that_can_be_masked() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        let letters = seeded.api.iter().filter(|route| route.contains("dlq"));
        for (index, route) in letters.enumerate() {
            let seen = setting.ask(Ask::get(route).key(&setting.viewer)).await.json();
            assert_eq!(
                (&seen["value_base64"], &seen["headers"]),
                (&Value::Null, &Value::Null),
                "{seen}"
            );
            assert!(seen["hidden"].is_string() && seen["reason"].is_string());

            let answer = setting.ask(Ask::get(route).key(&setting.operator)).await;
            let seen = everything(&answer);
            let expected = match index {
                0 | 3 => "\"valid_minutes\":5",
                2 => "\"data\":\"•••\"",
                4 => "\"address\":\"g…@example.com\"",
                _ => "\"value_base64\":null",
            };
            assert!(seen.contains(expected), "{index}: {seen}");
        }
    })
    .await;
}

#[tokio::test]
async fn only_an_admin_reveals_and_each_time_is_in_the_audit_log() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        for (key, role) in [(&setting.viewer, "viewer"), (&setting.operator, "operator")] {
            for route in &seeded.api {
                let asked = Ask::get(&format!("{route}?reveal=true")).key(key);
                let answer = setting.ask(asked).await;
                assert_hides(&answer, route);
                answer.problem(403, "forbidden");
                let said = format!("reveal: this needs the role admin; the key has the role {role}");
                assert_eq!(answer.json()["detail"], said, "{route}");
            }
            setting
                .ask(Ask::get("/v1/audit").key(key))
                .await
                .problem(403, "forbidden");
        }
        assert_eq!(setting.get("/v1/audit").await.json()["items"], json!([]));
        for route in &seeded.api {
            let answer = setting.get(&format!("{route}?reveal=true")).await;
            assert_eq!(answer.status, 200);
            let text = everything(&answer);
            assert!(
                SECRETS.iter().any(|secret| text.contains(secret)),
                "{route}: {text}"
            );
            setting.advance(1);
        }
        let log = setting.get("/v1/audit?limit=500").await.json();
        let routes: Vec<&str> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["route"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = seeded
            .api
            .iter()
            .rev()
            .map(|route| format!("{route}?reveal=true"))
            .collect();
        assert_eq!(routes, expected);
        assert_eq!(log["items"][0]["action"], "reveal");
        assert_eq!(log["items"][0]["key_name"], "a test");
        let foreign = setting
            .ask(Ask::get("/v1/audit").key(&setting.foreign))
            .await
            .json();
        assert_eq!(foreign["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn no_page_shows_a_secret_or_an_address_without_a_reveal() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        let all = || {
            seeded
                .pages
                .iter()
                .map(String::as_str)
                .chain(["/", "/deliveries", "/dlq", &seeded.message])
        };
        for key in [&setting.viewer, &setting.operator, &setting.admin] {
            let session = sign_in(setting, key).await;
            for path in all() {
                let shown = setting.ask(page(path, &session)).await;
                assert_eq!(shown.status, 200, "{path}");
                assert_hides(&shown, path);
                let asks = shown.text().contains("action=\"/reveal\"");
                assert_eq!(
                    asks,
                    *key == setting.admin && seeded.pages.iter().any(|page| page == path),
                    "{path}"
                );
            }
        }
        for key in [&setting.viewer, &setting.operator] {
            let session = sign_in(setting, key).await;
            let token = csrf(&setting.ask(page("/", &session)).await);
            let asked = form(
                "/reveal",
                &session,
                &[("csrf", &token), ("page", &seeded.pages[0])],
            );
            assert_eq!(setting.ask(asked).await.status, 403);
            assert_hides(
                &setting.ask(page(&seeded.pages[0], &session)).await,
                &seeded.pages[0],
            );
        }
        let session = sign_in(setting, &setting.admin).await;
        for path in &seeded.pages {
            let token = csrf(&setting.ask(page(path, &session)).await);
            let forged = form("/reveal", &session, &[("csrf", "forged"), ("page", path)]);
            assert_eq!(setting.ask(forged).await.status, 403);
            let asked = form("/reveal", &session, &[("csrf", &token), ("page", path)]);
            let answer = setting.ask(asked).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (303, Some(path.as_str()))
            );
            let text = setting.ask(page(path, &session)).await.text();
            assert!(
                SECRETS.iter().any(|secret| text.contains(secret)),
                "{path}: {text}"
            );
        }
        assert!(
            setting
                .ask(page(&seeded.message, &session))
                .await
                .text()
                .contains("S3CR3T")
        );
        let log = setting.get("/v1/audit").await.json();
        assert_eq!(log["items"].as_array().unwrap().len(), seeded.pages.len());

        setting.advance(301);
        for path in all() {
            assert_hides(&setting.ask(page(path, &session)).await, path);
        }
    })
    .await;
}

#[tokio::test]
async fn the_answer_to_a_written_user_masks_addresses_and_a_masked_address_is_refused() {
    on_gateway(async |setting| {
        let put = json!({"email": "ada@example.com", "phone": "+4915112345678"});
        let answer = setting
            .ask(Ask::put("/v1/users/u-42").key(&setting.operator).json(&put))
            .await;
        assert_hides(&answer, "PUT");
        assert_eq!(answer.json()["email"], "a…@example.com");
        let device = Ask::put("/v1/users/u-42/devices/token-of-ada-1").key(&setting.operator);
        let answer = setting.ask(device.json(&json!({"platform": "android"}))).await;
        assert_hides(&answer, "PUT device");
        assert_eq!(answer.json()["token"], "…da-1");

        let back = json!({"email": "a…@example.com", "phone": "+49…78"});
        let answer = setting.ask(Ask::put("/v1/users/u-42").json(&back)).await;
        assert_eq!(
            answer.problem(422, "validation"),
            ["/email masked", "/phone masked"]
        );
        let kept = setting.get("/v1/users/u-42?reveal=true").await.json();
        assert_eq!(kept["email"], "ada@example.com");
    })
    .await;
}

#[tokio::test]
async fn a_refused_event_of_a_type_with_secrets_is_refused_without_quoting_them() {
    on_gateway(async |setting| {
        seeded(setting).await;
        let event = json!({
            "type": "OneTimePassword", "recipients": [{"user_id": "u-42"}], "data": {"code": ["S3CR3T"]},
        });
        let answer = setting
            .ask(Ask::post("/v1/events").key(&setting.operator).json(&event))
            .await;
        assert_hides(&answer, "POST /v1/events");
        assert_eq!(answer.problem(422, "validation"), ["/data/code schema"]);
    })
    .await;
}

#[tokio::test]
async fn a_pointer_that_can_hide_nothing_is_refused_when_the_catalog_is_applied() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderShipped"]["sensitive"] =
            json!(["/data/none", "data/code", "/id", "/data/a~2"]);
        let answer = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        let at = "/types/OrderShipped/sensitive";
        let expected = [1, 2, 3].map(|index| format!("{at}/{index} format"));
        assert_eq!(answer.problem(422, "validation"), expected);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letters_technical_headers_are_shown_and_other_bytes_under_their_names_are_not() {
    on_gateway(async |setting| {
        crate::seed::dead_letter(setting, 0, Some(Channel::Email), "550").await;
        let listed = setting
            .ask(Ask::get("/v1/dlq").key(&setting.operator))
            .await
            .json();
        let letter = &listed["items"][0];
        let header = |name: &str| {
            let headers = letter["headers"].as_array().unwrap();
            let found = headers.iter().find(|pair| pair[0] == name);
            found.unwrap_or_else(|| panic!("{name}: {letter}"))[1].clone()
        };
        for (name, value) in [
            ("kafka_dlt-original-topic", "notifications.email"),
            ("kafka_dlt-original-partition", "base64:AAAAAw=="),
            ("kafka_dlt-original-offset", "base64:AAAAAAAAAAc="),
            ("kafka_dlt-original-timestamp", "base64:AAABogz/fQA="),
            ("kafka_dlt-original-timestamp-type", "CreateTime"),
            ("carillon-attempts", "3"),
            ("carillon-first-failed-at", "1795514400000"),
            ("signature", "•••"),
        ] {
            assert_eq!(header(name), value, "{name}");
        }
        assert_eq!(letter["source_timestamp"], "2026-11-24T10:00:00Z");
    })
    .await;
}
