//! Foreign text on pages: it does not reorder the page, and its control characters are visible.

use carillon_domain::{Channel, visible::is_steering};
use serde_json::json;

use crate::{
    dashboard::{page, sign_in},
    seed::{dead_letter, event_with_delivery},
    support::{Ask, Setting, on_gateway},
};

/// Letters that are read from right to left, and characters that would turn the page around.
const FOREIGN: &str = "שלום\u{202e}\u{2066}\u{1b}[2J\u{9b}";

async fn pages(setting: &Setting) -> Vec<String> {
    let event = json!({
        "specversion": "1.0", "id": FOREIGN, "source": FOREIGN, "type": "OrderShipped", "time": crate::support::START,
        "recipients": [{"user_id": "u-42"}], "data": {"order_id": FOREIGN, "carrier": FOREIGN},
    });
    let delivery = event_with_delivery(setting, 1, &event, Channel::Email, FOREIGN).await;
    dead_letter(setting, 1, Some(Channel::Email), FOREIGN).await;
    let letters = setting.get("/v1/dlq").await.json();
    let id = letters["items"][0]["id"].as_str().unwrap();
    let encoded = percent_encoding::utf8_percent_encode(FOREIGN, percent_encoding::NON_ALPHANUMERIC);
    vec![
        "/".to_owned(),
        "/deliveries".to_owned(),
        format!("/deliveries?q={encoded}&type={encoded}"),
        format!("/deliveries/{}", delivery.0),
        format!("/events/{encoded}?source={encoded}"),
        "/dlq".to_owned(),
        format!("/dlq/{id}"),
    ]
}

#[tokio::test]
async fn foreign_text_is_isolated_and_its_control_characters_are_visible_on_every_page() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        for path in pages(setting).await {
            let shown = setting.ask(page(&path, &session)).await;
            assert_eq!(shown.status, 200, "{path}");
            let text = shown.text();
            let steering = text.chars().find(|c| is_steering(*c) && *c != '\n');
            assert_eq!(steering, None, "{path}: {text}");
            for (at, _) in text.match_indices("שלום") {
                let before = &text[..at];
                let is_isolated =
                    before.rfind("<bdi>") > before.rfind("</bdi>") || before.ends_with("&#x2068;");
                let in_block = before
                    .rfind("<pre")
                    .is_some_and(|open| !before[open..].contains("</pre>"));
                let in_field = before.ends_with("value=\"");
                assert!(
                    is_isolated || in_block || in_field,
                    "{path}: {}",
                    &text[at.saturating_sub(80)..at + 20]
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_search_that_is_sent_again_is_the_same_search() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let text = setting
            .ask(page("/deliveries?q=a%E2%80%AEb%22", &session))
            .await
            .text();
        assert!(text.contains("value=\"a&#x202e;b&#x22;\""), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_resource_is_a_page_for_browsers_and_a_problem_document_for_programs() {
    on_gateway(async |setting| {
        let browser = |ask: Ask| {
            ask.anonymous()
                .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        };
        for (ask, status) in [
            (Ask::get("/nothing/here"), 404),
            (Ask::delete("/deliveries"), 405),
            (Ask::post("/docs"), 405),
            (Ask::post("/sign-in").text("text/plain", "x"), 415),
        ] {
            let answer = setting.ask(browser(ask)).await;
            assert_eq!(answer.status, status);
            assert_eq!(
                answer.header("content-type"),
                Some("text/html; charset=utf-8"),
                "{answer:?}"
            );
            assert!(
                answer.text().contains("dashboard.css") && answer.header("content-security-policy").is_some()
            );
            assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
        }
        setting.ask(Ask::get("/nothing")).await.problem(404, "not-found");
        let api = setting.ask(browser(Ask::get("/v1/nothing"))).await;
        api.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn the_api_reference_needs_no_key_and_nothing_from_elsewhere() {
    on_gateway(async |setting| {
        let shown = setting.ask(Ask::get("/docs").anonymous()).await;
        assert_eq!(shown.status, 200);
        let text = shown.text();
        for operation in ["/v1/events", "/v1/users/{id}", "/v1/dlq/{id}", "/v1/audit"] {
            assert!(text.contains(operation), "{operation}");
        }
        for expected in [
            "Idempotency-Key",
            "application/cloudevents+json",
            "id=\"schema-Problem\"",
            "OrderShipped",
            "429",
        ] {
            assert!(text.contains(expected), "{expected}");
        }
        assert!(
            !text.contains("<script") && !text.contains("https://cdn"),
            "{text}"
        );
        let targets: Vec<&str> = text
            .split("href=\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(targets.len() > 20);
        for target in targets {
            assert!(text.contains(&format!("id=\"{target}\"")), "{target}");
        }
        let session = sign_in(setting, &setting.viewer).await;
        assert!(
            setting
                .ask(page("/", &session))
                .await
                .text()
                .contains("href=\"/docs\"")
        );
    })
    .await;
}
