//! Receipts of providers, from the simulator's signed calls to the timeline and the suppression list.

use std::time::Duration;

use carillon_testkit::{
    installation::{Installation, Setup},
    wait_for,
};
use serde_json::{Value, json};

use crate::{setup, with_installation_of};

const PATIENCE: Duration = Duration::from_mins(1);

/// An installation whose simulator reports the fate of messages.
fn with_receipts(settings: &[(&str, &str)]) -> Setup {
    let own = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Setup {
        settings: std::iter::once(("SIMULATOR__RECEIPTS_AFTER".to_owned(), "200ms".to_owned()))
            .chain(own)
            .collect(),
        ..setup()
    }
}

async fn post(carillon: &Installation, id: &str, channel: &str, recipient: Value) {
    let event = json!({"id": id, "source": "/shop", "type": "OrderShipped", "channels": [channel],
        "recipients": [recipient], "data": {"order_id": "1001", "carrier": "DHL"}});
    assert_eq!(carillon.post(&event).await.0, 202);
}

/// The only delivery of an event, with its timeline.
async fn delivery(carillon: &Installation, event: &str) -> Value {
    let event = carillon.get(&format!("/v1/events/{event}")).await;
    match event["deliveries"][0]["id"].as_str() {
        Some(id) => carillon.get(&format!("/v1/deliveries/{id}")).await,
        None => Value::Null,
    }
}

async fn reaches(carillon: &Installation, event: &str, status: &str) -> Value {
    let what = format!("{event}: {status}");
    let reached = wait_for(&what, PATIENCE * 2, || async {
        delivery(carillon, event).await["status"] == status
    });
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    let delivery = delivery(carillon, event).await;
    assert!(reached.is_ok(), "{what}: {delivery}");
    delivery
}

fn steps(delivery: &Value) -> Vec<&str> {
    let timeline = delivery["timeline"].as_array();
    timeline
        .into_iter()
        .flatten()
        .map(|step| step["status"].as_str().unwrap())
        .collect()
}

