//! Bodies that no parser of JSON can follow: bytes that are not UTF-8, and nesting without end. Errors have the place in
//! the body.

use serde_json::json;

use crate::support::{Ask, on_gateway, shipped};

/// A body whose bytes before the first 0xff are UTF-8, and the column of that byte.
fn not_utf8(before: &str) -> (Vec<u8>, usize) {
    let mut body = before.as_bytes().to_vec();
    body.extend_from_slice(b"\xff\"}");
    (body, before.len() + 1)
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_malformed_json_at_each_route_with_their_place() {
    on_gateway(async |setting| {
        for (ask, before) in [
            (Ask::put("/v1/users/q"), "{\"email\":\""),
            (Ask::put("/v1/users/q"), "{\"email\":5,\"phone\":\""),
            (
                Ask::patch("/v1/users/u-42/preferences"),
                "{\"global\":{\"email\":true},\"",
            ),
            (Ask::put("/v1/catalog"), "{\"categories\":{\"c\":{\"name\":\""),
            (Ask::post("/v1/keys"), "{\"name\":\""),
            (Ask::post("/v1/dlq/replay"), "{\"note\":\""),
            (Ask::post("/v1/events"), "{\"type\":\""),
            (
                Ask::post("/v1/events"),
                "{\"type\":\"OrderShipped\",\"data\":{\"a\":\"",
            ),
            (Ask::post("/v1/events"), "[{\"type\":\""),
        ] {
            let (body, column) = not_utf8(before);
            let answer = setting.ask(ask.text("application/json", body)).await;
            answer.problem(400, "malformed-json");
            let place = format!("the text is not UTF-8 at line 1, column {column}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.ends_with(&place), "{before}: {detail}");
        }
        setting.get("/v1/users/q").await.problem(404, "not-found");
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_nested_deeper_than_127_levels_is_malformed_json() {
    on_gateway(async |setting| {
        for levels in [128, 240, 6_000, 100_000] {
            let deep = |open: &str, close: &str| {
                let before = "{\"categories\":{\"c\":{}},\"types\":{\"A\":{\"category\":\"c\",\"schema\":";
                let (open, close) = (open.repeat(levels), close.repeat(levels));
                format!("{before}{open}1{close}}}}}}}")
            };
            for body in [deep("{\"not\":", "}"), deep("[", "]")] {
                let answer = setting
                    .ask(Ask::put("/v1/catalog").text("application/json", body))
                    .await;
                answer.problem(400, "malformed-json");
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                let expected = "expected JSON: the text is nested deeper than 127 levels, at line 1, column ";
                assert!(detail.starts_with(expected), "{levels}: {detail}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_events_that_are_nested_deeply_is_answered_with_the_place_in_each() {
    on_gateway(async |setting| {
        let deep = format!("{}1{}", "[".repeat(120_000), "]".repeat(120_000));
        let event =
            format!("{{\"type\":\"Newsletter\",\"recipients\":[\"u-42\"],\"data\":{{\"n\":{deep}}}}}");
        let body = format!("[{}]", vec![event; 15].join(","));
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/json", body))
            .await;
        assert_eq!(answer.status, 422, "{answer:?}");
        let items = answer.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 15);
        for (index, item) in items.iter().enumerate() {
            let error = &item["problem"]["errors"][0];
            assert_eq!(error["pointer"], format!("/{index}/data/n"), "{item}");
            assert_eq!(error["message"], "expected JSON of at most 127 levels");
        }
    })
    .await;
}

#[tokio::test]
async fn a_line_that_cannot_be_read_has_the_number_of_its_line_in_the_body() {
    on_gateway(async |setting| {
        let mut body = format!(
            "{}\n\n{{\"type\": tru}}\r\n{{\"type\":\n{{\"type\":\"",
            shipped("a")
        )
        .into_bytes();
        body.extend_from_slice(b"\xff\"}\n[1]\n");
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/x-ndjson", body))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let items = answer.json()["items"].clone();
        assert_eq!(items[0]["status"], "accepted");
        let details: Vec<_> = (1..5)
            .map(|index| items[index]["problem"]["detail"].clone())
            .collect();
        assert_eq!(
            json!(details),
            json!([
                "expected a JSON object: the text cannot be read at line 3, column 13",
                "expected a JSON object: the text ends too early, at line 4, column 8",
                "expected a JSON object: the text is not UTF-8 at line 5, column 10",
                "expected a JSON object, not a list",
            ])
        );
        assert_eq!(items[2]["problem"]["status"], 400);
    })
    .await;
}
