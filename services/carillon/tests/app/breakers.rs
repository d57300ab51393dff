//! The workers of an installation share the breakers of provider accounts: processes of their own, with real Redis.

use std::time::Duration;

use carillon_testkit::{
    installation::{Installation, Setup, is_distributed},
    wait_for,
};
use serde_json::json;

use crate::{setup, with_installation_of};

const PATIENCE: Duration = Duration::from_mins(1);
/// The workers of the channel.
const WORKERS: [&str; 2] = ["email-1", "email-2"];

/// The sum of a metric's series of the account in one worker.
async fn measured(carillon: &mut Installation, worker: &'static str, metric: &str) -> f64 {
    let url = carillon.ready_url(worker).replace("/readyz", "/metrics");
    let Ok(answer) = reqwest::get(&url).await else {
        return 0.0;
    };
    let text = answer.text().await.unwrap_or_default();
    let of_account = |line: &&str| line.starts_with(metric) && line.contains("provider=\"mails\"");
    let values = text.lines().filter(of_account);
    values
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// The calls of the provider by each worker.
async fn calls(carillon: &mut Installation) -> [f64; 2] {
    let mut calls = [0.0; 2];
    for (calls, worker) in calls.iter_mut().zip(WORKERS) {
        *calls = measured(carillon, worker, "carillon_send_seconds_count").await;
    }
    calls
}

async fn post(carillon: &Installation, id: &str) {
    let event = json!({"id": id, "source": "/shop", "type": "OrderShipped", "channels": ["email"],
        "recipients": [{"email": format!("{id}@example.com")}], "data": {"order_id": "1001", "carrier": "DHL"}});
    assert_eq!(carillon.post(&event).await.0, 202);
}

#[test]
fn a_fault_that_one_worker_process_meets_stops_the_other_and_one_probe_goes_out_in_all() {
    // The embedded mode has one process. Two workers in one process are tested in `carillon-workers`.
    if !is_distributed() {
        return;
    }
    let settings = [
        ("CHANNELS__EMAIL__ACCOUNTS", "mails"),
        ("PROVIDERS__MAILS__KIND", "sendgrid"),
        ("PROVIDERS__MAILS__API_KEY", "SG.simulator-api-key"),
        ("PROVIDERS__MAILS__FROM", "Shop <shop@example.com>"),
        ("PROVIDERS__MAILS__BASE_URL", "{simulator}"),
        ("PROVIDERS__MAILS__REQUEST_TIMEOUT", "4s"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let setup = Setup {
        settings: settings.into(),
        ..setup()
    };
    with_installation_of(setup, |mut carillon| async move {
        // Both workers send.
        let mut posted = 0;
        while calls(&mut carillon).await.contains(&0.0) {
            for _ in 0..8 {
                post(&carillon, &format!("warm-{posted}")).await;
                posted += 1;
            }
            carillon.settle(posted).await;
            assert!(posted < 400, "one worker gets nothing");
        }
        let before = calls(&mut carillon).await;

        let refused = json!([{"provider": "sendgrid", "status": 401}]);
        carillon.faults(&refused).await;
        post(&carillon, "first").await;
        for worker in WORKERS {
            let end = tokio::time::Instant::now() + PATIENCE;
            while measured(&mut carillon, worker, "carillon_provider_breaker_open").await < 1.0 {
                assert!(tokio::time::Instant::now() < end, "{worker} does not know it");
            }
        }
        let after = calls(&mut carillon).await;
        let grown: Vec<f64> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        assert!(
            grown.contains(&0.0),
            "one has learnt it from the other: {grown:?}"
        );

        // The parks take 2, 4 and 8 s: each ends with one probe of one worker, however many messages wait at both.
        for number in 0..40 {
            post(&carillon, &format!("waits-{number}")).await;
        }
        let total = |calls: [f64; 2]| calls.iter().sum::<f64>() - before.iter().sum::<f64>();
        let began = tokio::time::Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let now = total(calls(&mut carillon).await);
            if seen.last().is_none_or(|(last, _)| now > *last) {
                seen.push((now, began.elapsed()));
            }
            assert!(began.elapsed() < PATIENCE, "{seen:?}");
        }
        for pair in seen.windows(2) {
            let ((earlier, _), (later, _)) = (pair[0], pair[1]);
            assert!(
                (later - earlier - 1.0).abs() < 0.5,
                "one probe at a time: {seen:?}"
            );
        }
        carillon.faults(&json!([])).await;
        carillon.settle_within(posted + 41, PATIENCE * 2).await;
        let received = || async { carillon.messages("channel=email").await.len() as u64 == posted + 41 };
        wait_for("all mails", PATIENCE, received).await;
    });
}
