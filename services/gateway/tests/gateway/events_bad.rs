//! Refused events: the precise errors, and the acceptance of the other events of a batch.

use axum::body::{Body, Bytes};
use carillon_gateway::GatewayConfig;
use serde_json::{Value, json};

use crate::support::{Ask, Setting, errors_of, on_gateway, on_gateway_with, shipped};

/// An event with one field changed.
fn with(field: &str, value: Value) -> Value {
    let mut event = shipped("bad");
    event[field] = value;
    event
}

async fn is_refused(setting: &Setting, event: &Value, slug: &str, errors: &[&str]) {
    let answer = setting.post(event).await;
    assert_eq!(answer.problem(422, slug), errors, "{event}");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    on_gateway(async |setting| {
        for (media_type, body) in [
            ("application/json", "{\"type\": \"OrderShipped\","),
            ("application/json", ""),
            ("application/json", "[{}, "),
            ("application/cloudevents+json", "nonsense"),
            ("application/cloudevents-batch+json", "[1,"),
        ] {
            let answer = setting.ask(Ask::post("/v1/events").text(media_type, body)).await;
            answer.problem(400, "malformed-json");
        }
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_wrong_field_is_named_with_its_pointer() {
    on_gateway(async |setting| {
        let cases = [
            (with("id", json!(7)), vec!["/id type"]),
            (with("time", json!("yesterday")), vec!["/time type"]),
            (with("priority", json!("urgent")), vec!["/priority type"]),
            (with("channels", json!(["fax"])), vec!["/channels type"]),
            (with("data", json!("text")), vec!["/data type"]),
            (with("recipient", json!("u-42")), vec!["/recipient unknown-field"]),
            (with("recipients", json!("u-42")), vec!["/recipients type"]),
            (
                with("recipients", json!([{"user_id": "u-42"}, {}])),
                vec!["/recipients/1 required"],
            ),
            (
                with("recipients", json!([{"email": "nobody"}])),
                vec!["/recipients/0/email format"],
            ),
            (
                with("recipients", json!([{"user": "u-42"}])),
                vec!["/recipients/0/user unknown-field"],
            ),
            (
                with("recipients", json!([{"user_id": "u-42", "email": "a@b.example"}])),
                vec!["/recipients/0 conflict"],
            ),
            (
                with("data", json!({"carrier": 5})),
                vec!["/data schema", "/data/carrier schema"],
            ),
            (
                with("sendat", json!("2027-11-24T10:00:01Z")),
                vec!["/sendat range"],
            ),
        ];
        for (event, expected) in cases {
            let answer = setting.post(&event).await;
            let mut errors = answer.problem(422, "validation");
            errors.sort();
            assert_eq!(errors, expected, "{event}");
        }
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    on_gateway(async |setting| {
        let event = json!({"id": "", "data": [], "extra": 1});
        let mut errors = setting.post(&event).await.problem(422, "validation");
        errors.sort();
        assert_eq!(
            errors,
            [
                "/data type",
                "/extra unknown-field",
                "/id format",
                "/type required"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn an_unknown_type_an_unknown_user_and_a_missing_recipient_have_different_errors() {
    on_gateway(async |setting| {
        is_refused(
            setting,
            &with("type", json!("Nonsense")),
            "unknown-event-type",
            &["/type unknown-event-type"],
        )
        .await;
        let strangers = with(
            "recipients",
            json!([{"user_id": "nobody"}, {"user_id": "nobody-else"}]),
        );
        let errors = [
            "/recipients/0/user_id unknown-user",
            "/recipients/1/user_id unknown-user",
        ];
        is_refused(setting, &strangers, "unknown-user", &errors).await;
        // The pointer leads to the value as the producer wrote it.
        let cloudevent = |members: Value| {
            let mut event = json!({"specversion": "1.0", "id": "e", "source": "/s", "type": "OrderShipped",
                "data": {"order_id": "1", "carrier": "DHL"}});
            for (name, value) in members.as_object().unwrap() {
                event[name] = value.clone();
            }
            event
        };
        for (event, pointer) in [
            (cloudevent(json!({"recipient": "nobody"})), "/recipient"),
            (
                cloudevent(json!({"recipient": "nobody", "sequence": "1"})),
                "/recipient",
            ),
            (with("recipients", json!(["nobody"])), "/recipients/0"),
            (
                cloudevent(json!({"data": {"order_id": "1", "carrier": "DHL", "recipients": ["nobody"]}})),
                "/data/recipients/0",
            ),
        ] {
            is_refused(
                setting,
                &event,
                "unknown-user",
                &[&format!("{pointer} unknown-user")],
            )
            .await;
        }
        is_refused(
            setting,
            &cloudevent(json!({"recipient": true})),
            "validation",
            &["/recipient type"],
        )
        .await;
        is_refused(
            setting,
            &with("recipients", json!([])),
            "validation",
            &["/recipients required"],
        )
        .await;
        let crowd: Vec<Value> = (0..1_001).map(|number| json!(format!("u-{number}"))).collect();
        is_refused(
            setting,
            &with("recipients", json!(crowd)),
            "too-many-recipients",
            &["/recipients too-many-recipients"],
        )
        .await;
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_cloudevent_of_another_version_is_refused() {
    on_gateway(async |setting| {
        let event = with("specversion", json!("0.3"));
        is_refused(setting, &event, "validation", &["/specversion unsupported"]).await;
        let ask = Ask::post("/v1/events").text("application/cloudevents+json", shipped("x").to_string());
        assert_eq!(
            setting.ask(ask).await.problem(422, "validation"),
            ["/specversion required"]
        );
    })
    .await;
}

#[tokio::test]
async fn in_a_batch_only_the_bad_ones_are_rejected() {
    on_gateway(async |setting| {
        let batch = json!([
            shipped("good-0"),
            with("type", json!("Nonsense")),
            with("recipients", json!([{"email": "nobody"}])),
            "text",
            with("recipients", json!(["nobody"])),
            shipped("good-5"),
        ]);
        let answer = setting.post(&batch).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let items = answer.json()["items"].clone();
        assert_eq!(
            items[0],
            json!({"index": 0, "event_id": "good-0", "status": "accepted"})
        );
        assert_eq!(
            items[5],
            json!({"index": 5, "event_id": "good-5", "status": "accepted"})
        );
        for (index, slug, error) in [
            (1, "unknown-event-type", "/1/type unknown-event-type"),
            (2, "validation", "/2/recipients/0/email format"),
            (3, "validation", "/3 type"),
            (4, "unknown-user", "/4/recipients/0 unknown-user"),
        ] {
            assert_eq!(
                (&items[index]["index"], &items[index]["status"]),
                (&json!(index), &json!("rejected"))
            );
            assert_eq!(errors_of(&items[index]["problem"], 422, slug), [error]);
        }
        assert_eq!(setting.published().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_lines_around_a_bad_one_are_accepted() {
    on_gateway(async |setting| {
        let body = format!("{}\n{{\"type\":\n{}", shipped("a"), shipped("b"));
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/x-ndjson", body))
            .await;
        assert_eq!(answer.status, 202);
        let items = answer.json()["items"].clone();
        assert_eq!(items[1]["problem"]["status"], 400);
        assert_eq!(
            (&items[0]["status"], &items[2]["status"]),
            (&json!("accepted"), &json!("accepted"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_batch_without_a_valid_event_is_a_422_with_every_error() {
    on_gateway(async |setting| {
        let answer = setting.post(&json!([{}, with("type", json!("Nonsense"))])).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), 2);
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn batches_have_at_most_a_thousand_events() {
    on_gateway(async |setting| {
        let events: Vec<Value> = (0..1_001).map(|number| shipped(&format!("e-{number}"))).collect();
        setting.post(&json!(events)).await.problem(413, "batch-too-large");
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_event_has_at_most_256_kib() {
    on_gateway(async |setting| {
        let mut large = shipped("large");
        large["data"]["text"] = json!("x".repeat(256 << 10));
        assert_eq!(
            setting.post(&large).await.problem(413, "too-large"),
            [" too-large"]
        );
        let answer = setting.post(&json!([shipped("small"), large])).await;
        assert_eq!(answer.status, 202);
        assert_eq!(
            errors_of(&answer.json()["items"][1]["problem"], 413, "too-large"),
            ["/1 too-large"]
        );
        assert_eq!(setting.published().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut() {
    let config = GatewayConfig {
        max_batch_bytes: 100_000,
        ..GatewayConfig::default()
    };
    on_gateway_with(config, async |setting| {
        let endless =
            futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"[[[[[[[[[[")));
        let ask = Ask::post("/v1/events").text("application/json", Body::from_stream(endless));
        setting.ask(ask).await.problem(413, "too-large");
    })
    .await;
}

#[tokio::test]
async fn data_that_no_number_can_hold_or_that_is_too_deep_is_refused() {
    on_gateway(async |setting| {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for (data, place) in [
            ("{\"n\":1e999}".to_owned(), "/data/n".to_owned()),
            (format!("{{\"n\":{deep}}}"), "/data/n".to_owned()),
        ] {
            let body = format!("{{\"type\":\"Newsletter\",\"recipients\":[\"u-42\"],\"data\":{data}}}");
            let answer = setting
                .ask(Ask::post("/v1/events").text("application/json", body))
                .await;
            assert_eq!(
                answer.problem(422, "validation"),
                [format!("{place} unsupported")]
            );
        }
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_foreign_media_type_is_refused() {
    on_gateway(async |setting| {
        for media_type in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
        ] {
            let answer = setting.ask(Ask::post("/v1/events").text(media_type, "x=1")).await;
            answer.problem(415, "unsupported-media-type");
        }
        let binary = Ask::post("/v1/events")
            .header("ce-id", "1")
            .text("text/plain", "x");
        setting.ask(binary).await.problem(415, "unsupported-media-type");
    })
    .await;
}

#[tokio::test]
async fn an_event_that_the_router_would_refuse_is_refused_before_it_is_claimed() {
    on_gateway(async |setting| {
        let mut catalog = crate::support::catalog();
        catalog["types"]["Wide"] = json!({
            "category": "transactional", "channels": {"order": ["email"]},
            "recipients_from": ["/data/a", "/data/b", "/data/a", "/data/a", "/data/a"],
        });
        let put = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        assert_eq!(put.status, 200, "{put:?}");
        let post = async |data: Value| {
            setting
                .post(&json!({"id": "wide", "type": "Wide", "data": data}))
                .await
        };
        // Each list is short enough; together they are too many.
        let many = vec![json!("u-42"); 600];
        post(json!({"a": many, "b": many}))
            .await
            .problem(422, "too-many-recipients");
        // The request is small enough, but its recipients, written out four times, make it too large for the
        // bus.
        let long = "\"".repeat(255);
        let data = json!({"a": vec![long; 250], "text": "x".repeat(110 << 10)});
        post(data).await.problem(413, "too-large");
        for ext in [
            r#""ext":{"$serde_json::private::RawValue":"not json"}"#,
            r#""expiresat":"+10000-01-01T00:00:00Z""#,
        ] {
            let body = format!(
                r#"{{"specversion":"1.0","id":"wide","source":"/","type":"Wide",{ext},"data":{{"a":["u-42"]}}}}"#
            );
            let ask = Ask::post("/v1/events").text("application/cloudevents+json", body);
            setting.ask(ask).await.problem(422, "validation");
        }
        assert!(setting.published().await.is_empty());
        let sound = post(json!({"a": ["u-42"]})).await;
        assert_eq!(sound.status, 202, "nothing has taken its name: {sound:?}");
    })
    .await;
}

#[tokio::test]
async fn recipients_of_a_wrong_json_type_are_refused_with_the_expected_and_the_found_type() {
    on_gateway(async |setting| {
        let list = "expected a list of user ids and recipient objects, not";
        for (field, value, pointer, expected) in [
            (
                "data",
                json!({"recipients": "u-42"}),
                "/data/recipients",
                format!("{list} a string"),
            ),
            (
                "data",
                json!({"recipients": 42}),
                "/data/recipients",
                format!("{list} a number"),
            ),
            (
                "data",
                json!({"recipients": {"user_id": "u-42"}}),
                "/data/recipients",
                format!("{list} an object"),
            ),
            (
                "recipients",
                json!("u-42"),
                "/recipients",
                format!("{list} a string"),
            ),
            (
                "recipients",
                json!({}),
                "/recipients",
                format!("{list} an object"),
            ),
            (
                "recipients",
                json!([true]),
                "/recipients/0",
                "expected a user id or a recipient object, not a boolean".to_owned(),
            ),
            (
                "recipients",
                json!([{"user_id": 7}]),
                "/recipients/0/user_id",
                "expected a string, not a number".to_owned(),
            ),
            (
                "recipients",
                json!([1.5]),
                "/recipients/0",
                "expected a user id as a text, or as a whole number between -9223372036854775808 and \
                 18446744073709551615, not 1.5"
                    .to_owned(),
            ),
        ] {
            let mut event = json!({"id": "e", "specversion": "1.0", "type": "Newsletter", "source": "/s"});
            event[field] = value;
            for is_plain in [false, true] {
                if is_plain {
                    event.as_object_mut().unwrap().remove("specversion");
                }
                let answer = setting.post(&event).await;
                answer.problem(422, "validation");
                let error = &answer.json()["errors"][0];
                assert_eq!(
                    (&error["pointer"], &error["message"]),
                    (&json!(pointer), &json!(expected))
                );
            }
        }
        // Data may use the name for something else if recipients are named elsewhere.
        let elsewhere = json!({"type": "Newsletter", "recipients": ["u-42"], "data": {"recipients": "all"}});
        assert_eq!(setting.post(&elsewhere).await.status, 202);
    })
    .await;
}
