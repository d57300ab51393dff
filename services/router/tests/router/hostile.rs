//! Records that would stop a router that trusted them: each is rejected or routed, and so are its neighbours.

use carillon_bus::headers;
use carillon_domain::status::EventVerdict;
use serde_json::json;

use crate::support::{event, on_router, shipped, with};

#[tokio::test]
async fn numbers_out_of_every_types_range_are_rejected_at_any_place() {
    on_router(async |setting| {
        let record = |json: &str| setting.raw(json.to_owned());
        let note = r#"{"specversion":"1.0","id":"e-1","source":"/","type":"Note","recipients":["u-42"]"#;
        let all = [
            record(&format!(r#"{note},"data":{{"n":1e400}}}}"#)),
            record(&format!(r#"{note},"data":{{"deep":[{{"n":-1e400}}]}}}}"#)),
            record(&format!(r#"{note},"extension":1e400,"data":{{}}}}"#)),
            record(&format!(
                r#"{note},"data":{{"deep":{}{}}}}}"#,
                "[".repeat(200),
                "]".repeat(200)
            )),
        ];
        for (run, record) in all.into_iter().enumerate() {
            let good = setting.record(&event(&format!("good-{run}"), "Note", &json!({})));
            let routed = setting.route(&[record.clone(), good]).await;
            assert_eq!(routed.deliveries.len(), 1, "the neighbour is routed");
            let verdicts: Vec<_> = routed.decided.iter().map(|decided| decided.verdict).collect();
            assert_eq!(verdicts, [EventVerdict::Routed, EventVerdict::Rejected]);
            assert_eq!(routed.dead[0].value, record.value);
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_name_that_no_database_can_store_stops_no_other_record() {
    on_router(async |setting| {
        let tenants: [&'static [u8]; 3] = [b"a\0b", b"\xff\xfe", &[b'x'; 10_000]];
        for (run, tenant) in tenants.into_iter().enumerate() {
            let mut record = setting.record(&shipped("e-1"));
            record.headers.push(headers::TENANT, tenant);
            let good = setting.record(&event(&format!("good-{run}"), "Note", &json!({})));
            let routed = setting.route(&[record, good]).await;
            assert_eq!(routed.deliveries.len(), 1, "the neighbour is routed");
            assert_eq!(
                routed.dead[0].headers.get_str("carillon-code"),
                Some("unknown-tenant")
            );
            assert_eq!(routed.dead[0].headers.get(headers::TENANT), Some(tenant));
        }
    })
    .await;
}

#[tokio::test]
async fn a_reject_with_many_errors_has_a_short_reason() {
    on_router(async |setting| {
        let lines: Vec<u32> = (10_000..45_000).collect();
        let record = setting.record(&event(
            "e-1",
            "OrderShipped",
            &json!({"order_id": "1", "lines": lines}),
        ));
        assert!(record.value.len() < 256 * 1024);
        let routed = setting.route(&[record]).await;
        let reason = routed.dead[0].headers.get_str("kafka_dlt-exception-message");
        let reason = reason.unwrap();
        assert!(reason.starts_with("/data/lines/0: "), "{reason:.100}");
        assert!(reason.len() <= 4096, "{} bytes", reason.len());
        assert!(
            routed.dead[0].size() < 1_000_000,
            "it has to fit into a Kafka message"
        );
    })
    .await;
}

#[tokio::test]
async fn a_channel_that_an_event_requests_many_times_is_stored_once() {
    on_router(async |setting| {
        let channels = vec!["sms"; 60_000].join(",");
        let record = setting.record(&with(shipped("e-1"), "channels", json!(channels)));
        let routed = setting.route(&[record]).await;
        assert_eq!(routed.places(), [("sms", "default|u-42")]);
        assert!(routed.all.iter().all(|record| record.size() < 10_000));
    })
    .await;
}
