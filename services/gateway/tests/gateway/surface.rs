//! What holds for every route: problems, OpenAPI, operations.

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
async fn openapi_describes_every_route_and_every_route_is_there() {
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
            "DELETE /v1/keys/{id}",
            "DELETE /v1/users/{id}",
            "DELETE /v1/users/{id}/devices/{token}",
            "GET /v1/audit",
            "GET /v1/catalog",
            "GET /v1/deliveries",
            "GET /v1/deliveries/{id}",
            "GET /v1/dlq",
            "GET /v1/dlq/groups",
            "GET /v1/dlq/{id}",
            "GET /v1/events/{id}",
            "GET /v1/keys",
            "GET /v1/stats",
            "GET /v1/users/{id}",
            "GET /v1/users/{id}/preferences",
            "PATCH /v1/users/{id}/preferences",
            "POST /v1/events",
            "POST /v1/keys",
            "PUT /v1/catalog",
            "PUT /v1/users/{id}",
            "PUT /v1/users/{id}/devices/{token}",
            "PUT /v1/users/{id}/preferences",
        ];
        assert_eq!(described, expected);
        for route in expected {
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
