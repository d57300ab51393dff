//! Replaying and discarding dead letters: requests, dry runs and jobs. The scheduler's tests show the work of a job.

use std::time::Duration;

use carillon_domain::{
    Channel, TenantId,
    dead_letter::{DeadLetter, FailureClass},
    status::Origin,
};
use carillon_store::{
    Lease,
    dead_letter_jobs::{JobStep, SettledLetter},
    dead_letters::DeadLetterRow,
    events::{EventKey, RouteClaim},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    seed::{dead_letter, start},
    support::{Ask, START, Setting, on_gateway},
};

/// A dead text message, and its id. It died `number` seconds after the start.
pub(crate) async fn replayable(
    setting: &Setting,
    tenant: &str,
    number: i64,
    code: &str,
    expires: &str,
) -> Uuid {
    let delivery = json!({
        "v": 1, "delivery_id": Uuid::from_u128(7), "notification_id": Uuid::from_u128(8), "tenant": tenant,
        "event_id": "e-1", "source": "/shop", "type": "OrderShipped", "event_time": START,
        "category": "transactional", "user_id": "u-42", "channel": "sms",
        "target": {"kind": "inline", "address": "+4915112345678"}, "priority": "normal", "accepted_at": START,
        "expires_at": expires, "data": {},
    });
    put(setting, tenant, number, Some(Channel::Sms), code, &delivery).await
}

pub(crate) async fn put(
    setting: &Setting,
    tenant: &str,
    number: i64,
    channel: Option<Channel>,
    code: &str,
    value: &Value,
) -> Uuid {
    let queue = channel.map_or("events", Channel::as_str);
    let said = DeadLetter {
        class: FailureClass::Render,
        provider: None,
        code: code.to_owned(),
        reason: "a variable is missing".to_owned(),
        attempts: 1,
        first_failed_at: start(),
    };
    let row = DeadLetterRow {
        position: Origin {
            topic: "dead".into(),
            partition: 0,
            offset: number,
        },
        tenant: tenant.into(),
        channel,
        source_topic: match channel {
            Some(_) => "notifications.sms".into(),
            None => setting.env.bus.topics().events(carillon_domain::Lane::Normal),
        },
        fingerprint: said.fingerprint(queue),
        letter: said,
        dead_at: start() + Duration::from_secs(number.unsigned_abs()),
        delivery_id: None,
        event_type: Some(value["type"].as_str().unwrap_or("OrderShipped").to_owned()),
        headers: vec![
            (
                "kafka_dlt-original-partition".to_owned(),
                "base64:AAAAAQ==".to_owned(),
            ),
            (
                "kafka_dlt-original-offset".to_owned(),
                "base64:AAAAAAAAAAc=".to_owned(),
            ),
        ],
        key: None,
        value: value.to_string().into_bytes(),
    };
    let letters = setting.env.store.dead_letters();
    letters.apply("a test", &[row], &[]).await.unwrap();
    carillon_domain::ids::dead_letter_id("dead", 0, number)
}

pub(crate) const LATER: &str = "2026-11-25T10:00:00Z";
pub(crate) const SOON: &str = "2026-11-24T10:05:00Z";

pub(crate) async fn settle(setting: &Setting, kind: &str, body: &Value) -> Value {
    let answer = setting
        .ask(Ask::post(&format!("/v1/dlq/{kind}")).json(body))
        .await;
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    answer.json()
}

/// Gives letters the verdict of the job that is due, as the scheduler does.
pub(crate) async fn work_off(setting: &Setting, letters: &[Uuid]) {
    let jobs = setting.env.store.dead_letter_jobs();
    let lease = Lease {
        owner: Uuid::now_v7(),
        until: setting.env.store.now(),
    };
    let taken = jobs.take(lease, true).await.unwrap().unwrap();
    let step = JobStep {
        letters: letters
            .iter()
            .map(|id| SettledLetter {
                id: *id,
                generation: Some(1),
                records: Vec::new(),
            })
            .collect(),
        is_last: true,
        ..JobStep::default()
    };
    jobs.step(&taken, &step).await.unwrap();
}

