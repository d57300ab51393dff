//! Records of the outbox event router.

use serde_json::json;

use super::{WRITTEN, converted, def, record};
use crate::source::{Conversion, SkippedRow, SourceDef, convert};

fn outbox() -> SourceDef {
    def(&json!({"format": "outbox", "rules": [{
        "type": {"from": "/headers/eventType", "map": {"order.shipped": "A", "order.lost": "B"}},
        "recipients": ["/payload/customer_id"], "data": "/payload",
    }]}))
}

#[test]
fn a_record_of_the_outbox_event_router_becomes_an_event_in_each_form_of_its_payload() {
    let payload = r#"{"order_id":"1001","customer_id":"u-42","price":1.10}"#;
    let escaped = serde_json::to_string(payload).unwrap();
    let forms = [
        payload.to_owned(),
        escaped.clone(),
        format!(r#"{{"schema":{{"type":"string"}},"payload":{escaped}}}"#),
        format!(r#"{{"schema":{{"type":"struct"}},"payload":{payload}}}"#),
    ];
    let headers = [
        ("id", "4d47e190-0402-4048-bc2c-89dd54343cdc"),
        ("eventType", "order.shipped"),
    ];
    let quoted = [
        ("id", "\"4d47e190-0402-4048-bc2c-89dd54343cdc\""),
        ("eventType", "\"order.shipped\""),
    ];
    for form in &forms {
        for headers in [&headers, &quoted] {
            let (events, errors) = converted(&outbox(), &record(form, Some("1001"), headers));
            assert_eq!(errors, Vec::<String>::new());
            assert_eq!(events[0]["id"], "A:4d47e190-0402-4048-bc2c-89dd54343cdc");
            assert_eq!(events[0]["type"], "A");
            assert_eq!(events[0]["time"], WRITTEN);
            assert_eq!(events[0]["recipients"], json!(["u-42"]));
            assert_eq!(events[0]["data"]["order_id"], "1001");
        }
    }
    // The digits of numbers stay.
    let Conversion::Converted { events, .. } = convert(&outbox(), &record(payload, None, &headers)).unwrap()
    else {
        panic!("it is converted");
    };
    assert!(String::from_utf8_lossy(&events[0].json).contains("1.10"));
}

#[test]
fn an_outbox_skips_other_types_and_tombstones_and_refuses_records_without_id_or_payload() {
    let convert =
        |value: &str, headers: &[(&str, &str)]| convert(&outbox(), &record(value, Some("1"), headers));
    let other = convert("{}", &[("id", "1"), ("eventType", "order.paid")]);
    assert!(matches!(other, Ok(Conversion::Skipped(SkippedRow::NoRule))));
    assert!(matches!(
        convert("", &[]),
        Ok(Conversion::Skipped(SkippedRow::Tombstone))
    ));
    let no_id = r#"{"customer_id":"u"}"#;
    let Ok(Conversion::Converted { errors, .. }) = convert(no_id, &[("eventType", "order.lost")]) else {
        panic!("the rule applies");
    };
    assert_eq!(errors[0].code, "no-id");
    let Ok(Conversion::Converted { errors, .. }) = convert("{}", &[("id", "1")]) else {
        panic!("the type is missing");
    };
    assert!(
        errors[0]
            .to_string()
            .starts_with("/headers/eventType: expected a value"),
        "{errors:?}"
    );
    for (value, says) in [
        ("[]", "not a list"),
        ("\"{\"", "ends too early"),
        ("7", "not a number"),
    ] {
        let error = convert(value, &[("id", "1")]).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
}
