//! The dashboard's pages of jobs that replay and discard dead letters.

use serde_json::json;
use uuid::Uuid;

use crate::{
    dashboard::{csrf, form, page, sign_in},
    dead_letter_jobs::{LATER, replayable, settle, work_off},
    support::on_gateway,
};

#[tokio::test]
async fn a_page_shows_the_dry_run_first_and_makes_one_job_of_a_form_that_is_sent_twice() {
    on_gateway(async |setting| {
        let id = replayable(setting, "default", 1, "x", LATER).await;
        replayable(setting, "default", 2, "y", LATER).await;
        setting.advance(600);
        let session = sign_in(setting, &setting.operator).await;
        let list = setting.ask(page("/dlq?code=x", &session)).await.text();
        assert!(
            list.contains("/dlq/replay?code=x") && list.contains("/dlq/discard?code=x"),
            "{list}"
        );
        let letter = setting.ask(page(&format!("/dlq/{id}"), &session)).await.text();
        assert!(letter.contains("/dlq/replay?id="), "{letter}");
        let dry = setting.ask(page("/dlq/replay?code=x", &session)).await;
        assert_eq!(dry.status, 200, "{dry:?}");
        assert!(dry.text().contains("Replay 1"), "{dry:?}");
        assert_eq!(setting.get("/v1/dlq/jobs").await.json()["items"], json!([]));
        let text = dry.text();
        let (_, after) = text.split_once("name=\"job\" value=\"").unwrap();
        let job = after.split('"').next().unwrap();
        let token = csrf(&dry);
        let fields = [
            ("csrf", token.as_str()),
            ("job", job),
            ("code", "x"),
            ("note", "fixed"),
            ("rate", ""),
        ];
        for _ in 0..2 {
            let sent = setting.ask(form("/dlq/replay", &session, &fields)).await;
            assert_eq!(sent.status, 303, "{sent:?}");
            assert_eq!(sent.header("location"), Some(&*format!("/dlq/jobs/{job}")));
        }
        let jobs = setting.get("/v1/dlq/jobs").await.json();
        assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&jobs["items"][0]["kind"], &jobs["items"][0]["total"]),
            (&json!("replay"), &json!(1))
        );
        let running = setting
            .ask(page(&format!("/dlq/jobs/{job}"), &session))
            .await
            .text();
        assert!(
            running.contains("http-equiv=\"refresh\"") && running.contains("fixed"),
            "{running}"
        );
        for (how, button, state) in [("pause", "Resume", "paused"), ("resume", "Pause", "running")] {
            let path = format!("/dlq/jobs/{job}/{how}");
            let forged = form(&path, &session, &[("csrf", "x")]);
            assert_eq!(setting.ask(forged).await.status, 403);
            let sent = form(&path, &session, &[("csrf", token.as_str())]);
            assert_eq!(setting.ask(sent).await.status, 303);
            let shown = setting
                .ask(page(&format!("/dlq/jobs/{job}"), &session))
                .await
                .text();
            assert!(
                shown.contains(&format!(">{button}</button>")) && shown.contains(state),
                "{shown}"
            );
            assert_eq!(
                shown.contains("http-equiv=\"refresh\""),
                state == "running",
                "{shown}"
            );
        }
        let forged = form(&format!("/dlq/jobs/{job}/cancel"), &session, &[("csrf", "x")]);
        assert_eq!(setting.ask(forged).await.status, 403);
        let cancel = form(
            &format!("/dlq/jobs/{job}/cancel"),
            &session,
            &[("csrf", token.as_str())],
        );
        assert_eq!(setting.ask(cancel).await.status, 303);
        let ended = setting
            .ask(page(&format!("/dlq/jobs/{job}"), &session))
            .await
            .text();
        assert!(
            !ended.contains("http-equiv") && ended.contains("cancelled"),
            "{ended}"
        );
        let listed = setting.ask(page("/dlq/jobs", &session)).await.text();
        assert!(listed.contains(job), "{listed}");
    })
    .await;
}

#[tokio::test]
async fn viewers_see_jobs_and_verdicts_and_no_way_to_make_any() {
    on_gateway(async |setting| {
        let id = replayable(setting, "default", 1, "x", LATER).await;
        setting.advance(600);
        let made = settle(setting, "replay", &json!({"ids": [id]})).await;
        let job = made["job_id"].as_str().unwrap();
        let session = sign_in(setting, &setting.viewer).await;
        for path in [
            "/dlq".to_owned(),
            format!("/dlq/{id}"),
            "/dlq/jobs".to_owned(),
            format!("/dlq/jobs/{job}"),
        ] {
            let shown = setting.ask(page(&path, &session)).await;
            assert_eq!(shown.status, 200, "{path}");
            let text = shown.text();
            let has_none = ["/dlq/replay", "/dlq/discard", "/cancel", "/pause", "/resume"]
                .iter()
                .all(|act| !text.contains(act));
            assert!(has_none, "{path} {text}");
        }
        for path in ["/dlq/replay?code=x", "/dlq/discard?code=x"] {
            assert_eq!(setting.ask(page(path, &session)).await.status, 403, "{path}");
        }
        let token = csrf(&setting.ask(page("/dlq", &session)).await);
        let other = Uuid::now_v7().to_string();
        for path in ["/dlq/replay", "/dlq/discard"] {
            let fields = [("csrf", token.as_str()), ("job", other.as_str()), ("code", "x")];
            assert_eq!(
                setting.ask(form(path, &session, &fields)).await.status,
                403,
                "{path}"
            );
        }
        let cancel = form(
            &format!("/dlq/jobs/{job}/cancel"),
            &session,
            &[("csrf", token.as_str())],
        );
        assert_eq!(setting.ask(cancel).await.status, 403);
        work_off(setting, &[id]).await;
        let letter = setting.ask(page(&format!("/dlq/{id}"), &session)).await.text();
        assert!(letter.contains("Replayed") && letter.contains(job), "{letter}");
    })
    .await;
}
