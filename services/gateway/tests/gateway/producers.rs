//! Events of standard producers, whose types, ids, bytes and encodings differ from Carillon's own.

use async_compression::tokio::bufread::{GzipEncoder, ZlibEncoder};
use carillon_domain::{Event, event::Defaults};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::support::{Ask, Setting, catalog, on_gateway, shipped};

async fn published(setting: &Setting) -> Vec<Event> {
    let defaults = Defaults::at("2000-01-01T00:00:00Z".parse().unwrap());
    let records = setting.published().await;
    records
        .iter()
        .map(|record| Event::from_cloudevent(&record.value, defaults).unwrap())
        .collect()
}

fn with(mut event: Value, field: &str, value: Value) -> Value {
    event[field] = value;
    event
}

#[tokio::test]
async fn an_event_of_a_matched_type_is_shown_under_the_catalogs_name_and_published_with_its_own_type() {
    on_gateway(async |setting| {
        let long = "ü".repeat(150);
        let types = [
            "orders/create",
            "urn:example:order:shipped",
            "Größe",
            "with spaces",
            &long,
        ];
        let mut document = catalog();
        document["types"]["OrderShipped"]["match"] = json!(types);
        let put = setting.ask(Ask::put("/v1/catalog").json(&document)).await;
        assert_eq!(put.status, 200, "{put:?}");
        let kept = setting.get("/v1/catalog").await.json();
        assert_eq!(kept["types"]["OrderShipped"]["match"], json!(types));
        for (n, own) in types.iter().enumerate() {
            let id = format!("e-{n}");
            let answer = setting.post(&with(shipped(&id), "type", json!(own))).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let shown = setting.get(&format!("/v1/events/{id}")).await.json();
            assert_eq!(shown["type"], "OrderShipped");
        }
        let mut kept: Vec<String> = published(setting)
            .await
            .iter()
            .map(|event| event.event_type.to_string())
            .collect();
        let mut types: Vec<String> = types.iter().map(ToString::to_string).collect();
        kept.sort();
        types.sort();
        assert_eq!(kept, types);

        let wrong = with(shipped("bad"), "data", json!({"carrier": 5}));
        let answer = setting.post(&with(wrong, "type", json!("orders/create"))).await;
        let mut errors = answer.problem(422, "validation");
        errors.sort();
        assert_eq!(
            errors,
            ["/data schema", "/data/carrier schema"],
            "its schema holds"
        );

        document["types"]["Newsletter"]["match"] = json!(["Größe", "OrderShipped", ""]);
        let put = setting.ask(Ask::put("/v1/catalog").json(&document)).await;
        assert_eq!(
            put.problem(422, "validation"),
            [
                "/types/Newsletter/match/1 duplicate",
                "/types/Newsletter/match/2 format",
                "/types/OrderShipped/match/2 duplicate"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_user_id_is_opaque_and_percent_encoded_in_paths() {
    on_gateway(async |setting| {
        let longest = "ü".repeat(127) + "x";
        let encoded = "%C3%BC".repeat(127) + "x";
        for (n, (id, path)) in [
            ("auth0|5f7c8e", "auth0%7C5f7c8e"),
            ("a/b", "a%2Fb"),
            ("100%", "100%25"),
            ("Größe 7", "Gr%C3%B6%C3%9Fe%207"),
            ("a,b", "a,b"),
            (&longest, &encoded),
        ]
        .into_iter()
        .enumerate()
        {
            let path = format!("/v1/users/{path}");
            let body = json!({"email": format!("reader-{n}@example.com")});
            let put = setting.ask(Ask::put(&path).json(&body)).await;
            assert_eq!(put.status, 201, "{id}: {put:?}");
            assert_eq!(setting.get(&path).await.status, 200);
            let preferences = json!({"global": {"sms": false}});
            let put = setting
                .ask(Ask::put(&format!("{path}/preferences")).json(&preferences))
                .await;
            assert!(put.status < 300, "{put:?}");
            let event = with(shipped(&format!("e-{n}")), "recipients", json!([id]));
            assert_eq!(setting.post(&event).await.status, 202);
            let extension = json!({"specversion": "1.0", "id": format!("x-{n}"), "source": "/", "type": "OrderShipped",
                "recipient": json!([id]).to_string(), "data": {"order_id": "1", "carrier": "DHL"}});
            assert_eq!(setting.post(&extension).await.status, 202);
            let erased = setting.ask(Ask::delete(&path)).await;
            assert_eq!(erased.status, 204);
        }
        let too_long = setting
            .ask(Ask::put(&format!("/v1/users/{}", "x".repeat(256))).json(&json!({})))
            .await;
        assert_eq!(too_long.problem(422, "validation"), ["/id format"]);
    })
    .await;
}

#[tokio::test]
async fn bytes_of_data_are_the_same_event_as_their_json() {
    on_gateway(async |setting| {
        let event = |data: (&str, Value)| {
            let mut event = json!({"specversion": "1.0", "source": "/s", "type": "OrderShipped", "recipient": "u-42",
                "id": "b64", "datacontenttype": "application/json"});
            event[data.0] = data.1;
            Ask::post("/v1/events").text("application/cloudevents+json", event.to_string())
        };
        let bytes = event(("data_base64", json!("eyJvcmRlcl9pZCI6IjEiLCJjYXJyaWVyIjoiREhMIn0=")));
        assert_eq!(setting.ask(bytes).await.status, 202);
        assert_eq!(
            published(setting).await[0].data.get(),
            r#"{"order_id":"1","carrier":"DHL"}"#
        );
        let json = setting
            .ask(event(("data", json!({"order_id": "1", "carrier": "DHL"}))))
            .await;
        assert_eq!(json.json()["status"], "duplicate", "{json:?}");
        let avro = setting.ask(event(("data_base64", json!("AAAAAAd7fQ==")))).await;
        assert_eq!(avro.problem(400, "malformed-json"), ["/data_base64 schema-registry-framed"]);
    })
    .await;
}

async fn all(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn encoded_bodies_are_decoded_up_to_the_size_limit_and_other_encodings_are_refused() {
    on_gateway(async |setting| {
        let json = |id: &str| shipped(id).to_string().into_bytes();
        let (gzip, deflate) = (json("gzip"), json("deflate"));
        for (encoding, body) in [
            ("gzip", all(GzipEncoder::new(&gzip[..])).await),
            ("deflate", all(ZlibEncoder::new(&deflate[..])).await),
        ] {
            let ask = Ask::post("/v1/events").header("content-encoding", encoding);
            let answer = setting.ask(ask.text("application/json", body)).await;
            assert_eq!(
                (answer.status, &answer.json()["event_id"]),
                (202, &json!(encoding))
            );
        }
        // The same request in another encoding is the same request.
        let keyed = |encoding: &str| {
            Ask::post("/v1/events")
                .header("idempotency-key", "key")
                .header("content-encoding", encoding)
        };
        let plain = keyed("identity").text("application/json", json("keyed"));
        assert_eq!(setting.ask(plain).await.status, 202);
        let keyed_json = json("keyed");
        let encoded = keyed("gzip").text("application/json", all(GzipEncoder::new(&keyed_json[..])).await);
        let answer = setting.ask(encoded).await;
        assert_eq!(answer.header("idempotency-replayed"), Some("true"), "{answer:?}");

        let spaces = vec![b' '; 16 << 20];
        let bomb = all(GzipEncoder::new(&spaces[..])).await;
        let ask = Ask::post("/v1/events").header("content-encoding", "gzip");
        let answer = setting.ask(ask.text("application/json", bomb)).await;
        answer.problem(413, "too-large");
        for (path, encoding) in [("/v1/events", "br"), ("/v1/users/u-42", "zstd")] {
            let ask = if path == "/v1/events" {
                Ask::post(path)
            } else {
                Ask::put(path)
            };
            let ask = ask.header("content-encoding", encoding).json(&json!({}));
            let answer = setting.ask(ask).await;
            answer.problem(415, "unsupported-media-type");
            assert_eq!(answer.header("accept-encoding"), Some("gzip, deflate, identity"));
        }
        let user = br#"{"email":"ada@example.com"}"#;
        let ask = Ask::put("/v1/users/u-42").header("content-encoding", "gzip");
        let body = all(GzipEncoder::new(&user[..])).await;
        assert_eq!(setting.ask(ask.text("application/json", body)).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_byte_order_mark_is_accepted_before_all_json() {
    on_gateway(async |setting| {
        let mark = "\u{feff}";
        let cloudevent = |id: &str| with(shipped(id), "specversion", json!("1.0"));
        for (media_type, body) in [
            ("application/json", format!("{mark}{}", shipped("a"))),
            (
                "application/cloudevents+json",
                format!("{mark}{}", cloudevent("b")),
            ),
            ("application/json", format!("{mark}[{}]", shipped("c"))),
            (
                "application/cloudevents-batch+json",
                format!("{mark}[{}]", cloudevent("d")),
            ),
            (
                "application/x-ndjson",
                format!("{mark}{}\n{mark}{}", shipped("e"), cloudevent("f")),
            ),
        ] {
            let answer = setting.ask(Ask::post("/v1/events").text(media_type, body)).await;
            assert_eq!(answer.status, 202, "{media_type}: {answer:?}");
        }
        assert_eq!(setting.published().await.len(), 6);
        let user = format!("{mark}{}", json!({"email": "ada@example.com"}));
        let put = Ask::put("/v1/users/u-42").text("application/json", user);
        assert_eq!(setting.ask(put).await.status, 200);
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/json", utf16))
            .await;
        answer.problem(400, "malformed-json");
        assert!(answer.text().contains("UTF-16"), "{answer:?}");
        let framed = b"\0\0\0\0\x07{}".to_vec();
        let answer = setting
            .ask(Ask::post("/v1/events").text("application/json", framed))
            .await;
        assert_eq!(answer.problem(400, "malformed-json"), [" schema-registry-framed"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_without_recipients_is_accepted_if_its_type_allows_that() {
    on_gateway(async |setting| {
        let mut document = catalog();
        document["types"]["Newsletter"]["recipients"] = json!("optional");
        let put = setting.ask(Ask::put("/v1/catalog").json(&document)).await;
        assert_eq!(put.status, 200, "{put:?}");
        let quiet = json!({"id": "quiet", "type": "Newsletter", "data": {}});
        assert_eq!(setting.post(&quiet).await.status, 202);
        assert_eq!(setting.get("/v1/events/quiet").await.json()["status"], "accepted");
        let gone = json!({"id": "gone", "type": "OrderShipped",
            "data": {"payload": {"before": {"id": 1}, "after": null, "op": "d"}}});
        assert_eq!(setting.post(&gone).await.status, 202);
        let nobody = json!({"id": "nobody", "type": "OrderShipped", "data": {}});
        assert_eq!(
            setting.post(&nobody).await.problem(422, "validation"),
            ["/recipients required"]
        );
        assert_eq!(setting.published().await.len(), 2);

        document["types"]["Newsletter"]["recipients"] = json!("maybe");
        let put = setting.ask(Ask::put("/v1/catalog").json(&document)).await;
        assert_eq!(put.status, 422, "{put:?}");
    })
    .await;
}

#[tokio::test]
async fn integers_and_booleans_are_attributes_and_data_is_optional() {
    on_gateway(async |setting| {
        let put = setting
            .ask(Ask::put("/v1/users/42").json(&json!({"email": "x@example.com"})))
            .await;
        assert_eq!(put.status, 201);
        let event = json!({"specversion": "1.0", "id": "int", "source": "/s", "type": "Newsletter", "recipient": 42,
            "sequence": 7});
        assert_eq!(setting.post(&event).await.status, 202);
        let binary = |headers: &[(&'static str, &str)]| {
            headers
                .iter()
                .fold(Ask::post("/v1/events"), |ask, (name, value)| ask.header(name, value))
        };
        let same = binary(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "int"),
            ("ce-source", "/s"),
            ("ce-type", "Newsletter"),
            ("ce-recipient", "42"),
            ("ce-sequence", "7"),
        ]);
        let answer = setting.ask(same).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("duplicate")));
        let priority = setting.post(&with(event, "priority", json!(1))).await;
        assert_eq!(priority.problem(422, "validation"), ["/priority type"]);
        assert!(priority.text().contains("expected high, normal or bulk, not 1"));
    })
    .await;
}

#[tokio::test]
async fn the_time_of_an_event_is_bounded() {
    on_gateway(async |setting| {
        for time in [
            "1970-01-01T00:00:01Z",
            "0001-01-01T00:00:00Z",
            "2099-01-01T00:00:00Z",
        ] {
            let answer = setting.post(&with(shipped("e"), "time", json!(time))).await;
            assert_eq!(answer.problem(422, "validation"), ["/time range"], "{time}");
        }
        let soon = setting
            .post(&with(shipped("e"), "time", json!("2026-11-25T09:59:59Z")))
            .await;
        assert_eq!(soon.status, 202, "{soon:?}");
    })
    .await;
}
