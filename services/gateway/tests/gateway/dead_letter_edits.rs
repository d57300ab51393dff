//! Editing dead letters and sending them again, and canaries: requests, dry runs, pages, and the view of each role.

use carillon_domain::Channel;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    dashboard::{csrf, form, page, sign_in},
    dead_letter_jobs::{LATER, put, replayable, settle, work_off},
    support::{Answer, Ask, START, Setting, catalog, on_gateway},
};

/// A dead text message with this data.
async fn delivery(setting: &Setting, number: i64, event_type: &str, data: &Value) -> Uuid {
    let delivery = json!({
        "v": 1, "delivery_id": Uuid::from_u128(7), "notification_id": Uuid::from_u128(8), "tenant": "default",
        "event_id": "e-1", "source": "/shop", "type": event_type, "event_time": START,
        "category": "transactional", "user_id": "u-42", "channel": "sms",
        "target": {"kind": "inline", "address": "+4915112345678"}, "priority": "normal", "accepted_at": START,
        "expires_at": LATER, "data": data,
    });
    put(setting, "default", number, Some(Channel::Sms), "x", &delivery).await
}

/// A rejected event.
async fn event(setting: &Setting, number: i64, event: &Value) -> Uuid {
    put(setting, "default", number, None, "schema", event).await
}

async fn edit(setting: &Setting, key: &str, id: Uuid, patch: &Value, dry: bool) -> Answer {
    edit_at(setting, key, "/v1/dlq/replay", id, patch, dry).await
}

async fn edit_at(setting: &Setting, key: &str, route: &str, id: Uuid, patch: &Value, dry: bool) -> Answer {
    let body = json!({"ids": [id], "edit": patch, "dry_run": dry});
    setting.ask(Ask::post(route).key(key).json(&body)).await
}

fn replace(path: &str, value: &str) -> Value {
    json!([{"op": "replace", "path": path, "value": value}])
}

