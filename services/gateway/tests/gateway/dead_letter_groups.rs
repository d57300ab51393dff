//! Causes of dead letters: how people handle them, and planned replays, over the API and on the pages.

use std::collections::BTreeMap;

use carillon_domain::Channel;
use carillon_store::{
    account_holds::AccountHold,
    templates::{TemplateDraft, TemplateName},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    dashboard::{csrf, form, page, sign_in},
    dead_letter_jobs::{LATER, replayable, settle},
    seed::dead_letter,
    support::{Answer, Ask, Setting, on_gateway},
};

async fn fingerprint(setting: &Setting, code: &str) -> String {
    let groups = setting.get("/v1/dlq/groups?ignored=any").await.json();
    let mut groups = groups["items"].as_array().unwrap().iter();
    let group = groups.find(|group| group["code"] == code).unwrap();
    group["fingerprint"].as_str().unwrap().to_owned()
}

async fn change(setting: &Setting, cause: &str, body: &Value) -> Answer {
    let ask = Ask::patch(&format!("/v1/dlq/groups/{cause}")).json(body);
    setting.ask(ask.key(&setting.operator)).await
}

fn plan(cause: &str, body: &Value) -> Ask {
    Ask::put(&format!("/v1/dlq/groups/{cause}/planned-replay")).json(body)
}

/// Publishes a text of the template of [`replayable`]'s letters.
async fn publish(setting: &Setting, text: &str) {
    let draft = TemplateDraft {
        name: TemplateName {
            id: "OrderShipped/sms".to_owned(),
            locale: None,
        },
        parts: BTreeMap::from([("text".to_owned(), text.to_owned())]),
    };
    let templates = setting.env.store.templates();
    let published = templates
        .apply(&"default".into(), &[draft], &BTreeMap::new())
        .await;
    assert_eq!(published.unwrap().versions.len(), 1);
}

async fn close(setting: &Setting, account: &str) {
    let hold = AccountHold {
        account: account.to_owned(),
        channel: Channel::Email,
        cause: "it refuses our credentials".to_owned(),
        ends_at: None,
        park: None,
    };
    setting
        .env
        .store
        .account_holds()
        .put(Uuid::now_v7(), &hold)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cause_has_note_and_owner_under_an_entity_tag_and_every_change_is_audited() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        let cause = fingerprint(setting, "x").await;
        let path = format!("/v1/dlq/groups/{cause}");
        let unset = setting.get(&path).await;
        assert_eq!((unset.status, unset.header("etag")), (200, Some("\"0\"")));
        let group = unset.json();
        assert_eq!(
            (&group["note"], &group["owner"], &group["ignored"]),
            (&json!(null), &json!(null), &json!(false))
        );
        assert_eq!(
            (&group["open"], &group["sample_type"]),
            (&json!(1), &json!("OrderShipped"))
        );
        let body = json!({"note": " ask ada@example.com first ", "owner": "team checkout"});
        let told = change(setting, &cause, &body).await;
        assert_eq!((told.status, told.header("etag")), (200, Some("\"1\"")));
        // An address in it is masked for all roles.
        assert_eq!(told.json()["note"], "ask a…@example.com first");
        let stale = Ask::patch(&path)
            .json(&json!({"owner": null}))
            .header("if-match", "\"0\"");
        setting.ask(stale).await.problem(412, "precondition-failed");
        let fresh = Ask::patch(&path)
            .json(&json!({"owner": null}))
            .header("if-match", "\"1\"");
        assert_eq!(setting.ask(fresh).await.json()["owner"], json!(null));
        let listed = setting.get("/v1/dlq/groups").await.json();
        assert_eq!(listed["items"][0]["note"], "ask a…@example.com first");

        for (body, pointer) in [
            (json!({"note": "x".repeat(501)}), "/note"),
            (json!({"note": "two\nlines"}), "/note"),
            (json!({"owner": "x".repeat(101)}), "/owner"),
            (json!({"ignored": "yes"}), "/ignored"),
            (json!({"colour": "red"}), ""),
        ] {
            let errors = change(setting, &cause, &body).await.problem(422, "validation");
            assert!(
                errors.iter().any(|error| error.starts_with(pointer)),
                "{body} {errors:?}"
            );
        }
        let unknown = change(setting, "0000000000000000", &json!({"owner": "ada"})).await;
        unknown.problem(404, "not-found");
        setting
            .ask(Ask::get(&path).key(&setting.foreign))
            .await
            .problem(404, "not-found");
        let viewer = Ask::patch(&path)
            .json(&json!({"owner": "eve"}))
            .key(&setting.viewer);
        setting.ask(viewer).await.problem(403, "forbidden");
        let log = setting
            .ask(Ask::get("/v1/audit").key(&setting.admin))
            .await
            .json();
        let entries = log["items"].as_array().unwrap().iter();
        let noted = entries.filter(|entry| entry["action"] == "annotate" && entry["route"] == path.as_str());
        assert_eq!(noted.count(), 2, "{log}");
    })
    .await;
}

