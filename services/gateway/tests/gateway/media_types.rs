//! The media types of bodies.

use serde_json::json;

use crate::support::{Ask, catalog, on_gateway};

/// A route that reads JSON, with a body that it takes.
type Route = (fn(&str) -> Ask, &'static str, serde_json::Value);

#[tokio::test]
async fn a_body_of_another_media_type_than_json_is_refused_at_every_route_and_changes_nothing() {
    on_gateway(async |setting| {
        let form = "application/x-www-form-urlencoded";
        let routes: [Route; 5] = [
            (Ask::put, "/v1/users/u-7", json!({"email": "ada@example.com"})),
            (Ask::put, "/v1/users/u-42/devices/tok", json!({"platform": "ios"})),
            (
                Ask::put,
                "/v1/users/u-42/preferences",
                json!({"global": {"email": true}}),
            ),
            (Ask::put, "/v1/catalog", catalog()),
            (Ask::post, "/v1/keys", json!({"name": "x", "role": "viewer"})),
        ];
        for (ask, path, body) in &routes {
            for (media, expected) in [
                ("text/csv", "expected application/json, not text/csv"),
                (
                    "text/plain; charset=utf-8",
                    "expected application/json, not text/plain; charset=utf-8",
                ),
                (form, "with curl by -H 'Content-Type: application/json'"),
                ("application/json; charset=utf-16", "expected the charset utf-8"),
            ] {
                let answer = setting.ask(ask(path).text(media, body.to_string())).await;
                assert_eq!(
                    answer.problem(415, "unsupported-media-type"),
                    [" unsupported-media-type"],
                    "{path}"
                );
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(expected), "{path}: {detail}");
            }
        }
        setting.get("/v1/users/u-7").await.problem(404, "not-found");
        for media in ["application/json", "application/vnd.shop+json; charset=UTF-8"] {
            for (ask, path, body) in &routes {
                let answer = setting.ask(ask(path).text(media, body.to_string())).await;
                assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_api_document_states_415_for_every_operation_with_a_body() {
    on_gateway(async |setting| {
        let document = setting.ask(Ask::get("/openapi.json").anonymous()).await.json();
        let mut seen = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation.get("requestBody").is_some() {
                    seen += 1;
                    assert!(operation["responses"].get("415").is_some(), "{method} {path}");
                }
            }
        }
        assert!(seen >= 6, "{seen}");
    })
    .await;
}