/// The value of a counter of the gateway for an account and a result.
async fn counted(carillon: &Installation, metric: &str, labels: [&str; 2]) -> u64 {
    let url = format!("{}/metrics", carillon.url);
    let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let fits = |line: &&str| line.starts_with(metric) && labels.iter().all(|label| line.contains(label));
    let found = text.lines().find(fits);
    found.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_text_message_is_delivered_and_repeated_or_reordered_receipts_are_in_the_timeline_once() {
    with_installation_of(with_receipts(&[]), |carillon| async move {
        post(&carillon, "fine", "sms", json!({"phone": "+4915112345678"})).await;
        let delivery = reaches(&carillon, "fine", "delivered").await;
        assert_eq!(
            steps(&delivery),
            ["queued", "sending", "sent", "sent", "delivered"]
        );
        assert_eq!(delivery["attempt"], 1);

        let mess = json!([{"provider": "twilio", "receipt": {"copies": 3, "reversed": true}}]);
        carillon.faults(&mess).await;
        post(&carillon, "mess", "sms", json!({"phone": "+4915112345678"})).await;
        reaches(&carillon, "mess", "delivered").await;
        let sent = || async {
            counted(
                &carillon,
                "carillon_receipts_total",
                ["twilio", "result=\"sent\""],
            )
            .await
        };
        wait_for("the last copy", PATIENCE, || async { sent().await == 4 }).await;
        carillon.settle(2).await;
        let delivery = reaches(&carillon, "mess", "delivered").await;
        assert_eq!(
            steps(&delivery),
            ["queued", "sending", "sent", "delivered", "sent"]
        );
    });
}

#[test]
fn a_number_that_the_carrier_reports_as_dead_takes_no_further_message() {
    with_installation_of(with_receipts(&[]), |carillon| async move {
        let dead = json!([{"provider": "twilio", "to": "+4915100000005", "receipt": {"report": "undelivered", "code": 30005}}]);
        carillon.faults(&dead).await;
        post(&carillon, "dead", "sms", json!({"phone": "+4915100000005"})).await;
        let delivery = reaches(&carillon, "dead", "bounced").await;
        assert_eq!(delivery["error_code"], "30005");
        let entry = carillon.get("/v1/suppressions/sms/+4915100000005").await;
        assert_eq!(
            (&entry["reason"], &entry["code"]),
            (&json!("hard_bounce"), &json!("30005")),
            "{entry}"
        );
        assert_eq!(entry["delivery_id"], delivery["id"]);
        post(&carillon, "next", "sms", json!({"phone": "+4915100000005"})).await;
        wait_for("the decision", PATIENCE, || async {
            let event = carillon.get("/v1/events/next").await;
            event["decisions"][0]["outcome"] == "suppress"
        })
        .await;
        assert_eq!(carillon.messages("channel=sms").await.len(), 1);
        carillon.settle(2).await;
    });
}

#[test]
fn a_recipient_who_says_stop_gets_no_message_until_start() {
    let webhook = [("SIMULATOR__TWILIO_INBOUND_URL", "{gateway}/v1/receipts/twilio")];
    with_installation_of(with_receipts(&webhook), |carillon| async move {
        let phone = "+4915112345678";
        let reply = async |text: &str| {
            carillon
                .reply(&json!({"from": phone, "to": "+15550001111", "text": text}))
                .await;
        };
        let suppressed =
            async || carillon.get(&format!("/v1/suppressions/sms/{phone}")).await["reason"].clone();
        post(&carillon, "first", "sms", json!({"phone": phone})).await;
        reaches(&carillon, "first", "delivered").await;
        reply("STOP").await;
        post(&carillon, "stopped", "sms", json!({"phone": phone})).await;
        reaches(&carillon, "stopped", "failed").await;
        wait_for("the opt-out", PATIENCE, || async {
            suppressed().await == "opted_out"
        })
        .await;
        reply("START").await;
        wait_for("the opt-in", PATIENCE, || async {
            suppressed().await == Value::Null
        })
        .await;
        let log = carillon.get("/v1/audit").await;
        assert_eq!(
            (&log["items"][0]["action"], &log["items"][0]["key_name"]),
            (&json!("lift"), &json!("START to the provider account twilio")),
            "{log}"
        );
        post(&carillon, "again", "sms", json!({"phone": phone})).await;
        reaches(&carillon, "again", "delivered").await;
        assert_eq!(carillon.messages("channel=sms").await.len(), 2);
        carillon.settle(3).await;
    });
}

#[test]
fn a_receipt_with_a_wrong_signature_is_refused_and_counted() {
    with_installation_of(with_receipts(&[]), |carillon| async move {
        let forged = json!([{"provider": "twilio", "receipt": {"report": "undelivered", "code": 30005, "signature": "wrong"}}]);
        carillon.faults(&forged).await;
        post(&carillon, "forged", "sms", json!({"phone": "+4915112345678"})).await;
        let refused = || async {
            counted(
                &carillon,
                "carillon_receipts_refused_total",
                ["twilio", "wrong-signature"],
            )
            .await
        };
        wait_for("the refusals", PATIENCE, || async { refused().await == 2 }).await;
        carillon.settle(1).await;
        let delivery = reaches(&carillon, "forged", "sent").await;
        assert_eq!(steps(&delivery), ["queued", "sending", "sent"]);
        assert_eq!(carillon.get("/v1/suppressions").await["items"], json!([]));
    });
}

/// The only text message that the simulator received, and its delivery, after all of its work has ended.
async fn sent_once(carillon: &Installation, event: &str, status: &str, step: &str) {
    reaches(carillon, event, status).await;
    let stopped = || async {
        let delivery = delivery(carillon, event).await;
        let timeline = delivery["timeline"].as_array().cloned().unwrap_or_default();
        timeline.iter().any(|one| one["code"] == step)
    };
    wait_for(step, PATIENCE, stopped).await;
    carillon.settle(1).await;
    let delivery = reaches(carillon, event, status).await;
    assert_eq!(delivery["attempt"], 1, "{delivery}");
    let messages = carillon.messages("channel=sms").await;
    assert_eq!(messages.len(), 1, "{delivery}");
    assert_eq!(
        messages[0]["provider_message_id"],
        delivery["provider_message_id"]
    );
}

#[test]
fn a_receipt_of_a_message_without_an_answer_stops_its_second_copy() {
    with_installation_of(with_receipts(&[]), |carillon| async move {
        // The receipts come while the worker still waits for the answer.
        let hung = json!([{"provider": "twilio", "action": "hang", "recorded": true}]);
        carillon.faults(&hung).await;
        post(&carillon, "hung", "sms", json!({"phone": "+4915112345678"})).await;
        sent_once(&carillon, "hung", "delivered", "proven-by-receipt").await;
        assert!(steps(&delivery(&carillon, "hung").await).contains(&"uncertain"));
    });
}

#[test]
fn a_message_without_an_answer_that_twilios_list_has_is_not_sent_again() {
    with_installation_of(setup(), |carillon| async move {
        let lost = json!([{"provider": "twilio", "action": "reset", "recorded": true}]);
        carillon.faults(&lost).await;
        post(&carillon, "lost", "sms", json!({"phone": "+4915112345678"})).await;
        sent_once(&carillon, "lost", "sent", "found-at-provider").await;
        // A message that Twilio has not taken is sent again after its list was asked.
        carillon
            .faults(&json!([{"provider": "twilio", "action": "reset"}]))
            .await;
        post(&carillon, "never", "sms", json!({"phone": "+4915100000001"})).await;
        reaches(&carillon, "never", "uncertain").await;
        carillon.faults(&json!([])).await;
        let delivery = reaches(&carillon, "never", "sent").await;
        let timeline = delivery["timeline"].as_array().unwrap();
        assert!(
            timeline
                .iter()
                .any(|step| step["code"] == "not-found-at-provider"),
            "{delivery}"
        );
        assert_eq!(carillon.messages("channel=sms").await.len(), 2);
        carillon.settle(2).await;
    });
}

/// The settings of an e-mail account, and its provider's names for events.
struct Mailer {
    provider: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// The reports of a dead mailbox, a complaint and an opened mail.
    reports: [&'static str; 3],
    /// The codes of the reports of a dead mailbox and of a complaint.
    codes: [&'static str; 2],
}

const SENDGRID: Mailer = Mailer {
    provider: "sendgrid",
    settings: &[
        ("PROVIDERS__MAILS__KIND", "sendgrid"),
        ("PROVIDERS__MAILS__API_KEY", "SG.simulator-api-key"),
        (
            "PROVIDERS__MAILS__WEBHOOK_KEY",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyKRVIiN/VbUw0ergYWh/2ZVy/JmoPaaBs9j3PQ7f0wugvBW04/e3lVdGtiaoFMm1JbeGjdf3PFfVXbC+8re4Wg==",
        ),
        ("SIMULATOR__SENDGRID_WEBHOOK_URL", "{gateway}/v1/receipts/mails"),
    ],
    reports: ["bounce", "spamreport", "open"],
    codes: ["5.1.1", "spamreport"],
};

const SES: Mailer = Mailer {
    provider: "ses",
    settings: &[
        ("PROVIDERS__MAILS__KIND", "ses"),
        ("PROVIDERS__MAILS__REGION", "eu-central-1"),
        ("PROVIDERS__MAILS__ACCESS_KEY_ID", "AKIASIMULATOR0000000"),
        (
            "PROVIDERS__MAILS__SECRET_ACCESS_KEY",
            "simulator-secret-access-key",
        ),
        ("PROVIDERS__MAILS__CONFIGURATION_SET", "receipts"),
        (
            "PROVIDERS__MAILS__RECEIPTS_TOPIC",
            "arn:aws:sns:eu-central-1:000000000000:receipts",
        ),
        ("PROVIDERS__MAILS__SNS_ENDPOINT", "{simulator}"),
        ("SIMULATOR__SNS_SUBSCRIBER_URL", "{gateway}/v1/receipts/mails"),
    ],
    reports: ["Bounce", "Complaint", "Open"],
    codes: ["Permanent/General", "abuse"],
};

fn with_mails(mailer: &Mailer, more: &[(&str, &str)]) -> Setup {
    let common = [
        ("CHANNELS__EMAIL__ACCOUNTS", "mails"),
        ("PROVIDERS__MAILS__FROM", "Shop <shop@example.com>"),
        ("PROVIDERS__MAILS__BASE_URL", "{simulator}"),
        ("PROVIDERS__MAILS__REQUEST_TIMEOUT", "4s"),
    ];
    with_receipts(&[&common, mailer.settings, more].concat())
}

async fn each_report_has_its_consequence(carillon: Installation, mailer: &Mailer) {
    let to = |name: &str| json!({"email": format!("{name}@example.com")});
    post(&carillon, "fine", "email", to("ada")).await;
    let both = || async { steps(&delivery(&carillon, "fine").await).len() == 5 };
    wait_for("both reports", PATIENCE, both).await;
    let delivery = reaches(&carillon, "fine", "delivered").await;
    let mut told = steps(&delivery);
    assert_eq!(told.last(), Some(&"delivered"));
    told.sort_unstable();
    assert_eq!(told, ["delivered", "queued", "sending", "sent", "sent"]);

    let [bounce, complaint, open] = mailer.reports;
    let rule = |to: &str, receipt: Value| json!({"provider": mailer.provider, "to": to, "receipt": receipt});
    let rules = json!([
        rule("dead@example.com", json!({"report": bounce, "copies": 2})),
        rule("angry@example.com", json!({"report": complaint})),
        rule(
            "keen@example.com",
            json!({"report": open, "copies": 3, "reversed": true})
        ),
        rule(
            "forged@example.com",
            json!({"report": bounce, "signature": "wrong"})
        ),
    ]);
    carillon.faults(&rules).await;
    for (name, status) in [("dead", "bounced"), ("angry", "complained"), ("keen", "opened")] {
        post(&carillon, name, "email", to(name)).await;
        reaches(&carillon, name, status).await;
    }
    let reason = async |name: &str| {
        carillon
            .get(&format!("/v1/suppressions/email/{name}@example.com"))
            .await
    };
    for (name, expected, code) in [
        ("dead", "hard_bounce", mailer.codes[0]),
        ("angry", "complaint", mailer.codes[1]),
    ] {
        let entry = reason(name).await;
        assert_eq!(
            (&entry["reason"], &entry["code"]),
            (&json!(expected), &json!(code)),
            "{entry}"
        );
        assert_eq!(entry["provider"], "mails");
    }
    assert_eq!(reason("keen").await["status"], 404);

    post(&carillon, "forged", "email", to("forged")).await;
    let refused = || async {
        counted(
            &carillon,
            "carillon_receipts_refused_total",
            ["mails", "wrong-signature"],
        )
        .await
    };
    wait_for("the refusals", PATIENCE, || async { refused().await == 2 }).await;
    carillon.settle(5).await;
    assert_eq!(
        steps(&reaches(&carillon, "forged", "sent").await),
        ["queued", "sending", "sent"]
    );
    // All copies of a report are one step of the timeline.
    let keen = reaches(&carillon, "keen", "opened").await;
    assert_eq!(
        steps(&keen).iter().filter(|step| **step == "opened").count(),
        1,
        "{keen}"
    );
}

#[test]
fn sendgrids_reports_reach_timeline_and_suppression_list_and_a_forged_one_does_not() {
    with_installation_of(with_mails(&SENDGRID, &[]), |carillon| {
        each_report_has_its_consequence(carillon, &SENDGRID)
    });
}

#[test]
fn sess_reports_come_through_sns_after_its_subscription_was_confirmed_and_a_forged_one_does_not_count() {
    with_installation_of(with_mails(&SES, &[]), |carillon| {
        each_report_has_its_consequence(carillon, &SES)
    });
}

#[test]
fn snss_older_signatures_are_taken_as_well() {
    let older = [("SIMULATOR__SNS_SIGNATURE_VERSION", "1")];
    with_installation_of(with_mails(&SES, &older), |carillon| async move {
        post(&carillon, "fine", "email", json!({"email": "ada@example.com"})).await;
        reaches(&carillon, "fine", "delivered").await;
    });
}
