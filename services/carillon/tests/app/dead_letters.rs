//! Dead letters are worked off.

use std::{collections::BTreeMap, time::Duration};

use carillon_testkit::{
    eventually,
    installation::{Installation, is_distributed},
    wait_for,
};
use serde_json::{Value, json};

use crate::with_installation;

/// The letters of a test.
const LETTERS: usize = 20;

/// An event with one text message.
fn text_message(number: usize) -> Value {
    json!({"id": format!("e-{number}"), "source": "/shop", "type": "OrderShipped", "channels": ["sms"],
        "recipients": [{"phone": format!("+49151123456{number:02}")}], "data": {"order_id": "7", "carrier": "DHL"}})
}

/// Posts events whose text messages the provider refuses for good.
async fn refused(carillon: &Installation) {
    let fault = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21617"}]);
    carillon.faults(&fault).await;
    for number in 0..LETTERS {
        assert_eq!(carillon.post(&text_message(number)).await.0, 202);
    }
    eventually("dead letters", || async { open(carillon).await == LETTERS }).await;
    carillon.settle(LETTERS as u64).await;
    carillon.faults(&json!([])).await;
}

async fn open(carillon: &Installation) -> usize {
    let list = carillon.get("/v1/dlq?state=open&channel=sms&limit=500").await;
    list["items"].as_array().map_or(0, Vec::len)
}

async fn fingerprint(carillon: &Installation) -> String {
    let groups = carillon.get("/v1/dlq/groups").await;
    let group = &groups["items"][0];
    assert_eq!(
        (&group["code"], &group["open"]),
        (&json!("21617"), &json!(LETTERS))
    );
    group["fingerprint"].as_str().unwrap().to_owned()
}

