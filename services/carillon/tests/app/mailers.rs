//! Mails through the HTTP APIs of providers, against the simulator: the messages that arrive, and the effect of each fault.

use std::time::Duration;

use carillon_testkit::{
    installation::{Installation, Setup, is_distributed},
    wait_for,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{setup, with_installation_of};

/// A provider of mails, and the settings of an account at the simulator.
struct Mailer {
    kind: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// A setting with which the provider does not accept the account, and the code of its refusal.
    wrong: (&'static str, &'static str, &'static str),
    /// The code of a throttle, and the code of a failure.
    codes: (&'static str, &'static str),
    /// The last step of a delivery to an address that the provider does not take.
    dead: &'static str,
}

const SENDGRID: Mailer = Mailer {
    kind: "sendgrid",
    settings: &[
        ("API_KEY", "SG.simulator-api-key"),
        ("FROM", "Shop <shop@example.com>"),
        ("BASE_URL", "{simulator}"),
    ],
    wrong: ("API_KEY", "SG.other", "http-401"),
    codes: ("http-429", "http-503"),
    dead: "failed http-400:personalizations.to.email",
};

const SES: Mailer = Mailer {
    kind: "ses",
    settings: &[
        ("REGION", "eu-central-1"),
        ("ACCESS_KEY_ID", "AKIASIMULATOR0000000"),
        ("SECRET_ACCESS_KEY", "simulator-secret-access-key"),
        ("CONFIGURATION_SET", "receipts"),
        ("FROM", "Große Läden <shop@example.com>"),
        ("BASE_URL", "{simulator}"),
    ],
    wrong: ("SECRET_ACCESS_KEY", "other", "InvalidSignatureException"),
    codes: ("TooManyRequestsException", "ServiceUnavailableException"),
    dead: "dead_lettered BadRequestException",
};

/// The longest wait for a step of a delivery.
const PATIENCE: Duration = Duration::from_mins(1);

/// The channel's only account is this one.
fn with_account(mailer: &Mailer, changed: Option<(&str, &str)>) -> Setup {
    let mut settings = vec![
        ("CHANNELS__EMAIL__ACCOUNTS".to_owned(), "mails".to_owned()),
        ("PROVIDERS__MAILS__KIND".to_owned(), mailer.kind.to_owned()),
        ("PROVIDERS__MAILS__REQUEST_TIMEOUT".to_owned(), "2s".to_owned()),
        ("RETRY__MAX_ATTEMPTS".to_owned(), "2".to_owned()),
    ];
    for (name, value) in mailer.settings {
        let value = changed
            .filter(|(other, _)| other == name)
            .map_or(*value, |(_, value)| value);
        settings.push((format!("PROVIDERS__MAILS__{name}"), value.to_owned()));
    }
    Setup { settings, ..setup() }
}

async fn post(carillon: &Installation, id: &str, to: &str) {
    let event = json!({"id": id, "source": "/shop", "type": "OrderShipped", "channels": ["email"],
        "recipients": [{"email": to}], "data": {"order_id": "1001", "carrier": "DHL"}});
    assert_eq!(carillon.post(&event).await.0, 202);
}

/// The steps of an event's only delivery as `<status> <code>`, and their times.
async fn steps(carillon: &Installation, event: &str) -> Vec<(String, DateTime<Utc>)> {
    let event = carillon.get(&format!("/v1/events/{event}")).await;
    let Some(id) = event["deliveries"][0]["id"].as_str() else {
        return Vec::new();
    };
    let delivery = carillon.get(&format!("/v1/deliveries/{id}")).await;
    let timeline = delivery["timeline"].as_array().cloned().unwrap_or_default();
    let step = |step: &Value| {
        let status = step["status"].as_str()?;
        let code = step["code"].as_str().unwrap_or("-");
        let at = step["at"].as_str()?.parse().ok()?;
        Some((format!("{status} {code}"), at))
    };
    timeline.iter().filter_map(step).collect()
}

/// Waits until an event's delivery has had a step this number of times; returns the time of the last one.
async fn reaches(carillon: &Installation, event: &str, wanted: &str, times: usize) -> DateTime<Utc> {
    let what = format!("{event}: {wanted}");
    let at = async || {
        let steps = steps(carillon, event).await;
        let mut found = steps.into_iter().filter(|(step, _)| step == wanted);
        found.nth(times - 1).map(|(_, at)| at)
    };
    let found = wait_for(&what, PATIENCE * 2, || async { at().await.is_some() });
    let found = tokio::time::timeout(PATIENCE, found).await;
    assert!(found.is_ok(), "{what}: {:?}", steps(carillon, event).await);
    at().await.unwrap()
}

async fn received(carillon: &Installation, to: &str) -> Vec<Value> {
    let to = to.replace('@', "%40");
    carillon.messages(&format!("channel=email&to={to}")).await
}

async fn dead_letters(carillon: &Installation) -> Vec<Value> {
    let list = carillon.get("/v1/dlq?channel=email").await;
    list["items"].as_array().cloned().unwrap_or_default()
}

async fn every_fault_has_its_consequence(carillon: Installation, mailer: &Mailer) {
    let (throttle, failure) = mailer.codes;
    post(&carillon, "fine", "ada@example.com").await;
    reaches(&carillon, "fine", "sent -", 1).await;
    let mail = received(&carillon, "ada@example.com").await.remove(0);
    assert_eq!(mail["provider"], mailer.kind);
    assert_eq!(mail["event_id"], "fine");
    let event = carillon.get("/v1/events/fine").await;
    assert_eq!(mail["delivery_id"], event["deliveries"][0]["id"]);
    assert_eq!(event["deliveries"][0]["provider"], "mails");
    assert!(mail["html"].as_str().unwrap().contains("1001"), "{mail}");

    // A throttle names its end and counts no attempt. Two attempts are allowed here.
    let rule = |rest: Value| {
        let mut rule = json!({ "provider": mailer.kind });
        rule.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        json!([rule])
    };
    carillon
        .faults(&rule(json!({"status": 429, "retry_after": 2})))
        .await;
    post(&carillon, "slow", "slow@example.com").await;
    let throttled = reaches(&carillon, "slow", &format!("retrying {throttle}"), 3).await;
    carillon.faults(&json!([])).await;
    reaches(&carillon, "slow", "sent -", 1).await;
    let mail = received(&carillon, "slow@example.com").await.remove(0);
    let received_at: DateTime<Utc> = mail["received_at"].as_str().unwrap().parse().unwrap();
    assert!(
        (received_at - throttled).num_milliseconds() >= 1_900,
        "{throttled} {received_at}"
    );

    // A failure and a silence may have sent the mail; a second copy says so.
    for (event, fault, code) in [
        ("failed", json!({"status": 503, "recorded": true}), failure),
        ("hung", json!({"action": "hang", "recorded": true}), "timeout"),
        (
            "reset",
            json!({"action": "reset", "recorded": true}),
            "connection-lost",
        ),
    ] {
        let to = format!("{event}@example.com");
        carillon.faults(&rule(fault)).await;
        post(&carillon, event, &to).await;
        reaches(&carillon, event, &format!("uncertain {code}"), 1).await;
        carillon.faults(&json!([])).await;
        reaches(&carillon, event, "sent -", 1).await;
        let copies = received(&carillon, &to).await;
        assert_eq!(copies.len(), 2, "{event}");
        assert_eq!(copies[0]["delivery_id"], copies[1]["delivery_id"]);
    }

    post(&carillon, "dead", "invalid@example.com").await;
    reaches(&carillon, "dead", mailer.dead, 1).await;
    post(&carillon, "after", "bob@example.com").await;
    reaches(&carillon, "after", "sent -", 1).await;
    carillon.settle(7).await;
    assert!(received(&carillon, "invalid@example.com").await.is_empty());
}

async fn a_refused_account_is_parked(carillon: Installation, mailer: &Mailer) {
    let code = mailer.wrong.2;
    post(&carillon, "waits", "ada@example.com").await;
    // Two attempts are allowed, and a message that was refused three times goes on waiting.
    reaches(&carillon, "waits", &format!("retrying {code}"), 3).await;
    assert!(dead_letters(&carillon).await.is_empty());
    assert!(carillon.messages("channel=email").await.is_empty());
    let list = carillon.get("/v1/deliveries?status=failed").await;
    assert_eq!(list["items"], json!([]));
    // `doctor` asks one process; of an installation of several, that is the gateway, which has no accounts.
    if !is_distributed() {
        let ready = carillon.cli(&["doctor"]);
        assert!(ready.contains("mails is parked"), "{ready}");
    }
}

#[test]
fn sendgrid_sends_mails_and_each_fault_affects_only_its_own_scope() {
    with_installation_of(with_account(&SENDGRID, None), |carillon| {
        every_fault_has_its_consequence(carillon, &SENDGRID)
    });
}

#[test]
fn a_key_that_sendgrid_refuses_parks_the_account_and_costs_no_attempt() {
    let (name, value, _) = SENDGRID.wrong;
    with_installation_of(with_account(&SENDGRID, Some((name, value))), |carillon| {
        a_refused_account_is_parked(carillon, &SENDGRID)
    });
}

#[test]
fn ses_sends_and_each_fault_has_its_consequence() {
    with_installation_of(with_account(&SES, None), |carillon| {
        every_fault_has_its_consequence(carillon, &SES)
    });
}

#[test]
fn a_secret_that_ses_refuses_parks_the_account_and_costs_no_attempt() {
    let (name, value, _) = SES.wrong;
    with_installation_of(with_account(&SES, Some((name, value))), |carillon| {
        a_refused_account_is_parked(carillon, &SES)
    });
}
