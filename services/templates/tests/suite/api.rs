//! The routes, as administrators and other callers use them.

use crate::support::{Client, House};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use carillon_domain::TenantId;
use carillon_render::MAX_BATCH;
use carillon_templates::{TemplateCaller, TemplatesApi, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SMS: &str = "/v1/templates/OrderShipped/sms";

fn slug(body: &Value) -> &str {
    body["type"].as_str().unwrap().rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_draft_is_written_published_and_then_in_use() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let before = admin.get(SMS).await;
    assert_eq!(before.status, StatusCode::OK);
    assert_eq!(before.body["published"]["version"], 1);
    assert_eq!(before.body["draft"], Value::Null);
    let saved = admin
        .put(
            SMS,
            before.etag.as_deref(),
            &json!({"parts": {"text": "Parcel {{order_id}}"}}),
        )
        .await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    assert_eq!(saved.body["errors"], json!([]));
    assert_eq!(saved.etag, admin.get(SMS).await.etag);
    let published = admin
        .send(Method::POST, &format!("{SMS}/publish"), saved.etag.as_deref(), "")
        .await;
    assert_eq!(published.status, StatusCode::OK, "{}", published.body);
    assert_eq!(published.body["version"], 2);
    assert_eq!(
        admin.get(SMS).await.body["draft"],
        Value::Null,
        "publishing ends a draft"
    );
    let again = admin.post(&format!("{SMS}/publish"), &json!({})).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    admin
        .put(SMS, None, &json!({"parts": {"text": "Parcel {{order_id}}"}}))
        .await;
    let again = admin.post(&format!("{SMS}/publish"), &json!({})).await;
    assert_eq!(again.body["version"], 2, "the same text keeps its version");
    let request = json!({"requests": [{
        "tenant": "ignored", "type": "OrderShipped", "channel": "sms",
        "context": {"event_id": "e", "source": "/", "time": "2026-11-24T10:00:00Z", "data": {"order_id": 7}}
    }]});
    let rendered = admin.post("/v1/render", &request).await;
    assert_eq!(
        rendered.body["items"][0]["rendered"]["content"],
        json!({"channel": "sms", "text": "Parcel 7"})
    );
    assert_eq!(rendered.body["items"][0]["rendered"]["template"]["version"], 2);
}

#[tokio::test]
async fn a_writer_with_a_stale_version_is_refused_and_no_write_is_lost() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let first = json!({"parts": {"text": "first"}});
    let before = admin.get(SMS).await.etag.unwrap();
    let now = admin.put(SMS, Some(&before), &first).await;
    assert_eq!(now.status, StatusCode::OK);
    for stale in [before, "\"7\"".to_owned(), format!("W/{}", now.etag.unwrap())] {
        let refused = admin
            .put(SMS, Some(&stale), &json!({"parts": {"text": "second"}}))
            .await;
        assert_eq!(
            (refused.status, slug(&refused.body)),
            (StatusCode::PRECONDITION_FAILED, "precondition-failed")
        );
    }
    let refused = admin
        .send(Method::POST, &format!("{SMS}/publish"), Some("\"7\""), "")
        .await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(admin.get(SMS).await.body["draft"]["parts"]["text"], "first");
    let unknown = "/v1/templates/OrderLost/sms";
    let refused = admin.put(unknown, Some("*"), &first).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "it must exist");
    assert_eq!(admin.get(unknown).await.status, StatusCode::NOT_FOUND);
    assert_eq!(admin.put(SMS, Some("*"), &first).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_invalid_template_may_be_a_draft_and_cannot_be_published() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let path = "/v1/templates/OrderShipped/email";
    let parts = json!({"parts": {
        "subject": "{{t \"no-such-text\"}}", "text": "{{#if x}}", "html": "<a href=\"{{x}}\">x</a>", "body": "?"
    }});
    let saved = admin.put(path, None, &parts).await;
    assert_eq!(saved.status, StatusCode::OK);
    assert_eq!(saved.body["errors"].as_array().unwrap().len(), 4);
    let refused = admin.post(&format!("{path}/publish"), &json!({})).await;
    assert_eq!(
        (refused.status, slug(&refused.body)),
        (StatusCode::UNPROCESSABLE_ENTITY, "template-invalid")
    );
    let mut found: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["pointer"].as_str().unwrap(),
                error["code"].as_str().unwrap(),
            )
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("/parts/body", "unknown-part"),
            ("/parts/html", "unsafe-link"),
            ("/parts/subject", "unknown-key"),
            ("/parts/text", "syntax"),
        ]
    );
    assert_eq!(admin.get(path).await.body["published"]["version"], 1);
}