#[tokio::test]
async fn an_ignored_cause_is_left_out_of_lists_and_of_jobs_which_say_so() {
    on_gateway(async |setting| {
        for number in 0..3 {
            replayable(setting, "default", number, "noise", LATER).await;
        }
        let wanted = replayable(setting, "default", 9, "x", LATER).await;
        setting.advance(600);
        let noise = fingerprint(setting, "noise").await;
        assert_eq!(
            change(setting, &noise, &json!({"ignored": true})).await.status,
            200
        );
        let codes = async |query: &str| {
            let listed = setting.get(&format!("/v1/dlq/groups{query}")).await.json();
            let items = listed["items"].as_array().unwrap().iter();
            let codes: Vec<_> = items
                .map(|group| group["code"].as_str().unwrap().to_owned())
                .collect();
            (codes, listed["hidden"].clone())
        };
        let hidden = |causes, open| json!({"causes": causes, "open": open, "again": 0});
        assert_eq!(codes("").await, (vec!["x".to_owned()], hidden(1, 3)));
        assert_eq!(
            codes("?ignored=true").await,
            (vec!["noise".to_owned()], hidden(0, 0))
        );
        assert_eq!(codes("?ignored=any").await.0.len(), 2);
        setting
            .get("/v1/dlq/groups?ignored=maybe")
            .await
            .problem(422, "validation");

        let count = async |query: String| {
            let listed = setting.get(&format!("/v1/dlq{query}")).await.json();
            listed["items"].as_array().unwrap().len()
        };
        assert_eq!(count(String::new()).await, 1);
        assert_eq!(count("?ignored=true".to_owned()).await, 4);
        assert_eq!(count(format!("?fingerprint={noise}")).await, 3);
        assert_eq!(count(format!("?fingerprint={noise}&ignored=false")).await, 0);

        let total = async |body: Value| settle(setting, "replay", &body).await["total"].clone();
        assert_eq!(total(json!({"filter": {}, "dry_run": true})).await, 1);
        assert_eq!(
            total(json!({"filter": {"ignored": true}, "dry_run": true})).await,
            4
        );
        assert_eq!(total(json!({"fingerprint": noise, "dry_run": true})).await, 3);
        let made = settle(setting, "replay", &json!({"filter": {}})).await;
        let job = setting.get(made["status_url"].as_str().unwrap()).await.json();
        assert_eq!(job["selection"]["without"], json!([noise]));

        let session = sign_in(setting, &setting.operator).await;
        for path in ["/", "/dlq"] {
            let shown = setting.ask(page(path, &session)).await.text();
            assert!(
                shown.contains("One ignored cause with 3 open letters is not listed"),
                "{path} {shown}"
            );
            assert!(!shown.contains(&noise), "{path} {shown}");
        }
        let all = setting.ask(page("/dlq?ignored=true", &session)).await.text();
        assert!(all.contains(&noise) && all.contains(">ignored</span>"), "{all}");
        let dry = setting.ask(page("/dlq/replay", &session)).await.text();
        assert!(dry.contains("Replay 1<"), "{dry}");
        let dry = setting
            .ask(page("/dlq/replay?ignored=true", &session))
            .await
            .text();
        assert!(
            dry.contains("Replay 4<") && dry.contains("name=\"ignored\""),
            "{dry}"
        );
        assert!(!wanted.is_nil());
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_planned_for_a_template_shown_on_its_cause_and_cancelled() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        publish(setting, "one").await;
        publish(setting, "two").await;
        let cause = fingerprint(setting, "x").await;
        let path = format!("/v1/dlq/groups/{cause}");
        let template = json!({"id": "OrderShipped/sms"});
        let asked = plan(&cause, &json!({"template": template, "note": "in review"}));
        let planned = setting.ask(asked).await;
        assert_eq!(planned.status, 200, "{planned:?}");
        let shown = planned.json()["planned_replay"].clone();
        assert_eq!(shown["template"], json!({"id": "OrderShipped/sms", "after": 2}), "the newest one");
        assert_eq!((&shown["state"], &shown["canary"], &shown["job_id"]), (&json!("waiting"), &json!(10), &json!(null)));
        assert_eq!(
            shown["sentence"],
            "the open letters are replayed once a version of OrderShipped/sms above 2 is published; 10 go first"
        );
        let groups = setting.env.store.dead_letter_groups();
        assert!(groups.due().await.unwrap().is_empty());
        publish(setting, "three").await;
        setting.advance(15);
        assert_eq!(groups.due().await.unwrap().len(), 1);

        let other = plan(&cause, &json!({"template": {"id": "OrderShipped/sms", "after": 7}, "canary": false}));
        setting.ask(other.header("if-match", "\"0\"")).await.problem(412, "precondition-failed");
        let other = plan(&cause, &json!({"template": {"id": "OrderShipped/sms", "after": 7}, "canary": false}));
        let replaced = setting.ask(other.header("if-match", "\"1\"")).await.json();
        assert_eq!(replaced["planned_replay"]["canary"], json!(null));
        let delete = || Ask::delete(&format!("{path}/planned-replay"));
        setting.ask(delete().key(&setting.viewer)).await.problem(403, "forbidden");
        setting.ask(delete().key(&setting.foreign)).await.problem(404, "not-found");
        assert_eq!(setting.ask(delete()).await.status, 204);
        setting.ask(delete()).await.problem(404, "not-found");
        assert_eq!(setting.get(&path).await.json()["planned_replay"]["state"], "cancelled");
        assert!(groups.due().await.unwrap().is_empty());
        assert_eq!(setting.get("/v1/dlq/jobs").await.json()["items"], json!([]));
        let log = setting.ask(Ask::get("/v1/audit").key(&setting.admin)).await.json();
        let entries = log["items"].as_array().unwrap().iter();
        let mut noted: Vec<_> = entries.map(|entry| entry["action"].as_str().unwrap()).collect();
        noted.sort_unstable();
        assert_eq!(noted, ["cancel", "plan", "plan"]);
    })
    .await;
}

