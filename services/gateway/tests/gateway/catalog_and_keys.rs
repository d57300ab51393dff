//! The catalog, API keys, and the permissions of roles.

use carillon_testkit::eventually;
use serde_json::json;

use crate::support::{Ask, ask_at, catalog, on_gateway, shipped};

#[tokio::test]
async fn the_catalog_is_replaced_only_with_the_present_version_in_if_match() {
    on_gateway(async |setting| {
        let read = setting.get("/v1/catalog").await;
        let etag = read.header("etag").unwrap().to_owned();
        assert_eq!(read.json()["types"]["OrderShipped"]["category"], "transactional");
        let mut changed = catalog();
        changed["types"]["OrderReturned"] =
            json!({"category": "transactional", "channels": {"order": ["email"]}});
        let put = || Ask::put("/v1/catalog").header("if-match", &etag).json(&changed);
        let written = setting.ask(put()).await;
        assert_eq!(written.status, 200, "{written:?}");
        assert_ne!(written.header("etag"), Some(etag.as_str()));
        setting.ask(put()).await.problem(412, "precondition-failed");
        let event = json!({"type": "OrderReturned", "recipients": ["u-42"], "data": {}});
        assert_eq!(
            setting.post(&event).await.status,
            202,
            "a new type counts at once"
        );
    })
    .await;
}

#[tokio::test]
async fn a_type_that_another_process_has_taken_is_looked_for_before_its_events_are_refused() {
    on_gateway(async |setting| {
        let other = setting.another_process();
        let post = async |id: &str, event_type: &str| {
            let mut event = shipped(id);
            event["type"] = json!(event_type);
            ask_at(&other, Ask::post("/v1/events").json(&event), &setting.admin)
                .await
                .status
        };
        assert_eq!(
            post("e-1", "OrderShipped").await,
            202,
            "it knows the catalog of before"
        );
        let mut changed = catalog();
        changed["types"]["OrderReturned"] =
            json!({"category": "transactional", "channels": {"order": ["email"]}});
        let written = setting.ask(Ask::put("/v1/catalog").json(&changed)).await;
        assert_eq!(written.status, 200, "{written:?}");
        eventually("the other process takes the event", || async {
            post("e-2", "OrderReturned").await == 202
        })
        .await;
        assert_eq!(post("e-3", "OrderLost").await, 422);
    })
    .await;
}

