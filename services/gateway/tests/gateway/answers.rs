//! The document's schemas of answers, held against real answers.

use carillon_domain::{Channel, DeliveryStatus};
use carillon_store::audit::Acceptance;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    dead_letter_jobs::{replayable, work_off},
    seed::{dead_letter, delivery},
    support::{Ask, Setting, on_gateway, shipped},
};

/// The schema that a `$ref` names, or the schema itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// Whether an answer has all fields that its schema requires, and none that it does not name; otherwise the difference.
fn fits(document: &Value, schema: &Value, answer: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(document, schema);
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let found: Vec<_> = choices
                .iter()
                .map(|choice| fits(document, choice, answer, at))
                .collect();
            if let [.., last] = found.as_slice()
                && found.iter().all(Result::is_err)
            {
                return last.clone();
            }
        }
    }
    match answer {
        Value::Object(fields) => object_fits(document, schema, fields, at),
        Value::Array(items) if schema["items"].is_object() => items
            .iter()
            .try_for_each(|item| fits(document, &schema["items"], item, &format!("{at}/0"))),
        _ => Ok(()),
    }
}

fn object_fits(
    document: &Value,
    schema: &Value,
    fields: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    if schema["type"] == json!("null") {
        return Err(format!("{at} is not null"));
    }
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let parts: Vec<&Value> = parts
        .map(|part| resolved(document, part))
        .chain([schema])
        .collect();
    let is_open = |part: &&Value| match part.get("additionalProperties") {
        Some(more) => *more != json!(false),
        None => {
            part["type"] == json!("object") && part.get("properties").is_none() && part.get("allOf").is_none()
        }
    };
    if parts.iter().any(is_open) {
        return Ok(());
    }
    let properties: Vec<&Map<String, Value>> = parts
        .iter()
        .filter_map(|part| part["properties"].as_object())
        .collect();
    for name in fields.keys() {
        let is_named = properties.iter().any(|some| some.contains_key(name));
        let has_choices = schema["oneOf"].is_array() || schema["anyOf"].is_array();
        if !(is_named || has_choices) {
            return Err(format!("{at} has {name}, which the document does not name"));
        }
    }
    for name in parts
        .iter()
        .filter_map(|part| part["required"].as_array())
        .flatten()
    {
        if !fields.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at} has no {name}"));
        }
    }
    for (name, schema) in properties.into_iter().flatten() {
        if let Some(value) = fields.get(name) {
            fits(document, schema, value, &format!("{at}/{name}"))?;
        }
    }
    Ok(())
}

async fn check(setting: &Setting, document: &Value, path: &str, ask: Ask) {
    let method = ask.method().to_lowercase();
    let answer = setting.ask(ask).await;
    let response = &document["paths"][path][&method]["responses"][answer.status.to_string()];
    let schema = &response["content"]["application/json"]["schema"];
    assert!(
        schema.is_object() && *schema != json!({}),
        "{method} {path} {}: {response}",
        answer.status
    );
    assert_eq!(fits(document, schema, &answer.json(), path), Ok(()));
}

/// Requests to the suppression list, and to a user with an address on it.
fn of_suppressions() -> Vec<(&'static str, Ask)> {
    vec![
        (
            "/v1/suppressions/{channel}/{address}",
            Ask::put("/v1/suppressions/email/a@example.com").json(&json!({"note": "n"})),
        ),
        (
            "/v1/suppressions/{channel}/{address}",
            Ask::put("/v1/suppressions/email/a@example.com").json(&json!({})),
        ),
        (
            "/v1/suppressions/{channel}/{address}",
            Ask::get("/v1/suppressions/email/a@example.com"),
        ),
        ("/v1/suppressions", Ask::get("/v1/suppressions")),
        (
            "/v1/suppressions/import",
            Ask::post("/v1/suppressions/import").text("text/csv", "sms,0151\n".to_owned()),
        ),
        ("/v1/users/{id}", Ask::get("/v1/users/u-77")),
    ]
}

/// Requests for dead letters: an open one, a settled one and its job.
fn of_dead_letters(letter: &str, settled: &Uuid, job: &str, cause: &str) -> Vec<(&'static str, Ask)> {
    const GROUP: &str = "/v1/dlq/groups/{fingerprint}";
    let group = format!("/v1/dlq/groups/{cause}");
    vec![
        ("/v1/dlq", Ask::get("/v1/dlq")),
        ("/v1/dlq/{id}", Ask::get(&format!("/v1/dlq/{letter}"))),
        ("/v1/dlq/groups", Ask::get("/v1/dlq/groups")),
        (GROUP, Ask::get(&group)),
        (
            GROUP,
            Ask::patch(&group).json(&json!({"note": "n", "ignored": false})),
        ),
        (
            "/v1/dlq/groups/{fingerprint}/planned-replay",
            Ask::put(&format!("{group}/planned-replay"))
                .json(&json!({"template": {"id": "OrderShipped/sms"}})),
        ),
        (
            "/v1/dlq/replay",
            Ask::post("/v1/dlq/replay").json(&json!({"filter": {}, "dry_run": true})),
        ),
        (
            "/v1/dlq/discard",
            Ask::post("/v1/dlq/discard").json(&json!({"filter": {}, "dry_run": true})),
        ),
        (
            "/v1/dlq/replay",
            Ask::post("/v1/dlq/replay").json(&json!({"filter": {"class": ["render"]}})),
        ),
        (
            "/v1/dlq/discard",
            Ask::post("/v1/dlq/discard").json(&json!({"filter": {}})),
        ),
        ("/v1/dlq/jobs", Ask::get("/v1/dlq/jobs")),
        ("/v1/dlq/jobs/{id}", Ask::get(job)),
        ("/v1/dlq/jobs/{id}/pause", Ask::post(&format!("{job}/pause"))),
        ("/v1/dlq/jobs/{id}/resume", Ask::post(&format!("{job}/resume"))),
        ("/v1/dlq/jobs/{id}/cancel", Ask::post(&format!("{job}/cancel"))),
        ("/v1/dlq/{id}", Ask::get(&format!("/v1/dlq/{settled}"))),
    ]
}