#[tokio::test]
async fn a_partial_that_would_break_the_templates_around_it_is_refused() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let path = "/v1/templates/partials/layout";
    admin
        .put(
            path,
            None,
            &json!({"parts": {"html": "{{> layout}}", "text": "x"}}),
        )
        .await;
    let refused = admin.post(&format!("{path}/publish"), &json!({})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body["errors"].to_string().contains("OrderShipped/email"),
        "{}",
        refused.body
    );
    admin
        .put(
            path,
            None,
            &json!({"parts": {"html": "<p>{{> @partial-block}}</p>", "text": "x"}}),
        )
        .await;
    assert_eq!(
        admin.post(&format!("{path}/publish"), &json!({})).await.body["version"],
        2
    );
}

#[tokio::test]
async fn a_preview_shows_the_draft_and_names_a_missing_variable() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let path = format!("{SMS}/preview");
    let data = json!({"order_id": "1001", "carrier": "DHL"});
    let published = admin.post(&path, &json!({"data": data, "locale": "fr-CA"})).await;
    assert_eq!(published.status, StatusCode::OK, "{}", published.body);
    assert_eq!(published.body["locale"], "fr");
    assert_eq!(
        published.body["segments"],
        json!({"encoding": "gsm-7", "units": 56, "count": 1})
    );
    admin
        .put(
            SMS,
            None,
            &json!({"parts": {"text": "Draft {{order_id}} {{eta}}"}}),
        )
        .await;
    let missing = admin.post(&path, &json!({"data": data})).await;
    assert_eq!(
        (missing.status, slug(&missing.body)),
        (StatusCode::UNPROCESSABLE_ENTITY, "template-invalid")
    );
    assert_eq!(missing.body["errors"][0]["pointer"], "/data/eta");
    assert_eq!(missing.body["errors"][0]["code"], "template-missing-variable");
    let given = admin
        .post(
            &path,
            &json!({"data": data, "parts": {"text": "Given {{carrier}} ê"}}),
        )
        .await;
    assert_eq!(given.body["content"]["text"], "Given DHL ê");
    assert_eq!(given.body["segments"]["encoding"], "ucs-2");
    assert_eq!(
        admin.get(SMS).await.body["draft"]["parts"]["text"],
        "Draft {{order_id}} {{eta}}"
    );
}

