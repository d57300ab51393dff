//! Previews take bounded work, and report errors in their input.

use std::sync::{Arc, Mutex, mpsc};

use axum::http::{Method, StatusCode};
use carillon_domain::TenantId;
use carillon_render::WorkError;
use carillon_templates::TemplateCaller;
use serde_json::{Value, json};

use crate::support::{Client, House};

const PREVIEW: &str = "/v1/templates/OrderShipped/sms/preview";

fn sample() -> Value {
    json!({"data": {"order_id": "1001", "carrier": "DHL"}, "parts": {"text": "{{order_id}}"}})
}

#[tokio::test]
async fn previews_of_a_tenant_that_has_many_waiting_are_refused_and_those_of_others_are_not() {
    let house = House::with_shop().await;
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let tenant = TenantId::default();
    let mut waiting = Vec::new();
    let refused = loop {
        let gate = Arc::clone(&gate);
        let wait = move || gate.lock().unwrap().recv().unwrap();
        let admission = match house.renderer.admit(&tenant) {
            Ok(admission) => admission,
            Err(refusal) => break refusal,
        };
        let renderer = Arc::clone(&house.renderer);
        let mut work = Box::pin(async move { renderer.work(&admission, wait).await });
        assert!(futures::poll!(&mut work).is_pending());
        waiting.push(work);
        assert!(waiting.len() < 100, "the queue has an end");
    };
    assert!(matches!(refused, WorkError::Busy), "{refused:?}");
    let answer = house.as_admin().post(PREVIEW, &sample()).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert_eq!(answer.retry_after.as_deref(), Some("2"));
    assert!(
        answer.body["detail"].as_str().unwrap().contains("wait already"),
        "{}",
        answer.body
    );
    let other = Client(house.routes(Some(TemplateCaller::Tenant {
        tenant: TenantId::from("other"),
        refusal: None,
    })));
    assert_eq!(other.post(PREVIEW, &sample()).await.status, StatusCode::OK);
    for _ in &waiting {
        let_go.send(()).unwrap();
    }
    futures::future::join_all(waiting).await;
    assert_eq!(
        house.as_admin().post(PREVIEW, &sample()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn sample_data_that_no_event_may_have_is_refused_with_its_fault_and_place() {
    let house = House::with_shop().await;
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    for (data, pointer, expected) in [
        ("[1]", "/data", "expected a JSON object, not a list"),
        ("7", "/data", "expected a JSON object, not a number"),
        (
            r#"{"n": 1e400}"#,
            "/data/n",
            "expected a number between -1.7976931348623157e308 and 1.7976931348623157e308, not 1e400",
        ),
        (
            r#"{"a": {"n": "\ud800"}}"#,
            "/data/a/n",
            "expected whole Unicode characters",
        ),
        (&format!("{{\"a\": {deep}}}"), "/data/a", "levels"),
    ] {
        let body = format!("{{\"data\": {data}}}");
        let answer = house.as_admin().send(Method::POST, PREVIEW, None, body).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{data}: {}",
            answer.body
        );
        let error = &answer.body["errors"][0];
        assert_eq!(error["pointer"], pointer, "{data}: {error}");
        assert!(
            error["message"].as_str().unwrap().contains(expected),
            "{data}: {error}"
        );
    }
}

#[tokio::test]
async fn a_template_with_an_endless_path_is_refused_with_its_line_and_part() {
    let house = House::with_shop().await;
    for (path, expected) in [
        ("a/".repeat(120_000), "expected a tag of at most 4096 bytes"),
        ("../".repeat(80_000), "expected a tag of at most 4096 bytes"),
        ("a.".repeat(100), "expected a path of at most 64 names and steps"),
    ] {
        let mut sample = sample();
        sample["parts"]["text"] = json!(format!("one\n{{{{{path}a}}}}"));
        let answer = house.as_admin().post(PREVIEW, &sample).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.body["detail"], "the template cannot be shown");
        let error = &answer.body["errors"][0];
        assert_eq!(error["pointer"], "/parts/text");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected) && message.contains('2'), "{message}");
    }
}
