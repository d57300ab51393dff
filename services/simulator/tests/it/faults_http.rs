//! All kinds of faults over HTTP.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Running, start};

const SMS: [(&str, &str); 3] = [("To", "+4915112345678"), ("From", "+15005550006"), ("Body", "x")];

async fn received(running: &Running) -> usize {
    running.all().await.len()
}

#[tokio::test]
async fn an_answered_fault_has_the_providers_form_and_nothing_is_received() {
    let running = start().await;
    running
        .script(json!([{ "provider": "*", "status": 429, "retry_after": 7 }]))
        .await;

    let response = running.sms_request(&SMS).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["retry-after"].as_bytes()
        ),
        (429, &b"7"[..])
    );
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        (body["code"].as_u64(), body["status"].as_u64()),
        (Some(20_429), Some(429))
    );

    let response = running
        .push_request(json!({ "token": "d" }))
        .await
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["retry-after"].as_bytes()
        ),
        (429, &b"7"[..])
    );
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        body["error"]["details"][0]["errorCode"].as_str(),
        Some("QUOTA_EXCEEDED")
    );
    assert_eq!(received(&running).await, 0);
}

#[tokio::test]
async fn a_fault_can_name_the_providers_code() {
    let running = start().await;
    running
        .script(json!([
            { "provider": "twilio", "status": 400, "code": 21_610 },
            { "provider": "fcm", "status": 500, "code": "INTERNAL" },
        ]))
        .await;
    assert_eq!(running.sms(&SMS).await.1["code"].as_u64(), Some(21_610));
    let (status, body) = running.push(json!({ "token": "d" })).await;
    assert_eq!(
        (status, body["error"]["details"][0]["errorCode"].as_str()),
        (500, Some("INTERNAL"))
    );
}

#[tokio::test]
async fn a_recorded_fault_is_answered_although_the_message_was_received() {
    let running = start().await;
    running
        .script(json!([{ "provider": "twilio", "status": 500, "recorded": true }]))
        .await;
    assert_eq!(running.sms(&SMS).await.0, 500);
    assert_eq!(received(&running).await, 1);
}

#[tokio::test]
async fn a_recorded_fault_does_not_make_the_provider_accept_a_message_that_it_refuses() {
    let running = start().await;
    running
        .script(json!([{ "provider": "twilio", "status": 500, "recorded": true }]))
        .await;
    let (status, body) = running
        .sms(&[("To", "+15005550004"), ("From", "+15005550006"), ("Body", "x")])
        .await;
    assert_eq!((status, body["code"].as_u64()), (400, Some(21_610)));
    assert_eq!(received(&running).await, 0);
}

#[tokio::test]
async fn a_reset_leaves_the_client_without_an_answer_and_may_still_have_received() {
    let running = start().await;
    for recorded in [false, true] {
        running
            .script(json!([{ "provider": "*", "action": "reset", "recorded": recorded }]))
            .await;
        let failed = running.sms_request(&SMS).send().await.unwrap_err();
        assert!(failed.is_request() && !failed.is_connect(), "{failed:?}");
        assert_eq!(received(&running).await, usize::from(recorded));
    }
    running.simulator.faults().clear();
    assert_eq!(running.sms(&SMS).await.0, 201);
}

#[tokio::test]
async fn a_hang_ends_only_when_the_client_gives_up() {
    let running = start().await;
    running
        .script(json!([{ "provider": "fcm", "action": "hang", "recorded": true }]))
        .await;
    let request = running
        .push_request(json!({ "token": "d" }))
        .await
        .timeout(Duration::from_millis(300));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(received(&running).await, 1);
}

#[tokio::test]
async fn a_hanging_request_does_not_keep_the_simulator_from_stopping() {
    let running = start().await;
    running
        .script(json!([{ "provider": "twilio", "action": "hang", "recorded": true }]))
        .await;
    let hanging = tokio::spawn(running.sms_request(&SMS).send());
    running
        .simulator
        .messages()
        .wait_for(
            &carillon_simulator::MessageFilter::default(),
            1,
            crate::support::PATIENCE,
        )
        .await
        .unwrap();
    let begun = Instant::now();
    running.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it waited for the hanging request"
    );
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn going_away_closes_the_connection_after_the_usual_answer_or_after_its_status() {
    let running = start().await;
    running
        .script(json!([{ "provider": "twilio", "action": "goaway" }]))
        .await;
    let response = running.sms_request(&SMS).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["connection"].as_bytes()
        ),
        (201, &b"close"[..])
    );
    assert_eq!(received(&running).await, 1);

    running
        .script(json!([{ "provider": "twilio", "action": "goaway", "status": 503 }]))
        .await;
    let response = running.sms_request(&SMS).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["connection"].as_bytes()
        ),
        (503, &b"close"[..])
    );
    assert_eq!(received(&running).await, 1);
}