#[tokio::test]
async fn templates_are_listed_in_pages_that_neither_skip_nor_repeat() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    admin
        .put(
            "/v1/templates/OrderShipped/sms?locale=fr",
            None,
            &json!({"parts": {"text": "x"}}),
        )
        .await;
    let whole = admin.get("/v1/templates?limit=500").await.body;
    let ids = |page: &Value| -> Vec<(String, Value)> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| (item["id"].as_str().unwrap().to_owned(), item["locale"].clone()))
            .collect()
    };
    let all = ids(&whole);
    assert!(all.contains(&("OrderShipped/sms".to_owned(), json!("fr"))));
    assert!(all.contains(&("partials/layout".to_owned(), Value::Null)));
    assert_eq!(whole["next_cursor"], Value::Null);
    let mut paged = Vec::new();
    let mut path = "/v1/templates?limit=3".to_owned();
    loop {
        let page = admin.get(&path).await.body;
        paged.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/templates?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn bad_input_gets_a_precise_problem() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    for (method, path, body, expected) in [
        (Method::PUT, SMS, "{", (400, "malformed-json", "")),
        (
            Method::PUT,
            SMS,
            r#"{"parts": {"text": 7}}"#,
            (422, "validation", "/parts/text"),
        ),
        (
            Method::PUT,
            SMS,
            r#"{"parts": {}, "more": 1}"#,
            (422, "validation", "/more"),
        ),
        (
            Method::PUT,
            SMS,
            r#"{"parts": {}} x"#,
            (400, "malformed-json", ""),
        ),
        (
            Method::PUT,
            "/v1/templates/OrderShipped/fax",
            "{}",
            (404, "not-found", ""),
        ),
        (
            Method::PUT,
            "/v1/templates/OrderShipped/sms?locale=nonsense!",
            "{}",
            (422, "validation", "/locale"),
        ),
        (
            Method::GET,
            "/v1/templates?limit=many",
            "",
            (422, "validation", "/limit"),
        ),
        (
            Method::GET,
            "/v1/templates?limit=",
            "",
            (422, "validation", "/limit"),
        ),
        (
            Method::GET,
            "/v1/templates/NoSuchType/sms",
            "",
            (404, "not-found", ""),
        ),
        (
            Method::POST,
            "/v1/templates/NoSuchType/sms/publish",
            "",
            (404, "not-found", ""),
        ),
        (
            Method::POST,
            "/v1/templates/NoSuchType/sms/preview",
            r#"{"data":{}}"#,
            (404, "not-found", ""),
        ),
        (
            Method::POST,
            "/v1/render",
            r#"{"requests": [{"tenant": 1}]}"#,
            (422, "validation", "/requests/0/tenant"),
        ),
    ] {
        let answer = admin.send(method.clone(), path, None, body).await;
        let pointer = answer.body["errors"][0]["pointer"].as_str().unwrap_or("");
        assert_eq!(
            (answer.status.as_u16(), slug(&answer.body), pointer),
            expected,
            "{method} {path} {body}"
        );
    }
    let request = json!({
        "tenant": "t", "type": "A", "channel": "sms",
        "context": {"event_id": "e", "source": "/", "time": "2026-11-24T10:00:00Z", "data": {}}
    });
    let batch = admin
        .post("/v1/render", &json!({"requests": vec![request; MAX_BATCH + 1]}))
        .await;
    assert_eq!(
        (batch.status.as_u16(), slug(&batch.body)),
        (413, "batch-too-large")
    );
    let large = admin
        .put(
            SMS,
            None,
            &json!({"parts": {"text": "x".repeat(2 * 1024 * 1024)}}),
        )
        .await;
    assert_eq!((large.status.as_u16(), slug(&large.body)), (413, "too-large"));
}

