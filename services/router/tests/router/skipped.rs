//! Records that lead to no message: they are skipped, reported and counted by reason.

use bytes::Bytes;
use carillon_bus::{Record, headers};
use carillon_domain::status::EventVerdict;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Setting, event, on_router, shipped};

/// Routes the record between good ones, which must be routed, and returns its verdict.
async fn skipped(setting: &Setting, record: Record) -> EventVerdict {
    let good = setting.record(&event(&Uuid::now_v7().to_string(), "Note", &json!({})));
    let routed = setting.route(&[record.clone(), good]).await;
    assert_eq!(routed.deliveries.len(), 1, "the neighbour is routed");
    assert!(routed.dead.is_empty(), "{:?}", routed.verdicts());
    let of_record = routed
        .decided
        .iter()
        .find(|decided| decided.origin.offset == record.offset);
    let decided = of_record.unwrap();
    assert!(decided.decisions.is_empty() && !decided.via_gateway);
    decided.verdict
}

#[tokio::test]
async fn a_record_without_a_value_is_a_tombstone_and_no_dead_letter() {
    on_router(async |setting| {
        let bare = setting.raw(Bytes::new());
        let place = format!("{}/0/{}", bare.topic, bare.offset);
        let routed = setting.route(std::slice::from_ref(&bare)).await;
        assert_eq!(routed.verdicts(), [(place.as_str(), EventVerdict::Tombstone)]);
        let mut structured = setting.raw(Bytes::new());
        structured
            .headers
            .push(headers::CONTENT_TYPE, "application/cloudevents+json");
        assert_eq!(skipped(setting, structured).await, EventVerdict::Tombstone);
        let mut foreign = setting.raw(Bytes::new());
        foreign.headers.push(headers::TENANT, "nobody");
        assert_eq!(skipped(setting, foreign).await, EventVerdict::Tombstone);
    })
    .await;
}

#[tokio::test]
async fn a_binary_event_without_data_is_an_event_and_no_tombstone() {
    on_router(async |setting| {
        let mut record = setting.raw(Bytes::new());
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", "bin"),
            ("ce_source", "/s"),
            ("ce_type", "Note"),
            ("ce_recipient", "u-42"),
        ] {
            record.headers.push(name, value);
        }
        let routed = setting.route(&[record]).await;
        assert_eq!(routed.verdicts(), [("bin", EventVerdict::Routed)]);
        assert_eq!(routed.deliveries[0].delivery.data.get(), "{}");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_row_is_skipped_with_and_without_a_schema_beside_it() {
    on_router(async |setting| {
        let gone = json!({"before": {"id": 1, "customer": "u-42"}, "after": null, "op": "d"});
        let of_row = |id: &str, data: Value| {
            let mut event = event(id, "Changed", &data);
            event.as_object_mut().unwrap().remove("recipients");
            setting.record(&event)
        };
        for (id, data) in [
            ("gone", gone.clone()),
            ("gone-2", json!({"schema": {"type": "struct"}, "payload": gone})),
        ] {
            assert_eq!(skipped(setting, of_row(id, data)).await, EventVerdict::DeletedRow);
        }
        let row = json!({"customer": "u-42"});
        for (id, data) in [
            ("row", json!({"before": null, "after": row, "op": "c"})),
            (
                "row-2",
                json!({"schema": {}, "payload": {"before": null, "after": row, "op": "u"}}),
            ),
        ] {
            let routed = setting.route(&[of_row(id, data)]).await;
            assert_eq!(routed.deliveries.len(), 1, "{:?}", routed.verdicts());
        }
        // A change that is not a deletion and has no recipient is an error.
        let nobody = of_row(
            "nobody",
            json!({"before": null, "after": {"customer": null}, "op": "c"}),
        );
        let routed = setting.route(&[nobody]).await;
        assert_eq!(
            routed.dead[0].headers.get_str("carillon-code"),
            Some("no-recipient")
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_without_recipients_is_skipped_once_if_its_type_allows_that() {
    on_router(async |setting| {
        let mut quiet = event("quiet", "Optional", &json!({}));
        quiet["recipients"] = json!([]);
        let record = setting.record(&quiet);
        assert_eq!(skipped(setting, record.clone()).await, EventVerdict::NoRecipient);
        assert_eq!(
            skipped(setting, record).await,
            EventVerdict::NoRecipient,
            "read again"
        );
        let again = setting.record(&quiet);
        assert_eq!(skipped(setting, again).await, EventVerdict::Duplicate);
        let named = setting.route_event(&event("named", "Optional", &json!({}))).await;
        assert_eq!(named.deliveries.len(), 1);
        let mut required = shipped("required");
        required["recipients"] = json!([]);
        assert_eq!(setting.route_event(&required).await.dead.len(), 1);
    })
    .await;
}