#[tokio::test]
async fn a_delay_comes_before_the_answer_and_nothing_else_changes() {
    let running = start().await;
    running
        .script(json!([{ "provider": "twilio", "delay_ms": 150 }]))
        .await;
    let begun = Instant::now();
    assert_eq!(running.sms(&SMS).await.0, 201);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_client_that_leaves_during_a_delay_has_sent_its_message_only_if_the_rule_records() {
    let running = start().await;
    for recorded in [false, true] {
        running
            .script(json!([{ "provider": "twilio", "delay_ms": 600_000, "recorded": recorded }]))
            .await;
        let request = running.sms_request(&SMS).timeout(Duration::from_millis(300));
        assert!(request.send().await.unwrap_err().is_timeout());
        assert_eq!(received(&running).await, usize::from(recorded));
    }
}

#[tokio::test]
async fn a_percentage_hits_that_share_and_a_seed_repeats_it() {
    let running = start().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        running
            .script(json!([{ "provider": "twilio", "status": 500, "percent": 40 }]))
            .await;
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(running.sms(&SMS).await.0);
        }
        runs.push(statuses);
    }
    let failed = runs[0].iter().filter(|status| **status == 500).count();
    assert!((12..=36).contains(&failed), "{failed} of 60 failed");
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn tokens_are_issued_while_sends_have_faults() {
    let running = start().await;
    running.script(json!([{ "provider": "*", "status": 503 }])).await;
    running.access_token().await;
}

#[tokio::test]
async fn a_retry_after_may_be_any_text_or_number() {
    let running = start().await;
    for (retry_after, header) in [
        (json!(1_764_633_600), "1764633600"),
        (json!(-1), "-1"),
        (json!(1.5), "1.5"),
        (json!("soon"), "soon"),
        (
            json!("Tue, 24 Nov 2099 10:00:00 GMT"),
            "Tue, 24 Nov 2099 10:00:00 GMT",
        ),
    ] {
        running
            .script(json!([{ "provider": "twilio", "status": 429, "retry_after": retry_after }]))
            .await;
        let response = running.sms_request(&SMS).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], header);
    }
}

#[tokio::test]
async fn a_rule_may_name_its_recipients() {
    let running = start().await;
    running
        .script(json!([
            { "provider": "fcm", "to": "ios-*", "status": 401, "code": "THIRD_PARTY_AUTH_ERROR" },
            { "provider": "twilio", "to": "+44*", "status": 400, "code": 21_408 },
        ]))
        .await;
    assert_eq!(running.push(json!({ "token": "ios-1" })).await.0, 401);
    assert_eq!(running.push(json!({ "token": "android-1" })).await.0, 200);
    assert_eq!(running.sms(&SMS).await.0, 201);
    let british = [("To", "+447700900000"), ("From", "+15005550006"), ("Body", "x")];
    assert_eq!(running.sms(&british).await.1["code"].as_u64(), Some(21_408));
}

#[tokio::test]
async fn the_details_of_an_fcm_error_have_the_codes_and_the_field_of_the_script() {
    let running = start().await;
    for (rule, details) in [
        (
            json!({ "provider": "fcm", "status": 400, "code": "INVALID_ARGUMENT" }),
            1,
        ),
        (
            json!({ "provider": "fcm", "status": 400, "field": "message.token" }),
            2,
        ),
        (
            json!({ "provider": "fcm", "status": 429, "field": "device:d" }),
            2,
        ),
    ] {
        running.script(json!([rule])).await;
        let (_, body) = running.push(json!({ "token": "d" })).await;
        assert_eq!(
            body["error"]["details"].as_array().unwrap().len(),
            details,
            "{body}"
        );
    }
}