#[tokio::test]
async fn a_plan_that_can_never_begin_or_would_begin_at_once_by_mistake_is_refused() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        dead_letter(setting, 2, None, "malformed-json").await;
        let sms = fingerprint(setting, "x").await;
        let events = fingerprint(setting, "malformed-json").await;
        for (cause, body, pointer) in [
            (&sms, json!({}), ""),
            (
                &sms,
                json!({"template": {"id": "A/sms"}, "account": "twilio"}),
                "",
            ),
            (
                &sms,
                json!({"template": {"id": "OrderShipped/email"}}),
                "/template/id",
            ),
            (&sms, json!({"template": {"id": "/sms"}}), "/template/id"),
            (
                &events,
                json!({"template": {"id": "OrderShipped/sms"}}),
                "/template/id",
            ),
            (&sms, json!({"account": "twilio"}), "/account"),
            (&sms, json!({"template": {"id": "A/sms"}, "rate": 0}), "/rate"),
            (
                &sms,
                json!({"template": {"id": "A/sms"}, "canary": 1001}),
                "/canary",
            ),
            (
                &sms,
                json!({"template": {"id": "A/sms"}, "canary": false, "canary_tolerance": 5}),
                "/canary_tolerance",
            ),
            (
                &sms,
                json!({"template": {"id": "A/sms"}, "note": "x".repeat(501)}),
                "/note",
            ),
        ] {
            let errors = setting.ask(plan(cause, &body)).await.problem(422, "validation");
            assert!(
                errors.iter().any(|error| error.starts_with(pointer)),
                "{body} {errors:?}"
            );
        }
        let unknown = plan("0000000000000000", &json!({"template": {"id": "A/sms"}}));
        setting.ask(unknown).await.problem(404, "not-found");
        close(setting, "twilio").await;
        let planned = setting
            .ask(plan(&sms, &json!({"account": "twilio"})))
            .await
            .json();
        let shown = &planned["planned_replay"];
        assert_eq!(
            (&shown["account"], &shown["template"]),
            (&json!("twilio"), &json!(null))
        );
    })
    .await;
}