#[tokio::test]
async fn a_misspelt_keyword_of_a_schema_is_a_warning_in_the_answer_and_not_in_the_catalog() {
    on_gateway(async |setting| {
        let mut misspelt = catalog();
        misspelt["types"]["OrderShipped"]["schema"] = json!({"type": "object", "requird": ["order_id"]});
        let written = setting.ask(Ask::put("/v1/catalog").json(&misspelt)).await;
        assert_eq!(written.status, 200, "{written:?}");
        let warnings = &written.json()["warnings"];
        assert_eq!(warnings.as_array().map(Vec::len), Some(1), "{written:?}");
        assert_eq!(warnings[0]["pointer"], "/types/OrderShipped/schema/requird");
        assert!(
            warnings[0]["message"].as_str().unwrap().contains("required"),
            "{written:?}"
        );
        assert!(setting.get("/v1/catalog").await.json().get("warnings").is_none());
        let right = setting.ask(Ask::put("/v1/catalog").json(&catalog())).await;
        assert!(right.json().get("warnings").is_none(), "{right:?}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_catalog_is_refused_field_by_field() {
    on_gateway(async |setting| {
        let put = async |body| setting.ask(Ask::put("/v1/catalog").json(&body)).await;
        let wrong = json!({
            "types": {"A": {"category": "none", "channels": {"order": []}, "schema": {"type": 7}}},
            "categories": {"c": {"limits": [{"channel": "sms", "max": 0, "per": "1h"}]}},
        });
        let mut errors = put(wrong).await.problem(422, "validation");
        errors.sort();
        let expected = [
            "/categories/c/limits/0/max range",
            "/types/A/category unknown",
            "/types/A/channels/order required",
            "/types/A/schema/type schema",
        ];
        assert_eq!(errors, expected);
        assert_eq!(
            put(json!({"typos": {}})).await.problem(422, "validation"),
            ["/typos unknown-field"]
        );
        for (wait, expected) in [
            (json!({"fax": "30m"}), "/types/A/channels/wait/fax type"),
            (json!({"email": "soon"}), "/types/A/channels/wait/email type"),
            (json!({"email": "0s"}), "/types/A/channels/wait/email range"),
            (json!({"email": "8d"}), "/types/A/channels/wait/email range"),
            (json!({"sms": "30m"}), "/types/A/channels/wait/sms unknown"),
            (json!({"push": "30m"}), "/types/A/channels/wait/push first"),
        ] {
            let channels = json!({"mode": "fallback", "order": ["push", "email"], "wait": wait});
            let body =
                json!({"types": {"A": {"category": "c", "channels": channels}}, "categories": {"c": {}}});
            assert_eq!(put(body).await.problem(422, "validation"), [expected]);
        }
        let sources = |topic: &str, event_type: &str| {
            let of_type = json!({"category": "c", "channels": {"order": ["email"]}});
            json!({"types": {"A": of_type}, "categories": {"c": {}},
                "sources": {topic: {"rules": [{"type": event_type}]}}})
        };
        assert_eq!(
            put(sources("shop.orders", "B")).await.problem(422, "validation"),
            ["/sources/shop.orders/rules/0/type unknown"]
        );
        let own = format!("{}.events", setting.env.bus.topics().prefix());
        assert_eq!(
            put(sources(&own, "A")).await.problem(422, "validation"),
            [format!("/sources/{own} own-topic")]
        );
        let deep = json!({"types": {"A": {"category": "c", "channels": {"order": ["fax"]}}}});
        assert_eq!(
            put(deep).await.problem(422, "validation"),
            ["/types/A/channels/order/0 type"]
        );
        assert_eq!(
            setting.get("/v1/catalog").await.json()["types"]["OrderShipped"]["category"],
            "transactional"
        );
    })
    .await;
}

#[tokio::test]
async fn a_tenant_without_a_catalog_knows_no_type() {
    on_gateway(async |setting| {
        setting
            .ask(Ask::get("/v1/catalog").key(&setting.foreign))
            .await
            .problem(404, "not-found");
        let post = Ask::post("/v1/events").key(&setting.foreign).json(&shipped("e"));
        setting.ask(post).await.problem(422, "unknown-event-type");
    })
    .await;
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_ends_when_it_is_revoked() {
    on_gateway(async |setting| {
        let body = json!({"name": "order service", "role": "operator"});
        let made = setting.ask(Ask::post("/v1/keys").json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let (id, secret) = (
            made.json()["id"].as_str().unwrap().to_owned(),
            made.json()["secret"].clone(),
        );
        let secret = secret.as_str().unwrap();
        assert_eq!(
            setting.ask(Ask::get("/v1/deliveries").key(secret)).await.status,
            200
        );

        let listed = setting.get("/v1/keys").await;
        assert!(!listed.text().contains(secret));
        let items = listed.json()["items"].as_array().unwrap().clone();
        let ours = items.iter().find(|item| item["id"] == id.as_str()).unwrap();
        assert_eq!((&ours["name"], &ours["role"]), (&body["name"], &body["role"]));
        assert_eq!(items.len(), 4, "another tenant's key is not among them");

        let foreign = Ask::delete(&format!("/v1/keys/{id}")).key(&setting.foreign);
        setting.ask(foreign).await.problem(404, "not-found");
        assert_eq!(
            setting.ask(Ask::delete(&format!("/v1/keys/{id}"))).await.status,
            204
        );
        setting
            .ask(Ask::get("/v1/deliveries").key(secret))
            .await
            .problem(401, "unauthorized");
        setting
            .ask(Ask::delete("/v1/keys/nonsense"))
            .await
            .problem(404, "not-found");
        for wrong in [
            json!({"name": "", "role": "admin"}),
            json!({"name": "x", "role": "god"}),
            json!({}),
        ] {
            setting
                .ask(Ask::post("/v1/keys").json(&wrong))
                .await
                .problem(422, "validation");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_without_a_valid_key_is_answered_401() {
    on_gateway(async |setting| {
        let tampered = format!("{}0", setting.admin);
        for value in [
            "Bearer nonsense",
            "Bearer ",
            "Basic YTpi",
            &format!("Bearer {tampered}"),
            &setting.admin,
        ] {
            let answer = setting
                .ask(Ask::get("/v1/deliveries").header("authorization", value))
                .await;
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
        let post = Ask::post("/v1/events").anonymous().json(&shipped("e"));
        setting.ask(post).await.problem(401, "unauthorized");
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn each_access_role_may_use_its_own_routes_and_no_others() {
    on_gateway(async |setting| {
        let user = json!({"email": "a@b.example"});
        let viewer = &setting.viewer;
        assert_eq!(setting.ask(Ask::get("/v1/catalog").key(viewer)).await.status, 200);
        for ask in [
            Ask::post("/v1/events").json(&shipped("e")),
            Ask::put("/v1/users/x").json(&user),
            Ask::delete("/v1/users/u-42"),
            Ask::put("/v1/users/u-42/devices/t").json(&json!({"platform": "web"})),
            Ask::delete("/v1/users/u-42/devices/t"),
            Ask::put("/v1/users/u-42/preferences").json(&json!({})),
            Ask::patch("/v1/users/u-42/preferences").json(&json!({})),
        ] {
            setting.ask(ask.key(viewer)).await.problem(403, "forbidden");
        }
        for key in [viewer, &setting.operator] {
            for ask in [
                Ask::put("/v1/catalog").json(&catalog()),
                Ask::get("/v1/keys"),
                Ask::post("/v1/keys").json(&json!({"name": "x", "role": "admin"})),
                Ask::delete("/v1/keys/6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10"),
            ] {
                setting.ask(ask.key(key)).await.problem(403, "forbidden");
            }
        }
        let operator = Ask::put("/v1/users/x").key(&setting.operator).json(&user);
        assert_eq!(setting.ask(operator).await.status, 201);
    })
    .await;
}