#[tokio::test]
async fn callers_see_only_their_own_tenant_and_viewers_change_nothing() {
    let house = House::with_shop().await;
    let viewer = TemplateCaller::Tenant {
        tenant: TenantId::default(),
        refusal: Some("this needs the role admin; the key has the role viewer".to_owned()),
    };
    let viewer = Client(house.routes(Some(viewer)));
    assert_eq!(viewer.get(SMS).await.status, StatusCode::OK);
    let refused = viewer.put(SMS, None, &json!({"parts": {}})).await;
    assert_eq!(
        (refused.status, slug(&refused.body)),
        (StatusCode::FORBIDDEN, "forbidden")
    );
    assert_eq!(
        refused.body["detail"],
        "this needs the role admin; the key has the role viewer"
    );
    let stranger = TemplateCaller::Tenant {
        tenant: TenantId::from("other"),
        refusal: None,
    };
    let stranger = Client(house.routes(Some(stranger)));
    assert_eq!(stranger.get(SMS).await.status, StatusCode::NOT_FOUND);
    assert_eq!(stranger.get("/v1/templates").await.body["items"], json!([]));
    let nobody = Client(house.routes(None));
    for path in ["/v1/templates", SMS] {
        assert_eq!(nobody.get(path).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn every_route_is_in_the_openapi_document() {
    let house = House::empty().await;
    let api = TemplatesApi {
        store: house.store.clone(),
        renderer: house.renderer.clone(),
    };
    let description = serde_json::to_value(router::<()>(api).to_openapi()).unwrap();
    let paths: Vec<_> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(paths.len(), 6, "{paths:?}");
    assert!(description["components"]["schemas"]["Problem"].is_object());
    assert!(description["paths"]["/v1/templates/{type}/{channel}"]["put"].is_object());
}

#[tokio::test]
async fn a_preview_of_a_template_that_never_ends_is_answered_with_the_code_template_budget() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let nested = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}x";
    let sample = json!({"data": {"a": vec![1; 4_000]}, "parts": {"text": nested}});
    let refused = admin.post(&format!("{SMS}/preview"), &sample).await;
    assert_eq!(
        (refused.status, slug(&refused.body)),
        (StatusCode::UNPROCESSABLE_ENTITY, "template-invalid"),
        "{}",
        refused.body
    );
    assert_eq!(refused.body["errors"][0]["code"], "template-budget");
    let sentence = refused.body["detail"].as_str().unwrap();
    assert!(
        sentence.contains("OrderShipped/sms (text line 1)") && sentence.contains("500000 steps"),
        "{sentence}"
    );
    let draft = json!({"parts": {"text": nested}});
    assert_eq!(admin.put(SMS, None, &draft).await.body["errors"], json!([]));
    assert_eq!(
        admin.post(&format!("{SMS}/publish"), &json!({})).await.status,
        StatusCode::OK
    );
    let request = json!({"requests": [{
        "tenant": "ignored", "type": "OrderShipped", "channel": "sms",
        "context": {"event_id": "e", "source": "/", "time": "2026-11-24T10:00:00Z", "data": {"a": vec![1; 4_000]}}
    }]});
    let rendered = admin.post("/v1/render", &request).await;
    assert_eq!(
        rendered.body["items"][0]["problem"]["render_error"]["code"],
        "template-budget"
    );
}

#[tokio::test]
async fn a_template_that_is_too_large_is_refused_and_a_byte_order_mark_is_removed() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let huge = json!({"parts": {"text": "x".repeat(10 << 20)}});
    assert_eq!(
        admin.put(SMS, None, &huge).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let large = admin
        .put(SMS, None, &json!({"parts": {"text": "x".repeat(300 << 10)}}))
        .await;
    assert_eq!(
        large.body["errors"][0]["pointer"], "/parts/text",
        "{}",
        large.body
    );
    let body = format!("\u{feff}{}", json!({"parts": {"text": "\u{feff}Parcel"}}));
    let saved = admin.send(Method::PUT, SMS, None, body).await;
    assert_eq!(saved.body["draft"]["parts"]["text"], "Parcel", "{}", saved.body);
}

#[tokio::test]
async fn a_push_template_with_a_key_that_fcm_keeps_is_not_published() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let path = "/v1/templates/OrderShipped/push";
    let draft = json!({"parts": {"title": "t", "body": "b", "data.google.x": "1", "data.url": "u"}});
    assert_eq!(admin.put(path, None, &draft).await.status, StatusCode::OK);
    let refused = admin.post(&format!("{path}/publish"), &json!({})).await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        refused.body
    );
    let error = &refused.body["errors"][0];
    assert_eq!(
        (&error["code"], &error["pointer"]),
        (&json!("reserved-key"), &json!("/parts/data.google.x"))
    );
}

#[tokio::test]
async fn a_body_of_another_media_type_than_json_is_refused_at_every_route() {
    let house = House::with_shop().await;
    for (method, path, body) in [
        (Method::PUT, SMS.to_owned(), json!({"parts": {"text": "Hi"}})),
        (
            Method::POST,
            format!("{SMS}/preview"),
            json!({"data": {"carrier": "DHL"}, "parts": {"text": "Hi"}}),
        ),
    ] {
        for (media, status) in [
            ("text/csv", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/json; charset=latin1", 415),
            ("application/json; charset=utf-8", 200),
            ("application/vnd.shop+json", 200),
        ] {
            let request = Request::builder()
                .method(method.clone())
                .uri(&path)
                .header("content-type", media);
            let request = request.body(Body::from(body.to_string())).unwrap();
            let answer = house.as_admin().0.oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path} {media}");
        }
    }
}