#[tokio::test]
async fn the_page_of_a_cause_changes_its_handling_and_plans_a_replay_with_forms() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        publish(setting, "one").await;
        let cause = fingerprint(setting, "x").await;
        let path = format!("/dlq/groups/{cause}");
        let session = sign_in(setting, &setting.operator).await;
        let list = setting.ask(page("/dlq", &session)).await.text();
        assert!(list.contains(&format!("href=\"{path}\"")), "{list}");
        let shown = setting.ask(page(&path, &session)).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let token = csrf(&shown);
        assert!(shown.text().contains("value=\"OrderShipped/sms\""), "{shown:?}");
        let send = async |to: &str, etag: &str, fields: &[(&str, &str)]| {
            let fields = [&[("csrf", token.as_str()), ("etag", etag)], fields].concat();
            let sent = setting.ask(form(&format!("{path}{to}"), &session, &fields)).await;
            (
                sent.status,
                sent.header("location").unwrap_or_default().to_owned(),
            )
        };
        let saved = (303, format!("{path}?result=saved"));
        let stale = (303, format!("{path}?result=stale"));
        let told = [("owner", "team checkout"), ("note", "ask ada@example.com")];
        assert_eq!(send("", "\"0\"", &told).await, saved);
        assert_eq!(
            send("", "\"0\"", &[("owner", "someone"), ("note", "else")]).await,
            stale
        );
        // The masked text that the form shows does not replace the true one.
        let again = [("owner", "team search"), ("note", "ask a…@example.com")];
        assert_eq!(send("", "\"1\"", &again).await, saved);
        let store = &setting.env.store;
        let handling = store
            .dead_letter_groups()
            .get(&"default".into(), &cause)
            .await
            .unwrap();
        assert_eq!(
            (handling.owner.as_deref(), handling.note.as_deref()),
            (Some("team search"), Some("ask ada@example.com"))
        );
        assert_eq!(send("/ignore", "\"2\"", &[]).await, saved);
        let ignored = setting.ask(page(&path, &session)).await.text();
        assert!(
            ignored.contains("Ignored since") && ignored.contains("Stop ignoring"),
            "{ignored}"
        );
        assert!(!ignored.contains("ada@example.com"), "{ignored}");
        assert_eq!(send("/unignore", "\"3\"", &[]).await, saved);
        let fields = [
            ("template", "OrderShipped/sms"),
            ("after", "1"),
            ("canary", "5"),
            ("note", ""),
        ];
        assert_eq!(send("/planned-replay", "\"4\"", &fields).await, saved);
        let planned = setting
            .ask(page(&format!("{path}?result=saved"), &session))
            .await
            .text();
        assert!(
            planned.contains("a version of OrderShipped/sms above 1 is published; 5 go first"),
            "{planned}"
        );
        assert!(
            planned.contains("Saved.") && planned.contains("Cancel it"),
            "{planned}"
        );
        let list = setting.ask(page("/dlq", &session)).await.text();
        assert!(
            list.contains("replay planned") && list.contains("team search"),
            "{list}"
        );
        assert_eq!(send("/planned-replay/cancel", "\"5\"", &[]).await, saved);
        let wrong = [("template", "OrderShipped/sms"), ("after", "one")];
        assert_eq!(send("/planned-replay", "\"6\"", &wrong).await.0, 422);

        for to in [
            "",
            "/ignore",
            "/unignore",
            "/planned-replay",
            "/planned-replay/cancel",
        ] {
            let forged = form(
                &format!("{path}{to}"),
                &session,
                &[("csrf", "x"), ("etag", "\"6\"")],
            );
            assert_eq!(setting.ask(forged).await.status, 403, "{to}");
        }
        let viewer = sign_in(setting, &setting.viewer).await;
        let shown = setting.ask(page(&path, &viewer)).await;
        assert!(!shown.text().contains(&format!("action=\"{path}")), "{shown:?}");
        assert!(shown.text().contains("team search"), "{shown:?}");
        let sneaked = form(&path, &viewer, &[("csrf", &csrf(&shown)), ("etag", "\"6\"")]);
        assert_eq!(setting.ask(sneaked).await.status, 403);
        assert_eq!(setting.ask(page("/dlq/groups/none", &session)).await.status, 404);
    })
    .await;
}