#[tokio::test]
async fn every_answer_has_the_fields_that_the_document_says() {
    on_gateway(async |setting| {
        let steps = [
            (0, DeliveryStatus::Queued),
            (1, DeliveryStatus::Sending),
            (1, DeliveryStatus::Retrying),
        ];
        let id = delivery(setting, 1, &steps).await;
        dead_letter(setting, 1, Some(Channel::Email), "550").await;
        dead_letter(setting, 2, None, "not-json").await;
        let counts = setting.env.store.audit().counts().await.unwrap();
        let acceptance = Acceptance {
            by: "ada".into(),
            reason: "a test".into(),
            events: counts.event_difference(),
            deliveries: counts.delivery_difference(),
        };
        setting.env.store.audit().accept(&acceptance).await.unwrap();
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202);
        let document = setting.ask(Ask::get("/openapi.json").anonymous()).await.json();
        let preferences =
            json!({"global": {"email": true}, "quiet_hours": [{"from": "22:00", "to": "07:00"}]});
        let user = json!({"email": "a@example.com", "devices": [{"platform": "ios", "token": "t"}]});
        let endpoint = json!({"url": "https://hooks.example.com/"});
        let letter = setting.get("/v1/dlq").await.json()["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let settled = replayable(setting, "default", 9, "x", "2027-01-01T00:00:00Z").await;
        let made = setting
            .ask(Ask::post("/v1/dlq/replay").json(&json!({"ids": [settled]})))
            .await;
        work_off(setting, &[settled]).await;
        let job = made.json()["status_url"].as_str().unwrap().to_owned();
        let asks = [
            ("/v1/users/{id}", Ask::put("/v1/users/u-77").json(&user)),
            ("/v1/users/{id}", Ask::put("/v1/users/u-77").json(&user)),
            (
                "/v1/users/{id}/webhooks/{name}",
                Ask::put("/v1/users/u-77/webhooks/erp").json(&endpoint),
            ),
            (
                "/v1/users/{id}/webhooks/{name}",
                Ask::put("/v1/users/u-77/webhooks/erp").json(&endpoint),
            ),
            ("/v1/users/{id}", Ask::get("/v1/users/u-77")),
            (
                "/v1/users/{id}/preferences",
                Ask::put("/v1/users/u-77/preferences").json(&preferences),
            ),
            (
                "/v1/users/{id}/preferences",
                Ask::get("/v1/users/u-77/preferences"),
            ),
            ("/v1/catalog", Ask::get("/v1/catalog")),
            ("/v1/events", Ask::post("/v1/events").json(&shipped("e-2"))),
            ("/v1/simulate", Ask::post("/v1/simulate").json(&shipped("e-9"))),
            ("/v1/events/{id}", Ask::get("/v1/events/e-1")),
            ("/v1/events/{id}", Ask::get("/v1/events/order-1")),
            ("/v1/deliveries", Ask::get("/v1/deliveries")),
            (
                "/v1/deliveries/{id}",
                Ask::get(&format!("/v1/deliveries/{id}?reveal=true")),
            ),
            ("/v1/activity", Ask::get("/v1/activity")),
            ("/v1/activity", Ask::get("/v1/activity?q=order-1")),
            ("/v1/decisions", Ask::get("/v1/decisions")),
            ("/v1/keys", Ask::get("/v1/keys")),
            ("/v1/audit", Ask::get("/v1/audit")),
            ("/v1/stats", Ask::get("/v1/stats")),
        ];
        let of_cause = setting.get(&format!("/v1/dlq/{settled}")).await.json();
        let cause = of_cause["fingerprint"].as_str().unwrap();
        let of_letters = of_dead_letters(&letter, &settled, &job, cause);
        for (path, ask) in asks.into_iter().chain(of_suppressions()).chain(of_letters) {
            check(setting, &document, path, ask).await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_answer_of_json_in_the_document_has_a_schema() {
    on_gateway(async |setting| {
        let document = setting.ask(Ask::get("/openapi.json").anonymous()).await.json();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let response = resolved(&document, response);
                    for (media, content) in response["content"].as_object().into_iter().flatten() {
                        let schema = resolved(&document, &content["schema"]);
                        let says_something = schema.as_object().is_some_and(|schema| !schema.is_empty());
                        assert!(says_something, "{method} {path} {status} {media}");
                    }
                }
            }
        }
    })
    .await;
}