#[tokio::test]
async fn a_dry_run_shows_the_changes_and_a_job_makes_them_once() {
    on_gateway(async |setting| {
        let id = delivery(
            setting,
            1,
            "OrderShipped",
            &json!({"order_id": "7", "carrier": "DLH"}),
        )
        .await;
        setting.advance(600);
        let patch = replace("/data/carrier", "DHL");
        let dry = edit(setting, &setting.operator, id, &patch, true).await.json();
        assert_eq!(dry["would"]["send"], 1);
        assert_eq!(
            dry["changes"],
            json!([{"pointer": "/data/carrier", "before": "DLH", "after": "DHL"}])
        );
        let made = edit(setting, &setting.operator, id, &patch, false).await;
        assert_eq!(made.status, 202, "{made:?}");
        let made = made.json();
        let job = setting.get(made["status_url"].as_str().unwrap()).await.json();
        assert_eq!(job["edit"], json!([{"op": "replace", "path": "/data/carrier"}]));
        work_off(setting, &[id]).await;
        let letter = setting.get(&format!("/v1/dlq/{id}")).await.json();
        assert_eq!(
            (&letter["state"], &letter["verdict"]["edited"]),
            (&json!("replayed"), &json!(true))
        );
        let again = edit(setting, &setting.operator, id, &patch, false).await;
        assert_eq!(again.problem(422, "validation"), ["/ids/0 already-settled"]);
        let log = setting.get("/v1/audit").await.json();
        let actions: Vec<&Value> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["action"])
            .collect();
        assert_eq!(actions, [&json!("edit")]);
        let session = sign_in(setting, &setting.operator).await;
        let shown = setting.ask(page(&format!("/dlq/{id}"), &session)).await.text();
        assert!(
            shown.contains("Sent again with these changes") && shown.contains("/data/carrier"),
            "{shown}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_keyed_edit_is_one_job() {
    on_gateway(async |setting| {
        let id = delivery(
            setting,
            1,
            "OrderShipped",
            &json!({"order_id": "7", "carrier": "DLH"}),
        )
        .await;
        setting.advance(600);
        let body = json!({"ids": [id], "edit": replace("/data/carrier", "DHL")});
        let mut jobs = Vec::new();
        for _ in 0..2 {
            let ask = Ask::post("/v1/dlq/replay")
                .header("idempotency-key", "k-1")
                .json(&body);
            let made = setting.ask(ask).await;
            assert_eq!(made.status, 202, "{made:?}");
            jobs.push(made.json()["job_id"].clone());
        }
        assert_eq!(jobs[0], jobs[1]);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_edit_is_refused_with_the_place_in_the_patch_or_in_the_event() {
    on_gateway(async |setting| {
        let sms = delivery(
            setting,
            1,
            "OrderShipped",
            &json!({"order_id": "7", "carrier": "DLH"}),
        )
        .await;
        let bad = event(
            setting,
            3,
            &json!({"specversion": "1.0", "id": "e-9", "source": "/", "type": "OrderShipped",
            "recipients": [{"user_id": "u-42"}], "data": {}}),
        )
        .await;
        setting.advance(600);
        let cases = [
            (sms, json!([]), "/edit range"),
            (sms, json!([{"op": "put", "path": "/data"}]), "/edit/0/op unknown"),
            (sms, replace("/data/none", "x"), "/edit/0/path not-found"),
            (
                sms,
                json!([{"op": "replace", "path": "/data/carrier", "value": 7}]),
                "/edited/data/carrier schema",
            ),
            (
                sms,
                json!([{"op": "remove", "path": "/data/carrier"}]),
                "/edited/data schema",
            ),
            (
                sms,
                json!([{"op": "add", "path": "/target", "value": {}}]),
                "/edited data",
            ),
            (sms, replace("/data/carrier", "DLH"), "/edit unchanged"),
            (
                bad,
                json!([{"op": "add", "path": "/data/order_id", "value": "7"}]),
                "/edited/data schema",
            ),
            (
                bad,
                json!([{"op": "replace", "path": "/type", "value": "None"}]),
                "/edited/type unknown-event-type",
            ),
            (
                bad,
                json!([{"op": "replace", "path": "", "value": 7}]),
                "/edited type",
            ),
            (
                bad,
                json!([{"op": "replace", "path": "/recipients/0/user_id", "value": "nobody"},
                {"op": "replace", "path": "/data", "value": {"order_id": "7", "carrier": "DHL"}}]),
                "/edited/recipients/0/user_id unknown-user",
            ),
        ];
        for (id, patch, expected) in cases {
            for dry in [true, false] {
                let answer = edit(setting, &setting.admin, id, &patch, dry).await;
                // Every field of an unknown type is hidden, except from an admin who has revealed it.
                let answer = if expected.ends_with("unknown-event-type") {
                    edit_at(
                        setting,
                        &setting.admin,
                        "/v1/dlq/replay?reveal=true",
                        id,
                        &patch,
                        dry,
                    )
                    .await
                } else {
                    answer
                };
                assert_eq!(answer.problem(422, "validation"), [expected], "{patch}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_of_one_letter_of_the_own_tenant_by_an_operator() {
    on_gateway(async |setting| {
        let data = json!({"order_id": "7", "carrier": "DLH"});
        let sms = delivery(setting, 1, "OrderShipped", &data).await;
        let other = delivery(setting, 2, "OrderShipped", &json!({})).await;
        setting.advance(600);
        let patch = replace("/data/carrier", "DHL");
        for (body, expected) in [
            (json!({"ids": [sms, other], "edit": patch}), "/edit selection"),
            (json!({"filter": {}, "edit": patch}), "/edit selection"),
            (
                json!({"ids": [sms], "edit": patch, "canary": true}),
                "/edit selection",
            ),
        ] {
            let answer = setting.ask(Ask::post("/v1/dlq/replay").json(&body)).await;
            assert_eq!(answer.problem(422, "validation"), [expected], "{body}");
        }
        let body = json!({"ids": [sms], "edit": patch});
        let answer = setting.ask(Ask::post("/v1/dlq/discard").json(&body)).await;
        assert_eq!(answer.problem(422, "validation"), ["/edit kind"]);
        edit(setting, &setting.viewer, sms, &patch, true)
            .await
            .problem(403, "forbidden");
        let foreign = edit(setting, &setting.foreign, sms, &patch, true).await;
        assert_eq!(foreign.problem(422, "validation"), ["/ids/0 not-found"]);
        assert_eq!(setting.get("/v1/dlq/jobs").await.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_rejected_event_is_mended_and_a_record_that_is_no_event_is_written_anew() {
    on_gateway(async |setting| {
        let bad = event(setting, 1, &json!({"specversion": "1.0", "id": "e-9", "source": "/", "type": "OrderShipped",
            "recipients": [{"user_id": "u-42"}], "data": {"order_id": "7"}})).await;
        let broken = put(setting, "default", 2, None, "malformed-json", &json!("not an event")).await;
        setting.advance(600);
        let mend = json!([{"op": "add", "path": "/data/carrier", "value": "DHL"}]);
        let dry = edit(setting, &setting.operator, bad, &mend, true).await.json();
        assert_eq!(dry["changes"], json!([{"pointer": "/data/carrier", "after": "DHL"}]));
        assert_eq!(edit(setting, &setting.operator, bad, &mend, false).await.status, 202);
        let whole = json!([{"op": "replace", "path": "", "value": {"specversion": "1.0", "id": "e-10", "source": "/",
            "type": "OrderShipped", "recipients": [{"user_id": "u-42"}], "data": {"order_id": "7", "carrier": "DHL"}}}]);
        let made = edit(setting, &setting.operator, broken, &whole, false).await;
        assert_eq!(made.status, 202, "{made:?}");
    })
    .await;
}

/// The catalog with a type whose code is a secret.
async fn with_secrets(setting: &Setting) {
    let mut catalog = catalog();
    catalog["types"]["OneTimePassword"] = json!({
        "category": "transactional", "channels": {"order": ["sms", "email"]}, "sensitive": ["/data/code"],
    });
    let put = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
    assert_eq!(put.status, 200, "{put:?}");
}

#[tokio::test]
async fn an_operator_learns_no_secret_from_an_edit_and_carries_none_off() {
    on_gateway(async |setting| {
        with_secrets(setting).await;
        let data = json!({"code": "482915", "name": "Ada", "list": ["a"]});
        let sms = put_secret(setting, 1, &data).await;
        let of_event = json!({"specversion": "1.0", "id": "e-9", "source": "/", "type": "OneTimePassword",
            "recipients": [{"email": "ada@example.com"}], "data": data});
        let event = secret_event(setting, 2, &of_event).await;
        setting.advance(600);
        for id in [sms, event] {
            for patch in [
                json!([{"op": "test", "path": "/data/code", "value": "482915"}]),
                json!([{"op": "test", "path": "/data/code", "value": "000000"}]),
                json!([{"op": "copy", "from": "/data/code", "path": "/data/name"}]),
                json!([{"op": "move", "from": "/data/code", "path": "/data/name"}]),
                json!([{"op": "copy", "from": "/data", "path": "/data/list/0"}]),
                replace("/data/name", "Eve"),
                json!([{"op": "add", "path": "/data/list/0", "value": "b"}]),
            ] {
                let answer = edit(setting, &setting.operator, id, &patch, true).await;
                assert_eq!(answer.status, 422, "{patch} {answer:?}");
                let text = answer.text();
                assert!(
                    text.contains("\"hidden\"") && !text.contains("482915"),
                    "{patch} {text}"
                );
            }
        }
        // To another type, and to another recipient.
        for patch in [
            replace("/type", "OrderShipped"),
            json!([{"op": "replace", "path": "/recipients/0", "value": {"email": "eve@example.com"}}]),
            json!([{"op": "test", "path": "/recipients/0/email", "value": "ada@example.com"}]),
            json!([{"op": "copy", "from": "/recipients/0/email", "path": "/data/name"}]),
        ] {
            let answer = edit(setting, &setting.operator, event, &patch, true).await;
            assert_eq!(answer.status, 422, "{patch} {answer:?}");
            let text = answer.text();
            assert!(
                text.contains("\"hidden\"") && !text.contains("ada@"),
                "{patch} {text}"
            );
        }
        // Without the secret there is nothing to carry off.
        let mut without = replace("/data/code", "111111");
        without
            .as_array_mut()
            .unwrap()
            .push(replace("/data/name", "Eve")[0].clone());
        let dry = edit(setting, &setting.operator, sms, &without, true).await;
        assert_eq!(dry.status, 200, "{dry:?}");
        assert!(
            !dry.text().contains("482915") && dry.text().contains("Eve"),
            "{dry:?}"
        );
        // An admin who reveals it edits it; that is noted.
        let patch = replace("/data/name", "Eve");
        let admin = edit(setting, &setting.admin, sms, &patch, true).await;
        assert_eq!(admin.problem(422, "validation"), ["/edit hidden"]);
        edit_at(
            setting,
            &setting.operator,
            "/v1/dlq/replay?reveal=true",
            sms,
            &patch,
            true,
        )
        .await
        .problem(403, "forbidden");
        let revealed = edit_at(
            setting,
            &setting.admin,
            "/v1/dlq/replay?reveal=true",
            sms,
            &patch,
            false,
        )
        .await;
        assert_eq!(revealed.status, 202, "{revealed:?}");
        let log = setting.get("/v1/audit").await.json();
        let mut actions: Vec<&str> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["action"].as_str().unwrap())
            .collect();
        actions.sort_unstable();
        assert_eq!(actions, ["edit", "reveal"]);
        // The changes that a job shows are masked as the event is.
        work_off(setting, &[sms]).await;
        let session = sign_in(setting, &setting.operator).await;
        let shown = setting.ask(page(&format!("/dlq/{sms}"), &session)).await.text();
        assert!(shown.contains("Eve") && !shown.contains("482915"), "{shown}");
        let session = sign_in(setting, &setting.viewer).await;
        let shown = setting.ask(page(&format!("/dlq/{sms}"), &session)).await.text();
        assert!(!shown.contains("Eve") && !shown.contains("482915"), "{shown}");
    })
    .await;
}

async fn put_secret(setting: &Setting, number: i64, data: &Value) -> Uuid {
    let id = delivery(setting, number, "OneTimePassword", data).await;
    of_type(setting, id, "OneTimePassword").await;
    id
}

async fn secret_event(setting: &Setting, number: i64, value: &Value) -> Uuid {
    let id = event(setting, number, value).await;
    of_type(setting, id, "OneTimePassword").await;
    id
}

/// Checks that a letter is of a type, as the tracker reads it.
async fn of_type(setting: &Setting, id: Uuid, event_type: &str) {
    let letter = setting.get(&format!("/v1/dlq/{id}")).await.json();
    assert_eq!(letter["type"], event_type);
}

#[tokio::test]
async fn a_page_shows_the_event_then_the_changes_and_sends_it_once() {
    on_gateway(async |setting| {
        let data = json!({"order_id": "7", "carrier": "D<LH", "mail": "ada@example.com"});
        let id = delivery(setting, 1, "OrderShipped", &data).await;
        setting.advance(600);
        let session = sign_in(setting, &setting.operator).await;
        let path = format!("/dlq/{id}/edit");
        let letter = setting.ask(page(&format!("/dlq/{id}"), &session)).await.text();
        assert!(letter.contains(&path), "{letter}");
        let shown = setting.ask(page(&path, &session)).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let token = csrf(&shown);
        let text = shown.text();
        assert!(
            text.contains("D&#x3c;LH") && text.contains("a…@example.com") && !text.contains("ada@"),
            "{text}"
        );
        let written = r#"{"data":{"order_id":"7","carrier":"DHL","mail":"a…@example.com"}}"#;
        for (fields, status) in [
            ([("csrf", "x"), ("text", written)], 403),
            ([("csrf", token.as_str()), ("text", "{")], 422),
            (
                [("csrf", token.as_str()), ("text", r#"{"data":{"order_id":"7"}}"#)],
                422,
            ),
        ] {
            assert_eq!(
                setting.ask(form(&path, &session, &fields)).await.status,
                status,
                "{fields:?}"
            );
        }
        let answer = setting
            .ask(form(&path, &session, &[("csrf", &token), ("text", written)]))
            .await;
        let text = answer.text();
        assert!(
            text.contains("/data/carrier") && text.contains("Send it with these changes"),
            "{text}"
        );
        assert!(!text.contains("/data/mail"), "{text}");
        assert_eq!(setting.get("/v1/dlq/jobs").await.json()["items"], json!([]));
        let hidden = |name: &str| {
            let (_, after) = text.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            let value = after.split('"').next().unwrap().to_owned();
            value.replace("&#x22;", "\"").replace("&#x3c;", "<")
        };
        let (job, proposed) = (hidden("job"), hidden("patch"));
        let fields = [
            ("csrf", token.as_str()),
            ("job", &job),
            ("patch", &proposed),
            ("note", "mended"),
        ];
        for _ in 0..2 {
            let sent = setting.ask(form(&path, &session, &fields)).await;
            assert_eq!(
                (sent.status, sent.header("location")),
                (303, Some(&*format!("/dlq/jobs/{job}")))
            );
        }
        let jobs = setting.get("/v1/dlq/jobs").await.json();
        assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
        assert_eq!(jobs["items"][0]["note"], "mended");
        let shown = setting
            .ask(page(&format!("/dlq/jobs/{job}"), &session))
            .await
            .text();
        assert!(
            shown.contains("/data/carrier") && shown.contains(&format!("/dlq/{id}")),
            "{shown}"
        );
        work_off(setting, &[id]).await;
        let settled = setting.ask(page(&path, &session)).await.text();
        assert!(
            settled.contains("can be edited only while it is open"),
            "{settled}"
        );
        let viewer = sign_in(setting, &setting.viewer).await;
        assert_eq!(setting.ask(page(&path, &viewer)).await.status, 403);
    })
    .await;
}

#[tokio::test]
async fn a_canary_is_asked_for_with_or_without_a_number_and_only_for_a_replay() {
    on_gateway(async |setting| {
        for number in 1..=3 {
            replayable(setting, "default", number, "x", LATER).await;
        }
        setting.advance(600);
        for (asked, letters) in [(json!(true), json!(10)), (json!(7), json!(7))] {
            let made = settle(
                setting,
                "replay",
                &json!({"filter": {}, "canary": asked, "canary_tolerance": 20}),
            )
            .await;
            let job = setting.get(made["status_url"].as_str().unwrap()).await.json();
            let canary = &job["canary"];
            assert_eq!((&canary["letters"], &canary["tolerance"]), (&letters, &json!(20)));
            assert_eq!(canary["phase"], "sending");
        }
        let made = settle(setting, "replay", &json!({"filter": {}, "canary": false})).await;
        let job = setting.get(made["status_url"].as_str().unwrap()).await.json();
        assert_eq!(job["canary"], Value::Null);
        for (kind, body, expected) in [
            ("replay", json!({"filter": {}, "canary": 0}), "/canary range"),
            ("replay", json!({"filter": {}, "canary": 1001}), "/canary range"),
            (
                "replay",
                json!({"filter": {}, "canary_tolerance": 5}),
                "/canary_tolerance canary",
            ),
            (
                "replay",
                json!({"filter": {}, "canary": 5, "canary_tolerance": 100}),
                "/canary_tolerance range",
            ),
            ("discard", json!({"filter": {}, "canary": 5}), "/canary kind"),
        ] {
            let answer = setting
                .ask(Ask::post(&format!("/v1/dlq/{kind}")).json(&body))
                .await;
            assert_eq!(answer.problem(422, "validation"), [expected], "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_job_that_its_canary_has_stopped_says_why_and_is_resumed_on_its_page() {
    on_gateway(async |setting| {
        use carillon_store::{
            Lease,
            dead_letter_jobs::{CanaryFates, CanaryPhase},
        };
        replayable(setting, "default", 1, "x", LATER).await;
        setting.advance(600);
        let made = settle(setting, "replay", &json!({"filter": {}, "canary": 5})).await;
        let path = made["status_url"].as_str().unwrap().to_owned();
        let jobs = setting.env.store.dead_letter_jobs();
        let lease = Lease {
            owner: Uuid::now_v7(),
            until: setting.env.store.now(),
        };
        let taken = jobs.take(lease, true).await.unwrap().unwrap();
        let fates = CanaryFates {
            sent: 5,
            ended: 3,
            failed: 2,
        };
        jobs.watch(&taken, fates, CanaryPhase::Failed, setting.env.store.now())
            .await
            .unwrap();
        let job = setting.get(&path).await.json();
        assert_eq!(job["state"], "stopped");
        let why = "2 of the first 5 letters failed again and none may, so the job has stopped";
        assert_eq!(job["canary"]["sentence"], why);
        let session = sign_in(setting, &setting.operator).await;
        let shown = setting.ask(page(&path.replace("/v1", ""), &session)).await;
        let text = shown.text();
        assert!(
            text.contains(why) && text.contains(">Resume</button>") && text.contains("stopped"),
            "{text}"
        );
        let paused = setting.ask(Ask::post(&format!("{path}/pause"))).await.json();
        assert_eq!(paused["result"], "already_paused");
        let resume = format!("{}/resume", path.replace("/v1", ""));
        let sent = setting
            .ask(form(&resume, &session, &[("csrf", &csrf(&shown))]))
            .await;
        assert_eq!(sent.status, 303);
        let job = setting.get(&path).await.json();
        assert_eq!(
            (&job["state"], &job["canary"]["phase"]),
            (&json!("running"), &json!("overruled"))
        );
    })
    .await;
}
