use serde_json::{Value, json};

use carillon_simulator::MessageFilter;
use lettre::AsyncTransport as _;

use crate::support::{Running, answer, mail, start};

async fn take_sms(running: &Running, to: &str, delivery: &str) {
    let callback = format!("http://carillon/r?delivery_id={delivery}&event_id=e-{delivery}");
    let fields = [
        ("To", to),
        ("From", "Shop"),
        ("Body", delivery),
        ("StatusCallback", &callback),
    ];
    let (status, body) = running.sms(&fields).await;
    assert_eq!(status, 201, "{body}");
}

fn texts(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn messages_have_the_documented_shape() {
    let running = start().await;
    running
        .mailer(None)
        .send(mail("ann@example.com", "d-1"))
        .await
        .unwrap();
    let (status, list) = running.get("/v1/messages").await;
    assert_eq!((status, &list["next_cursor"]), (200, &Value::Null));
    let item = list["items"][0].as_object().unwrap();
    for field in [
        "provider",
        "channel",
        "to",
        "delivery_id",
        "event_id",
        "subject",
        "text",
        "html",
        "data",
        "headers",
        "received_at",
    ] {
        assert!(item.contains_key(field), "{field} is missing");
    }
    assert_eq!(
        (item["provider"].as_str(), item["channel"].as_str()),
        (Some("smtp"), Some("email"))
    );
    let at = item["received_at"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
}

#[tokio::test]
async fn messages_are_filtered_by_delivery_event_channel_and_receiver() {
    let running = start().await;
    take_sms(&running, "+4915112345678", "d-1").await;
    take_sms(&running, "+33612345678", "d-2").await;
    running
        .mailer(None)
        .send(mail("Ann@Example.com", "d-3"))
        .await
        .unwrap();
    running
        .push(json!({ "token": "Device", "notification": { "body": "hi" } }))
        .await;
    let count = async |query: &str| {
        let (status, list) = running.get(&format!("/v1/messages?{query}")).await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 4);
    assert_eq!(count("channel=sms").await, 2);
    assert_eq!(count("channel=email&to=ann@example.com").await, 1);
    assert_eq!(count("to=%2B33612345678").await, 1);
    assert_eq!(count("to=%2B3361").await, 0);
    assert_eq!(count("delivery_id=d-3").await, 1);
    assert_eq!(count("event_id=e-d-2").await, 1);
    assert_eq!(count("delivery_id=d-1&channel=push").await, 0);
}

#[tokio::test]
async fn a_cursor_leads_through_all_messages_newest_first() {
    let running = start().await;
    for delivery in ["1", "2", "3", "4", "5"] {
        take_sms(&running, "+4915112345678", delivery).await;
    }
    let (_, first) = running.get("/v1/messages?limit=2").await;
    assert_eq!(texts(&first), ["5", "4"]);
    let (_, second) = running
        .get(&format!(
            "/v1/messages?limit=2&cursor={}",
            first["next_cursor"].as_str().unwrap()
        ))
        .await;
    assert_eq!(texts(&second), ["3", "2"]);
    let (_, third) = running
        .get(&format!(
            "/v1/messages?limit=2&cursor={}",
            second["next_cursor"].as_str().unwrap()
        ))
        .await;
    assert_eq!((texts(&third), &third["next_cursor"]), (vec!["1"], &Value::Null));
}

#[tokio::test]
async fn deliveries_received_twice_are_counted_and_named() {
    let running = start().await;
    for delivery in ["a", "b", "a", "c", "c", "c"] {
        take_sms(&running, "+4915112345678", delivery).await;
    }
    let (_, stats) = running.get("/v1/stats").await;
    assert_eq!(
        stats,
        json!({
            "received": { "apns": 0, "fcm": 0, "twilio": 6, "smtp": 0, "sendgrid": 0, "ses": 0, "webhook": 0 }, "kept": 6, "delivery_ids": 3,
            "duplicated_delivery_ids": 2,
        })
    );
    let (_, list) = running.get("/v1/duplicates?limit=1").await;
    assert_eq!(list["items"], json!([{ "delivery_id": "a", "count": 2 }]));
    let (_, rest) = running
        .get(&format!(
            "/v1/duplicates?cursor={}",
            list["next_cursor"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        rest,
        json!({ "items": [{ "delivery_id": "c", "count": 3 }], "next_cursor": null })
    );
}

#[tokio::test]
async fn one_mail_to_two_receivers_is_two_messages_and_no_duplicate() {
    let running = start().await;
    let both = lettre::address::Envelope::new(
        Some("shop@example.com".parse().unwrap()),
        vec![
            "ann@example.com".parse().unwrap(),
            "bob@example.com".parse().unwrap(),
        ],
    );
    running
        .mailer(None)
        .send_raw(&both.unwrap(), &mail("ann@example.com", "d-1").formatted())
        .await
        .unwrap();
    let stats = running.simulator.messages().stats().await.unwrap();
    assert_eq!(
        (stats.kept, stats.delivery_ids, stats.duplicated_delivery_ids),
        (2, 1, 0)
    );
}

#[tokio::test]
async fn deleting_forgets_messages_and_counts() {
    let running = start().await;
    take_sms(&running, "+4915112345678", "a").await;
    let (status, _) = answer(running.http.delete(running.url("/v1/messages"))).await;
    assert_eq!(status, 204);
    let (_, counts) = running.get("/v1/stats").await;
    assert_eq!(
        (counts["kept"].as_u64(), counts["received"]["twilio"].as_u64()),
        (Some(0), Some(0))
    );
    take_sms(&running, "+4915112345678", "a").await;
    assert_eq!(running.get("/v1/duplicates").await.1["items"], json!([]));
    assert_eq!(running.list(MessageFilter::to("+4915112345678")).await.len(), 1);
}

#[tokio::test]
async fn fault_scripts_can_be_read_and_ended() {
    let running = start().await;
    let (status, echoed) = running
        .put("/v1/faults", &json!([{ "provider": "smtp", "status": 451 }]))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        echoed,
        json!([{ "provider": "smtp", "percent": 100.0, "status": 451, "recorded": false }])
    );
    assert_eq!(running.get("/v1/faults").await, (200, echoed));
    let (status, _) = answer(running.http.delete(running.url("/v1/faults"))).await;
    assert_eq!(status, 204);
    assert_eq!(running.get("/v1/faults").await, (200, json!([])));
}

#[tokio::test]
async fn a_bad_fault_script_is_a_problem_that_names_the_field() {
    let running = start().await;
    let cases = [
        (json!([{ "provider": "fax", "status": 500 }]), "/0/provider"),
        (json!([{ "status": 500 }]), "/0/provider"),
        (
            json!([{ "provider": "fcm", "status": 500 }, { "provider": "fcm", "status": "500" }]),
            "/1/status",
        ),
        (json!([{ "provider": "fcm", "status": 200 }]), "/0/status"),
        (
            json!([{ "provider": "fcm", "status": 500, "percent": 0 }]),
            "/0/percent",
        ),
        (json!([{ "provider": "fcm", "action": "explode" }]), "/0/action"),
        (
            json!([{ "provider": "fcm", "status": 500, "colour": "red" }]),
            "/0/colour",
        ),
        (
            json!([{ "provider": "smtp", "status": 451, "code": "5.7.1" }]),
            "/0/code",
        ),
        (
            json!([{ "provider": "twilio", "status": 400, "code": true }]),
            "/0/code",
        ),
        (json!({ "provider": "fcm" }), ""),
    ];
    for (script, pointer) in cases {
        let response = running
            .http
            .put(running.url("/v1/faults"))
            .json(&script)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 422, "{script}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(
            problem["type"].as_str(),
            Some("https://carillon.dev/problems/validation")
        );
        assert_eq!(
            problem["errors"][0]["pointer"].as_str(),
            Some(pointer),
            "{script}: {problem}"
        );
    }
    assert_eq!(running.get("/v1/faults").await.1, json!([]));
    let (status, problem) = answer(running.http.put(running.url("/v1/faults")).body("{")).await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (400, Some("https://carillon.dev/problems/malformed-json"))
    );
}

#[tokio::test]
async fn bad_parameters_are_problems_that_name_them() {
    let running = start().await;
    for (path, pointer) in [
        ("/v1/messages?limit=501", "/limit"),
        ("/v1/messages?limit=x", "/limit"),
        ("/v1/messages?cursor=x", "/cursor"),
        ("/v1/messages?channel=fax", "/channel"),
        ("/v1/messages?chanel=sms", "/chanel"),
        ("/v1/duplicates?limit=0", "/limit"),
    ] {
        let (status, problem) = running.get(path).await;
        assert_eq!(
            (status, problem["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{path}"
        );
    }
    let (status, problem) = running.put("/v1/faults?seed=x", &json!([])).await;
    assert_eq!(
        (status, problem["errors"][0]["pointer"].as_str()),
        (422, Some("/seed"))
    );
}

#[tokio::test]
async fn the_given_routes_of_health_are_served_and_other_paths_are_not_found() {
    let running = start().await;
    assert_eq!(running.get("/healthz").await, (200, json!("ok")));
    let (status, problem) = running.get("/v1/nothing").await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (404, Some("https://carillon.dev/problems/not-found"))
    );
}
