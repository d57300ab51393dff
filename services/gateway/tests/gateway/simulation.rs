//! `POST /v1/simulate`: the decisions and messages of an event that is not sent.

use carillon_domain::{
    Channel,
    catalog::{LimitDef, LimitScope},
    decide::{LimitCheck, LimitVerdict},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Ask, Setting, on_gateway, shipped};

async fn simulate(setting: &Setting, body: &Value) -> Answer {
    setting.ask(Ask::post("/v1/simulate").json(body)).await
}

/// The decisions as `channel outcome reason`.
#[track_caller]
fn decisions(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    answer.json()["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            [&one["channel"], &one["outcome"], &one["reason"]]
                .map(word)
                .join(" ")
        })
        .collect()
}

#[tokio::test]
async fn a_simulation_has_the_decisions_and_messages_and_leaves_nothing_behind() {
    on_gateway(async |setting| {
        let answer = simulate(setting, &shipped("e-1")).await;
        assert_eq!(
            decisions(&answer),
            [
                "email send allowed",
                "sms send allowed",
                "push suppress no_address"
            ]
        );
        let told = answer.json();
        assert_eq!(
            (&told["status"], &told["duplicate"]),
            (&json!("routed"), &json!(false))
        );
        let email = &told["decisions"][0];
        assert_eq!(email["to_masked"], "a…@example.com");
        assert_eq!(email["message"]["template"]["id"], "OrderShipped/email");
        let text = email["message"]["content"]["text"].as_str().unwrap();
        assert!(text.contains("1001") && text.contains("DHL"), "{text}");
        assert!(email["message"]["error"].is_null());
        assert!(told["decisions"][2]["message"].is_null());
        let steps = told["decisions"][2]["steps"].as_array().unwrap();
        assert_eq!(steps[0]["rule"], "address");
        assert!(setting.published().await.is_empty());
        assert!(setting.statuses().await.is_empty());
        assert_eq!(setting.get("/v1/events/e-1").await.status, 404);
        assert_eq!(setting.post(&shipped("e-1")).await.status, 202, "its id is free");
        let again = simulate(setting, &shipped("e-1")).await.json();
        assert_eq!(again["duplicate"], true);
    })
    .await;
}

#[tokio::test]
async fn each_form_of_a_single_event_is_read_as_a_post_reads_it_and_a_batch_is_refused() {
    on_gateway(async |setting| {
        let cloud = json!({"specversion": "1.0", "id": "c-1", "source": "/shop", "type": "OrderShipped", "recipient": "u-42",
            "data": {"order_id": "1", "carrier": "UPS"}});
        let structured = Ask::post("/v1/simulate").text("application/cloudevents+json", cloud.to_string());
        let binary = Ask::post("/v1/simulate")
            .header("ce-specversion", "1.0")
            .header("ce-id", "c-1")
            .header("ce-source", "/shop")
            .header("ce-type", "OrderShipped")
            .header("ce-recipient", "u-42")
            .json(&json!({"order_id": "1", "carrier": "UPS"}));
        let enclosed = Ask::post("/v1/simulate").json(&json!({"event": cloud}));
        for ask in [structured, binary, enclosed] {
            let answer = setting.ask(ask).await;
            assert_eq!(decisions(&answer)[0], "email send allowed");
            assert_eq!(answer.json()["event_id"], "c-1");
        }
        let batch = simulate(setting, &json!([shipped("e-1")])).await;
        assert_eq!(batch.problem(422, "validation"), [""; 0]);
        let odd = Ask::post("/v1/simulate").text("application/json", "{");
        setting.ask(odd).await.problem(400, "malformed-json");
    })
    .await;
}