#[tokio::test]
async fn a_dry_run_counts_the_outcomes_and_makes_no_job() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        replayable(setting, "default", 2, "x", LATER).await;
        let expired = replayable(setting, "default", 3, "x", SOON).await;
        replayable(setting, "other", 4, "x", LATER).await;
        dead_letter(setting, 5, Some(Channel::Sms), "x").await;
        setting.advance(600);
        let all = settle(setting, "replay", &json!({"filter": {}, "dry_run": true})).await;
        assert_eq!(
            all["would"],
            json!({"send": 2, "expire": 1, "discard": 0, "unchanged": 1})
        );
        assert_eq!((&all["total"], &all["examined"]), (&json!(4), &json!(4)));
        assert_eq!(all["reasons"], json!({"expired": 1, "unreadable": 1}));
        let samples = all["samples"].as_array().unwrap();
        let sample = samples
            .iter()
            .find(|sample| sample["outcome"] == "expire")
            .unwrap();
        assert_eq!(sample["id"], expired.to_string());
        assert_eq!((&sample["code"], samples.len()), (&json!("expired"), 4));
        let discard = settle(setting, "discard", &json!({"filter": {}, "dry_run": true})).await;
        assert_eq!(
            discard["would"],
            json!({"send": 0, "expire": 0, "discard": 4, "unchanged": 0})
        );
        let jobs = setting.get("/v1/dlq/jobs").await.json();
        assert_eq!(jobs["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_filter_selects_the_same_letters_as_the_list() {
    on_gateway(async |setting| {
        for number in 0..12 {
            let code = ["a", "b", "c"][usize::try_from(number).unwrap() % 3];
            replayable(setting, "default", number, code, LATER).await;
        }
        dead_letter(setting, 20, Some(Channel::Email), "a").await;
        dead_letter(setting, 21, None, "b").await;
        setting.advance(600);
        let cases = [
            (json!({"code": ["a", "b"]}), "code=a&code=b"),
            (json!({"channel": ["sms"], "code": ["c"]}), "channel=sms&code=c"),
            (
                json!({"channel": ["events", "email"]}),
                "channel=events&channel=email",
            ),
            (
                json!({"class": ["render"], "type": ["OrderShipped"]}),
                "class=render&type=OrderShipped",
            ),
            (json!({"provider": ["smtp"]}), "provider=smtp"),
            (
                json!({"from": "2026-11-24T10:00:03Z", "to": "2026-11-24T10:00:09Z"}),
                "from=2026-11-24T10:00:03Z&to=2026-11-24T10:00:09Z",
            ),
        ];
        for (filter, query) in cases {
            let listed = setting.get(&format!("/v1/dlq?state=open&{query}")).await.json();
            let count = listed["items"].as_array().unwrap().len();
            assert!(count > 0, "{query}");
            let rehearsed = settle(setting, "discard", &json!({"filter": filter, "dry_run": true})).await;
            assert_eq!(rehearsed["total"], count, "{query}");
            assert_eq!(rehearsed["would"]["discard"], count, "{query}");
        }
        let group = setting.get("/v1/dlq/groups").await.json()["items"][0].clone();
        let body = json!({"fingerprint": group["fingerprint"], "dry_run": true});
        assert_eq!(settle(setting, "discard", &body).await["total"], group["open"]);
    })
    .await;
}

#[tokio::test]
async fn a_job_is_made_once_for_an_idempotency_key_and_shows_its_progress() {
    on_gateway(async |setting| {
        let id = replayable(setting, "default", 1, "x", LATER).await;
        setting.advance(600);
        let body = json!({"ids": [id], "rate": 5, "note": " template 7 is fixed "});
        let ask = || {
            let ask = Ask::post("/v1/dlq/replay").key(&setting.operator);
            ask.header("idempotency-key", "k-1").json(&body)
        };
        let made = setting.ask(ask()).await;
        assert_eq!(made.status, 202, "{made:?}");
        let made = made.json();
        assert_eq!(made["total"], 1);
        let again = setting.ask(ask()).await;
        assert_eq!((again.status, again.json()), (202, made.clone()));
        let jobs = setting.get("/v1/dlq/jobs").await.json();
        assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
        let url = made["status_url"].as_str().unwrap();
        let job = setting.ask(Ask::get(url).key(&setting.viewer)).await.json();
        assert_eq!(
            (&job["kind"], &job["state"], &job["total"], &job["processed"]),
            (&json!("replay"), &json!("running"), &json!(1), &json!(0))
        );
        assert_eq!(
            (&job["note"], &job["rate"]),
            (&json!("template 7 is fixed"), &json!(5))
        );
        assert_eq!(
            job["selection"],
            json!({"ids": 1, "fingerprint": null, "filter": null, "without": []})
        );
        work_off(setting, &[id]).await;
        let job = setting.get(url).await.json();
        assert_eq!(
            (&job["state"], &job["settled"], &job["eta"]),
            (&json!("done"), &json!(1), &json!(null))
        );
        // The read model has not been told yet; the verdict holds.
        let letter = setting.get(&format!("/v1/dlq/{id}")).await.json();
        assert_eq!(letter["state"], "replayed");
        assert_eq!(letter["verdict"]["by"], "a test");
        assert_eq!(letter["verdict"]["job_id"], made["job_id"]);
        assert_eq!(letter["verdict"]["note"], "template 7 is fixed");
        let log = setting.get("/v1/audit").await.json();
        assert_eq!(
            (&log["items"][0]["action"], &log["items"][0]["route"]),
            (&json!("replay"), &made["status_url"])
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_request_is_answered_with_the_field_and_the_expectation() {
    on_gateway(async |setting| {
        let known = replayable(setting, "default", 1, "x", LATER).await;
        let foreign = replayable(setting, "other", 2, "x", LATER).await;
        setting.advance(600);
        let many: Vec<_> = (0..1_001_u32)
            .map(|number| Uuid::from_u128(number.into()))
            .collect();
        let cases = [
            (json!({}), " selection"),
            (json!({"fingerprint": "f", "filter": {}}), " selection"),
            (json!({"ids": []}), "/ids range"),
            (json!({"ids": many}), "/ids range"),
            (json!({"ids": [known, foreign]}), "/ids/1 not-found"),
            (json!({"ids": ["x"]}), "/ids/0 type"),
            (json!({"fingerprint": ""}), "/fingerprint empty"),
            (json!({"fingerprint": "misspelt"}), "/fingerprint not-found"),
            (
                json!({"filter": {"state": ["open"]}}),
                "/filter/state unknown-field",
            ),
            (json!({"filter": {"class": ["nope"]}}), "/filter/class/0 type"),
            (
                json!({"filter": {"from": LATER, "to": START}}),
                "/filter/to range",
            ),
            (json!({"filter": {}, "rate": 0}), "/rate range"),
            (json!({"filter": {}, "rate": 10_001}), "/rate range"),
            (json!({"filter": {}, "note": "x".repeat(501)}), "/note format"),
            (json!({"filter": {}, "canaries": 10}), "/canaries unknown-field"),
        ];
        for kind in ["replay", "discard"] {
            for (body, expected) in &cases {
                let answer = setting
                    .ask(Ask::post(&format!("/v1/dlq/{kind}")).json(body))
                    .await;
                let errors = answer.problem(422, "validation");
                let (place, _) = expected.rsplit_once(' ').unwrap();
                assert_eq!(errors.len(), 1, "{errors:?}");
                assert!(errors[0].starts_with(place), "{errors:?} {expected}");
                if !expected.ends_with("type") {
                    assert_eq!(errors[0], *expected);
                }
            }
            let answer = setting.ask(
                Ask::post(&format!("/v1/dlq/{kind}"))
                    .key(&setting.viewer)
                    .json(&json!({"filter": {}})),
            );
            answer.await.problem(403, "forbidden");
        }
        assert_eq!(setting.get("/v1/dlq/jobs").await.json()["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_replay_of_ids_none_of_which_can_be_put_back_is_refused_with_the_reason_of_each() {
    on_gateway(async |setting| {
        let event =
            json!({"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "T", "recipient": "u"});
        let claimed = put(setting, "default", 1, None, "no-recipient", &event).await;
        let expired = replayable(setting, "default", 2, "x", SOON).await;
        let claim = RouteClaim {
            key: EventKey {
                tenant: TenantId::default(),
                event_id: "e-1".into(),
                source: "/shop".into(),
            },
            event_type: "T".into(),
            fingerprint: [0; 32],
            // The letter's headers name this record.
            origin: Origin {
                topic: setting.env.bus.topics().events(carillon_domain::Lane::Normal),
                partition: 1,
                offset: 7,
            },
        };
        setting.env.store.events().claim_route(&[claim]).await.unwrap();
        setting.advance(600);
        let ids = json!({"ids": [claimed, expired]});
        let answer = setting.ask(Ask::post("/v1/dlq/replay").json(&ids)).await;
        let errors = answer.problem(422, "validation");
        assert_eq!(errors, ["/ids/0 event-claimed", "/ids/1 expired"]);
        assert!(
            answer.text().contains("an edit can give it a new id"),
            "{answer:?}"
        );
        let made = settle(setting, "discard", &ids).await;
        assert_eq!(made["total"], 2, "giving up is possible for all");
        work_off(setting, &[claimed, expired]).await;
        let answer = setting.ask(Ask::post("/v1/dlq/discard").json(&ids)).await;
        assert_eq!(answer.problem(422, "validation").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_job_is_cancelled_by_an_operator_of_its_tenant() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        setting.advance(600);
        let made = settle(setting, "replay", &json!({"filter": {}})).await;
        let path = format!("{}/cancel", made["status_url"].as_str().unwrap());
        setting
            .ask(Ask::post(&path).key(&setting.viewer))
            .await
            .problem(403, "forbidden");
        setting
            .ask(Ask::post(&path).key(&setting.foreign))
            .await
            .problem(404, "not-found");
        let foreign = Ask::get(made["status_url"].as_str().unwrap()).key(&setting.foreign);
        setting.ask(foreign).await.problem(404, "not-found");
        for result in ["cancelled", "already_ended"] {
            let answer = setting.ask(Ask::post(&path).key(&setting.operator)).await.json();
            assert_eq!(answer["result"], result);
            assert_eq!(answer["job"]["state"], "cancelled");
        }
        let log = setting.get("/v1/audit").await.json();
        let actions: Vec<_> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["action"])
            .collect();
        assert_eq!(actions.len(), 2);
        assert!(actions.contains(&&json!("cancel")) && actions.contains(&&json!("replay")));
    })
    .await;
}

#[tokio::test]
async fn a_job_is_paused_and_resumed_by_an_operator_of_its_tenant() {
    on_gateway(async |setting| {
        replayable(setting, "default", 1, "x", LATER).await;
        setting.advance(600);
        let made = settle(setting, "replay", &json!({"filter": {}})).await;
        let job = made["status_url"].as_str().unwrap();
        for how in ["pause", "resume"] {
            let path = format!("{job}/{how}");
            let viewer = Ask::post(&path).key(&setting.viewer);
            setting.ask(viewer).await.problem(403, "forbidden");
            let foreign = Ask::post(&path).key(&setting.foreign);
            setting.ask(foreign).await.problem(404, "not-found");
        }
        for (how, result, state) in [
            ("resume", "already_running", "running"),
            ("pause", "paused", "paused"),
            ("pause", "already_paused", "paused"),
            ("resume", "resumed", "running"),
            ("cancel", "cancelled", "cancelled"),
            ("pause", "already_ended", "cancelled"),
            ("resume", "already_ended", "cancelled"),
        ] {
            let ask = Ask::post(&format!("{job}/{how}")).key(&setting.operator);
            let answer = setting.ask(ask).await.json();
            assert_eq!(
                (&answer["result"], &answer["job"]["state"]),
                (&json!(result), &json!(state)),
                "{how}"
            );
        }
    })
    .await;
}
