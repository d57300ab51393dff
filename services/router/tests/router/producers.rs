//! Events of standard producers, whose types, ids, recipients and times differ from Carillon's own.

use std::time::Duration;

use carillon_bus::headers;
use carillon_domain::{EventId, Timestamp, status::EventVerdict};
use carillon_store::users::UserPut;
use serde_json::{Value, json};

use crate::support::{START, Setting, event, on_router, shipped, with};

#[tokio::test]
async fn an_event_of_a_matched_type_is_routed_under_the_catalogs_name_and_keeps_its_own_type() {
    on_router(async |setting| {
        let long = "x".repeat(150);
        let own_types = [
            "orders/create",
            "urn:example:order:shipped",
            "Größe",
            "with spaces",
            &long,
        ];
        for own in own_types {
            let routed = setting
                .route_event(&with(event(own, "Matched", &json!({})), "type", json!(own)))
                .await;
            assert_eq!(routed.verdicts(), [(own, EventVerdict::Routed)]);
            assert_eq!(&*routed.deliveries[0].delivery.event_type, "Matched");
            assert_eq!(&*routed.only().event_type, "Matched");
            let told: Value = serde_json::from_str(routed.only().event.as_ref().unwrap().get()).unwrap();
            assert_eq!(told["type"], own);
        }
        setting
            .prefer("u-42", json!({"types": {"Matched": {"email": false}}}))
            .await;
        let routed = setting
            .route_event(&with(
                event("off", "Matched", &json!({})),
                "type",
                json!("orders/create"),
            ))
            .await;
        assert_eq!(routed.decisions(), ["email suppress opted_out_type"]);
    })
    .await;
}

#[tokio::test]
async fn a_user_id_is_opaque() {
    on_router(async |setting| {
        let longest = "ü".repeat(127) + "x";
        for (n, id) in ["auth0|5f7c8e", "a/b", "100%", "a,b", " Größe ", &longest]
            .into_iter()
            .enumerate()
        {
            let put = UserPut {
                email: Some(format!("reader-{n}@example.com")),
                ..UserPut::default()
            };
            setting.put_user(id, &put).await;
            let named = with(
                event(&format!("e-{n}"), "Note", &json!({})),
                "recipients",
                json!([id]),
            );
            let routed = setting.route_event(&named).await;
            let user = routed.deliveries[0].delivery.user_id.as_ref().unwrap();
            assert_eq!(user.as_str(), id);
            assert_eq!(routed.places(), [("email", format!("default|{id}").as_str())]);
        }
    })
    .await;
}