#[tokio::test]
async fn a_simulation_refuses_the_same_events_as_a_post_with_the_place_in_its_own_body() {
    on_gateway(async |setting| {
        let mut unknown = shipped("e-1");
        unknown["type"] = json!("Nothing");
        let refused = simulate(setting, &unknown).await;
        assert_eq!(
            refused.problem(422, "unknown-event-type"),
            ["/type unknown-event-type"]
        );
        let enclosed = json!({"event": unknown});
        let refused = simulate(setting, &enclosed).await;
        assert_eq!(
            refused.problem(422, "unknown-event-type"),
            ["/event/type unknown-event-type"]
        );
        let mut stranger = shipped("e-1");
        stranger["recipients"] = json!([{"user_id": "nobody"}]);
        let refused = simulate(setting, &stranger).await;
        assert_eq!(
            refused.problem(422, "unknown-user"),
            ["/recipients/0/user_id unknown-user"]
        );
        for (condition, expected) in [
            (json!({"at": "tomorrow"}), "/at type"),
            (json!({"as_if": {"preference": {}}}), "/as_if/preference unknown-field"),
            (
                json!({"as_if": {"preferences": {"categories": {"nope": {"sms": true}}}}}),
                "/as_if/preferences/categories/nope unknown",
            ),
            (
                json!({"as_if": {"catalog": {"types": {"T": {"category": "c", "channels": {"order": ["sms"]}}}}}}),
                "/as_if/catalog/types/T/category unknown",
            ),
            (json!({"now": "2026-11-24"}), "/now unknown-field"),
        ] {
            let mut body = json!({"event": shipped("e-1")});
            body.as_object_mut()
                .unwrap()
                .extend(condition.as_object().unwrap().clone());
            let refused = simulate(setting, &body).await;
            assert_eq!(refused.problem(422, "validation"), [expected], "{condition}");
        }
        let twice = Ask::post("/v1/simulate?at=2026-11-25");
        let twice = twice.json(&json!({"event": shipped("e-1"), "at": "2026-11-25"}));
        assert_eq!(
            setting.ask(twice).await.problem(422, "validation"),
            ["/at duplicate"]
        );
    })
    .await;
}

#[tokio::test]
async fn the_time_preferences_and_catalog_of_a_simulation_hold_for_it_alone() {
    on_gateway(async |setting| {
        let mut expiring = shipped("e-1");
        expiring["expiresat"] = json!("2026-11-24T12:00:00Z");
        assert_eq!(
            decisions(&simulate(setting, &expiring).await)[0],
            "email send allowed"
        );
        let at = Ask::post("/v1/simulate?at=2026-11-24T12:00:00Z").json(&expiring);
        assert_eq!(
            decisions(&setting.ask(at).await),
            ["email suppress expired", "sms suppress expired", "push suppress expired"]
        );
        let off = json!({"event": shipped("e-1"), "as_if": {"preferences": {"types": {"OrderShipped": {"email": false}}}}});
        assert_eq!(
            decisions(&simulate(setting, &off).await)[0],
            "email suppress opted_out_type"
        );
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderShipped"]["channels"] = json!({"mode": "fallback", "order": ["sms", "email"]});
        let proposed = json!({"event": shipped("e-1"), "as_if": {"catalog": catalog}});
        assert_eq!(
            decisions(&simulate(setting, &proposed).await),
            ["sms send allowed", "email suppress fallback_not_needed"]
        );
        catalog["types"]["OrderShipped"]["channels"]["wait"] = json!({"email": "30m"});
        let proposed = json!({"event": shipped("e-1"), "as_if": {"catalog": catalog}});
        let follows = simulate(setting, &proposed).await;
        assert_eq!(
            decisions(&follows),
            ["sms send allowed", "email defer fallback_waits"]
        );
        let email = &follows.json()["decisions"][1];
        assert_eq!(email["until"], json!("2026-11-24T10:30:00Z"));
        assert_eq!(
            email["after"],
            json!([follows.json()["decisions"][0]["delivery_id"]])
        );
        assert_eq!(
            decisions(&simulate(setting, &shipped("e-1")).await)[0],
            "email send allowed"
        );
    })
    .await;
}

