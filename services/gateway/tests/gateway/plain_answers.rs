//! An answer names the parameter, header or path at fault, in one sentence without repetition.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::support::{Ask, Setting, on_gateway, shipped};

#[tokio::test]
async fn a_wrong_query_parameter_is_named_with_its_value_and_the_expected_one() {
    on_gateway(async |setting| {
        for (path, error, sentence) in [
            (
                "/v1/deliveries?limit=abc",
                " /limit type",
                "the parameter limit: expected a whole number from 1 to 500, not \"abc\"",
            ),
            (
                "/v1/deliveries?from=2020",
                " /from type",
                "the parameter from: expected a time such as 2027-01-31T10:00:00Z, or a date such as 2027-01-31, which \
                 begins at 00:00 UTC, not \"2020\"",
            ),
            (
                "/v1/deliveries?limit=501",
                " /limit range",
                "the parameter limit: expected a whole number from 1 to 500, not 501",
            ),
            (
                "/v1/dlq?cursor=here",
                " /cursor format",
                "the parameter cursor: expected next_cursor of an earlier answer, not \"here\"",
            ),
            (
                "/v1/dlq?limit=1&limit=2",
                " /limit duplicate",
                "the parameter limit: expected the parameter once, not 2 times",
            ),
            (
                "/v1/users/u-42?reveal=maybe",
                " /reveal type",
                "the parameter reveal: expected true or false, not \"maybe\"",
            ),
            (
                "/v1/deliveries?q=%ff",
                " /q encoding",
                "the parameter q: expected UTF-8, percent-encoded, not \"%ff\"",
            ),
            (
                "/v1/deliveries?status=sent&status=lost",
                " /status type",
                "the parameter status: expected ",
            ),
        ] {
            let answer = setting.get(path).await;
            assert_eq!(answer.problem(422, "validation"), [error.trim()], "{path}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(sentence), "{path}: {detail}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_or_holds_no_uuid_is_refused_with_the_reason() {
    on_gateway(async |setting| {
        for path in [
            "/v1/users/%ff",
            "/v1/users/%ff/preferences",
            "/v1/events/%ff",
            "/v1/deliveries/%ff",
        ] {
            let answer = setting.get(path).await;
            answer.problem(400, "malformed-request");
            assert!(
                answer.text().contains("the path holds bytes that are not UTF-8"),
                "{answer:?}"
            );
        }
        for path in ["/v1/deliveries/not-a-uuid", "/v1/dlq/not-a-uuid"] {
            let answer = setting.get(path).await;
            answer.problem(404, "not-found");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(
                detail.starts_with("expected a UUID as the id") && detail.ends_with("not \"not-a-uuid\""),
                "{detail}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn two_authorization_headers_are_refused_because_the_caller_is_unclear() {
    on_gateway(async |setting| {
        for (first, second) in [
            (&setting.admin, &setting.viewer),
            (&setting.admin, &setting.admin),
            (&"nonsense".to_owned(), &setting.admin),
        ] {
            let request = Request::get("/v1/catalog")
                .header("authorization", format!("Bearer {first}"))
                .header("authorization", format!("Bearer {second}"));
            let answer = setting.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.problem(400, "malformed-header"), [" duplicate"]);
            assert!(
                answer.text().contains("expected the header once, not 2 times"),
                "{answer:?}"
            );
        }
    })
    .await;
}

async fn posted(setting: &Setting, key: &str, body: &Value) -> (u16, bool, Value) {
    let ask = Ask::post("/v1/events").header("idempotency-key", key).json(body);
    let answer = setting.ask(ask).await;
    let is_replayed = answer.header("idempotency-replayed").is_some();
    (answer.status, is_replayed, answer.json())
}

#[tokio::test]
async fn an_answer_that_depends_on_users_or_the_catalog_is_not_stored_under_the_key() {
    on_gateway(async |setting| {
        let mut to_new = shipped("e-1");
        to_new["recipients"] = json!([{"user_id": "u-new"}]);
        let mut of_new_type = shipped("e-2");
        of_new_type["type"] = json!("OrderReturned");
        let batch = json!([shipped("e-3"), {"id": "e-4", "type": "OrderReturned", "recipients": ["u-42"], "data": {}}]);
        assert_eq!(posted(setting, "user", &to_new).await.0, 422);
        assert_eq!(posted(setting, "type", &of_new_type).await.0, 422);
        let (status, _, answer) = posted(setting, "batch", &batch).await;
        assert_eq!((status, &answer["items"][1]["status"]), (202, &json!("rejected")));

        let put = Ask::put("/v1/users/u-new").json(&json!({"email": "new@example.com"}));
        assert_eq!(setting.ask(put).await.status, 201);
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderReturned"] = json!({"category": "transactional", "channels": {"order": ["email"]}});
        assert_eq!(setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status, 200);

        for (key, body) in [("user", &to_new), ("type", &of_new_type)] {
            let (status, is_replayed, answer) = posted(setting, key, body).await;
            assert_eq!((status, is_replayed), (202, false), "{key}: {answer}");
            let (status, is_replayed, _) = posted(setting, key, body).await;
            assert_eq!((status, is_replayed), (202, true), "{key}");
        }
        let (status, is_replayed, answer) = posted(setting, "batch", &batch).await;
        let statuses: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
        assert_eq!((status, is_replayed), (202, false));
        assert_eq!(statuses, ["duplicate", "accepted"]);
        assert_eq!(setting.published().await.len(), 4, "nothing is doubled");

        let wrong = json!({"type": 7});
        assert!(!posted(setting, "fault", &wrong).await.1);
        assert!(posted(setting, "fault", &wrong).await.1, "a fault of the request itself is kept");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_cannot_be_decoded_is_not_called_json_and_a_wide_charset_is_named() {
    on_gateway(async |setting| {
        let post = |name: &'static str, value: &'static str, body: Vec<u8>| {
            let ask = Ask::post("/v1/events");
            match name {
                "content-type" => ask.text(value, body),
                name => ask.header(name, value).text("application/json", body),
            }
        };
        let answer = setting
            .ask(post("content-encoding", "gzip", b"plain".to_vec()))
            .await;
        answer.problem(400, "malformed-request");
        assert_eq!(answer.json()["title"], "The request cannot be read");
        let wide: Vec<u8> = shipped("e-1")
            .to_string()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let answer = setting
            .ask(post("content-type", "application/json; charset=utf-16", wide))
            .await;
        answer.problem(415, "unsupported-media-type");
        assert!(
            answer.text().contains("expected a body in UTF-8, not in utf-16"),
            "{answer:?}"
        );
        let event = r#"{"specversion": 1.0, "id": "e-1", "source": "/", "type": "OrderShipped", "data": {}}"#;
        let answer = setting
            .ask(post("content-type", "application/cloudevents+json", event.into()))
            .await;
        let errors = answer.problem(422, "validation");
        assert_eq!(errors, ["/specversion type"]);
    })
    .await;
}

#[tokio::test]
async fn no_detail_repeats_the_title() {
    on_gateway(async |setting| {
        let mut unknown_type = shipped("e-1");
        unknown_type["type"] = json!("Unheard");
        let mut stranger = shipped("e-2");
        stranger["recipients"] = json!([{"user_id": "stranger"}]);
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderShipped"]["schema"] = json!({"enum": vec![1; 1_001]});
        for (answer, title, detail) in [
            (
                setting.post(&unknown_type).await,
                "The event type is unknown",
                "expected an event type of the catalog, not \"Unheard\"",
            ),
            (
                setting.post(&stranger).await,
                "No recipient is known",
                "expected at least one existing user",
            ),
            (
                setting.get("/v1/events/none").await,
                "It was not found",
                "there is no event \"none\"",
            ),
            (
                setting.ask(Ask::put("/v1/catalog").json(&catalog)).await,
                "The input is too large",
                "expected at most 1000 in a list, not 1001",
            ),
        ] {
            let problem = answer.json();
            assert_eq!(
                (&problem["title"], &problem["detail"]),
                (&json!(title), &json!(detail))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_answer_about_an_object_that_does_not_exist_names_what_was_asked_for() {
    on_gateway(async |setting| {
        let id = "6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10";
        let catalog = setting.get("/v1/users/nobody/preferences").await;
        assert_eq!(catalog.json()["detail"], "there is no user \"nobody\"");
        for (ask, detail) in [
            (
                Ask::get(&format!("/v1/deliveries/{id}")),
                format!("there is no delivery {id}"),
            ),
            (
                Ask::post(&format!("/v1/deliveries/{id}/cancel")),
                format!("there is no delivery {id}"),
            ),
            (
                Ask::post(&format!("/v1/deliveries/{id}/acknowledge")),
                format!("there is no delivery {id}"),
            ),
            (Ask::get("/v1/events/o-7"), "there is no event \"o-7\"".to_owned()),
            (
                Ask::get("/v1/events/o-7?source=%2Fshop"),
                "there is no event \"o-7\" of the source \"/shop\"".to_owned(),
            ),
            (
                Ask::post("/v1/events/o-7/cancel"),
                "there is no event \"o-7\"".to_owned(),
            ),
            (
                Ask::get(&format!("/v1/dlq/{id}")),
                format!("there is no dead letter {id}"),
            ),
            (
                Ask::get(&format!("/v1/dlq/jobs/{id}")),
                format!("there is no job {id}"),
            ),
            (
                Ask::post(&format!("/v1/dlq/jobs/{id}/pause")),
                format!("there is no job {id}"),
            ),
            (
                Ask::get("/v1/dlq/groups/f00"),
                "there is no cause of dead letters \"f00\"".to_owned(),
            ),
            (
                Ask::delete(&format!("/v1/keys/{id}")),
                format!("there is no API key {id}"),
            ),
            (
                Ask::delete("/v1/users/u-42/webhooks/erp"),
                "the user \"u-42\" does not exist or has no endpoint \"erp\"".to_owned(),
            ),
            (
                Ask::delete("/v1/users/u-42/devices/t"),
                "the user \"u-42\" does not exist or has no such device".to_owned(),
            ),
        ] {
            let answer = setting.ask(ask).await;
            answer.problem(404, "not-found");
            assert_eq!(answer.json()["detail"], detail);
        }
    })
    .await;
}
