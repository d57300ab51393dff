//! Records that are not valid events: they go to the dead letter queue with the reason and their original bytes, and
//! their neighbours are routed.

use bytes::Bytes;
use carillon_bus::{BusError, OutRecord, Record, Unreadable, headers};
use carillon_domain::{Timestamp, status::EventVerdict};
use carillon_router::Refused;
use serde_json::{Value, json};

use crate::{
    routed::{Routed, key},
    support::{START, Setting, event, on_router, shipped, with},
};

/// A record that is rejected, and the expected dead letter.
struct Bad {
    record: Record,
    class: &'static str,
    code: &'static str,
    /// A text that the reason contains.
    reason: &'static str,
    /// The id, if it can be read.
    id: Option<&'static str>,
}

fn bad(setting: &Setting, event: &Value, code: &'static str, reason: &'static str) -> Bad {
    Bad {
        record: setting.record(event),
        class: "invalid",
        code,
        reason,
        id: Some("e-1"),
    }
}

fn unparseable(record: Record, code: &'static str, reason: &'static str) -> Bad {
    Bad {
        record,
        class: "unparseable",
        code,
        reason,
        id: None,
    }
}

/// Routes the bad record between two good ones, which must be routed, and returns the whole output.
async fn among_good_ones(setting: &Setting, bad: &Bad, run: usize) -> Routed {
    let good = |place: &str| setting.record(&event(&format!("good-{place}-{run}"), "Note", &json!({})));
    let batch = [good("before"), bad.record.clone(), good("after")];
    let mut routed = setting.route(&batch).await;
    assert_eq!(
        routed.deliveries.len(),
        2,
        "{}: the neighbours are routed",
        bad.reason
    );
    let verdicts: Vec<_> = routed.decided.iter().map(|decided| decided.verdict).collect();
    let (routed_, rejected) = (EventVerdict::Routed, EventVerdict::Rejected);
    assert_eq!(verdicts, [routed_, routed_, rejected], "{}", bad.reason);
    routed.decided.drain(..2);
    routed
}

/// Asserts that the dead letter describes the record completely.
#[track_caller]
fn assert_letter(setting: &Setting, letter: &OutRecord, bad: &Bad) {
    let (record, what) = (&bad.record, bad.reason);
    assert_eq!(letter.topic, setting.topics().events_dlq());
    assert_eq!(
        letter.value.as_ptr_range(),
        record.value.as_ptr_range(),
        "{what}: untouched"
    );
    assert_eq!(letter.key, record.key);
    let text = |name| letter.headers.get_str(name);
    let bytes = |name| letter.headers.get(name).unwrap();
    for (name, value) in record.headers.iter() {
        assert_eq!(letter.headers.get(name), Some(&**value), "{what}");
    }
    assert_eq!(text("kafka_dlt-original-topic"), Some(&*record.topic));
    assert_eq!(
        bytes("kafka_dlt-original-partition"),
        record.partition.to_be_bytes()
    );
    assert_eq!(bytes("kafka_dlt-original-offset"), record.offset.to_be_bytes());
    let written = record.timestamp.timestamp_millis();
    assert_eq!(bytes("kafka_dlt-original-timestamp"), written.to_be_bytes());
    assert_eq!(text("kafka_dlt-original-timestamp-type"), Some("CreateTime"));
    let group = carillon_router::group(&setting.env.bus);
    assert_eq!(text("kafka_dlt-original-consumer-group"), Some(group.as_str()));
    let exception = format!("dev.carillon.{}", bad.class);
    assert_eq!(
        text("kafka_dlt-exception-fqcn"),
        Some(exception.as_str()),
        "{what}"
    );
    assert!(
        text("kafka_dlt-exception-message").unwrap().contains(bad.reason),
        "{:?} should say {:?}",
        text("kafka_dlt-exception-message"),
        bad.reason
    );
    assert_eq!(text("carillon-attempts"), Some("1"));
    let now: Timestamp = START.parse().unwrap();
    let now = now.timestamp_millis().to_string();
    assert_eq!(text("carillon-first-failed-at"), Some(now.as_str()));
    assert_eq!(
        (text("carillon-class"), text("carillon-code")),
        (Some(bad.class), Some(bad.code)),
        "{what}"
    );
    assert_eq!(text("carillon-fingerprint").unwrap().len(), 16);
    assert_eq!(letter.headers.get("carillon-provider"), None);
}