#[tokio::test]
async fn limits_are_looked_at_and_not_taken() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["categories"]["transactional"] =
            json!({"limits": [{"channel": "email", "max": 1, "per": "1h"}]});
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        for _ in 0..3 {
            assert_eq!(
                decisions(&simulate(setting, &shipped("e-1")).await)[0],
                "email send allowed"
            );
        }
        let taken = LimitCheck {
            id: Uuid::now_v7(),
            message: Uuid::now_v7(),
            key: "default|u-42|transactional|email|0".to_owned(),
            scope: LimitScope::Category,
            limit: LimitDef {
                channel: Channel::Email,
                max: 1,
                per: std::time::Duration::from_hours(1),
            },
        };
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        assert_eq!(setting.quotas.take(&[taken], now).await, [LimitVerdict::Allowed]);
        let answer = simulate(setting, &shipped("e-2")).await;
        assert_eq!(decisions(&answer)[0], "email drop over_limit");
        assert!(answer.json()["decisions"][0]["message"].is_null());
        let later = Ask::post("/v1/simulate?at=2026-11-24T11:00:00Z").json(&shipped("e-2"));
        assert_eq!(decisions(&setting.ask(later).await)[0], "email send allowed");
    })
    .await;
}

#[tokio::test]
async fn hidden_values_are_masked_for_each_role_and_a_reveal_is_noted() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderShipped"]["sensitive"] = json!(["/data/carrier"]);
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        let mut event = shipped("e-1");
        event["data"]["carrier"] = json!("S3CR3T");
        event["recipients"] = json!([{"user_id": "u-42"}, {"email": "guest@example.com"}]);
        let mut open = catalog.clone();
        open["types"]["OrderShipped"]["sensitive"] = json!([]);
        let bodies = [event.clone(), json!({"event": event, "as_if": {"catalog": open}})];
        for key in [&setting.viewer, &setting.operator, &setting.admin] {
            for body in &bodies {
                let answer = setting.ask(Ask::post("/v1/simulate").key(key).json(body)).await;
                assert_eq!(decisions(&answer)[0], "email send allowed");
                let told = answer.text();
                for hidden in ["S3CR3T", "guest@example.com", "ada@example.com"] {
                    assert!(!told.contains(hidden), "{hidden}: {told}");
                }
                assert_eq!(answer.json()["masked"], true);
            }
        }
        let reveal = || Ask::post("/v1/simulate?reveal=true").json(&event);
        setting
            .ask(reveal().key(&setting.operator))
            .await
            .problem(403, "forbidden");
        let shown = setting.ask(reveal()).await;
        assert!(shown.text().contains("S3CR3T"), "{shown:?}");
        assert_eq!(shown.json()["masked"], false);
        let noted = setting.get("/v1/audit").await.json()["items"][0].clone();
        assert_eq!(noted["route"], "/v1/simulate?reveal=true");
    })
    .await;
}

#[tokio::test]
async fn an_event_without_recipients_is_skipped_if_its_type_allows_that() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["types"]["OrderShipped"]["recipients"] = json!("optional");
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        let body = json!({"id": "e-1", "type": "OrderShipped", "data": {}});
        let told = simulate(setting, &body).await.json();
        assert_eq!(
            (&told["status"], &told["reason"], &told["decisions"]),
            (&json!("skipped"), &json!("no_recipient"), &json!([]))
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_that_no_template_makes_says_so_beside_its_decision() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["types"]["Plain"] = json!({"category": "transactional", "channels": {"order": ["sms"]}});
        assert_eq!(
            setting.ask(Ask::put("/v1/catalog").json(&catalog)).await.status,
            200
        );
        let body = json!({"id": "e-1", "type": "Plain", "recipients": ["u-42"], "data": {}});
        let answer = simulate(setting, &body).await;
        assert_eq!(decisions(&answer), ["sms send allowed"]);
        let message = answer.json()["decisions"][0]["message"].clone();
        assert!(message["content"].is_null() && message["template"].is_null());
        assert!(
            !message["error"]["code"].as_str().unwrap().is_empty(),
            "{message}"
        );
    })
    .await;
}
