//! The data of previews: missing properties, invalid data, and the parts of it that errors show.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::House;

#[tokio::test]
async fn data_that_breaks_the_schema_is_refused_with_pointers_and_missing_properties_are_warnings() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let preview = async |data: Value, text: &str| {
        let asked = json!({"data": data, "parts": {"text": text}});
        let answer = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
        (answer.status, answer.body)
    };
    let (status, body) = preview(json!({"order_id": true, "carrier": ""}), "x").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let pointers: Vec<&str> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/data/carrier", "/data/order_id"], "{body}");
    let (status, body) = preview(json!({"carrier": "DHL"}), "x {{carrier}}").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["content"]["text"], "x DHL");
    let warning = json!({
        "pointer": "/data", "code": "schema",
        "message": "an event with these data is refused: expected the property order_id"
    });
    assert_eq!(body["warnings"], json!([warning]));
    let (_, body) = preview(json!({"order_id": 1, "carrier": "DHL"}), "x").await;
    assert_eq!(body["warnings"], json!([]));
    let (status, body) = preview(json!({"carrier": "DHL"}), "{{order_id}}").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let codes: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["code"].as_str().unwrap(),
                error["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        codes,
        [
            ("template-missing-variable", "/data/order_id"),
            ("schema", "/data")
        ]
    );
}

#[tokio::test]
async fn an_error_of_a_preview_names_a_hundred_characters_of_the_value_and_nothing_of_a_sensitive_one() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let long = "x".repeat(5_000);
    let asked = json!({"data": {"order_id": 1, "carrier": long}, "parts": {"text": "{{date carrier}}"}});
    let refused = admin.post("/v1/templates/OrderShipped/sms/preview", &asked).await;
    let detail = refused.body["detail"].as_str().unwrap();
    let (sentence, value) = detail.split_once(", not ").unwrap();
    assert!(
        sentence.ends_with("expects carrier to be a date (2026-11-24) or a time (2026-11-24T10:00:00Z)"),
        "{sentence}"
    );
    assert!(
        value.starts_with("\"xxx") && value.chars().count() < 110,
        "{value}"
    );
    assert_eq!(refused.body["errors"][0]["message"], detail);
    let asked = json!({
        "data": {"order_id": 1, "amount": 1, "currency": "EUR", "payment_url": "https://secret.example/s3cr3t"},
        "parts": {"subject": "s", "text": "{{date payment_url}}"},
    });
    let refused = admin
        .post("/v1/templates/PaymentFailed/email/preview", &asked)
        .await;
    assert_eq!(refused.body["errors"][0]["pointer"], "/data/payment_url");
    assert!(!refused.body.to_string().contains("s3cr3t"), "{}", refused.body);
}

#[tokio::test]
async fn a_text_that_is_not_a_locale_is_refused_at_every_route_with_the_field_and_the_expected_value() {
    let house = House::with_shop().await;
    let admin = house.as_admin();
    let parts = json!({"parts": {"text": "x"}}).to_string();
    let template = "/v1/templates/OrderShipped/sms";
    for (method, path, body) in [
        (Method::GET, template.to_owned(), String::new()),
        (Method::PUT, template.to_owned(), parts.clone()),
        (Method::POST, format!("{template}/publish"), String::new()),
        (Method::DELETE, format!("{template}/draft"), String::new()),
        (
            Method::POST,
            format!("{template}/preview"),
            json!({"data": {}}).to_string(),
        ),
        (
            Method::GET,
            "/v1/templates/partials/row".to_owned(),
            String::new(),
        ),
    ] {
        let answer = admin
            .send(method.clone(), &format!("{path}?locale=nonsense!"), None, body)
            .await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{method} {path}: {}",
            answer.body
        );
        let error = &answer.body["errors"][0];
        assert_eq!(error["pointer"], "/locale", "{path}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with("expected ") && message.ends_with(", not \"nonsense!\""),
            "{message}"
        );
        assert_eq!(answer.body["detail"], format!("locale: {message}"));
    }
}
