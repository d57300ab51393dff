//! CloudEvents 1.0 over Kafka, by the letter of the Kafka binding.

use bytes::Bytes;
use carillon_bus::{Record, headers};
use carillon_domain::status::EventVerdict;
use serde_json::{Value, json};

use crate::support::{Setting, on_router, shipped, with};

/// A record in binary mode with additional headers.
fn binary(setting: &Setting, value: &str, headers: &[(&'static str, &str)]) -> Record {
    let mut record = setting.raw(value.to_owned());
    for (name, text) in [
        ("ce_specversion", "1.0"),
        ("ce_id", "e-1"),
        ("ce_source", "/shop/orders"),
        ("ce_type", "OrderShipped"),
        ("ce_recipient", "u-42"),
    ]
    .iter()
    .chain(headers)
    {
        record.headers.insert(*name, (*text).to_owned());
    }
    record
}

#[tokio::test]
async fn the_content_type_decides_the_mode_and_other_headers_do_not_change_it() {
    on_router(async |setting| {
        let expired = with(
            shipped("in-the-value"),
            "expiresat",
            json!("2020-01-01T00:00:00Z"),
        );
        let named = [
            ("ce_id", "in-a-header"),
            (
                headers::CONTENT_TYPE,
                "application/cloudevents+json; charset=utf-8",
            ),
        ];
        let routed = setting
            .route(&[binary(setting, &expired.to_string(), &named)])
            .await;
        assert_eq!(routed.verdicts(), [("in-the-value", EventVerdict::Routed)]);
        assert!(routed.deliveries.is_empty(), "it has expired");

        let data = r#"{"order_id":"1"}"#;
        let named = [("ce_id", "bin"), (headers::CONTENT_TYPE, "application/json")];
        let routed = setting.route(&[binary(setting, data, &named)]).await;
        assert_eq!(routed.verdicts(), [("bin", EventVerdict::Routed)]);
        assert_eq!(routed.deliveries.len(), 3);
    })
    .await;
}

/// Routes one record, which must be rejected, and returns code and message of its dead letter.
async fn refused(setting: &Setting, record: Record) -> (String, String) {
    let routed = setting.route(&[record]).await;
    let [letter] = routed.dead.as_slice() else {
        panic!("{:?}", routed.verdicts())
    };
    let text = |name| letter.headers.get_str(name).unwrap().to_owned();
    (text("carillon-code"), text("kafka_dlt-exception-message"))
}

#[tokio::test]
async fn a_batch_and_an_unsupported_format_are_rejected_with_codes_of_their_own() {
    on_router(async |setting| {
        let list = Value::from(vec![shipped("a"), shipped("b")]).to_string();
        let mut named = setting.raw(list.clone());
        named
            .headers
            .push(headers::CONTENT_TYPE, "application/cloudevents-batch+json");
        for record in [setting.raw(list), named] {
            let (code, reason) = refused(setting, record).await;
            assert_eq!(code, "batch");
            assert!(reason.contains("a batch is for HTTP"), "{reason}");
        }
        let mut avro = setting.raw("{}");
        avro.headers
            .push(headers::CONTENT_TYPE, "application/cloudevents+avro");
        let (_, reason) = refused(setting, avro).await;
        assert!(reason.contains("application/cloudevents+avro"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_header_that_is_no_text_is_named_and_never_read_as_another_one() {
    on_router(async |setting| {
        let mut record = binary(setting, r#"{"order_id":"1"}"#, &[]);
        record.headers.insert("ce_id", Bytes::from_static(b"caf\xe9"));
        let (_, reason) = refused(setting, record).await;
        assert!(reason.contains("ce_id: expected UTF-8"), "{reason}");
        let mut twice = binary(setting, r#"{"order_id":"1"}"#, &[]);
        twice.headers.push("ce_id", "e-2");
        let (_, reason) = refused(setting, twice).await;
        assert!(
            reason.contains("/id: expected the attribute id in one header"),
            "{reason}"
        );
    })
    .await;
}
