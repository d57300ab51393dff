//! `If-Match` and `If-None-Match` mean the same at every route.

use serde_json::json;

use crate::support::{Ask, catalog, on_gateway};

#[tokio::test]
async fn every_route_that_writes_checks_conditions_on_existence() {
    on_gateway(async |setting| {
        let routes = [
            ("/v1/users/u-42", json!({"email": "ada@example.com"})),
            ("/v1/users/u-42/preferences", json!({"global": {"email": true}})),
            ("/v1/catalog", catalog()),
        ];
        for (path, body) in &routes {
            let put = |name, value: &str| Ask::put(path).header(name, value).json(body);
            setting
                .ask(put("if-none-match", "*"))
                .await
                .problem(412, "precondition-failed");
            let written = setting.ask(put("if-match", "*")).await;
            assert_eq!(written.status, 200, "{path}: {written:?}");
            let etag = written.header("etag").unwrap().to_owned();
            setting
                .ask(put("if-none-match", &etag))
                .await
                .problem(412, "precondition-failed");
            setting
                .ask(put("if-match", &format!("W/{etag}")))
                .await
                .problem(412, "precondition-failed");
            for wrong in ["1", "nonsense", "\"1"] {
                for name in ["if-match", "if-none-match"] {
                    let answer = setting.ask(put(name, wrong)).await;
                    assert_eq!(answer.problem(400, "malformed-header"), [" format"]);
                    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                    assert!(
                        detail.starts_with(&format!("the header {name}: expected entity tags in quotes")),
                        "{detail}"
                    );
                }
            }
            let listed = setting.ask(put("if-match", &format!("\"99\", {etag}"))).await;
            assert_eq!(listed.status, 200, "{path}: {listed:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn if_match_creates_no_user_and_if_none_match_replaces_none() {
    on_gateway(async |setting| {
        let put = |name, value: &str| {
            Ask::put("/v1/users/new")
                .header(name, value)
                .json(&json!({"email": "new@example.com"}))
        };
        setting
            .ask(put("if-match", "*"))
            .await
            .problem(412, "precondition-failed");
        setting.get("/v1/users/new").await.problem(404, "not-found");
        let made = setting.ask(put("if-none-match", "*")).await;
        assert_eq!(made.status, 201);
        let etag = made.header("etag").unwrap().to_owned();
        setting
            .ask(put("if-none-match", "*"))
            .await
            .problem(412, "precondition-failed");
        let delete = |name, value: &str| Ask::delete("/v1/users/new").header(name, value);
        setting
            .ask(delete("if-match", "\"9\""))
            .await
            .problem(412, "precondition-failed");
        assert_eq!(setting.ask(delete("if-match", &etag)).await.status, 204);
        setting
            .ask(delete("if-match", "*"))
            .await
            .problem(412, "precondition-failed");
        // The id belongs to another user now. The tag is that of the former user.
        let again = setting.ask(put("if-none-match", "*")).await;
        assert_eq!(again.status, 201);
        assert_ne!(again.header("etag"), Some(&*etag));
        for stale in [put("if-match", &etag), delete("if-match", &etag)] {
            setting.ask(stale).await.problem(412, "precondition-failed");
        }
        let path = "/v1/users/new/preferences";
        let of_former = setting.get(path).await.header("etag").unwrap().to_owned();
        assert_eq!(setting.ask(Ask::delete("/v1/users/new")).await.status, 204);
        assert_eq!(setting.ask(put("if-none-match", "*")).await.status, 201);
        let stale = Ask::put(path).header("if-match", &of_former).json(&json!({}));
        setting.ask(stale).await.problem(412, "precondition-failed");
    })
    .await;
}

#[tokio::test]
async fn a_condition_on_a_resource_without_an_entity_tag_is_refused_and_changes_nothing() {
    on_gateway(async |setting| {
        let device = || Ask::put("/v1/users/u-42/devices/tok").json(&json!({"platform": "ios"}));
        let key = "/v1/keys/6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10";
        for (name, value) in [
            ("if-match", "*"),
            ("if-match", "\"1\""),
            ("if-none-match", "*"),
            ("if-none-match", "x"),
        ] {
            for ask in [
                device(),
                Ask::delete("/v1/users/u-42/devices/tok"),
                Ask::delete("/v1/users/u-42/opt-outs/sms"),
                Ask::post("/v1/keys").json(&json!({"name": "x", "role": "viewer"})),
                Ask::delete(key),
            ] {
                let answer = setting.ask(ask.header(name, value)).await;
                assert_eq!(answer.problem(400, "malformed-header"), [" unsupported"]);
                let said =
                    format!("the header {name}: expected none, because this resource has no entity tag");
                assert_eq!(answer.json()["detail"], said);
            }
        }
        let user = setting.get("/v1/users/u-42").await.json();
        assert_eq!(user["devices"], json!([]));
        assert_eq!(setting.ask(device()).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn a_change_of_preferences_keeps_its_conditions_and_an_unknown_user_stays_unknown() {
    on_gateway(async |setting| {
        let patch = |user: &str, name, value: &str| {
            Ask::patch(&format!("/v1/users/{user}/preferences"))
                .header(name, value)
                .json(&json!({"global": {"sms": false}}))
        };
        setting
            .ask(patch("u-42", "if-none-match", "*"))
            .await
            .problem(412, "precondition-failed");
        setting
            .ask(patch("u-42", "if-match", "\"1\""))
            .await
            .problem(412, "precondition-failed");
        let fresh = setting.get("/v1/users/u-42/preferences").await;
        let etag = fresh.header("etag").unwrap();
        assert_eq!(setting.ask(patch("u-42", "if-match", etag)).await.status, 200);
        assert_eq!(setting.ask(patch("u-42", "if-match", "*")).await.status, 200);
        for name in ["if-match", "if-none-match"] {
            setting
                .ask(patch("nobody", name, "*"))
                .await
                .problem(404, "not-found");
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_changes_of_preferences_without_a_version_are_all_merged() {
    on_gateway(async |setting| {
        const PATH: &str = "/v1/users/u-42/preferences";
        let mut catalog = catalog();
        for n in 0..48 {
            catalog["categories"][format!("c{n}")] = json!({});
        }
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        let fresh = setting.get(PATH).await;
        let unset: i64 = fresh.header("etag").unwrap().trim_matches('"').parse().unwrap();
        for (from, condition) in [(0, None), (24, Some(("if-match", "*")))] {
            let asks = (from..from + 24).map(|n| {
                let name = format!("c{n}");
                let ask = Ask::patch(PATH).json(&json!({"categories": {name: {"sms": false}}}));
                setting.ask(match condition {
                    Some((name, value)) => ask.header(name, value),
                    None => ask,
                })
            });
            let mut etags = std::collections::BTreeSet::new();
            for answer in futures::future::join_all(asks).await {
                assert_eq!(answer.status, 200, "{condition:?}: {answer:?}");
                etags.insert(answer.header("etag").unwrap().to_owned());
            }
            assert_eq!(etags.len(), 24, "each change is a version of its own");
        }
        let now = setting.get(PATH).await;
        assert_eq!(now.json()["categories"].as_object().unwrap().len(), 48);
        let seen = format!("\"{}\"", unset + 48);
        assert_eq!(now.header("etag"), Some(&*seen));
        let one = |tag: &str| {
            Ask::patch(PATH)
                .header("if-match", tag)
                .json(&json!({"global": {"sms": false}}))
        };
        let asks = (0..8).map(|_| setting.ask(one(&seen)));
        let answers = futures::future::join_all(asks).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.problem(412, "precondition-failed");
            let present = format!("\"{}\"", unset + 49);
            let said = format!("the header if-match: expected the present version, {present}, not {seen}");
            assert_eq!(answer.json()["detail"], said);
        }
    })
    .await;
}

#[tokio::test]
async fn the_openapi_document_describes_the_headers_of_conditions_alike_at_every_route() {
    on_gateway(async |setting| {
        let document = setting.get("/openapi.json").await.json();
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        let mut described = Vec::new();
        for operation in operations.filter(|operation| operation["responses"]["412"].is_object()) {
            let parameters = operation["parameters"].as_array().unwrap();
            let headers: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "header")
                .collect();
            let names: Vec<_> = headers
                .iter()
                .map(|header| header["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, ["If-Match", "If-None-Match"], "{operation}");
            assert!(
                headers
                    .iter()
                    .all(|header| header["required"] == false && header["description"].is_string())
            );
            described.push(headers);
        }
        assert!(described.len() >= 5, "{described:?}");
        assert!(
            described.iter().all(|headers| *headers == described[0]),
            "{described:?}"
        );
    })
    .await;
}