async fn check(setting: &Setting, all: Vec<Bad>) {
    for (run, bad) in all.into_iter().enumerate() {
        let routed = among_good_ones(setting, &bad, run).await;
        let [letter] = routed.dead.as_slice() else {
            panic!("{}: one dead letter", bad.reason)
        };
        assert_letter(setting, letter, &bad);
        let decided = routed.only();
        let (topic, partition, offset) = (&bad.record.topic, bad.record.partition, bad.record.offset);
        let place = format!("{topic}/{partition}/{offset}");
        assert_eq!(
            decided.event_id.as_str(),
            bad.id.unwrap_or(&place),
            "{}",
            bad.reason
        );
        assert_eq!((&decided.origin.topic, decided.origin.offset), (topic, offset));
        assert!(decided.event.is_none() && decided.decisions.is_empty() && !decided.via_gateway);
        let status = routed.all.last().unwrap();
        assert_eq!(key(status), format!("{}|{}", decided.tenant, decided.event_id));
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_dead_letter_that_says_why() {
    on_router(async |setting| {
        let mut bytes = setting.raw(Bytes::from_static(&[0, 0xff, b'{']));
        bytes.key = None;
        bytes.headers.push("x-odd", Bytes::from_static(&[0xff, 0]));
        let mut protobuf = setting.record(&shipped("e-1"));
        protobuf.headers.push("ce_id", "e-1");
        protobuf
            .headers
            .push(headers::CONTENT_TYPE, "application/protobuf");
        let mut cut_off = setting.raw(r#"{"order_id":"#);
        cut_off.headers.push("ce_id", "e-1");
        let version = with(shipped("e-1"), "specversion", json!("0.3"));
        let all = vec![
            unparseable(bytes, "malformed-json", "expected a JSON object"),
            unparseable(setting.raw("null"), "not-an-event", "expected a JSON object"),
            unparseable(
                setting.raw("[]"),
                "batch",
                "expected one event, a JSON object, not a list",
            ),
            unparseable(cut_off, "malformed-json", "/data: expected JSON"),
            unparseable(protobuf, "not-an-event", "expected a JSON media type"),
            unparseable(
                setting.record(&version),
                "not-an-event",
                "/specversion: expected \"1.0\"",
            ),
            unparseable(
                setting.raw(r#"{"type":"OrderShipped","data":{},"recipients":["u-42"]}"#),
                "not-an-event",
                "/specversion: expected \"1.0\"",
            ),
        ];
        check(setting, all).await;
    })
    .await;
}

#[tokio::test]
async fn a_record_whose_batch_cannot_be_read_is_a_dead_letter_with_its_place_and_its_neighbours_are_routed() {
    on_router(async |setting| {
        let whys = [Unreadable::Codec, Unreadable::Compression, Unreadable::Checksum];
        for (run, why) in whys.into_iter().enumerate() {
            let record = Record::unreadable(setting.raw("").position(), why);
            let bad = unparseable(record, why.code(), "the record's batch");
            let routed = among_good_ones(setting, &bad, run).await;
            let [letter] = routed.dead.as_slice() else {
                panic!("one dead letter")
            };
            let text = |name| letter.headers.get_str(name);
            assert_eq!(text("kafka_dlt-original-topic"), Some(&*bad.record.topic));
            let offset = bad.record.offset.to_be_bytes();
            assert_eq!(letter.headers.get("kafka_dlt-original-offset"), Some(&offset[..]));
            assert_eq!(
                letter.headers.get("kafka_dlt-original-timestamp"),
                None,
                "it is not known"
            );
            assert_eq!(text("carillon-code"), Some(why.code()));
            assert_eq!(routed.only().origin.offset, bad.record.offset);
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_breaks_a_rule_is_a_dead_letter_that_names_the_rule() {
    on_router(async |setting| {
        let unheard = with(shipped("e-1"), "type", json!("Unheard"));
        let without = event("e-1", "OrderShipped", &json!({"carrier": "DHL"}));
        let wrong = event("e-1", "OrderShipped", &json!({"order_id": 1001}));
        let nobody = with(shipped("e-1"), "recipients", json!([]));
        let odd = with(
            event(
                "e-1",
                "OrderShipped",
                &json!({"order_id": "1", "customer_id": true}),
            ),
            "recipients",
            Value::Null,
        );
        let mut foreign = bad(setting, &shipped("e-1"), "unknown-tenant", "has no catalog");
        foreign.record.headers.push(headers::TENANT, "nobody");
        let all = vec![
            bad(
                setting,
                &unheard,
                "unknown-event-type",
                "/type: the catalog has no event type \"Unheard\"",
            ),
            bad(setting, &without, "schema", "expected the property order_id"),
            bad(setting, &wrong, "schema", "/data/order_id: "),
            bad(
                setting,
                &nobody,
                "no-recipient",
                "/recipients: expected at least one",
            ),
            bad(
                setting,
                &odd,
                "recipients",
                "/data/customer_id: expected a user id",
            ),
            foreign,
        ];
        check(setting, all).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_whose_time_to_be_sent_has_come_is_sent() {
    on_router(async |setting| {
        let now = with(shipped("e-1"), "sendat", json!("2026-11-24T10:00:00Z"));
        assert_eq!(setting.route_event(&now).await.deliveries.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_event_of_256_kib_is_routed_and_a_larger_one_is_too_large() {
    on_router(async |setting| {
        let of_size = |id: &str, size: usize| {
            let bare = event(id, "Note", &json!({"text": ""})).to_string();
            let text = "x".repeat(size - bare.len());
            let json = event(id, "Note", &json!({ "text": text })).to_string();
            assert_eq!(json.len(), size);
            json
        };
        let just = setting.raw(of_size("e-1", 256 * 1024));
        let over = setting.raw(of_size("e-2", 256 * 1024 + 1));
        let routed = setting.route(&[just]).await;
        assert_eq!(routed.verdicts(), [("e-1", EventVerdict::Routed)]);
        let letter = Bad {
            record: over,
            class: "invalid",
            code: "too-large",
            reason: "at most 256 KiB",
            id: None,
        };
        check(setting, vec![letter]).await;
    })
    .await;
}

fn refusal(topic: &str, size: usize) -> BusError {
    let topic = topic.to_owned();
    BusError::TooLarge { topic, size }
}

#[tokio::test]
async fn an_event_whose_record_its_topic_has_refused_is_rejected_and_its_neighbours_are_routed() {
    on_router(async |setting| {
        let text = |id: &str, size: usize| event(id, "Note", &json!({"text": "x".repeat(size)}));
        let batch = [
            setting.record(&text("e-1", 10)),
            setting.record(&text("e-2", 9_000)),
            setting.record(&text("e-3", 10)),
        ];
        let whole = setting.route(&batch).await;
        let large = whole
            .deliveries
            .iter()
            .map(|sent| &sent.record)
            .max_by_key(|record| record.size());
        let (topic, size) = large
            .map(|record| (record.topic.to_string(), record.size()))
            .unwrap();

        let mut refused = Refused::default();
        assert!(refused.learns_from(&refusal(&topic, size)));
        assert!(
            !refused.learns_from(&refusal(&topic, size)),
            "nothing new: the role ends"
        );
        // The topic of dead letters does not take the whole record either.
        assert!(refused.learns_from(&refusal(&setting.topics().events_dlq(), 9_000)));
        let routed = setting.route_after(&batch, &mut refused).await;
        let ids: Vec<_> = routed
            .deliveries
            .iter()
            .map(|sent| sent.delivery.event_id.as_str())
            .collect();
        assert_eq!(ids, ["e-1", "e-3"]);
        let mut verdicts = routed.verdicts();
        verdicts.sort_unstable_by_key(|(id, _)| id.to_owned());
        let verdict = [EventVerdict::Routed, EventVerdict::Rejected, EventVerdict::Routed];
        assert_eq!(
            verdicts.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(),
            verdict
        );
        let [dead] = routed.dead.as_slice() else {
            panic!("{:?}", routed.dead)
        };
        assert_eq!(dead.headers.get_str("carillon-code"), Some("too-large"));
        assert_eq!(
            dead.headers.get_u32(headers::TRUNCATED),
            u32::try_from(batch[1].value.len()).ok()
        );
        assert!(dead.value.is_empty());

        // The commit has contained the refused event, so later events of this size are not rejected.
        refused.committed();
        assert_eq!(setting.route_after(&batch, &mut refused).await.dead.len(), 0);
    })
    .await;
}