/// The number of messages of each delivery.
async fn sent(carillon: &Installation) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in carillon.messages("channel=sms").await {
        *counts
            .entry(message["delivery_id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

#[test]
fn a_cause_that_is_mended_is_replayed_from_the_command_line_and_each_message_goes_out_once() {
    with_installation(|carillon| async move {
        refused(&carillon).await;
        let cause = fingerprint(&carillon).await;
        assert!(carillon.cli(&["dlq", "groups"]).contains(&cause));
        let dry = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--dry-run"]);
        assert!(
            dry.contains("of 20 letters (20 looked at): 20 put back, 0 expired, 0 unchanged"),
            "{dry}"
        );
        let said = carillon.cli(&[
            "dlq",
            "replay",
            "--fingerprint",
            &cause,
            "--note",
            "mended",
            "--wait",
        ]);
        assert!(
            said.contains("done: 20 of 20 letters settled, 0 unchanged"),
            "{said}"
        );
        wait_for("the messages", Duration::from_mins(1), || async {
            sent(&carillon).await.len() == LETTERS
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
        eventually("no open letter", || async { open(&carillon).await == 0 }).await;
        let letter = carillon.get("/v1/dlq?limit=1").await["items"][0].clone();
        assert_eq!(
            (&letter["state"], &letter["verdict"]["note"]),
            (&json!("replayed"), &json!("mended"))
        );
        let path = format!("/v1/deliveries/{}", letter["delivery_id"].as_str().unwrap());
        // The read model follows the status topic: it may show the end of generation 0 while generation 1 is sent.
        eventually("the delivery is sent as generation 1", || async {
            let delivery = carillon.get(&path).await;
            (&delivery["status"], &delivery["generation"]) == (&json!("sent"), &json!(1))
        })
        .await;
        let delivery = carillon.get(&path).await;
        let steps = delivery["timeline"].as_array().unwrap().iter();
        let steps: Vec<_> = steps
            .map(|step| (step["generation"].clone(), step["status"].clone()))
            .collect();
        let expected = [
            (0, "queued"),
            (0, "sending"),
            (0, "dead_lettered"),
            (1, "queued"),
            (1, "sending"),
            (1, "sent"),
        ];
        assert_eq!(
            steps,
            expected.map(|(generation, status)| (json!(generation), json!(status)))
        );
        assert!(carillon.cli(&["dlq", "jobs"]).contains("replay"));
        let again = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--wait"]);
        assert!(again.contains("done: 0 of 0 letters settled"), "{again}");
    });
}

#[test]
fn a_message_that_fails_again_is_a_new_dead_letter_and_a_discarded_one_is_not_sent() {
    with_installation(|carillon| async move {
        refused(&carillon).await;
        let cause = fingerprint(&carillon).await;
        let fault = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21617"}]);
        carillon.faults(&fault).await;
        let said = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--wait"]);
        assert!(said.contains("done: 20 of 20 letters settled"), "{said}");
        eventually("the letters of generation 1", || async {
            let list = carillon.get("/v1/dlq?state=open&limit=500").await;
            let letters = list["items"].as_array().cloned().unwrap_or_default();
            let is_again = |letter: &Value| {
                let headers = letter["headers"].as_array().unwrap();
                headers
                    .iter()
                    .any(|pair| pair[0] == "carillon-generation" && pair[1] == "1")
            };
            letters.len() == LETTERS && letters.iter().all(is_again)
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        carillon.faults(&json!([])).await;
        let said = carillon.cli(&["dlq", "discard", "--channel", "sms", "--wait"]);
        assert!(said.contains("done: 20 of 20 letters settled"), "{said}");
        eventually("no open letter", || async { open(&carillon).await == 0 }).await;
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.is_empty());
        let all = carillon.get("/v1/dlq?limit=500").await;
        let count = |state: &str| {
            let letters = all["items"].as_array().unwrap().iter();
            letters.filter(|letter| letter["state"] == state).count()
        };
        assert_eq!((count("replayed"), count("discarded")), (LETTERS, LETTERS));
    });
}

#[test]
fn a_canary_that_fails_stops_its_job_and_the_job_goes_on_when_it_is_resumed() {
    with_installation(|carillon| async move {
        refused(&carillon).await;
        let cause = fingerprint(&carillon).await;
        let fault = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21617"}]);
        carillon.faults(&fault).await;
        let made = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--canary=3", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let path = made["status_url"].as_str().unwrap();
        wait_for("the job stops", Duration::from_mins(1), || async {
            carillon.get(path).await["state"] == "stopped"
        })
        .await;
        let job = carillon.get(path).await;
        assert_eq!(job["settled"], 3, "{job}");
        assert!(job["canary"]["failed"].as_u64() >= Some(1), "{job}");
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.is_empty(), "the others wait");
        carillon.faults(&json!([])).await;
        let said = carillon.cli(&["dlq", "resume", made["job_id"].as_str().unwrap()]);
        assert!(said.contains("resumed"), "{said}");
        wait_for("the others", Duration::from_mins(1), || async {
            sent(&carillon).await.len() == LETTERS - 3
        })
        .await;
        // The canary's letters died again. Their new letters name this job.
        let job = made["job_id"].as_str().unwrap();
        let said = carillon.cli(&["dlq", "replay", "--replayed-by", job, "--canary", "--wait"]);
        assert!(said.contains("done: 3 of 3 letters settled"), "{said}");
        wait_for("the rest", Duration::from_mins(1), || async {
            sent(&carillon).await.len() == LETTERS
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
    });
}

#[test]
fn an_edited_letter_is_sent_once_with_the_other_data() {
    with_installation(|carillon| async move {
        refused(&carillon).await;
        let letter = carillon.get("/v1/dlq?limit=1").await["items"][0].clone();
        let id = letter["id"].as_str().unwrap();
        let edit = ["dlq", "edit", id, "--replace", "/data/carrier=Pigeon Post"];
        let dry = carillon.cli(&[&edit[..], &["--dry-run"]].concat());
        assert!(
            dry.contains("/data/carrier") && dry.contains("Pigeon Post"),
            "{dry}"
        );
        let said = carillon.cli(&[&edit[..], &["--yes", "--wait", "--note", "mended"]].concat());
        assert!(said.contains("done: 1 of 1 letters settled"), "{said}");
        wait_for("the message", Duration::from_mins(1), || async {
            sent(&carillon).await.len() == 1
        })
        .await;
        let messages = carillon.messages("channel=sms").await;
        assert!(
            messages[0]["text"].as_str().unwrap().contains("Pigeon Post"),
            "{messages:?}"
        );
        let path = format!("/v1/deliveries/{}", letter["delivery_id"].as_str().unwrap());
        eventually("the delivery shows what was sent", || async {
            let delivery = carillon.get(&path).await;
            let text = delivery["content"]["text"].as_str().unwrap_or_default();
            delivery["generation"] == 1 && text.contains("Pigeon Post")
        })
        .await;
        let verdict = carillon.get(&format!("/v1/dlq/{id}")).await["verdict"].clone();
        assert_eq!(
            (&verdict["edited"], &verdict["note"]),
            (&json!(true), &json!("mended"))
        );
        carillon.settle(LETTERS as u64).await;
    });
}

/// Kills the process that replays, and starts it again without workers.
fn kill(carillon: &mut Installation) {
    if is_distributed() {
        carillon.kill("scheduler");
        carillon.start_role("scheduler");
    } else {
        carillon.restart_dev_with(&["--without", "worker"]);
    }
}

#[test]
fn each_letter_is_replayed_once_although_the_process_that_replays_is_killed() {
    with_installation(|mut carillon| async move {
        refused(&carillon).await;
        let cause = fingerprint(&carillon).await;
        kill(&mut carillon);
        let made = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--rate", "5", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let path = made["status_url"].as_str().unwrap().to_owned();
        for processed in [3, 9, 15] {
            wait_for("progress", Duration::from_mins(1), || async {
                let job = carillon.try_get(&path).await.unwrap_or_default();
                job["processed"].as_u64() >= Some(processed)
            })
            .await;
            kill(&mut carillon);
        }
        wait_for("the end of the job", Duration::from_secs(90), || async {
            carillon.try_get(&path).await.unwrap_or_default()["state"] == "done"
        })
        .await;
        let job = carillon.get(&path).await;
        assert_eq!((&job["settled"], &job["skipped"]), (&json!(LETTERS), &json!(0)));
        if !is_distributed() {
            carillon.restart_dev_with(&[]);
        }
        wait_for("the messages", Duration::from_mins(1), || async {
            sent(&carillon).await.len() == LETTERS
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        // The kill of a worker may double a letter: its record is read again, and its outcome is published from the
        // ledger once more. A replay of the copy finds its attempt claimed.
        wait_for("no open letter", Duration::from_mins(1), || async {
            let said = carillon.cli(&["dlq", "replay", "--all", "--wait"]);
            assert!(said.contains("done: "), "{said}");
            open(&carillon).await == 0
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
    });
}

/// Applies a catalog with one type, whose text message has this template.
fn apply(carillon: &Installation, template: &str) {
    let folder = carillon.dir().join("catalog");
    let templates = folder.join("templates/Note");
    std::fs::create_dir_all(&templates).unwrap();
    let catalog = "types: {Note: {category: c, channels: {order: [sms]},
        schema: {type: object, properties: {text: {type: string}, name: {type: string}}}}}\ncategories: {c: {}}\n";
    std::fs::write(folder.join("catalog.yaml"), catalog).unwrap();
    std::fs::write(templates.join("sms.text.hbs"), template).unwrap();
    let (folder, data) = (folder.to_string_lossy(), carillon.dir().join("data"));
    let data = data.to_string_lossy();
    let mut args = vec!["catalog", "apply", &*folder];
    if !is_distributed() {
        args.extend(["--data-dir", &*data]);
    }
    let said = carillon.cli(&args);
    assert!(said.contains("is published"), "{said}");
}

/// Publishes a template with a variable that events lack, and posts three events, which become dead letters.
async fn three_letters(carillon: &Installation) {
    apply(carillon, "Note for {{name}}: {{text}}");
    let note = |number: usize| {
        json!({"id": format!("n-{number}"), "source": "/shop", "type": "Note",
            "recipients": [{"phone": format!("+4915112345{number:03}")}], "data": {"text": "hello"}})
    };
    eventually("the catalog is known", || async {
        carillon.post(&note(0)).await.0 == 202
    })
    .await;
    for number in 1..3 {
        assert_eq!(carillon.post(&note(number)).await.0, 202);
    }
    eventually("dead letters", || async { open(carillon).await == 3 }).await;
}

#[test]
fn a_replay_after_the_template_was_mended_sends_with_the_new_template() {
    with_installation(|carillon| async move {
        three_letters(&carillon).await;
        let letters = carillon.get("/v1/dlq?class=render").await;
        assert_eq!(
            letters["items"][0]["code"], "template-missing-variable",
            "{letters}"
        );
        apply(&carillon, "{{#if name}}Note for {{name}}: {{/if}}{{text}}");
        // A worker loads the new template within a few seconds; until then a replay fails again.
        wait_for("the messages", Duration::from_mins(1), || async {
            let said = carillon.cli(&["dlq", "replay", "--class", "render", "--wait"]);
            assert!(said.contains("done: "), "{said}");
            sent(&carillon).await.len() == 3
        })
        .await;
        carillon.settle(3).await;
        for message in carillon.messages("channel=sms").await {
            assert_eq!(message["text"], "hello", "{message}");
        }
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
    });
}

#[test]
fn a_planned_replay_begins_by_itself_once_the_template_is_mended() {
    with_installation(|carillon| async move {
        three_letters(&carillon).await;
        let groups = carillon.get("/v1/dlq/groups").await;
        let cause = groups["items"][0]["fingerprint"].as_str().unwrap().to_owned();
        let said = carillon.cli(&[
            "dlq",
            "groups",
            "plan",
            &cause,
            "--template",
            "Note/sms",
            "--canary",
            "1",
        ]);
        assert!(
            said.contains("a version of Note/sms above 1 is published; 1 go first"),
            "{said}"
        );
        let said = carillon.cli(&[
            "dlq",
            "groups",
            "set",
            &cause,
            "--owner",
            "team notes",
            "--ignore",
        ]);
        assert!(said.contains("team notes"), "{said}");
        let said = carillon.cli(&["dlq", "groups"]);
        assert!(said.contains("1 ignored causes with 3 open letters"), "{said}");
        apply(&carillon, "{{#if name}}Note for {{name}}: {{/if}}{{text}}");
        wait_for("the messages", Duration::from_mins(2), || async {
            sent(&carillon).await.len() == 3
        })
        .await;
        carillon.settle(3).await;
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
        let path = format!("/v1/dlq/groups/{cause}");
        let plan = carillon.get(&path).await["planned_replay"].clone();
        assert_eq!(plan["state"], "started", "{plan}");
        let jobs = carillon.get("/v1/dlq/jobs").await;
        assert_eq!(jobs["items"].as_array().map(Vec::len), Some(1), "{jobs}");
        assert_eq!(jobs["items"][0]["id"], plan["job_id"]);
        wait_for("the end of the job", Duration::from_mins(1), || async {
            let job = carillon.get(plan["status_url"].as_str().unwrap()).await;
            (&job["state"], &job["settled"]) == (&json!("done"), &json!(3))
        })
        .await;
        let done = carillon.cli(&["dlq", "groups", "get", &cause]);
        assert!(done.contains("a replay has begun by itself"), "{done}");
    });
}
