//! Properties of all routes: problems, OpenAPI, operations.

use crate::support::{Ask, on_gateway};

#[tokio::test]
async fn unknown_paths_methods_and_queries_are_problems() {
    on_gateway(async |setting| {
        setting.get("/v1/nothing").await.problem(404, "not-found");
        setting
            .ask(Ask::delete("/v1/events"))
            .await
            .problem(405, "method-not-allowed");
        setting
            .ask(Ask::post("/v1/deliveries"))
            .await
            .problem(405, "method-not-allowed");
        for path in ["/v1/deliveries", "/v1/dlq"] {
            for query in [
                "nonsense=1",
                "limit=0",
                "limit=501",
                "limit=many",
                "cursor=xyz",
                "from=yesterday",
                "channel",
            ] {
                let answer = setting.get(&format!("{path}?{query}")).await;
                if !(path == "/v1/dlq" && query == "channel") {
                    answer.problem(422, "validation");
                }
            }
        }
        setting
            .get("/v1/deliveries?status=nonsense")
            .await
            .problem(422, "validation");
        setting
            .get("/v1/events/x?nonsense=1")
            .await
            .problem(422, "validation");
    })
    .await;
}

#[tokio::test]
async fn openapi_describes_every_route_and_every_described_route_exists() {
    on_gateway(async |setting| {
        let answer = setting.ask(Ask::get("/openapi.json").anonymous()).await;
        assert_eq!(answer.status, 200);
        let document = answer.json();
        assert_eq!(
            document["components"]["securitySchemes"]["api_key"]["scheme"],
            "bearer"
        );
        let paths = document["paths"].as_object().unwrap();
        let mut described: Vec<String> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        described.sort();
        let expected = [
            "DELETE /v1/dlq/groups/{fingerprint}/planned-replay",
            "DELETE /v1/keys/{id}",
            "DELETE /v1/suppressions/{channel}/{address}",
            "DELETE /v1/users/{id}",
            "DELETE /v1/users/{id}/devices/{token}",
            "DELETE /v1/users/{id}/opt-outs/{channel}",
            "DELETE /v1/users/{id}/webhooks/{name}",
            "GET /v1/activity",
            "GET /v1/audit",
            "GET /v1/catalog",
            "GET /v1/decisions",
            "GET /v1/deliveries",
            "GET /v1/deliveries/{id}",
            "GET /v1/dlq",
            "GET /v1/dlq/groups",
            "GET /v1/dlq/groups/{fingerprint}",
            "GET /v1/dlq/jobs",
            "GET /v1/dlq/jobs/{id}",
            "GET /v1/dlq/{id}",
            "GET /v1/events/{id}",
            "GET /v1/keys",
            "GET /v1/stats",
            "GET /v1/suppressions",
            "GET /v1/suppressions/{channel}/{address}",
            "GET /v1/users/{id}",
            "GET /v1/users/{id}/preferences",
            "PATCH /v1/dlq/groups/{fingerprint}",
            "PATCH /v1/users/{id}/preferences",
            "POST /v1/deliveries/{id}/acknowledge",
            "POST /v1/deliveries/{id}/cancel",
            "POST /v1/dlq/discard",
            "POST /v1/dlq/jobs/{id}/cancel",
            "POST /v1/dlq/jobs/{id}/pause",
            "POST /v1/dlq/jobs/{id}/resume",
            "POST /v1/dlq/replay",
            "POST /v1/events",
            "POST /v1/events/{id}/cancel",
            "POST /v1/keys",
            "POST /v1/receipts/{account}",
            "POST /v1/simulate",
            "POST /v1/suppressions/import",
            "PUT /v1/catalog",
            "PUT /v1/dlq/groups/{fingerprint}/planned-replay",
            "PUT /v1/suppressions/{channel}/{address}",
            "PUT /v1/users/{id}",
            "PUT /v1/users/{id}/devices/{token}",
            "PUT /v1/users/{id}/preferences",
            "PUT /v1/users/{id}/webhooks/{name}",
        ];
        assert_eq!(described, expected);
        for route in expected {
            // Providers call this route with a signature instead of an API key.
            if route == "POST /v1/receipts/{account}" {
                continue;
            }
            let (method, path) = route.split_once(' ').unwrap();
            let path = path
                .replace("{id}", "6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10")
                .replace("{token}", "t");
            let ask = match method {
                "GET" => Ask::get(&path),
                "POST" => Ask::post(&path),
                "PUT" => Ask::put(&path),
                "PATCH" => Ask::patch(&path),
                _ => Ask::delete(&path),
            };
            let answer = setting.ask(ask.anonymous()).await;
            answer.problem(401, "unauthorized");
        }
    })
    .await;
}

#[tokio::test]
async fn health_readiness_and_metrics_need_no_key() {
    on_gateway(async |setting| {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(
                setting.ask(Ask::get(path).anonymous()).await.status,
                200,
                "{path}"
            );
        }
    })
    .await;
}

/// Collects all `$ref`s of a document.
fn references(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(target) if name == "$ref" => found.push(target.to_owned()),
                    _ => references(member, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_of_the_document_resolves_and_every_operation_documents_its_errors() {
    on_gateway(async |setting| {
        let document = setting.get("/openapi.json").await.json();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in ["BTreeMap", "HashMap", "Map", "Value", "Vec"] {
            assert!(!schemas.contains_key(name), "one schema for all of {name}");
        }
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                for status in ["400", "401", "403", "404", "422", "429", "500", "503"] {
                    assert!(responses.contains_key(status), "{method} {path} {status}");
                }
                let has_body = operation.get("requestBody").is_some();
                for status in ["413", "415"] {
                    assert!(
                        !has_body || responses.contains_key(status),
                        "{method} {path} {status}"
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_is_one_json_object_and_a_given_parameter_has_a_value() {
    on_gateway(async |setting| {
        let put = |path: &str, body: &str| Ask::put(path).text("application/json", body.to_owned());
        for path in [
            "/v1/users/u-42",
            "/v1/users/u-42/preferences",
            "/v1/catalog",
            "/v1/users/u-42/devices/t",
        ] {
            for body in ["[]", "[{}]", " [null]"] {
                let refused = setting.ask(put(path, body)).await;
                assert_eq!(refused.problem(422, "validation"), [" type"], "{path} {body}");
            }
            let fields = if path.ends_with("/t") {
                r#""platform":"web""#
            } else {
                ""
            };
            let twice = format!("{{{fields}}} {{}}");
            setting
                .ask(put(path, &twice))
                .await
                .problem(400, "malformed-json");
        }
        for query in [
            "limit=",
            "from=",
            "to=",
            "cursor=",
            "cursor=00000000000000000000000000000000",
        ] {
            for path in ["/v1/deliveries", "/v1/dlq"] {
                setting
                    .get(&format!("{path}?{query}"))
                    .await
                    .problem(422, "validation");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_body_is_reported_before_a_stale_version() {
    on_gateway(async |setting| {
        for path in ["/v1/users/u-42", "/v1/users/u-42/preferences", "/v1/catalog"] {
            let put = |body: &str| {
                Ask::put(path)
                    .header("if-match", "\"99\"")
                    .text("application/json", body.to_owned())
            };
            setting.ask(put("{")).await.problem(400, "malformed-json");
            setting
                .ask(put("{\"nonsense\":1}"))
                .await
                .problem(422, "validation");
            setting.ask(put("{}")).await.problem(412, "precondition-failed");
        }
    })
    .await;
}
