//! CloudEvents 1.0 over HTTP, by the letter of the HTTP and JSON bindings.

use carillon_domain::Event;
use carillon_domain::event::Defaults;
use serde_json::{Value, json};

use crate::support::{Ask, Setting, on_gateway};

const DATA: &str = r#"{"order_id":"1","carrier":"DHL"}"#;

async fn published(setting: &Setting) -> Vec<Event> {
    let defaults = Defaults::at("2000-01-01T00:00:00Z".parse().unwrap());
    let records = setting.published().await;
    records
        .iter()
        .map(|record| Event::from_cloudevent(&record.value, defaults).unwrap())
        .collect()
}

/// A binary event with additional headers.
fn binary(headers: &[(&'static str, &str)]) -> Ask {
    let mut ask = Ask::post("/v1/events");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "/shop"),
        ("ce-type", "OrderShipped"),
        ("ce-recipient", "u-42"),
    ] {
        if !headers.iter().any(|(own, _)| *own == name) {
            ask = ask.header(name, value);
        }
    }
    headers
        .iter()
        .fold(ask, |ask, (name, value)| ask.header(name, value))
}

fn structured(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "OrderShipped", "recipient": "u-42",
        "data": {"order_id": "1", "carrier": "DHL"}})
}

#[tokio::test]
async fn headers_are_percent_decoded_so_that_binary_and_structured_are_one_event() {
    on_gateway(async |setting| {
        let ask = binary(&[
            ("ce-id", "caf%C3%A9%201%25"),
            ("ce-subject", "%22quoted%22%20%F0%9F%98%80"),
        ]);
        let answer = setting.ask(ask.text("application/json", DATA)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let event = published(setting).await.remove(0);
        assert_eq!(event.id.as_str(), "café 1%");
        assert_eq!(event.extensions["subject"].get(), r#""\"quoted\" 😀""#);

        let mut same = structured("café 1%");
        same["subject"] = json!("\"quoted\" 😀");
        let ask = Ask::post("/v1/events").text("application/cloudevents+json", same.to_string());
        let answer = setting.ask(ask).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!("duplicate"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_named_and_never_left_out() {
    on_gateway(async |setting| {
        for (name, value) in [
            ("ce-id", "100%"),
            ("ce-expiresat", "2020-01-01T00%3A00%ZZ"),
            ("ce-subject", "%C3"),
            ("ce-subject", "\"open"),
        ] {
            let answer = setting
                .ask(binary(&[(name, value)]).text("application/json", DATA))
                .await;
            let attribute = name.trim_start_matches("ce-");
            assert_eq!(
                answer.problem(400, "malformed-header"),
                [format!("/{attribute} encoding")]
            );
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(name) && detail.contains("expected"), "{detail}");
        }
        let latin = axum::http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
        let mut request = binary(&[]).text("application/json", DATA).request(&setting.admin);
        request.headers_mut().insert("ce-subject", latin);
        assert_eq!(
            setting.send(request).await.problem(400, "malformed-header"),
            ["/subject encoding"]
        );

        let twice = binary(&[("ce-id", "a"), ("ce-id", "b")]).text("application/json", DATA);
        assert_eq!(
            setting.ask(twice).await.problem(400, "malformed-header"),
            ["/id duplicate"]
        );
        let joined = binary(&[]).text("application/json, application/cloudevents+json", DATA);
        assert_eq!(
            setting.ask(joined).await.problem(400, "malformed-header"),
            [" duplicate"]
        );
        let keys = binary(&[("idempotency-key", "one"), ("idempotency-key", "two")]);
        assert_eq!(
            setting
                .ask(keys.text("application/json", DATA))
                .await
                .problem(400, "malformed-header"),
            [" duplicate"]
        );
        let unsaid = Ask::post("/v1/events").header("ce-type", "OrderShipped");
        let unsaid = setting.ask(unsaid.text("application/json", DATA)).await;
        assert_eq!(
            unsaid.problem(422, "validation"),
            ["/specversion required", "/id required"]
        );
        let data = binary(&[("ce-data", "{}")]).text("application/json", DATA);
        assert_eq!(
            setting.ask(data).await.problem(422, "validation"),
            ["/data conflict"]
        );
        assert!(setting.published().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_content_type_decides_the_mode_and_other_headers_do_not_change_it() {
    on_gateway(async |setting| {
        let mut event = structured("in-the-body");
        event["expiresat"] = json!("2020-01-01T00:00:00Z");
        let headers = [("ce-id", "in-a-header"), ("ce-expiresat", "2099-01-01T00:00:00Z")];
        let ask = binary(&headers).text("application/cloudevents+json; charset=UTF-8", event.to_string());
        assert_eq!(setting.ask(ask).await.status, 202);
        let batch = json!([structured("of-a-batch")]).to_string();
        let ask = binary(&headers).text("application/cloudevents-batch+json", batch);
        assert_eq!(setting.ask(ask).await.status, 202);
        let mut events = published(setting).await;
        events.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(events[0].id.as_str(), "in-the-body");
        assert_eq!(events[0].expires_at, "2020-01-01T00:00:00Z".parse().ok());
        assert_eq!(events[0].data.get(), structured("x")["data"].to_string());
        assert_eq!(events[1].id.as_str(), "of-a-batch");

        for other in ["application/cloudevents+avro", "application/cloudevents+xml"] {
            let answer = setting.ask(binary(&[]).text(other, DATA)).await;
            answer.problem(415, "unsupported-media-type");
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_under_the_media_type_of_one_event_and_the_reverse_are_refused_with_the_right_type() {
    on_gateway(async |setting| {
        let list = json!([structured("a")]).to_string();
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/cloudevents+json", list))
            .await;
        answer.problem(422, "validation");
        assert!(
            answer.text().contains("application/cloudevents-batch+json"),
            "{answer:?}"
        );
        let one = structured("a").to_string();
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/cloudevents-batch+json", one))
            .await;
        answer.problem(422, "validation");
        assert!(answer.text().contains("not an object"), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn data_is_utf_8_and_of_the_media_type_that_all_headers_name() {
    on_gateway(async |setting| {
        let umlaut = r#"{"order_id":"ü","carrier":"DHL"}"#;
        let latin = setting
            .ask(binary(&[]).text("application/json; charset=ISO-8859-1", umlaut))
            .await;
        assert!(!latin.problem(415, "unsupported-media-type").is_empty());
        let ascii = binary(&[("ce-id", "ascii")]).text("application/json; charset=\"iso-8859-1\"", DATA);
        assert_eq!(setting.ask(ascii).await.status, 202, "ASCII is the same in both");
        let utf8 = binary(&[("ce-id", "utf-8")]).text("application/json; charset=UTF-8", umlaut);
        assert_eq!(setting.ask(utf8).await.status, 202);
        let agrees = binary(&[("ce-id", "agrees"), ("ce-datacontenttype", "application/json")]);
        assert_eq!(
            setting.ask(agrees.text("application/json", DATA)).await.status,
            202
        );
        let differs = binary(&[("ce-datacontenttype", "text/xml")]).text("application/json", DATA);
        assert_eq!(
            setting.ask(differs).await.problem(422, "validation"),
            ["/datacontenttype conflict"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_cloudevent_without_an_id_is_refused_in_every_mode_because_its_repeat_could_not_be_recognised() {
    on_gateway(async |setting| {
        let mut event = structured("");
        event.as_object_mut().unwrap().remove("id");
        let unnamed = event.to_string();
        event["id"] = Value::Null;
        let null = event.to_string();
        let unnamed_binary = || {
            let ask = Ask::post("/v1/events").header("ce-specversion", "1.0");
            let ask = ask.header("ce-source", "/shop").header("ce-type", "OrderShipped");
            ask.header("ce-recipient", "u-42").text("application/json", DATA)
        };
        let post = |media_type, body: &String| Ask::post("/v1/events").text(media_type, body.clone());
        for ask in [
            unnamed_binary(),
            unnamed_binary().header("idempotency-key", "binary"),
            post("application/cloudevents+json", &unnamed),
            post("application/cloudevents+json", &null),
            post("application/cloudevents+json", &unnamed).header("idempotency-key", "structured"),
            post("application/json", &unnamed),
        ] {
            let answer = setting.ask(ask).await;
            assert_eq!(answer.problem(422, "validation"), ["/id required"]);
            assert!(
                answer.text().contains("id, which CloudEvents requires"),
                "{answer:?}"
            );
        }
        let named = structured("named").to_string();
        for (media_type, body) in [
            (
                "application/cloudevents-batch+json",
                format!("[{unnamed},{named}]"),
            ),
            ("application/json", format!("[{unnamed},{named}]")),
            ("application/x-ndjson", format!("{unnamed}\n{named}\n")),
        ] {
            let answer = setting.ask(post(media_type, &body)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let items = &answer.json()["items"];
            assert_eq!(items[0]["problem"]["errors"][0]["pointer"], "/0/id", "{answer:?}");
            assert_eq!(items[1]["event_id"], "named", "{answer:?}");
        }
        assert_eq!(setting.published().await.len(), 1);
    })
    .await;
}