#[tokio::test]
async fn users_whose_ids_have_separators_have_limits_of_their_own() {
    on_router(async |setting| {
        for id in ["a", "a|reminders|email|0", "a|reminders"] {
            setting.put_reader_of(id).await;
            for n in 0..2 {
                let named = event(&format!("{id}-{n}"), "CartReminder", &json!({}));
                let routed = setting.route_event(&with(named, "recipients", json!([id]))).await;
                assert_eq!(routed.deliveries.len(), 1, "{:?}", routed.decisions());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_invalid_recipient_is_listed_in_the_decisions_and_the_others_are_notified() {
    on_router(async |setting| {
        let bad = [
            (json!({"email": "nope"}), "/recipients/1/email"),
            (
                json!({"user_id": "u-42", "locale": "not a locale"}),
                "/recipients/1/locale",
            ),
            (
                json!({"user_id": "u-42", "timezone": "Mars/Olympus"}),
                "/recipients/1/timezone",
            ),
            (json!({"user": "u"}), "/recipients/1/user"),
            (json!(true), "/recipients/1"),
            (json!("x".repeat(256)), "/recipients/1"),
        ];
        for (n, (bad, pointer)) in bad.into_iter().enumerate() {
            let recipients = json!(["u-42", bad, {"email": "guest@example.com"}]);
            let named = with(
                event(&format!("e-{n}"), "Note", &json!({})),
                "recipients",
                recipients,
            );
            let routed = setting.route_event(&named).await;
            assert!(routed.dead.is_empty(), "{:?}", routed.dead);
            assert_eq!(routed.deliveries.len(), 2);
            assert_eq!(
                routed.decisions(),
                [
                    "email send allowed",
                    "email send allowed",
                    "email suppress invalid_recipient"
                ]
            );
            let decision = &routed.only().decisions[2];
            assert!(decision.sentence.contains(pointer), "{}", decision.sentence);
            assert!(decision.delivery_id.is_none());
            let errors = &decision.steps.list()[0].inputs["errors"];
            assert_eq!(errors[0]["pointer"], pointer);
        }
        let extension = json!({"specversion": "1.0", "id": "ext", "source": "/", "type": "Note",
            "recipient": format!("u-42,{}", "x".repeat(256)), "data": {}});
        assert_eq!(setting.route_event(&extension).await.deliveries.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_event_without_a_valid_recipient_is_a_dead_letter_with_every_error() {
    on_router(async |setting| {
        let recipients = json!([{"email": "nope"}, true]);
        let routed = setting
            .route_event(&with(shipped("e-1"), "recipients", recipients))
            .await;
        let [letter] = routed.dead.as_slice() else {
            panic!("{:?}", routed.verdicts())
        };
        let text = |name| letter.headers.get_str(name).unwrap();
        assert_eq!(
            (text("carillon-code"), text("carillon-class")),
            ("recipients", "invalid")
        );
        let reason = text("kafka_dlt-exception-message");
        assert!(
            reason.contains("/recipients/0/email") && reason.contains("/recipients/1:"),
            "{reason}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_record_in_the_frame_of_a_schema_registry_is_rejected_as_such() {
    on_router(async |setting| {
        let framed = [b"\x00\x00\x00\x00\x07", shipped("e-1").to_string().as_bytes()].concat();
        let mut binary = setting.raw(framed.clone());
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", "e-1"),
            ("ce_source", "/"),
            ("ce_type", "Note"),
        ] {
            binary.headers.push(name, value);
        }
        for record in [setting.raw(framed), binary] {
            let routed = setting.route(&[record]).await;
            let letter = &routed.dead[0];
            assert_eq!(
                letter.headers.get_str("carillon-code"),
                Some("schema-registry-framed")
            );
            let reason = letter.headers.get_str("kafka_dlt-exception-message").unwrap();
            assert!(reason.contains("framed by a schema registry"), "{reason}");
            assert!(reason.contains("schema id 7"), "{reason}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_byte_order_mark_before_a_value_is_ignored() {
    on_router(async |setting| {
        let marked = setting.raw(format!("\u{feff}{}", shipped("e-1")));
        assert_eq!(
            setting.route(&[marked]).await.verdicts(),
            [("e-1", EventVerdict::Routed)]
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_without_an_id_that_was_put_back_keeps_the_id_of_its_first_record() {
    on_router(async |setting| {
        let mut nameless = event("x", "Note", &json!({}));
        nameless.as_object_mut().unwrap().remove("id");
        let first = setting.record(&nameless);
        // Published twice by a scheduler that died between the two.
        let copy = |offset| {
            let mut record = setting.record(&nameless);
            record.offset = first.offset + offset;
            let position = json!({"topic": &*first.topic, "partition": first.partition, "offset": first.offset, "at": START});
            record.headers.insert(headers::FIRST, position.to_string());
            record
        };
        let routed = setting.route(&[copy(10), copy(11)]).await;
        let verdicts: Vec<_> = routed.verdicts().iter().map(|(_, verdict)| *verdict).collect();
        assert_eq!(verdicts, [EventVerdict::Routed, EventVerdict::Duplicate]);
        let derived = EventId::of_record(&first.topic, first.partition, first.offset);
        assert_eq!(routed.verdicts()[0].0, derived.as_str());
    })
    .await;
}

async fn written_at(setting: &Setting, id: &str, written: Timestamp) -> (Timestamp, Timestamp) {
    let mut timeless = event(id, "Note", &json!({}));
    timeless.as_object_mut().unwrap().remove("time");
    let mut record = setting.record(&timeless);
    record.timestamp = written;
    let first = setting.route(std::slice::from_ref(&record)).await;
    setting.clock.advance(Duration::from_mins(10));
    let again = setting.route(&[record]).await;
    let (first, again) = (&first.deliveries[0].delivery, &again.deliveries[0].delivery);
    assert_eq!(
        first.accepted_at, again.accepted_at,
        "the same whenever it is read"
    );
    (first.accepted_at, first.event_time)
}

#[tokio::test]
async fn an_implausible_timestamp_of_a_producer_is_not_used() {
    on_router(async |setting| {
        let start: Timestamp = START.parse().unwrap();
        let honest = start - Duration::from_mins(3);
        assert_eq!(written_at(setting, "honest", honest).await, (honest, honest));
        for (n, millis) in [1_i64, 1_764_633_600, 0, 99_999_999_999_999]
            .into_iter()
            .enumerate()
        {
            let written = Timestamp::from_timestamp_millis(millis).unwrap();
            let (accepted_at, event_time) = written_at(setting, &format!("odd-{n}"), written).await;
            for time in [accepted_at, event_time] {
                assert!(time >= start && time < start + Duration::from_hours(2), "{time}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_s_own_time_is_bounded() {
    on_router(async |setting| {
        for time in [
            "1970-01-01T00:00:01Z",
            "0001-01-01T00:00:00Z",
            "2026-11-26T10:00:01Z",
        ] {
            let routed = setting
                .route_event(&with(shipped("e-1"), "time", json!(time)))
                .await;
            let letter = &routed.dead[0].headers;
            assert_eq!(letter.get_str("carillon-code"), Some("time"), "{time}");
            let reason = letter.get_str("kafka_dlt-exception-message").unwrap();
            assert!(reason.contains("/time: expected a time between 2000"), "{reason}");
        }
        let soon = with(shipped("e-2"), "time", json!("2026-11-25T09:00:00Z"));
        assert_eq!(setting.route_event(&soon).await.deliveries.len(), 3);
    })
    .await;
}
