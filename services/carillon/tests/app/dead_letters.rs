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
    let fault = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21612"}]);
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
        (&json!("21612"), &json!(LETTERS))
    );
    group["fingerprint"].as_str().unwrap().to_owned()
}

/// How many messages each delivery has.
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
        wait_for("the messages", Duration::from_secs(60), || async {
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
        let delivery = letter["delivery_id"].as_str().unwrap();
        let delivery = carillon.get(&format!("/v1/deliveries/{delivery}")).await;
        assert_eq!(
            (&delivery["status"], &delivery["generation"]),
            (&json!("sent"), &json!(1))
        );
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
        let fault = json!([{"provider": "twilio", "percent": 100, "status": 400, "code": "21612"}]);
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

/// Kills the process that replays, and starts it again without workers.
async fn kill(carillon: &mut Installation) {
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
        kill(&mut carillon).await;
        let made = carillon.cli(&["dlq", "replay", "--fingerprint", &cause, "--rate", "5", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let path = made["status_url"].as_str().unwrap().to_owned();
        for processed in [3, 9, 15] {
            wait_for("progress", Duration::from_secs(60), || async {
                let job = carillon.try_get(&path).await.unwrap_or_default();
                job["processed"].as_u64() >= Some(processed)
            })
            .await;
            kill(&mut carillon).await;
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
        wait_for("the messages", Duration::from_secs(60), || async {
            sent(&carillon).await.len() == LETTERS
        })
        .await;
        carillon.settle(LETTERS as u64).await;
        assert!(sent(&carillon).await.values().all(|count| *count == 1));
        eventually("no open letter", || async { open(&carillon).await == 0 }).await;
    });
}
