//! Bodies and queries that mean different things to different readers are refused, and errors speak of JSON.

use serde_json::{Value, json};

use crate::support::{Ask, on_gateway, shipped};

const DUPLICATES: [(&str, &str, &str); 9] = [
    (
        "PUT",
        "/v1/users/u-42",
        r#"{"email":"a@example.com","email":"b@example.com"}"#,
    ),
    (
        "PUT",
        "/v1/users/u-42/preferences",
        r#"{"categories":{"marketing":{"email":true},"marketing":{"email":false}}}"#,
    ),
    (
        "PATCH",
        "/v1/users/u-42/preferences",
        r#"{"global":{"email":true,"email":false}}"#,
    ),
    ("PUT", "/v1/catalog", r#"{"categories":{"c":{},"c":{}}}"#),
    (
        "PUT",
        "/v1/catalog",
        r#"{"types":{"A":{"category":"c","channels":{"order":["sms"]},"schema":{"a":1,"a":2}}},"categories":{"c":{}}}"#,
    ),
    ("POST", "/v1/keys", r#"{"name":"a","role":"viewer","name":"b"}"#),
    (
        "POST",
        "/v1/events",
        r#"{"type":"OrderShipped","id":"a","id":"b","recipients":["u-42"],"data":{"order_id":"1","carrier":"DHL"}}"#,
    ),
    (
        "POST",
        "/v1/events",
        r#"{"type":"OrderShipped","recipients":[{"user_id":"u-42","user_id":"u-7"}],"data":{"order_id":"1","carrier":"DHL"}}"#,
    ),
    (
        "POST",
        "/v1/events",
        r#"{"type":"OrderShipped","recipients":["u-42"],"data":{"order_id":"1","carrier":"DHL","order_id":"2"}}"#,
    ),
];

fn ask(method: &str, path: &str, body: &str) -> Ask {
    let ask = match method {
        "PUT" => Ask::put(path),
        "PATCH" => Ask::patch(path),
        _ => Ask::post(path),
    };
    ask.text("application/json", body.to_owned())
}

fn first(answer: &Value) -> (&str, &str) {
    let error = &answer["errors"][0];
    (
        error["pointer"].as_str().unwrap(),
        error["message"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn a_repeated_member_of_a_body_is_refused_at_every_route() {
    on_gateway(async |setting| {
        for (method, path, body) in DUPLICATES {
            let answer = setting.ask(ask(method, path, body)).await;
            answer.problem(422, "validation");
            let name = match path {
                "/v1/users/u-42" => "/email",
                "/v1/keys" => "/name",
                "/v1/events" if body.contains("u-7") => "/recipients/0/user_id",
                "/v1/events" if body.contains("\"2\"") => "/data/order_id",
                "/v1/events" => "/id",
                _ => "/",
            };
            assert!(first(&answer.json()).0.starts_with(name), "{path}: {}", answer.text());
        }
        let cloud = r#"{"specversion":"1.0","id":"e","source":"/s","type":"OrderShipped","recipient":"u-42","recipient":"u-1","data":{"order_id":"1","carrier":"DHL"}}"#;
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/cloudevents+json", cloud))
            .await;
        assert_eq!(answer.problem(422, "validation"), ["/recipient duplicate"]);
    })
    .await;
}

#[tokio::test]
async fn a_cloudevent_has_data_or_bytes_and_not_a_null_beside_bytes() {
    on_gateway(async |setting| {
        for data in ["null", "{}", "7"] {
            let body = format!(
                r#"{{"specversion":"1.0","id":"e-{data}","source":"/s","type":"OrderShipped","recipient":"u-42","data":{data},"data_base64":"eyJvcmRlcl9pZCI6IjEiLCJjYXJyaWVyIjoiREhMIn0="}}"#
            );
            let answer = setting
                .ask(Ask::post("/v1/events").text("application/cloudevents+json", body))
                .await;
            let errors = answer.problem(422, "validation");
            assert!(errors.contains(&"/data_base64 conflict".to_owned()), "{data}: {errors:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn routes_without_parameters_refuse_them() {
    on_gateway(async |setting| {
        for path in [
            "/v1/stats",
            "/v1/catalog",
            "/v1/keys",
            "/v1/users/u-42/preferences",
        ] {
            assert_eq!(setting.get(&format!("{path}?")).await.status, 200, "{path}");
            let answer = setting.get(&format!("{path}?limti=5")).await;
            assert_eq!(answer.problem(422, "validation"), ["/limti unknown"]);
            let expected = "there is no parameter limti; this route has no parameters";
            assert_eq!(answer.json()["detail"], expected, "{path}");
        }
        let put = Ask::put("/v1/users/u-42?dry_run=true").json(&json!({"email": "new@example.com"}));
        setting.ask(put).await.problem(422, "validation");
        let post = Ask::post("/v1/events?dry_run=true").json(&shipped("a-trial"));
        let answer = setting.ask(post).await;
        assert_eq!(answer.problem(422, "validation"), ["/dry_run unknown"]);
        assert!(setting.published().await.is_empty());
        let post = Ask::post("/v1/events?").json(&shipped("in-earnest"));
        assert_eq!(setting.ask(post).await.status, 202);
    })
    .await;
}

#[tokio::test]
async fn a_filter_by_a_value_that_no_dead_letter_can_have_is_refused_with_the_accepted_values() {
    on_gateway(async |setting| {
        for (query, pointer, accepted) in [
            (
                "channel=fax",
                "/channel",
                "expected push, email, sms, webhook or events, ",
            ),
            (
                "channel=",
                "/channel",
                "expected push, email, sms, webhook or events, ",
            ),
            (
                "channel=Email",
                "/channel",
                "expected push, email, sms, webhook or events, ",
            ),
            ("class=nope", "/class", "address_dead, retries_exhausted"),
            (
                "class=terminal&class=nope",
                "/class",
                "address_dead, retries_exhausted",
            ),
            ("state=gone", "/state", "expected open, replayed or discarded, "),
        ] {
            let answer = setting.get(&format!("/v1/dlq?{query}")).await;
            assert_eq!(answer.problem(422, "validation"), [format!("{pointer} type")]);
            let json = answer.json();
            let value = query.rsplit_once('=').unwrap().1;
            let said = first(&json).1;
            assert!(
                said.contains(accepted) && said.ends_with(&format!("not {value:?}")),
                "{query}: {said}"
            );
        }
        let query = "channel=email&channel=events&class=address_dead&class=bug";
        assert_eq!(setting.get(&format!("/v1/dlq?{query}")).await.status, 200);
        setting
            .get("/v1/dlq/groups?class=nope")
            .await
            .problem(422, "validation");
    })
    .await;
}

#[tokio::test]
async fn a_patch_of_another_media_type_is_not_read_as_a_merge_patch() {
    on_gateway(async |setting| {
        let patch =
            |media: &str, body: &str| Ask::patch("/v1/users/u-42/preferences").text(media, body.to_owned());
        let said = r#"{"global":{"sms":false}}"#;
        for media in [
            "text/plain",
            "application/json-patch+json",
            "application/x-www-form-urlencoded",
        ] {
            let answer = setting.ask(patch(media, said)).await;
            answer.problem(415, "unsupported-media-type");
            assert!(
                answer.text().contains(media) && answer.text().contains("application/merge-patch+json"),
                "{}",
                answer.text()
            );
            assert_eq!(
                answer.header("accept-patch"),
                Some("application/merge-patch+json, application/json")
            );
        }
        for media in ["application/json; charset=utf-8", "Application/Merge-Patch+JSON"] {
            assert_eq!(setting.ask(patch(media, said)).await.status, 200, "{media}");
        }
    })
    .await;
}

#[tokio::test]
async fn preferences_for_names_that_the_catalog_lacks_are_refused_with_the_known_ones() {
    const PATH: &str = "/v1/users/u-42/preferences";
    on_gateway(async |setting| {
        let said =
            json!({"categories": {"marketin": {"email": false}}, "types": {"OrderShiped": {"sms": true}}});
        for ask in [Ask::put(PATH), Ask::patch(PATH)] {
            let answer = setting.ask(ask.json(&said)).await;
            assert_eq!(
                answer.problem(422, "validation"),
                ["/categories/marketin unknown", "/types/OrderShiped unknown"]
            );
            let json = answer.json();
            let (_, message) = first(&json);
            assert_eq!(
                message,
                "expected a name in the catalog (marketing, transactional), not \"marketin\""
            );
        }
        let good = json!({"categories": {"marketing": {"email": false}}});
        assert_eq!(setting.ask(Ask::put(PATH).json(&good)).await.status, 200);
        // The next catalog lacks the category marketing. The user's preference for it stays and can be written again.
        let mut catalog = crate::support::catalog();
        catalog["categories"] = json!({"transactional": {}});
        catalog["types"].as_object_mut().unwrap().remove("Newsletter");
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        assert_eq!(setting.ask(Ask::put(PATH).json(&good)).await.status, 200);
        let patch = json!({"global": {"sms": false}});
        assert_eq!(setting.ask(Ask::patch(PATH).json(&patch)).await.status, 200);
        let none = json!({"categories": {"marketing": null}});
        assert_eq!(setting.ask(Ask::patch(PATH).json(&none)).await.status, 200);
        setting
            .ask(Ask::put(PATH).json(&good))
            .await
            .problem(422, "validation");
    })
    .await;
}

#[tokio::test]
async fn errors_of_shape_name_the_place_the_value_and_a_kind_of_json() {
    on_gateway(async |setting| {
        const PATH: &str = "/v1/users/u-42/preferences";
        for (method, path, body, pointer, message) in [
            ("PUT", "/v1/users/u-42", "7", "", "expected an object, not 7"),
            ("PUT", "/v1/users/u-42", r#"{"devices":{}}"#, "/devices", "expected a list, not an object"),
            ("PUT", PATH, r#"{"global":[]}"#, "/global", "expected an object, not a list"),
            ("PUT", PATH, r#"{"global":{"fax":true}}"#, "/global/fax", "expected push, email, sms or webhook, not \"fax\""),
            ("PATCH", PATH, r#"{"types":{"OrderShipped":{"fax":true}}}"#, "/types/OrderShipped/fax", "expected push, email, sms or webhook, not \"fax\""),
            ("PATCH", PATH, r#"{"global":{"email":"yes"}}"#, "/global/email", "expected true or false, not \"yes\""),
            ("PUT", "/v1/users/u-42", r#"{"timezone":"Mars/Olympus"}"#, "/timezone", "such as Europe/Berlin, not \"Mars/Olympus\""),
            ("PUT", "/v1/users/u-42", r#"{"phone":""}"#, "/phone", "got \"\""),
            ("POST", "/v1/events", r#"{"type":"","data":{},"recipients":["u-42"]}"#, "/type", "not \"\""),
            ("POST", "/v1/events", r#"{"type":"OrderShipped","data":{"order_id":"1","carrier":"x"},"recipients":[{"user_id":"ghost"}]}"#, "/recipients/0/user_id", "not \"ghost\""),
        ] {
            let answer = setting.ask(ask(method, path, body)).await;
            assert_eq!(answer.status, 422, "{body}: {answer:?}");
            let json = answer.json();
            let (place, said) = first(&json);
            assert_eq!(place, pointer, "{body}: {json}");
            assert!(said.contains(message), "{body}: {json}");
        }
        let nobody = setting.get("/v1/users/ghost").await;
        nobody.problem(404, "not-found");
        assert_eq!(nobody.json()["detail"], "there is no user \"ghost\"");
        let viewer = Ask::put("/v1/users/u-42").key(&setting.operator).json(&json!({}));
        assert_eq!(setting.ask(viewer).await.status, 200);
        let keys = setting.ask(Ask::get("/v1/keys").key(&setting.operator)).await;
        keys.problem(403, "forbidden");
        assert!(keys.text().contains("the key has the role operator"), "{}", keys.text());
    })
    .await;
}

#[tokio::test]
async fn a_body_of_a_wrong_shape_is_answered_with_all_of_its_errors() {
    on_gateway(async |setting| {
        let cases: [(&str, &str, Value, &[&str]); 6] = [
            (
                "PUT",
                "/v1/users/u-9",
                json!({"email": 7, "phone": [], "timezone": {}, "devices": [{"platform": "fax", "token": 1}, {}], "nick": 1}),
                &[
                    "/devices/0/platform type",
                    "/devices/0/token type",
                    "/devices/1/platform required",
                    "/devices/1/token required",
                    "/email type",
                    "/nick unknown-field",
                    "/phone type",
                    "/timezone type",
                ],
            ),
            ("POST", "/v1/keys", json!({}), &["/name required", "/role required"]),
            ("POST", "/v1/keys", json!({"name": 1, "role": "root", "x": 1}), &["/name type", "/role type", "/x unknown-field"]),
            (
                "PUT",
                "/v1/catalog",
                json!({"types": {"A": {"category": 1, "channels": {"order": ["fax"]}}, "B": {}}, "categories": []}),
                &[
                    "/categories type",
                    "/types/A/category type",
                    "/types/A/channels/order/0 type",
                    "/types/B/category required",
                    "/types/B/channels required",
                ],
            ),
            ("PUT", "/v1/users/u-9", json!("x"), &[" type"]),
            ("PUT", "/v1/users/u-42/devices/t", json!({"platform": 1}), &["/platform type"]),
        ];
        for (method, path, body, expected) in cases {
            let answer = setting.ask(ask(method, path, &body.to_string())).await;
            let mut errors = answer.problem(422, "validation");
            errors.sort();
            assert_eq!(errors, expected, "{path}: {}", answer.text());
            for phrase in ["unknown variant", "unknown field", "missing field", "invalid type", "`"] {
                assert!(!answer.text().contains(phrase), "{path}: {}", answer.text());
            }
        }
        setting.get("/v1/users/u-9").await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_text_that_cannot_be_read_is_refused_in_plain_words() {
    on_gateway(async |setting| {
        for (method, path, body, expected) in [
            ("PUT", "/v1/users/u-9", "", "expected JSON: the text is empty"),
            (
                "PUT",
                "/v1/users/u-9",
                "{\"email\":",
                "expected JSON: the text ends too early, at line 1, column 9",
            ),
            (
                "POST",
                "/v1/keys",
                "{'name': 1}",
                "expected JSON: the text cannot be read at line 1, column 2",
            ),
            (
                "PUT",
                "/v1/catalog",
                "{} {}",
                "expected one JSON value: the JSON value ends before line 1, column 4, where more text follows",
            ),
            (
                "POST",
                "/v1/events",
                "{\"id\": tru}",
                "expected a JSON object: the text cannot be read at line 1, column 11",
            ),
            (
                "POST",
                "/v1/events",
                "[1,",
                "expected a JSON array of events: the text ends too early, at line 1, column 3",
            ),
            (
                "POST",
                "/v1/events",
                "{}\n}",
                "expected a JSON object: the JSON value ends before line 2, column 1, where more text follows",
            ),
            (
                "POST",
                "/v1/events",
                "[] x",
                "expected a JSON array of events: the JSON value ends before line 1, column 4, where more text follows",
            ),
            (
                "POST",
                "/v1/simulate",
                "{} {}",
                "expected a JSON object: the JSON value ends before line 1, column 4, where more text follows",
            ),
        ] {
            let answer = setting.ask(ask(method, path, body)).await;
            answer.problem(400, "malformed-json");
            assert_eq!(answer.json()["detail"], expected, "{path} {body}");
        }
        let event = json!({
            "specversion": "1.0", "id": "e", "source": "/s", "type": "OrderShipped", "recipient": "u-42",
            "data_base64": "YWJj!A==",
        });
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/cloudevents+json", event.to_string()))
            .await;
        assert_eq!(answer.problem(422, "validation"), ["/data_base64 format"]);
        let expected = "expected base64, not \"YWJj!A==\": the character ! at byte 5 does not belong to it";
        assert_eq!(answer.json()["detail"], expected);
    })
    .await;
}
